//! What happens to a counter after the spend: correction, grants in advance, and oblivion.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use pdp_engine::limit::{
    Counter, CounterName, LimitFault, LimitOutcome, Reading, Settle, Settlement, epoch_ns,
};
use uuid::Uuid;

use super::key::{hash_counter, hash_settled};
use super::shard::Shard;
use super::spend::refused;
use super::{MemoryStore, SWEEP, SWEEP_FULL, lock};
use crate::store::Grant;

/// A counter with the shard it lives in.
struct Found<'a> {
    hash: u64,
    shard: MutexGuard<'a, Shard>,
    /// `None` where there is no such counter.
    counter: Option<Counter>,
}

impl MemoryStore {
    pub(super) fn settle_at(&self, settle: &Settle<'_>, now_ns: u64) -> Vec<LimitOutcome> {
        let each = || -> Vec<LimitOutcome> {
            let one = |it: &Settlement<'_>| self.settle_one(settle.holder, it, now_ns);
            settle.settlements.iter().map(one).collect()
        };
        let hash = hash_settled(&self.hasher, settle.holder);
        let Some(replays) = self.replays_of(hash).filter(|_| !settle.settlements.is_empty()) else {
            return each();
        };
        // Held over the settlement, so that two reports of one request cannot both correct.
        let mut replays = lock(replays);
        let holder = settle.holder.as_bytes();
        if let Some(outcomes) = replays.find(hash, holder, hash, now_ns) {
            self.replayed.fetch_add(1, Ordering::Relaxed);
            return outcomes;
        }
        let outcomes = each();
        let forgotten = replays.insert(hash, holder, hash, now_ns, &outcomes);
        self.replays_forgotten.fetch_add(forgotten, Ordering::Relaxed);
        outcomes
    }

    fn settle_one(&self, holder: Uuid, settlement: &Settlement<'_>, now_ns: u64) -> LimitOutcome {
        let Settlement { counter: name, spent, actual, spent_at } = settlement;
        let limit = name.limit;
        if limit.validate().is_err() {
            return refused(LimitFault::InvalidLimit);
        }
        let Some(mut found) = self.found(name, now_ns) else { return refused(LimitFault::StoreFull) };
        let before = found.counter.unwrap_or(Counter::empty(limit.algorithm));
        if limit.is_held() {
            found.shard.give_back_held(found.hash, name, holder);
            self.release_holds(&mut found.shard);
            let after = found.shard.find(found.hash, name, now_ns).unwrap_or(before);
            return after.spend(limit, 0, now_ns).1.into();
        }
        let after = if found.counter.is_none() && actual <= spent {
            before
        } else if actual < spent {
            before.give_back(limit, spent - actual, epoch_ns(*spent_at), now_ns)
        } else {
            before.force(limit, actual - spent, now_ns)
        };
        let changes = after != before;
        if changes && !self.keep(&mut found, name, after, now_ns) {
            return refused(LimitFault::StoreFull);
        }
        after.spend(limit, 0, now_ns).1.into()
    }

    pub(super) fn grant_at(
        &self,
        name: &CounterName<'_>,
        least: u64,
        most: u64,
        now_ns: u64,
    ) -> Result<Grant, LimitFault> {
        if name.limit.is_held() || name.limit.validate().is_err() {
            return Err(LimitFault::InvalidLimit);
        }
        let mut found = self.found(name, now_ns).ok_or(LimitFault::StoreFull)?;
        let before = found.counter.unwrap_or(Counter::empty(name.limit.algorithm));
        let (after, hits, reading): (Counter, u64, Reading) = before.grant(name.limit, least, most, now_ns);
        if hits > 0 && !self.keep(&mut found, name, after, now_ns) {
            return Err(LimitFault::StoreFull);
        }
        let granted_at = SystemTime::UNIX_EPOCH + Duration::from_nanos(now_ns);
        Ok(Grant { hits, outcome: reading.into(), granted_at })
    }

    /// Goes by the latest moment that the counter's shard knows of: nothing was spent of it since.
    pub(super) fn give_back_granted(&self, name: &CounterName<'_>, hits: u64, granted_ns: u64) {
        let hash = hash_counter(&self.hasher, name);
        let Some(shard) = self.shards.get(self.shard_of(hash)) else { return };
        let mut shard = lock(shard);
        let now_ns = shard.now_ns().max(granted_ns);
        if let Some(counter) = shard.find(hash, name, now_ns).filter(|_| !name.limit.is_held()) {
            let after = counter.give_back(name.limit, hits, granted_ns, now_ns);
            shard.store(hash, name, after, Uuid::nil(), now_ns);
        }
        self.release_holds(&mut shard);
    }

    pub(super) fn forget(&self, name: &CounterName<'_>) -> bool {
        let hash = hash_counter(&self.hasher, name);
        let Some(shard) = self.shards.get(self.shard_of(hash)) else { return false };
        let mut shard = lock(shard);
        let (removed, counted) = shard.remove(hash, name);
        if removed {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
        self.release_holds(&mut shard);
        counted
    }

    fn found(&self, name: &CounterName<'_>, now_ns: u64) -> Option<Found<'_>> {
        let hash = hash_counter(&self.hasher, name);
        let mut shard = lock(self.shards.get(self.shard_of(hash))?);
        self.sweep(&mut shard, now_ns, SWEEP);
        let counter = shard.find(hash, name, now_ns);
        self.release_holds(&mut shard);
        Some(Found { hash, shard, counter })
    }

    /// Keeps a counter that may be new; false where there is no place for it.
    fn keep(&self, found: &mut Found<'_>, name: &CounterName<'_>, counter: Counter, now_ns: u64) -> bool {
        if found.counter.is_none() && !self.reserve() {
            self.sweep(&mut found.shard, now_ns, SWEEP_FULL);
            if !self.reserve() {
                self.full_denied.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
        found.shard.store(found.hash, name, counter, Uuid::nil(), now_ns);
        true
    }
}
