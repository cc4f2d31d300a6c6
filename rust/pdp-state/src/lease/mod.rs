//! Leased counting: a node takes hits of a shared counter in advance and spends them by itself.
//!
//! A limit that says [`Counting::Leased`](pdp_engine::limit::Counting::Leased) is decided from hits
//! that this node was granted; all other limits go to the shared store untouched. A grant is about what
//! 50 ms need, at most `most`; hits are spent of the shared counter when they are granted, and given
//! back when they are not used within a tenth of the window or 1 s.
//!
//! The bound: hits admitted within a window were granted within it, and so are within the limit, or were
//! held when it began: at most nodes x `most`. It does not rest on wall clocks, nor on when a lease
//! expires, nor on whether a node lives: a node that stops takes its hits with it until the window has
//! passed. [`LimitOutcome::overshoot`] carries the bound.
//!
//! What may be refused too much: hits that one node holds are not there for another, for as long as a
//! lease lives. A counter that had too few is not asked again for as long as it said, at most 100 ms;
//! until then this node refuses by itself.
//!
//! All or none: hits of a lease are taken first and put back if another demand of the same spend is
//! refused. While they are out, a third spend may find none of them; it asks for more. A spend that
//! mixes leased limits and exact ones asks the shared store, as the exact ones must.
//!
//! Replays: the same request id with the same demands spends once on this node. On another node it
//! spends exact limits once, since the shared store remembers it, and leased limits again: at most once
//! for each node that is sent the request. Two copies of a request that mixes leased and exact limits,
//! both undecided on one node, may find different room in a lease that is almost used up; they spend once.
//!
//! Outages: leases that are held go on until they expire. When no hits can be asked for, the demand is
//! handed to the shared store as an exact one, which answers as the limit's `on_outage` says.
//!
//! A grant is driven by the runtime that asks for it, so a caller in a runtime must await a waiting
//! reply and not block on it; outside of any runtime a thread of the store drives it.

mod background;
mod clock;
mod core;
mod flight;
mod grants;
mod held;
mod metrics;
mod owned;
mod rate;
mod shard;
mod spend;
mod terms;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitFault, LimitOutcome, LimitStore, Settle, Spend};

pub use self::clock::{Clock, MonotonicClock};
use self::core::Core;
use crate::store::{Grant, Health, Metric, StateStore};

/// Bounds of a [`LeasedStore`].
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Counters leased at once; about 500 bytes each. More are counted exactly. Default 100,000.
    pub max_counters: usize,
    /// Request ids remembered at once. Default 262,144.
    pub max_replays: usize,
    /// How long a request id is remembered. Default 60 s.
    pub replay_window: Duration,
    /// How often leases of counters that nobody asks for are given back. `None` leaves that to
    /// [`LeasedStore::sweep`] and to spends on others. Default 50 ms.
    pub sweep_every: Option<Duration>,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self {
            max_counters: 100_000,
            max_replays: 262_144,
            replay_window: Duration::from_secs(60),
            sweep_every: Some(Duration::from_millis(50)),
        }
    }
}

/// A shared store with leases of this node in front. Dropping it gives the leases back.
pub struct LeasedStore<S: StateStore + ?Sized + 'static, C: Clock = MonotonicClock> {
    core: Arc<Core<S, C>>,
}

impl<S: StateStore + ?Sized + 'static> LeasedStore<S> {
    /// Leases on `inner`, by the operating system's monotonic clock.
    #[must_use]
    pub fn new(inner: Arc<S>, options: LeaseOptions) -> Self {
        Self::with_clock(inner, options, MonotonicClock::default())
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> LeasedStore<S, C> {
    /// Leases on `inner`, by the caller's clock.
    #[must_use]
    pub fn with_clock(inner: Arc<S>, options: LeaseOptions, clock: C) -> Self {
        Self { core: Core::new(inner, options, clock) }
    }

    /// Leases nothing from now on, and gives back all hits that no spend is using: for a node that is
    /// about to stop. It counts exactly until it does.
    pub fn release_all(&self) {
        self.core.release_all();
    }

    /// Gives back leases that have expired, a few of each shard.
    pub fn sweep(&self) {
        self.core.sweep();
    }

    /// What the leases did, without what the shared store did.
    #[must_use]
    pub fn lease_metrics(&self) -> Vec<Metric> {
        metrics::metrics(&self.core)
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> LimitStore for LeasedStore<S, C> {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        self.core.spend(spend)
    }

    /// Settled in the shared counter, of which leased hits were spent when they were granted.
    fn settle(&self, settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        self.core.inner.settle(settle)
    }

    /// Forgets the shared counter and this node's lease on it; other nodes use theirs up.
    fn reset(&self, counter: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        let dropped = self.core.drop_lease(counter);
        self.core.inner.reset(counter).map(move |found| found.map(|found| found || dropped))
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> StateStore for LeasedStore<S, C> {
    fn drain(&self) {
        self.release_all();
        self.core.inner.drain();
    }

    fn health(&self) -> Health {
        self.core.inner.health()
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.core.inner.metrics();
        metrics.extend(self.lease_metrics());
        metrics
    }

    fn grant(
        &self,
        counter: &CounterName<'_>,
        least: u64,
        most: u64,
        now: SystemTime,
    ) -> Reply<Result<Grant, LimitFault>> {
        self.core.inner.grant(counter, least, most, now)
    }

    fn give_back(&self, counter: &CounterName<'_>, hits: u64, granted_at: SystemTime) {
        self.core.inner.give_back(counter, hits, granted_at);
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Drop for LeasedStore<S, C> {
    fn drop(&mut self) {
        self.core.release_all();
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> fmt::Debug for LeasedStore<S, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LeasedStore").field("options", &self.core.options).finish_non_exhaustive()
    }
}
