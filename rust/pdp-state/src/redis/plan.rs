//! What a spend becomes: groups for the store, and what to do where it cannot be asked.

use std::time::SystemTime;

use pdp_engine::limit::{
    Algorithm, CounterName, Limit, LimitDemand, LimitFault, LimitOutcome, NEVER, Outage, Spend,
};
use pdp_engine::request::Text;
use uuid::Uuid;

use super::clock::SLACK_US;
use super::encode::{Group, Operation, place, spend_group};
use super::name::{Key, Names, Tag};

/// A spend that outlives its caller's borrow.
#[derive(Debug)]
pub(super) struct Kept {
    request_id: Option<Box<str>>,
    pub(super) holder: Uuid,
    pub(super) now: SystemTime,
    pub(super) demands: Vec<KeptDemand>,
}

/// A demand that outlives its caller's borrow.
#[derive(Clone, Debug)]
pub(super) struct KeptDemand {
    pub(super) policy_id: Text,
    pub(super) limit: Limit,
    pub(super) tenant: Option<Box<str>>,
    pub(super) key: Box<str>,
    pub(super) hits: u64,
    pub(super) peek: bool,
}

/// What to do where the store cannot be asked.
#[derive(Debug)]
pub(super) enum Fallback {
    /// Deny so many demands.
    Deny(usize),
    /// As each demand's limit says; also kept for a quota, whose periods may have to be asked again.
    Kept(Box<Kept>),
}

/// What is sent to the store.
pub(super) struct Plan {
    /// Groups, each of one tag.
    pub(super) parts: Vec<Part>,
    /// Demands.
    pub(super) demands: usize,
    /// Demands whose limit breaks its bounds.
    pub(super) invalid: Vec<usize>,
}

/// A group, and which demands it holds.
pub(super) struct Part {
    pub(super) group: Group,
    pub(super) indices: Vec<usize>,
    /// For one of several parts: how to undo it, and how to read it only.
    pub(super) others: Option<Box<(Group, Group)>>,
}

impl Kept {
    pub(super) fn new(spend: &Spend<'_>) -> Self {
        let demands = spend.demands.iter().map(|demand| KeptDemand {
            policy_id: demand.counter.policy_id.clone(),
            limit: demand.counter.limit.clone(),
            tenant: demand.counter.tenant.map(Box::from),
            key: demand.counter.key.into(),
            hits: demand.hits,
            peek: demand.peek,
        });
        Self {
            request_id: spend.request_id.map(Box::from),
            holder: spend.holder,
            now: spend.now,
            demands: demands.collect(),
        }
    }

    /// Shows the spend as its caller did.
    pub(super) fn with<T>(&self, use_it: impl FnOnce(&Spend<'_>) -> T) -> T {
        let demands: Vec<LimitDemand<'_>> = self.demands.iter().map(KeptDemand::demand).collect();
        use_it(&Spend {
            request_id: self.request_id.as_deref(),
            holder: self.holder,
            demands: &demands,
            now: self.now,
        })
    }
}

impl KeptDemand {
    pub(super) fn demand(&self) -> LimitDemand<'_> {
        let counter = CounterName {
            policy_id: &self.policy_id,
            limit: &self.limit,
            tenant: self.tenant.as_deref(),
            key: &self.key,
        };
        LimitDemand { counter, hits: self.hits, peek: self.peek }
    }
}

impl Fallback {
    pub(super) fn new(spend: &Spend<'_>) -> Self {
        let plain = |demand: &LimitDemand<'_>| {
            let limit = demand.counter.limit;
            limit.outage == Outage::Deny && !matches!(limit.algorithm, Algorithm::Quota(_))
        };
        match spend.demands.iter().all(plain) {
            true => Self::Deny(spend.demands.len()),
            false => Self::Kept(Box::new(Kept::new(spend))),
        }
    }
}

/// Plans a spend. `now_us` is about the server's time; `split` is whether tags must be apart.
pub(super) fn plan(names: &Names, spend: &Spend<'_>, now_us: u64, replays: bool, split: bool) -> Plan {
    let mut invalid = Vec::new();
    let mut placed: Vec<(Tag, usize, (LimitDemand<'_>, Key))> = Vec::with_capacity(spend.demands.len());
    for (index, demand) in spend.demands.iter().enumerate() {
        match place(names, &demand.counter) {
            Some((tag, key)) => placed.push((tag, index, (*demand, key))),
            None => invalid.push(index),
        }
    }
    // Where one cannot be spent, none is; the others still say whether they had room.
    if invalid.iter().any(|&index| spend.demands.get(index).is_some_and(|demand| !demand.peek)) {
        placed.iter_mut().for_each(|(_, _, (demand, _))| demand.peek = true);
    }
    let spends = placed.iter().any(|(_, _, (demand, _))| !demand.peek);
    let replay = spend.request_id.filter(|_| replays && spends).map(|request_id| {
        let keys: Vec<Key> = placed.iter().map(|(_, _, (_, key))| *key).collect();
        names.request(request_id, spend.demands, &keys)
    });
    let demands = spend.demands.len();
    if split {
        placed.sort_by_key(|(tag, _, _)| *tag);
    }
    let apart = |a: &(Tag, usize, _), b: &(Tag, usize, _)| !split || a.0 == b.0;
    let several = split && placed.windows(2).any(|pair| matches!(pair, [a, b] if a.0 != b.0));
    let part = |chunk: &[(Tag, usize, (LimitDemand<'_>, Key))]| {
        let tag = chunk.first().map(|(tag, _, _)| *tag)?;
        let demands: Vec<_> = chunk.iter().map(|(_, _, demand)| *demand).collect();
        let group = spend_group(tag, &demands, replay, spend.holder, now_us);
        let others = several.then(|| {
            let mut undo = Group::new(Operation::Undo, tag, replay, Some(spend.holder));
            undo.number(SLACK_US);
            for (demand, key) in demands.iter().filter(|(demand, _)| !demand.peek) {
                undo.record(*key, demand.counter.limit, 0, false, now_us);
                undo.moves(0i64.saturating_sub_unsigned(demand.hits), now_us);
            }
            let mut peeks = demands.clone();
            peeks.iter_mut().for_each(|(demand, _)| demand.peek = true);
            Box::new((undo, spend_group(tag, &peeks, None, spend.holder, now_us)))
        });
        Some(Part { group, indices: chunk.iter().map(|(_, index, _)| *index).collect(), others })
    };
    let parts = placed.chunk_by(apart).filter_map(part).collect();
    Plan { parts, demands, invalid }
}

/// The outcome of a demand whose limit breaks its bounds.
pub(super) fn invalid() -> LimitOutcome {
    LimitOutcome {
        fault: Some(LimitFault::InvalidLimit),
        retry_after: Some(NEVER),
        ..LimitOutcome::default()
    }
}
