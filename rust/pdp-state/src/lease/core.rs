//! The leases of one node: what is taken from them, asked for and given back.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use ahash::RandomState;
use pdp_engine::limit::{CountedBy, CounterName, LimitDemand, LimitOutcome, NEVER};

use super::LeaseOptions;
use super::background::{Background, Tick};
use super::clock::Clock;
use super::flight::Flight;
use super::grants::{Asking, asking};
use super::held::Take;
use super::shard::{Entry, LeaseId, Returns, Shard, Tally};
use super::terms::{Terms, nanoseconds};
use crate::memory::key::hash_counter;
use crate::memory::replay::Replays;
use crate::store::StateStore;

/// Most shards of leases, and of replays.
const MAX_SHARDS: usize = 64;
/// Leases that each spend looks at, where their time has come.
const SWEEP: usize = 2;
/// Leases looked at to make room for a new one, and in one tick of the background.
const SWEEP_MORE: usize = 256;
/// How long the number of nodes is taken for granted.
const NODES_NS: u64 = 1_000_000_000;

/// The leases of one node over the store that nodes share.
pub(super) struct Core<S: StateStore + ?Sized, C> {
    pub(super) inner: Arc<S>,
    pub(super) options: LeaseOptions,
    pub(super) clock: C,
    pub(super) hasher: RandomState,
    pub(super) replays: Box<[Mutex<Replays>]>,
    pub(super) replayed: AtomicU64,
    shards: Box<[Mutex<Shard>]>,
    counters: AtomicUsize,
    /// Whether nothing is leased any more.
    draining: AtomicBool,
    nodes: AtomicU32,
    nodes_until_ns: AtomicU64,
    pub(super) background: Background,
    pub(super) me: Weak<Self>,
}

/// Hits taken for a spend that is not decided yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    id: LeaseId,
    pub(super) hits: u64,
}

/// What became of a demand.
pub(super) enum Took {
    /// Decided from the lease; with what to commit or put back, where it was taken tentatively.
    Decided(LimitOutcome, Option<Taken>),
    /// A grant is on its way.
    Wait(Flight),
    /// The shared store must decide.
    Exact,
}

