//! Limits: what they mean, and the arithmetic of each algorithm.

use std::time::Duration;

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
    /// Two-window weighted counter; admits at most `limit` in any window by its estimate.
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

/// What a store said of one demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOutcome {
    /// Whether the limit has room for the hits.
    pub admitted: bool,
    /// Hits left.
    pub remaining: u64,
    /// Time until the limit is full again.
    pub reset_after: Duration,
    /// Time until the same spend would be admitted; `None` where it was.
    pub retry_after: Option<Duration>,
}
