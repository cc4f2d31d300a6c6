//! Limits: what they mean, and the arithmetic of each algorithm.

mod bounds;
mod calendar;
pub mod concurrency;
mod counter;
pub mod fixed_window;
pub mod gcra;
mod key;
pub mod quota;
pub mod sliding_window;
mod usage;

#[cfg(test)]
mod laws;

use std::time::{Duration, SystemTime};

pub use bounds::{LimitError, MAX_HELD, MAX_HITS, MAX_WINDOW, MIN_WINDOW};
pub use calendar::{Calendar, Period};
pub use concurrency::Holds;
pub use counter::{Counter, Reading, WindowRate, epoch_ns};
pub(crate) use key::push_part;
pub use key::{KeyError, MAX_KEY_BYTES, encode_key};
pub use usage::Usage;

use uuid::Uuid;

use crate::reply::Reply;
use crate::request::Text;

/// How hits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Generic cell rate algorithm: `limit` per `window`, at most `burst` at once.
    Gcra {
        /// Hits admitted at once.
        burst: u64,
    },
    /// Counter per aligned window. Lets up to twice the limit through around an edge.
    FixedWindow,
    /// Counter per eighth of a window; at most `limit` in any span of one window. A hit counts for one to
    /// 9/8 windows.
    SlidingWindow,
    /// Counter per calendar period of a time zone, such as a month in Berlin. `window` is the period's
    /// longest length ([`Calendar::longest`]).
    Quota(Calendar),
    /// Hits held at once: each is given back when the caller says that it is done, or after `window`.
    Concurrency,
}

/// How exactly hits of several nodes are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// Each spend asks the shared store.
    #[default]
    Exact,
    /// A node takes hits in advance and spends them by itself. Admits at most nodes x `most` above the
    /// limit within any window.
    Leased {
        /// Hits that one node holds at most.
        most: u64,
    },
}

/// Whose hits count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Each tenant has counters of its own.
    #[default]
    Tenant,
    /// Tenants share counters.
    Estate,
}

/// What becomes of a limit while the shared store cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It admits nothing.
    #[default]
    Deny,
    /// Each node counts by itself against its share of the limit.
    Local,
    /// It admits everything, and says so.
    Allow,
}

/// One limit of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Name inside the policy.
    pub name: Text,
    /// How hits are counted.
    pub algorithm: Algorithm,
    /// Hits admitted within `window`; hits held at once for [`Algorithm::Concurrency`].
    pub limit: u64,
    /// Window, 1 ms to 366 days.
    pub window: Duration,
    /// How exactly nodes count together.
    pub counting: Counting,
    /// Whose hits count together.
    pub scope: Scope,
    /// What happens while the shared store cannot be asked.
    pub outage: Outage,
}

impl Limit {
    /// A limit that is counted exactly, for each tenant, and denies while it cannot be.
    #[must_use]
    pub fn new(name: impl Into<Text>, algorithm: Algorithm, limit: u64, window: Duration) -> Self {
        Self {
            name: name.into(),
            algorithm,
            limit,
            window,
            counting: Counting::default(),
            scope: Scope::default(),
            outage: Outage::default(),
        }
    }

    /// A quota per calendar period, likewise.
    #[must_use]
    pub fn quota(name: impl Into<Text>, calendar: Calendar, limit: u64) -> Self {
        Self::new(name, Algorithm::Quota(calendar), limit, calendar.longest())
    }
}

impl Limit {
    /// Whether hits are held until they are given back.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.algorithm == Algorithm::Concurrency
    }
}

/// Names a counter: with [`Limit::name`], [`Limit::window`] and the kind of algorithm (of a quota also its
/// period and zone), but not with what a change of the limit may change while counts are kept.
#[derive(Clone, Copy, Debug)]
pub struct CounterName<'a> {
    /// Policy that owns the limit.
    pub policy_id: &'a Text,
    /// The limit.
    pub limit: &'a Limit,
    /// Tenant of the request; `None` is the default tenant. Part of the name for [`Scope::Tenant`].
    pub tenant: Option<&'a str>,
    /// Key the hits count under.
    pub key: &'a str,
}

