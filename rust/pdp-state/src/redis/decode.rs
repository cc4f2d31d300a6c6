//! Reads what the script answers.
//!
//! The time, then for each group a status (0 refused, 1 done, 2 done before, 3 periods of a calendar
//! asked for that do not hold the time), after 2 the holder it was done for, and unless 3 a record for
//! each of the group's: admitted (1 byte), hits left, time until full, time until there is room (-1:
//! never). A grant adds the hits taken; a reset has the status alone.

use std::time::Duration;

use pdp_engine::limit::{CountedBy, LimitOutcome, NEVER};
use uuid::Uuid;

use super::encode::{Group, Operation};

/// How a group fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Refused,
    Done,
    Before,
    /// The group must be asked again with the periods around the server's time.
    Stale,
}

/// What was told of a group.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The server's time.
    pub(super) now_us: u64,
    pub(super) status: Status,
    pub(super) outcomes: Vec<LimitOutcome>,
    /// Hits granted.
    pub(super) hits: u64,
}

/// Reads an answer from front to back.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    now_us: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(answer: &'a [u8]) -> Option<Self> {
        let mut reader = Self { rest: answer, now_us: 0 };
        reader.now_us = whole(reader.double()?);
        Some(reader)
    }

    pub(super) fn now_us(&self) -> u64 {
        self.now_us
    }

    /// What was told of the next group.
    pub(super) fn group(&mut self, group: &Group) -> Option<Told> {
        let status = match self.take::<1>()? {
            [0] => Status::Refused,
            [1] => Status::Done,
            [2] => Status::Before,
            [3] => Status::Stale,
            _ => return None,
        };
        let mut told = Told { now_us: self.now_us, status, outcomes: Vec::new(), hits: 0 };
        if status == Status::Stale || group.operation == Operation::Reset {
            return Some(told);
        }
        let spent_by = match status {
            Status::Before => Some(Uuid::from_bytes(*self.take::<16>()?)),
            _ => None,
        };
        told.outcomes.reserve(group.records.into());
        for _ in 0..group.records {
            let outcome = self.record()?;
            told.outcomes.push(LimitOutcome { spent_by, ..outcome });
        }
        if group.operation == Operation::Grant {
            told.hits = whole(self.double()?);
        }
        Some(told)
    }

    fn record(&mut self) -> Option<LimitOutcome> {
        let [admitted] = *self.take::<1>()?;
        let (left, reset, retry) = (self.double()?, self.double()?, self.double()?);
        let admitted = admitted == 1;
        let wait = if retry < 0.0 { NEVER } else { Duration::from_micros(whole(retry)) };
        Some(LimitOutcome {
            admitted,
            remaining: whole(left),
            reset_after: Duration::from_micros(whole(reset)),
            retry_after: (!admitted).then_some(wait),
            counted_by: CountedBy::Shared,
            ..LimitOutcome::default()
        })
    }

    fn double(&mut self) -> Option<f64> {
        self.take().map(|bytes| f64::from_le_bytes(*bytes))
    }

    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(bytes)
    }
}

/// A whole number, since the script makes no others; saturates.
fn whole(number: f64) -> u64 {
    number as u64
}
