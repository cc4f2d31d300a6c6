//! One call's demands: read on top of each other, then spent together or not at all.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pdp_engine::limit::{Counter, LimitDemand, LimitFault, LimitOutcome, NEVER, Reading, Spend};
use uuid::Uuid;

use super::key::{self, hash_counter, hash_request};
use super::shard::Shard;
use super::{MemoryStore, SWEEP, SWEEP_FULL, lock};

/// What a demand is told to wait when the store is full: a guess, since nobody knows.
const RETRY_FULL: Duration = Duration::from_secs(1);

/// A demand with where its counter lives and what became of it.
struct Planned<'d, 'a> {
    demand: &'d LimitDemand<'a>,
    hash: u64,
    shard: usize,
    /// Counter as this call would leave it; on the first of demands that share it.
    next: Option<Counter>,
    /// Index of the first demand on the same counter.
    first: usize,
    /// Whether a place was reserved for a new counter.
    reserved: bool,
    /// Whether a place was reserved for a hold; on the first of demands that share the counter.
    reserved_hold: bool,
    reading: Option<Reading>,
    fault: Option<LimitFault>,
}

/// The shards that a call has locked, by position.
type Guards<'g> = Vec<(usize, MutexGuard<'g, Shard>)>;

impl MemoryStore {
    pub(super) fn spend_at(&self, spend: &Spend<'_>, now_ns: u64) -> Vec<LimitOutcome> {
        let demands = spend.demands;
        let once = || self.spend_once(demands, spend.holder, now_ns);
        let spends = demands.iter().any(|demand| !demand.peek);
        let Some(request_id) = spend.request_id.filter(|_| spends) else { return once().0 };
        let (hash, fingerprint) = hash_request(&self.hasher, request_id, demands);
        let Some(replays) = self.replays_of(hash) else { return once().0 };
        // Held over the spend, and always taken before the counters' locks: two copies of one request
        // cannot both spend.
        let mut replays = lock(replays);
        if let Some(outcomes) = replays.find(hash, request_id.as_bytes(), fingerprint, now_ns) {
            self.replayed.fetch_add(1, Ordering::Relaxed);
            return outcomes;
        }
        let (outcomes, spent) = once();
        if spent {
            let forgotten = replays.insert(hash, request_id.as_bytes(), fingerprint, now_ns, &outcomes);
            self.replays_forgotten.fetch_add(forgotten, Ordering::Relaxed);
        }
        outcomes
    }

    fn spend_once(
        &self,
        demands: &[LimitDemand<'_>],
        holder: Uuid,
        now_ns: u64,
    ) -> (Vec<LimitOutcome>, bool) {
        let mut plan = self.plan(demands);
        let mut guards = self.lock_shards(&plan);
        for (_, shard) in &mut guards {
            self.sweep(shard, now_ns, SWEEP);
        }
        for index in 0..plan.len() {
            self.read(&mut plan, index, &mut guards, now_ns);
        }
        let spent = plan.iter().all(|item| item.demand.peek || item.reading.is_some_and(|it| it.admitted));
        if spent {
            commit(&plan, &mut guards, holder, now_ns);
        } else {
            let reserved = plan.iter().filter(|item| item.reserved).count();
            self.keys.fetch_sub(reserved, Ordering::Relaxed);
            let holds = plan.iter().filter(|item| item.reserved_hold).count();
            self.holds.fetch_sub(holds, Ordering::Relaxed);
            reread(&mut plan, &mut guards, now_ns);
        }
        for (_, shard) in &mut guards {
            self.release_holds(shard);
        }
        let outcome = |item: &Planned<'_, '_>| LimitOutcome {
            spent_by: (spent && !item.demand.peek).then_some(holder),
            ..outcome(item)
        };
        (plan.iter().map(outcome).collect(), spent)
    }

    fn plan<'d, 'a>(&self, demands: &'d [LimitDemand<'a>]) -> Vec<Planned<'d, 'a>> {
        let mut plan: Vec<Planned<'d, 'a>> = Vec::with_capacity(demands.len());
        for (index, demand) in demands.iter().enumerate() {
            let hash = hash_counter(&self.hasher, &demand.counter);
            let same = |item: &Planned<'_, '_>| {
                item.hash == hash && key::same_counter(&item.demand.counter, &demand.counter)
            };
            plan.push(Planned {
                demand,
                hash,
                shard: self.shard_of(hash),
                next: None,
                first: plan.iter().position(same).unwrap_or(index),
                reserved: false,
                reserved_hold: false,
                reading: None,
                fault: demand.counter.limit.validate().err().map(|_| LimitFault::InvalidLimit),
            });
        }
        plan
    }

