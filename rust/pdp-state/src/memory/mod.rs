//! Counters in memory: sharded, bounded, all demands or none.
//!
//! A counter is named by policy, limit name, algorithm, window and key, so a reload that changes
//! `limit` or `burst` keeps what was spent, and one that changes the window starts afresh.
//!
//! The number of keys is bounded. Each spend looks at a few slots and drops counters that say nothing
//! any more; there is never a full scan. When the store is full of live counters, a demand on a new
//! key is refused with [`LimitFault::StoreFull`], counted in [`MemoryStats::full_denied`]; known keys
//! go on. Refusing is the safe side: forgetting a live counter would admit too much.
//!
//! Replays: a spend with a request id is remembered for [`MemoryStoreOptions::replay_window`]; the
//! same id with the same demands gets the same outcomes and spends nothing. Only spends are
//! remembered, so a refused request may be sent again under its id. When more ids are alive than
//! [`MemoryStoreOptions::max_replays`], the oldest is forgotten, and its replay would spend again:
//! this can only admit less.

mod key;
mod replay;
mod shard;
mod state;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ahash::RandomState;
use pdp_engine::Reply;
use pdp_engine::limit::{
    Counter, CounterName, LimitDemand, LimitFault, LimitOutcome, LimitStore, NEVER, Reading, Settle, Spend,
    epoch_ns,
};

use self::key::{hash_counter, hash_request};
use self::replay::Replays;
use self::shard::Shard;

/// Bounds of a [`MemoryStore`].
#[derive(Clone, Debug)]
pub struct MemoryStoreOptions {
    /// Counters held at once; about 200 bytes each. Default 1,000,000.
    pub max_keys: usize,
    /// Request ids remembered at once; about 250 bytes each. Default 262,144.
    pub max_replays: usize,
    /// How long a request id is remembered. Default 60 s.
    pub replay_window: Duration,
}

impl Default for MemoryStoreOptions {
    fn default() -> Self {
        Self { max_keys: 1_000_000, max_replays: 262_144, replay_window: Duration::from_secs(60) }
    }
}

/// What a [`MemoryStore`] holds and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// Counters held.
    pub keys: usize,
    /// Expired counters dropped.
    pub evicted: u64,
    /// Demands refused because the store was full.
    pub full_denied: u64,
    /// Request ids remembered.
    pub replays: usize,
    /// Requests answered from memory.
    pub replayed: u64,
    /// Request ids forgotten before their time.
    pub replays_forgotten: u64,
}

/// Counters in memory. Shared between threads.
#[derive(Debug)]
pub struct MemoryStore {
    options: MemoryStoreOptions,
    made_at: SystemTime,
    shards: Box<[Mutex<Shard>]>,
    replays: Box<[Mutex<Replays>]>,
    hasher: RandomState,
    keys: AtomicUsize,
    evicted: AtomicU64,
    full_denied: AtomicU64,
    replayed: AtomicU64,
    replays_forgotten: AtomicU64,
}

/// Most shards of counters, and of replays.
const MAX_SHARDS: usize = 64;
/// Slots that each spend looks at for expired counters.
const SWEEP: usize = 4;
/// Slots looked at when the store is full.
const SWEEP_FULL: usize = 256;

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
    reading: Option<Reading>,
    fault: Option<LimitFault>,
}

impl MemoryStore {
    /// An empty store. The hash keys come from the operating system's randomness.
    #[must_use]
    pub fn new(options: MemoryStoreOptions) -> Self {
        Self::with_hasher(options, RandomState::new())
    }

    /// An empty store with the caller's hash keys. They must be secret where keys come from callers.
    #[must_use]
    pub fn with_hasher(options: MemoryStoreOptions, hasher: RandomState) -> Self {
        let shards = |items: usize| (items / 1024).next_power_of_two().clamp(1, MAX_SHARDS);
        let replay_shards = shards(options.max_replays);
        let replays_each = options.max_replays / replay_shards;
        let replay_ns = u64::try_from(options.replay_window.as_nanos()).unwrap_or(u64::MAX);
        Self {
            shards: (0..shards(options.max_keys)).map(|_| Mutex::new(Shard::default())).collect(),
            replays: (0..replay_shards).map(|_| Mutex::new(Replays::new(replays_each, replay_ns))).collect(),
            options,
            made_at: SystemTime::now(),
            hasher,
            keys: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            full_denied: AtomicU64::new(0),
            replayed: AtomicU64::new(0),
            replays_forgotten: AtomicU64::new(0),
        }
    }

