//! Counters in memory: sharded, bounded, all demands or none.
//!
//! A counter is named by policy, limit name, algorithm, window, key and, where its scope is the tenant, the
//! tenant; so a reload that changes `limit` or `burst` keeps what was spent, and one that changes the window
//! or a quota's calendar starts afresh.
//!
//! The number of keys is bounded, and so is that of holds of concurrency limits. Each spend looks at a few
//! slots and drops counters that say nothing any more; there is never a full scan. When the store is full of
//! live counters, a demand on a new key is refused with [`LimitFault::StoreFull`], counted in
//! [`MemoryStats::full_denied`]; known keys go on. Refusing is the safe side: forgetting a live counter would
//! admit too much.
//!
//! Replays: a spend with a request id is remembered for [`MemoryStoreOptions::replay_window`]; the
//! same id with the same demands gets the same outcomes and spends nothing. Only spends are
//! remembered, so a refused request may be sent again under its id. When more ids are alive than
//! [`MemoryStoreOptions::max_replays`], the oldest is forgotten, and its replay would spend again:
//! this can only admit less. A settlement is remembered likewise by its holder.

pub(crate) mod key;
mod metrics;
pub(crate) mod replay;
mod settle;
mod shard;
mod spend;

#[cfg(test)]
mod settle_tests;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ahash::RandomState;
use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitFault, LimitOutcome, LimitStore, Settle, Spend, epoch_ns};

use self::replay::Replays;
use self::shard::Shard;
use crate::store::{Grant, Health, Metric, StateStore};

/// Bounds of a [`MemoryStore`].
#[derive(Clone, Debug)]
pub struct MemoryStoreOptions {
    /// Counters held at once, about 450 bytes each; and holds of concurrency limits, about 100 bytes each.
    /// Default 1,000,000.
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
    /// Holds of concurrency limits that were not given back, some of which may have ended.
    pub holds: usize,
}

/// Counters in memory. Shared between threads.
#[derive(Debug)]
pub struct MemoryStore {
    options: MemoryStoreOptions,
    shards: Box<[Mutex<Shard>]>,
    replays: Box<[Mutex<Replays>]>,
    hasher: RandomState,
    made_at: SystemTime,
    keys: AtomicUsize,
    holds: AtomicUsize,
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
            hasher,
            made_at: SystemTime::now(),
            keys: AtomicUsize::new(0),
            holds: AtomicUsize::new(0),
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
            holds: self.holds.load(Ordering::Relaxed),
        }
    }

    /// Position of the shard for a hash. The table uses the low and the highest bits.
    fn shard_of(&self, hash: u64) -> usize {
        usize::try_from(hash >> 40).unwrap_or(0) & (self.shards.len() - 1)
    }

    /// The replays for a hash; `None` where none are remembered.
    fn replays_of(&self, hash: u64) -> Option<&Mutex<Replays>> {
        let index = usize::try_from(hash >> 40).unwrap_or(0) & (self.replays.len() - 1);
        self.replays.get(index).filter(|_| self.options.max_replays > 0)
    }

    /// Takes a place for a new counter, if there is one.
    fn reserve(&self) -> bool {
        take_place(&self.keys, self.options.max_keys)
    }

    /// Takes a place for a hold, if there is one.
    fn reserve_hold(&self) -> bool {
        take_place(&self.holds, self.options.max_keys)
    }

    /// Drops expired counters of a shard, a few slots at a time.
    fn sweep(&self, shard: &mut Shard, now_ns: u64, slots: usize) {
        let evicted = shard.sweep(now_ns, slots);
        if evicted > 0 {
            self.keys.fetch_sub(evicted, Ordering::Relaxed);
            self.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        }
        self.release_holds(shard);
    }

    /// Frees the places of holds that ended.
    fn release_holds(&self, shard: &mut Shard) {
        let ended = shard.take_ended_holds();
        if ended > 0 {
            self.holds.fetch_sub(ended, Ordering::Relaxed);
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

    fn settle(&self, settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(self.settle_at(settle, epoch_ns(settle.now)))
    }

    fn reset(&self, counter: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        let valid = counter.limit.validate().map_err(|_| LimitFault::InvalidLimit);
        Reply::Ready(valid.map(|()| self.forget(counter)))
    }
}

impl StateStore for MemoryStore {
    fn health(&self) -> Health {
        self.healthy()
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::metrics(&self.stats())
    }

    fn grant(
        &self,
        counter: &CounterName<'_>,
        least: u64,
        most: u64,
        now: SystemTime,
    ) -> Reply<Result<Grant, LimitFault>> {
        Reply::Ready(self.grant_at(counter, least, most, epoch_ns(now)))
    }

    fn give_back(&self, counter: &CounterName<'_>, hits: u64, granted_at: SystemTime) {
        self.give_back_granted(counter, hits, epoch_ns(granted_at));
    }
}

fn take_place(places: &AtomicUsize, most: usize) -> bool {
    let take = |taken| (taken < most).then_some(taken + 1);
    places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
}

/// A panic while a lock is held leaves whole counters behind: each is replaced by one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
