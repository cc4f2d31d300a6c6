//! Who waits for which fetch: one fetch of a key at a time, whoever wants it.

use std::collections::{HashMap, VecDeque};

use pdp_engine::fact::FactReading;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::FactKey;
use crate::redis::Key;

/// A key to fetch, for someone.
pub(super) struct Want {
    pub(super) key: Key,
    pub(super) name: FactKey,
    /// Position in the reading that wants it.
    pub(super) slot: usize,
}

/// One reading of several keys.
struct Gather {
    readings: Vec<FactReading>,
    left: usize,
    reply: oneshot::Sender<Vec<FactReading>>,
}

/// Position of a waiter: its gather and the slot in it.
type Waiter = (u64, usize);

struct Flight {
    name: FactKey,
    waiters: Vec<Waiter>,
    sent: bool,
    /// The key changed while the answer was on its way: it may be the old one.
    changed: bool,
    /// Those who came after the change: they get the answer to another fetch.
    later: Vec<Waiter>,
}

/// Fetches under way and who waits for them.
#[derive(Default)]
pub(super) struct Flights {
    flights: HashMap<Key, Flight, ahash::RandomState>,
    gathers: HashMap<u64, Gather, ahash::RandomState>,
    next: u64,
    /// Ascending, for all wait equally long.
    deadlines: VecDeque<(Instant, u64)>,
    unsent: Vec<Key>,
}

impl Flights {
    /// Someone reads: `readings` holds what is known, `wants` what is not.
    pub(super) fn gather(
        &mut self,
        wants: Vec<Want>,
        readings: Vec<FactReading>,
        reply: oneshot::Sender<Vec<FactReading>>,
        deadline: Instant,
    ) {
        if wants.is_empty() {
            // Nobody may be waiting any more.
            let _ = reply.send(readings);
            return;
        }
        self.next += 1;
        let number = self.next;
        self.gathers.insert(number, Gather { readings, left: wants.len(), reply });
        self.deadlines.push_back((deadline, number));
        for want in wants {
            self.board(want.key, want.name, Some((number, want.slot)));
        }
    }

    /// Fetches a key for nobody in particular.
    pub(super) fn refresh(&mut self, key: Key, name: FactKey) {
        self.board(key, name, None);
    }

    fn board(&mut self, key: Key, name: FactKey, waiter: Option<Waiter>) {
        let unsent = &mut self.unsent;
        let flight = self.flights.entry(key).or_insert_with(|| {
            unsent.push(key);
            Flight { name, waiters: Vec::new(), sent: false, changed: false, later: Vec::new() }
        });
        let queue = if flight.changed { &mut flight.later } else { &mut flight.waiters };
        queue.extend(waiter);
    }

    /// Up to `most` keys to send for.
    pub(super) fn take_unsent(&mut self, most: usize) -> Vec<(Key, FactKey)> {
        let taken = self.unsent.split_off(self.unsent.len().saturating_sub(most));
        let mut send = |key: Key| {
            let flight = self.flights.get_mut(&key)?;
            flight.sent = true;
            Some((key, flight.name.clone()))
        };
        taken.into_iter().filter_map(&mut send).collect()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Keys changed; what is on its way may be old.
    pub(super) fn changed(&mut self, key: &Key) {
        if let Some(flight) = self.flights.get_mut(key).filter(|flight| flight.sent) {
            flight.changed = true;
        }
    }

    /// Every key may have changed.
    pub(super) fn all_changed(&mut self) {
        self.flights.values_mut().filter(|flight| flight.sent).for_each(|flight| flight.changed = true);
    }

    /// An answer came. Answers whether it may be kept: not where the key changed meanwhile.
    pub(super) fn land(&mut self, key: &Key, reading: &FactReading) -> bool {
        let Some(flight) = self.flights.remove(key) else { return false };
        for waiter in flight.waiters {
            self.tell(waiter, reading.clone());
        }
        for waiter in flight.later {
            self.board(*key, flight.name.clone(), Some(waiter));
        }
        !flight.changed
    }

    /// Nothing can be fetched: all that is not sent is answered so.
    pub(super) fn fail_unsent(&mut self) {
        for key in std::mem::take(&mut self.unsent) {
            let Some(flight) = self.flights.remove(&key) else { continue };
            for waiter in flight.waiters.into_iter().chain(flight.later) {
                self.tell(waiter, FactReading::Unavailable);
            }
        }
    }

    fn tell(&mut self, (number, slot): Waiter, reading: FactReading) {
        let Some(gather) = self.gathers.get_mut(&number) else { return };
        if let Some(place) = gather.readings.get_mut(slot) {
            *place = reading;
        }
        gather.left -= 1;
        if gather.left == 0 {
            self.answer(number);
        }
    }

    fn answer(&mut self, number: u64) {
        if let Some(gather) = self.gathers.remove(&number) {
            // Nobody may be waiting any more.
            let _ = gather.reply.send(gather.readings);
        }
    }

    /// When the next reading has waited long enough.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        while let Some((at, number)) = self.deadlines.front() {
            if self.gathers.contains_key(number) {
                return Some(*at);
            }
            self.deadlines.pop_front();
        }
        None
    }

    /// Answers what has waited long enough, as far as it is known. Answers how many those are.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        while let Some((_, number)) = self.deadlines.front().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_front();
            expired += usize::from(self.gathers.contains_key(&number));
            self.answer(number);
        }
        expired
    }
}