    /// What the store holds and did.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            keys: self.keys.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            full_denied: self.full_denied.load(Ordering::Relaxed),
            replays: self.replays.iter().map(|replays| lock(replays).len()).sum(),
            replayed: self.replayed.load(Ordering::Relaxed),
            replays_forgotten: self.replays_forgotten.load(Ordering::Relaxed),
        }
    }

    fn spend_once(&self, demands: &[LimitDemand<'_>], now_ns: u64) -> (Vec<LimitOutcome>, bool) {
        let mut plan = self.plan(demands);
        let mut guards = self.lock_shards(&plan);
        for guard in &mut guards {
            let evicted = guard.1.sweep(now_ns, SWEEP);
            self.release(evicted);
        }
        for index in 0..plan.len() {
            self.read(&mut plan, index, &mut guards, now_ns);
        }
        let spent = plan.iter().all(|item| item.demand.peek || item.reading.is_some_and(|it| it.admitted));
        if spent {
            commit(&plan, &mut guards);
        } else {
            let reserved = plan.iter().filter(|item| item.reserved).count();
            self.keys.fetch_sub(reserved, Ordering::Relaxed);
            reread(&mut plan, &guards, now_ns);
        }
        (plan.iter().map(outcome).collect(), spent)
    }

    fn plan<'d, 'a>(&self, demands: &'d [LimitDemand<'a>]) -> Vec<Planned<'d, 'a>> {
        let mut plan: Vec<Planned<'d, 'a>> = Vec::with_capacity(demands.len());
        for (index, demand) in demands.iter().enumerate() {
            let hash = hash_counter(&self.hasher, &demand.counter);
            let same = |item: &Planned<'_, '_>| {
                item.hash == hash && key::same_counter(&item.demand.counter, &demand.counter)
            };
            let first = plan.iter().position(same).unwrap_or(index);
            // The table uses the low and the highest bits.
            let shard = usize::try_from(hash >> 40).unwrap_or(0) & (self.shards.len() - 1);
            let fault = demand.counter.limit.validate().err().map(|_| LimitFault::InvalidLimit);
            plan.push(Planned {
                demand,
                hash,
                shard,
                next: None,
                first,
                reserved: false,
                reading: None,
                fault,
            });
        }
        plan
    }

    /// Locks the plan's shards in ascending order, which every caller keeps to: no deadlock.
    fn lock_shards(&self, plan: &[Planned<'_, '_>]) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let mut wanted: Vec<usize> = plan.iter().map(|item| item.shard).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.iter().filter_map(|&shard| Some((shard, lock(self.shards.get(shard)?)))).collect()
    }

    /// Reads one demand on top of what earlier demands of this call would spend.
    fn read(
        &self,
        plan: &mut [Planned<'_, '_>],
        index: usize,
        guards: &mut [(usize, MutexGuard<'_, Shard>)],
        now_ns: u64,
    ) {
        let Some(item) = plan.get(index) else { return };
        let (demand, first, hash, shard) = (item.demand, item.first, item.hash, item.shard);
        let limit = demand.counter.limit;
        if item.fault.is_some() {
            return;
        }
        let Some((_, guard)) = guards.iter_mut().find(|(locked, _)| *locked == shard) else { return };
        let tentative = plan.get(first).and_then(|item| item.next);
        let stored = guard.find(hash, &demand.counter);
        let counter = tentative.or(stored).unwrap_or_else(|| Counter::empty(limit.algorithm));
        let (next, mut reading) = counter.spend(limit, demand.hits, now_ns);
        if demand.peek {
            reading = as_it_stands(reading, counter, demand, now_ns);
        }

        let is_new = tentative.is_none() && stored.is_none();
        let wants_place = !demand.peek && reading.admitted && is_new;
        let has_place = !wants_place || self.reserve() || {
            let evicted = guard.sweep(now_ns, SWEEP_FULL);
            self.release(evicted);
            self.reserve()
        };
        if let Some(item) = plan.get_mut(index) {
            if has_place {
                item.reading = Some(reading);
                item.reserved = wants_place;
            } else {
                self.full_denied.fetch_add(1, Ordering::Relaxed);
                item.fault = Some(LimitFault::StoreFull);
                return;
            }
        }
        if !demand.peek
            && reading.admitted
            && let Some(item) = plan.get_mut(first)
        {
            item.next = Some(next);
        }
    }

    /// Takes a place for a new counter, if there is one.
    fn reserve(&self) -> bool {
        let take = |keys| (keys < self.options.max_keys).then_some(keys + 1);
        self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn release(&self, evicted: usize) {
        if evicted > 0 {
            self.keys.fetch_sub(evicted, Ordering::Relaxed);
            self.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryStoreOptions::default())
    }
}

impl LimitStore for MemoryStore {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(self.spend_at(spend, epoch_ns(spend.now)))
    }

    fn settle(&self, _settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(Vec::new())
    }

    fn reset(&self, _counter: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        Reply::Ready(Ok(false))
    }
}

impl MemoryStore {
    fn spend_at(&self, spend: &Spend<'_>, now_ns: u64) -> Vec<LimitOutcome> {
        let demands = spend.demands;
        let spends = demands.iter().any(|demand| !demand.peek);
        let Some(request_id) = spend.request_id.filter(|_| spends && self.options.max_replays > 0) else {
            return self.spend_once(demands, now_ns).0;
        };
        let (hash, fingerprint) = hash_request(&self.hasher, request_id, demands);
        let index = usize::try_from(hash >> 40).unwrap_or(0) & (self.replays.len() - 1);
        let Some(replays) = self.replays.get(index) else { return self.spend_once(demands, now_ns).0 };
        // Held over the spend, and always taken before the counters' locks: two copies of one request
        // cannot both spend.
        let mut replays = lock(replays);
        if let Some(outcomes) = replays.find(hash, request_id, fingerprint, now_ns) {
            self.replayed.fetch_add(1, Ordering::Relaxed);
            return outcomes;
        }
        let (outcomes, spent) = self.spend_once(demands, now_ns);
        if spent {
            let forgotten = replays.insert(hash, request_id, fingerprint, now_ns, &outcomes);
            self.replays_forgotten.fetch_add(forgotten, Ordering::Relaxed);
        }
        outcomes
    }
}

/// Stores what the plan would leave.
fn commit(plan: &[Planned<'_, '_>], guards: &mut [(usize, MutexGuard<'_, Shard>)]) {
    for item in plan.iter() {
        let Some(counter) = item.next else { continue };
        if let Some((_, guard)) = guards.iter_mut().find(|(shard, _)| *shard == item.shard) {
            guard.store(item.hash, &item.demand.counter, counter);
        }
    }
}

/// Reads the demands again as they stand, since none is spent.
///
/// A demand that had room says what is left without it; one that had none says what it would need on
/// top of its fellows on the same counter.
fn reread(plan: &mut [Planned<'_, '_>], guards: &[(usize, MutexGuard<'_, Shard>)], now_ns: u64) {
    for item in plan.iter_mut() {
        let Some(reading) = item.reading.as_mut() else { continue };
        let Some((_, guard)) = guards.iter().find(|(shard, _)| *shard == item.shard) else { continue };
        let empty = Counter::empty(item.demand.counter.limit.algorithm);
        let stored = guard.find(item.hash, &item.demand.counter).unwrap_or(empty);
        *reading = as_it_stands(*reading, stored, item.demand, now_ns);
    }
}

/// The reading with what is left before the spend.
fn as_it_stands(reading: Reading, counter: Counter, demand: &LimitDemand<'_>, now_ns: u64) -> Reading {
    let (_, standing) = counter.spend(demand.counter.limit, 0, now_ns);
    Reading { remaining: standing.remaining, reset_ns: standing.reset_ns, ..reading }
}

fn outcome(item: &Planned<'_, '_>) -> LimitOutcome {
    if let (None, Some(reading)) = (item.fault, item.reading) {
        return reading.into();
    }
    let retry_after = if item.fault == Some(LimitFault::StoreFull) { RETRY_FULL } else { NEVER };
    LimitOutcome { retry_after: Some(retry_after), fault: item.fault, ..LimitOutcome::default() }
}

/// A panic while a lock is held leaves whole counters behind: each is replaced by one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
