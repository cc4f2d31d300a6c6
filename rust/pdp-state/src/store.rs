//! What the server needs of a store beside the counting: how it fares, and what it takes in advance.

use std::time::SystemTime;

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitFault, LimitOutcome, LimitStore};

/// How a store fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `memory` or `redis`.
    pub kind: &'static str,
    /// Whether it answers. Memory always does.
    pub available: bool,
    /// Since when it has or has not.
    pub since: SystemTime,
    /// What it last failed of, where it did. Never a secret.
    pub last_failure: Option<String>,
    /// Decision points that share it, this one included.
    pub nodes: u32,
}

/// Whether a metric only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One sample of the Prometheus exposition. Samples of one name stand together.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Name, beginning with `pdp_`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
    /// Labels; few values each, never a caller's.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

impl Metric {
    /// A sample of what only grows, without labels.
    #[must_use]
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::plain(MetricKind::Counter, name, help, value)
    }

    /// A sample of what goes up and down, without labels.
    #[must_use]
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::plain(MetricKind::Gauge, name, help, value)
    }

    #[allow(clippy::cast_precision_loss, reason = "the exposition holds floats")]
    fn plain(kind: MetricKind, name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind, labels: Vec::new(), value: value as f64 }
    }
}

/// Hits taken from a counter in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Hits taken; they are spent of the shared counter.
    pub hits: u64,
    /// How the shared counter stands after that.
    pub outcome: LimitOutcome,
    /// When, by the store's own clock; [`StateStore::give_back`] wants it again.
    pub granted_at: SystemTime,
}

/// Counters that a decision point serves from.
pub trait StateStore: LimitStore {
    /// How the store fares.
    fn health(&self) -> Health;

    /// What it holds and did.
    fn metrics(&self) -> Vec<Metric>;

    /// Takes as many hits as there is room for, `least` to `most`; none where there are fewer.
    fn grant(
        &self,
        counter: &CounterName<'_>,
        least: u64,
        most: u64,
        now: SystemTime,
    ) -> Reply<Result<Grant, LimitFault>>;

    /// Gives back what this node holds in advance, and takes no more: it is about to stop.
    fn drain(&self) {}

    /// Gives hits back that were granted and not used, if the counter still stands in the window of
    /// `granted_at` ([`Grant::granted_at`]); nobody waits for it.
    ///
    /// It reaches the counter before any later grant of this store does, or never: a node that gave
    /// hits back and was granted others must not hold both.
    fn give_back(&self, counter: &CounterName<'_>, hits: u64, granted_at: SystemTime);
}