    /// Locks the plan's shards in ascending order, which every caller keeps to: no deadlock.
    fn lock_shards(&self, plan: &[Planned<'_, '_>]) -> Guards<'_> {
        let mut wanted: Vec<usize> = plan.iter().map(|item| item.shard).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.iter().filter_map(|&shard| Some((shard, lock(self.shards.get(shard)?)))).collect()
    }

    /// Reads one demand on top of what earlier demands of this call would spend.
    fn read(&self, plan: &mut [Planned<'_, '_>], index: usize, guards: &mut Guards<'_>, now_ns: u64) {
        let Some(item) = plan.get(index).filter(|item| item.fault.is_none()) else { return };
        let (demand, first, hash, shard) = (item.demand, item.first, item.hash, item.shard);
        let limit = demand.counter.limit;
        let Some((_, guard)) = guards.iter_mut().find(|(locked, _)| *locked == shard) else { return };
        let (tentative, has_hold) =
            plan.get(first).map_or((None, false), |item| (item.next, item.reserved_hold));
        let stored = guard.find(hash, &demand.counter, now_ns);
        let counter = tentative.or(stored).unwrap_or_else(|| Counter::empty(limit.algorithm));
        let (next, mut reading) = counter.spend(limit, demand.hits, now_ns);
        if let (false, Counter::Concurrency(state)) = (reading.admitted, counter) {
            let fellows = state.held.saturating_sub(held(stored));
            let hits = demand.hits.saturating_add(fellows);
            reading.retry_ns = guard.retry_held(hash, &demand.counter, hits, now_ns);
        }
        if demand.peek {
            reading = as_it_stands(reading, counter, demand, now_ns);
        }

        let spends = !demand.peek && reading.admitted;
        let wants_place = spends && tentative.is_none() && stored.is_none();
        let wants_hold = spends && limit.is_held() && demand.hits > 0 && !has_hold;
        let placed = self.place(guard, wants_place, wants_hold, now_ns);
        let Some(item) = plan.get_mut(index) else { return };
        if !placed {
            self.full_denied.fetch_add(1, Ordering::Relaxed);
            item.fault = Some(LimitFault::StoreFull);
            return;
        }
        item.reading = Some(reading);
        item.reserved = wants_place;
        if spends && let Some(item) = plan.get_mut(first) {
            item.next = Some(next);
            item.reserved_hold |= wants_hold;
        }
    }

    /// Reserves places for a new counter and a hold: both or none.
    fn place(&self, shard: &mut Shard, counter: bool, hold: bool, now_ns: u64) -> bool {
        let reserve = || {
            if counter && !self.reserve() {
                return false;
            }
            if hold && !self.reserve_hold() {
                if counter {
                    self.keys.fetch_sub(1, Ordering::Relaxed);
                }
                return false;
            }
            true
        };
        reserve() || {
            self.sweep(shard, now_ns, SWEEP_FULL);
            reserve()
        }
    }
}

/// Stores what the plan would leave.
fn commit(plan: &[Planned<'_, '_>], guards: &mut Guards<'_>, holder: Uuid, now_ns: u64) {
    for item in plan {
        let Some(counter) = item.next else { continue };
        if let Some((_, guard)) = guards.iter_mut().find(|(shard, _)| *shard == item.shard) {
            guard.store(item.hash, &item.demand.counter, counter, holder, now_ns);
        }
    }
}

/// Reads the demands again as they stand, since none is spent.
///
/// A demand that had room says what is left without it; one that had none says what it would need on
/// top of its fellows on the same counter.
fn reread(plan: &mut [Planned<'_, '_>], guards: &mut Guards<'_>, now_ns: u64) {
    for item in plan.iter_mut() {
        let Some(reading) = item.reading.as_mut() else { continue };
        let Some((_, guard)) = guards.iter_mut().find(|(shard, _)| *shard == item.shard) else { continue };
        let empty = Counter::empty(item.demand.counter.limit.algorithm);
        let stored = guard.find(item.hash, &item.demand.counter, now_ns).unwrap_or(empty);
        *reading = as_it_stands(*reading, stored, item.demand, now_ns);
    }
}

/// The reading with what is left before the spend.
fn as_it_stands(reading: Reading, counter: Counter, demand: &LimitDemand<'_>, now_ns: u64) -> Reading {
    let (_, standing) = counter.spend(demand.counter.limit, 0, now_ns);
    Reading { remaining: standing.remaining, reset_ns: standing.reset_ns, ..reading }
}

fn held(counter: Option<Counter>) -> u64 {
    match counter {
        Some(Counter::Concurrency(state)) => state.held,
        _ => 0,
    }
}

fn outcome(item: &Planned<'_, '_>) -> LimitOutcome {
    match (item.fault, item.reading) {
        (None, Some(reading)) => reading.into(),
        (fault, _) => refused(fault.unwrap_or(LimitFault::InvalidLimit)),
    }
}

/// The outcome of what could not be counted.
pub(super) fn refused(fault: LimitFault) -> LimitOutcome {
    let retry_after = if fault == LimitFault::StoreFull { RETRY_FULL } else { NEVER };
    LimitOutcome { retry_after: Some(retry_after), fault: Some(fault), ..LimitOutcome::default() }
}
