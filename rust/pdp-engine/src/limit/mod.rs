//! Limits: what they mean, and the arithmetic of each algorithm.

mod bounds;
mod counter;
pub mod fixed_window;
pub mod gcra;
pub mod sliding_window;

#[cfg(test)]
mod laws;

use std::time::{Duration, SystemTime};

pub use bounds::{LimitError, MAX_HITS, MAX_WINDOW, MIN_WINDOW};
pub use counter::{Counter, Reading, WindowRate, epoch_ns};

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
    /// Two-window weighted counter; by its estimate ([`sliding_window::spend`]) at most `limit` in any
    /// window.
    SlidingWindow,
}

/// One limit of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Name inside the policy.
    pub name: Text,
    /// How hits are counted.
    pub algorithm: Algorithm,
    /// Hits admitted within `window`.
    pub limit: u64,
    /// Window, 1 ms to 366 days.
    pub window: Duration,
}

/// A limit to be spent for one request.
#[derive(Clone, Debug)]
pub struct LimitDemand<'a> {
    /// Policy that owns the limit.
    pub policy_id: &'a Text,
    /// The limit.
    pub limit: &'a Limit,
    /// Key the hits count under.
    pub key: &'a str,
    /// Hits to spend, at least 1.
    pub hits: u64,
    /// Read, never spend: a shadow limit.
    pub peek: bool,
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
}

/// What a store said of one demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOutcome {
    /// Whether the limit has room for the hits. Always `false` beside a `fault`.
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
}

/// Counters behind one trait.
///
/// A store never fails open: a demand it cannot count is not admitted and carries a `fault`.
pub trait LimitStore: Send + Sync {
    /// Spends all demands or none, and says what it found of each, in their order.
    ///
    /// When one enforced demand (`peek` is false) is not admitted, none is spent; the others still
    /// say whether they had room. A demand with `peek` is read, never spent, and never stops the
    /// others. Two demands on the same counter add up. The same `request_id` with the same demands
    /// within the store's idempotency window spends once and gets the same outcomes.
    fn spend(
        &self,
        request_id: Option<&str>,
        demands: &[LimitDemand<'_>],
        now: SystemTime,
    ) -> Vec<LimitOutcome>;
}