/// A limit to be spent for one request.
#[derive(Clone, Copy, Debug)]
pub struct LimitDemand<'a> {
    /// The counter.
    pub counter: CounterName<'a>,
    /// Hits to spend, at least 1.
    pub hits: u64,
    /// Read, never spend.
    pub peek: bool,
}

/// What is spent together: all demands or none.
#[derive(Clone, Copy, Debug)]
pub struct Spend<'a> {
    /// The caller's name for its request; the same one with the same demands spends once within the
    /// store's idempotency window.
    pub request_id: Option<&'a str>,
    /// Names what [`Algorithm::Concurrency`] holds, until [`LimitStore::settle`] gives it back.
    pub holder: Uuid,
    /// The demands.
    pub demands: &'a [LimitDemand<'a>],
    /// The caller's clock. A shared store goes by its own.
    pub now: SystemTime,
}

/// What became known of hits that were spent before.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// The counter.
    pub counter: CounterName<'a>,
    /// Hits that were spent.
    pub spent: u64,
    /// Hits that it came to: fewer are given back, more are spent even where there is no room.
    /// 0 gives all back.
    pub actual: u64,
    /// When they were spent: hits of a window that has passed are not given back.
    pub spent_at: SystemTime,
}

/// Settlements of one request.
#[derive(Clone, Copy, Debug)]
pub struct Settle<'a> {
    /// The [`Spend::holder`] of the request; a second settlement under it changes nothing.
    pub holder: Uuid,
    /// The settlements. Those of [`Algorithm::Concurrency`] give back whatever is held.
    pub settlements: &'a [Settlement<'a>],
    /// The caller's clock.
    pub now: SystemTime,
}

/// `retry_after` of a demand that no wait can admit, such as 11 hits against a limit of 10.
///
/// The largest value that a protobuf `Duration` holds (10,000 years), so that it survives the wire.
pub const NEVER: Duration = Duration::from_secs(315_576_000_000);

/// Why a store could not count a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitFault {
    /// The store holds as many live keys as it may, and this key is new.
    StoreFull,
    /// The limit breaks the bounds of [`Limit::validate`].
    InvalidLimit,
    /// The shared store did not answer in time, or refused; nobody knows whether it counted.
    StoreUnavailable,
}

/// Where a demand was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountedBy {
    /// In this node alone, by configuration.
    #[default]
    Memory,
    /// In the shared store.
    Shared,
    /// From hits that this node took in advance.
    Lease,
    /// In this node, since the shared store cannot be asked.
    Local,
}

/// What a store said of one demand. The default admits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitOutcome {
    /// Whether the limit has room for the hits. `false` beside a `fault`, unless the limit is to admit
    /// while the shared store cannot be asked.
    pub admitted: bool,
    /// Hits left: after the spend where it was made, otherwise as they stand.
    pub remaining: u64,
    /// Time until the limit is full again.
    pub reset_after: Duration,
    /// Time until the same spend would be admitted if nothing else is spent meanwhile; `None` where
    /// it was admitted, [`NEVER`] where no wait helps.
    pub retry_after: Option<Duration>,
    /// Set where the demand could not be counted: a failure of the store, not of the caller.
    pub fault: Option<LimitFault>,
    /// Where it was counted.
    pub counted_by: CountedBy,
    /// Hits above the limit that all nodes together may admit within a window, at most.
    pub overshoot: u64,
    /// The [`Spend::holder`] under which the hits were spent, where they were: on a repeated request that
    /// of the first one, so that whoever reports later settles what was spent. `None` is the spend's own.
    pub spent_by: Option<Uuid>,
}

/// Counters behind one trait.
///
/// A store never fails open by itself: a demand it cannot count is not admitted and carries a `fault`,
/// unless its limit says [`Outage::Allow`].
pub trait LimitStore: Send + Sync {
    /// Spends all demands or none, and says what it found of each, in their order.
    ///
    /// When one demand to be spent (`peek` is false) is not admitted, none is spent; the others still
    /// say whether they had room. A demand with `peek` is read, never spent, and never stops the
    /// others. Two demands on the same counter add up.
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>>;

    /// Corrects what was spent before, and says how each counter stands then, in their order.
    fn settle(&self, settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>>;

    /// Forgets a counter; false where there was none.
    fn reset(&self, counter: &CounterName<'_>) -> Reply<Result<bool, LimitFault>>;
}