/// A demand at the door of its lease.
#[derive(Clone, Copy)]
struct Visit<'d, 'a> {
    demand: &'d LimitDemand<'a>,
    most: u64,
    tentative: bool,
    now_ns: u64,
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Core<S, C> {
    pub(super) fn new(inner: Arc<S>, options: LeaseOptions, clock: C) -> Arc<Self> {
        let shards = |items: usize| (items / 1024).next_power_of_two().clamp(1, MAX_SHARDS);
        let replay_shards = shards(options.max_replays);
        let (each, window_ns) = (options.max_replays / replay_shards, nanoseconds(options.replay_window));
        let replays = || Mutex::new(Replays::new(each, window_ns));
        let nodes = inner.health().nodes.max(1);
        Arc::new_cyclic(|me| Self {
            inner,
            clock,
            hasher: RandomState::new(),
            replays: (0..replay_shards).map(|_| replays()).collect(),
            replayed: AtomicU64::new(0),
            shards: (0..shards(options.max_counters)).map(|_| Mutex::default()).collect(),
            counters: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            nodes: AtomicU32::new(nodes),
            nodes_until_ns: AtomicU64::new(0),
            background: Background::default(),
            me: me.clone(),
            options,
        })
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Hits above the limit that nodes with leases of `most` may admit.
    pub(super) fn overshoot(&self, most: u64) -> u64 {
        u64::from(self.nodes.load(Ordering::Relaxed)).saturating_mul(most)
    }

    /// Decides one demand from a lease of `most` hits, if it can.
    pub(super) fn take(
        self: &Arc<Self>,
        demand: &LimitDemand<'_>,
        most: u64,
        now: SystemTime,
        tentative: bool,
    ) -> Took {
        let name = &demand.counter;
        let hash = hash_counter(&self.hasher, name);
        let visit = Visit { demand, most, tentative, now_ns: self.clock.now_ns() };
        let mut returns = Returns::new();
        let mut shard = self.lock(hash);
        self.forget(shard.sweep(visit.now_ns, SWEEP, &mut returns));
        let (took, asking) = match shard.find(hash, name) {
            Some(found) => self.visit(found, visit, &mut returns),
            None => self.visit_new(&mut shard, hash, visit, &mut returns),
        };
        self.give_back(returns);
        drop(shard);
        if let Some(asking) = asking {
            self.ask(name, asking, now);
        }
        took
    }

    fn visit_new(
        &self,
        shard: &mut Shard,
        hash: u64,
        visit: Visit<'_, '_>,
        returns: &mut Returns,
    ) -> (Took, Option<Asking>) {
        if self.reserve(shard, visit.now_ns, returns) {
            shard.insert(hash, &visit.demand.counter, visit.now_ns);
        } else {
            shard.tally.full += 1;
        }
        match shard.find(hash, &visit.demand.counter) {
            Some(found) => self.visit(found, visit, returns),
            None => (Took::Exact, None),
        }
    }

    fn visit(
        &self,
        (entry, tally): (&mut Entry, &mut Tally),
        visit: Visit<'_, '_>,
        returns: &mut Returns,
    ) -> (Took, Option<Asking>) {
        let Visit { demand, most, tentative, now_ns } = visit;
        let terms = || Terms::new(demand.counter.limit, most);
        entry.expire(now_ns, false, tally, returns);
        let take = entry.lease.take(demand.hits, terms, now_ns, tentative);
        let ask = match take {
            Take::Ask(ask) => Some(ask),
            Take::Taken => entry.lease.prefetch(terms, now_ns),
            _ => None,
        };
        let asking = ask.map(|ask| asking(entry, &demand.counter, ask, terms()));
        (took(entry, tally, visit, take, self.overshoot(most)), asking)
    }

    /// Decides what becomes of hits that were taken tentatively.
    pub(super) fn decide(&self, taken: &[Taken], spent: bool) {
        for Taken { id, hits } in taken {
            let (now_ns, mut returns) = (self.clock.now_ns(), Returns::new());
            let mut shard = self.lock(id.hash);
            let Some((entry, tally)) = shard.get(*id) else {
                shard.tally.lapsed_hits += if spent { 0 } else { *hits };
                shard.tally.spent_hits += if spent { *hits } else { 0 };
                continue;
            };
            if spent {
                entry.lease.commit(*hits);
                tally.spent_hits += hits;
            } else if let Some(spare) = entry.lease.put_back(*hits, now_ns) {
                tally.spare(&spare);
                returns.push((Arc::clone(&entry.counter), spare));
            }
            if self.is_draining() {
                entry.expire(now_ns, true, tally, &mut returns);
            }
            self.give_back(returns);
        }
    }

    /// Hits held of a counter.
    pub(super) fn held(&self, name: &CounterName<'_>) -> u64 {
        let (hash, now_ns) = (hash_counter(&self.hasher, name), self.clock.now_ns());
        let mut returns = Returns::new();
        let mut shard = self.lock(hash);
        let held = shard.find(hash, name).map_or(0, |(entry, tally)| {
            entry.expire(now_ns, false, tally, &mut returns);
            entry.lease.available()
        });
        self.give_back(returns);
        held
    }

    /// Forgets the lease of a counter; true where there was one.
    pub(super) fn drop_lease(&self, name: &CounterName<'_>) -> bool {
        let hash = hash_counter(&self.hasher, name);
        let dropped = self.lock(hash).remove(hash, name);
        self.forget(usize::from(dropped));
        dropped
    }

    /// Leases nothing from now on, and gives back what no spend holds.
    pub(super) fn release_all(&self) {
        self.draining.store(true, Ordering::SeqCst);
        let now_ns = self.clock.now_ns();
        for shard in &self.shards {
            let mut returns = Returns::new();
            let mut shard = lock(shard);
            shard.release(now_ns, &mut returns);
            self.give_back(returns);
        }
    }

    /// Gives back leases whose time has come.
    pub(super) fn sweep(&self) {
        let now_ns = self.clock.now_ns();
        for shard in &self.shards {
            let mut returns = Returns::new();
            let mut shard = lock(shard);
            self.forget(shard.sweep(now_ns, SWEEP_MORE, &mut returns));
            self.give_back(returns);
        }
        self.count_nodes();
    }

    /// Leases held, and what was done.
    pub(super) fn tallies(&self) -> (usize, Vec<Tally>) {
        let tallies = self.shards.iter().map(|shard| lock(shard).tally).collect();
        (self.counters.load(Ordering::Relaxed), tallies)
    }

    /// Gives hits back while their leases are still locked: a node must not be granted others first.
    pub(super) fn give_back(&self, returns: Returns) {
        for (counter, spare) in returns {
            if !spare.lapsed {
                self.inner.give_back(&counter.name(), spare.hits, spare.granted_at);
            }
        }
    }

    pub(super) fn count_nodes(&self) {
        let now_ns = self.clock.now_ns();
        if self.nodes_until_ns.load(Ordering::Relaxed) <= now_ns {
            self.nodes_until_ns.store(now_ns.saturating_add(NODES_NS), Ordering::Relaxed);
            self.nodes.store(self.inner.health().nodes.max(1), Ordering::Relaxed);
        }
    }

    /// Takes a place for a new lease, if there is one.
    fn reserve(&self, shard: &mut Shard, now_ns: u64, returns: &mut Returns) -> bool {
        let take = |counters| (counters < self.options.max_counters).then_some(counters + 1);
        let reserve = || self.counters.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        reserve() || {
            self.forget(shard.sweep(now_ns, SWEEP_MORE, returns));
            reserve()
        }
    }

    fn forget(&self, leases: usize) {
        if leases > 0 {
            self.counters.fetch_sub(leases, Ordering::Relaxed);
        }
    }

    pub(super) fn lock(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The table uses the low and the highest bits.
        let index = usize::try_from(hash >> 40).unwrap_or(0) & (self.shards.len() - 1);
        #[allow(clippy::indexing_slicing)] // Masked by the length, which is a power of two.
        lock(&self.shards[index])
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Tick for Core<S, C> {
    fn tick(&self) {
        self.sweep();
    }
}

/// Counts what the lease said, and puts it into words.
fn took(entry: &Entry, tally: &mut Tally, visit: Visit<'_, '_>, take: Take, overshoot: u64) -> Took {
    let (lease, hits) = (&entry.lease, visit.demand.hits);
    let outcome = LimitOutcome {
        admitted: take == Take::Taken,
        remaining: lease.remaining(),
        reset_after: Duration::from_nanos(lease.reset_ns(visit.now_ns)),
        counted_by: CountedBy::Lease,
        overshoot,
        ..LimitOutcome::default()
    };
    match take {
        Take::Taken => {
            tally.admitted += 1;
            tally.spent_hits += if visit.tentative { 0 } else { hits };
            Took::Decided(outcome, visit.tentative.then_some(Taken { id: entry.id(), hits }))
        }
        Take::Refused => {
            tally.refused += 1;
            let retry_after = Some(lease.retry_ns(visit.now_ns).map_or(NEVER, Duration::from_nanos));
            Took::Decided(LimitOutcome { retry_after, ..outcome }, None)
        }
        Take::Ask(_) | Take::Join => {
            tally.missed += 1;
            entry.flight.clone().map_or(Took::Exact, Took::Wait)
        }
        Take::Exact => {
            tally.exact += 1;
            Took::Exact
        }
    }
}

/// A panic while a lock is held leaves whole leases behind.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
