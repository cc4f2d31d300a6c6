//! What a node holds of one counter: the arithmetic of a lease, without locks, stores or clocks.
//!
//! INVARIANT: hits held, hits taken by spends that are not decided yet and hits asked for are together
//! never more than `most`. The bound on what all nodes admit rests on this alone: hits admitted within
//! a window were granted within it, and so are within the limit, or were held when it began.

use std::time::SystemTime;

use pdp_engine::limit::NEVER;

use super::rate::Rate;
use super::terms::{MAX_REFUSAL_NS, Terms, nanoseconds};
use crate::store::Grant;

/// Fewest hits of a grant that is followed by another before it is used up.
const PREFETCH: u64 = 4;
/// How long a lease without hits is remembered, for its rate.
const KEEP_NS: u64 = 2_000_000_000;

/// Hits of one grant.
#[derive(Clone, Copy, Debug)]
struct Batch {
    hits: u64,
    expires_ns: u64,
    /// From when the shared counter knows nothing of them.
    window_end_ns: u64,
    granted_at: SystemTime,
}

/// Hits that are not used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spare {
    pub(super) hits: u64,
    pub(super) granted_at: SystemTime,
    /// Whether the window that they were granted in has passed, so that nobody can use them.
    pub(super) lapsed: bool,
}

/// What is asked of the shared store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// What a lease says of a spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// The hits were taken.
    Taken,
    /// The shared counter has none, as far as is known.
    Refused,
    /// They must be asked for.
    Ask(Ask),
    /// They were asked for already.
    Join,
    /// The shared counter must decide.
    Exact,
}

/// That the shared counter had too few.
#[derive(Clone, Copy, Debug, Default)]
struct Refusal {
    /// How long that is believed.
    until_ns: u64,
    /// Fewest hits that it had not.
    least: u64,
    /// When it would have them; `u64::MAX` for never.
    retry_ns: u64,
}

/// What a node holds of one counter. Moments in nanoseconds of a monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    /// The last two grants, older first.
    batches: [Batch; 2],
    /// Hits taken by spends that are not decided yet.
    tentative: u64,
    /// Hits asked for.
    asked: u64,
    /// Hits that spends wait for.
    waiting: u64,
    refusal: Refusal,
    failed_until_ns: u64,
    rate: Rate,
    /// Hits of the last ask.
    size: u64,
    used_ns: u64,
    /// Hits left in the shared counter, when it was last heard of.
    shared: u64,
    /// When it is full again.
    full_ns: u64,
}

impl Lease {
    pub(super) fn new(now_ns: u64) -> Self {
        let none = Batch { hits: 0, expires_ns: 0, window_end_ns: 0, granted_at: SystemTime::UNIX_EPOCH };
        Self {
            batches: [none; 2],
            tentative: 0,
            asked: 0,
            waiting: 0,
            refusal: Refusal::default(),
            failed_until_ns: 0,
            rate: Rate::new(now_ns),
            size: 0,
            used_ns: now_ns,
            shared: 0,
            full_ns: 0,
        }
    }

    /// Hits that may be taken.
    pub(super) fn available(&self) -> u64 {
        let [older, newer] = &self.batches;
        older.hits + newer.hits
    }

    /// Hits left of the limit, by estimate: those held, and those of the shared counter when it was
    /// last heard of.
    pub(super) fn remaining(&self) -> u64 {
        self.shared.saturating_add(self.available())
    }

    /// Nanoseconds until the shared counter is full again.
    pub(super) fn reset_ns(&self, now_ns: u64) -> u64 {
        self.full_ns.saturating_sub(now_ns)
    }

    /// Nanoseconds until a refused spend would be admitted; `None` for never.
    pub(super) fn retry_ns(&self, now_ns: u64) -> Option<u64> {
        let retry_ns = self.refusal.retry_ns;
        (retry_ns != u64::MAX).then(|| retry_ns.saturating_sub(now_ns).max(1))
    }

    /// Takes hits for a spend; `tentative` ones are committed or put back later.
    pub(super) fn take(
        &mut self,
        hits: u64,
        terms: impl Fn() -> Terms,
        now_ns: u64,
        tentative: bool,
    ) -> Take {
        self.used_ns = now_ns;
        let available = self.available();
        if hits <= available {
            self.remove(hits);
            if tentative {
                self.tentative += hits;
            } else {
                self.rate.used(hits);
            }
            return Take::Taken;
        }
        let need = hits - available;
        if self.failed_until_ns > now_ns {
            return Take::Exact;
        }
        if self.is_refused(need, now_ns) {
            return Take::Refused;
        }
        let terms = terms();
        if self.asked > 0 {
            // The spends that wait for one grant are bounded by what it can hold.
            if self.waiting.saturating_add(need) > terms.most {
                return Take::Exact;
            }
            self.waiting += need;
            return Take::Join;
        }
        if need > self.room(&terms) {
            return Take::Exact;
        }
        self.waiting = need;
        Take::Ask(self.ask(need, &terms, now_ns))
    }

    /// What to ask for in advance, if hits run low.
    pub(super) fn prefetch(&mut self, terms: impl Fn() -> Terms, now_ns: u64) -> Option<Ask> {
        let low = self.size >= PREFETCH && self.available() <= self.size / 2 && self.asked == 0;
        if !low || self.failed_until_ns > now_ns || self.is_refused(1, now_ns) {
            return None;
        }
        let terms = terms();
        (self.room(&terms) > 0).then(|| self.ask(1, &terms, now_ns))
    }

    fn room(&self, terms: &Terms) -> u64 {
        terms.most.saturating_sub(self.available() + self.tentative)
    }

    fn is_refused(&self, need: u64, now_ns: u64) -> bool {
        self.refusal.until_ns > now_ns && need >= self.refusal.least
    }

    fn ask(&mut self, least: u64, terms: &Terms, now_ns: u64) -> Ask {
        let wanted = self.rate.wanted(terms.lifetime_ns, now_ns);
        let most = wanted.min(self.room(terms)).max(least);
        self.asked = most;
        self.size = most;
        Ask { least, most }
    }

    /// Takes in what the shared store granted.
    pub(super) fn granted(&mut self, ask: Ask, grant: &Grant, terms: &Terms, asked_ns: u64, now_ns: u64) {
        // More than was asked for would break the invariant; it stays spent and unused.
        let hits = grant.hits.min(ask.most);
        self.landed(hits);
        // From when it was asked, so before the store's clock could begin: never beyond its window.
        let full_ns = asked_ns.saturating_add(nanoseconds(grant.outcome.reset_after));
        (self.shared, self.full_ns) = (grant.outcome.remaining, full_ns);
        let window_end_ns = if terms.windowed { full_ns } else { u64::MAX };
        let expires_ns = asked_ns.saturating_add(terms.lifetime_ns).min(window_end_ns);
        if hits > 0 {
            self.add(Batch { hits, expires_ns, window_end_ns, granted_at: grant.granted_at });
        }
        if hits < ask.most {
            self.refuse(ask, grant, terms, asked_ns, now_ns);
        } else {
            self.refusal = Refusal::default();
        }
    }

    /// Remembers that the shared counter had less than was asked for.
    fn refuse(&mut self, ask: Ask, grant: &Grant, terms: &Terms, asked_ns: u64, now_ns: u64) {
        let least = if grant.hits == 0 { ask.least } else { 1 };
        let wait_ns = match grant.outcome.retry_after {
            Some(NEVER) => u64::MAX,
            Some(wait) => nanoseconds(wait),
            None if terms.windowed => nanoseconds(grant.outcome.reset_after),
            None => terms.pace_ns,
        };
        let believed_ns = wait_ns.max(terms.pace_ns).min(MAX_REFUSAL_NS);
        self.refusal = Refusal {
            until_ns: now_ns.saturating_add(believed_ns),
            least,
            retry_ns: asked_ns.saturating_add(wait_ns),
        };
    }

    /// Takes in that the shared store could not be asked: it decides by itself for a while.
    pub(super) fn failed(&mut self, now_ns: u64) {
        self.landed(0);
        self.failed_until_ns = now_ns.saturating_add(MAX_REFUSAL_NS);
    }

    fn landed(&mut self, hits: u64) {
        self.asked = 0;
        self.rate.missed(self.waiting.saturating_sub(hits));
        self.waiting = 0;
    }

    fn add(&mut self, batch: Batch) {
        let [older, newer] = &mut self.batches;
        if older.hits == 0 {
            *older = *newer;
        } else {
            // The earlier end holds for both.
            older.hits += newer.hits;
        }
        *newer = batch;
    }

    fn remove(&mut self, hits: u64) {
        let [older, newer] = &mut self.batches;
        let from_older = hits.min(older.hits);
        older.hits -= from_older;
        newer.hits = newer.hits.saturating_sub(hits - from_older);
    }

    /// Hits taken tentatively were spent.
    pub(super) fn commit(&mut self, hits: u64) {
        self.tentative = self.tentative.saturating_sub(hits);
        self.rate.used(hits);
    }

    /// Hits taken tentatively were not spent; those that no living grant can take back are spare.
    pub(super) fn put_back(&mut self, hits: u64, now_ns: u64) -> Option<Spare> {
        // A lease that was reset meanwhile does not know them.
        let hits = hits.min(self.tentative);
        self.tentative -= hits;
        let [older, newer] = &mut self.batches;
        for batch in [&mut *older, &mut *newer] {
            if batch.expires_ns > now_ns {
                batch.hits += hits;
                return None;
            }
        }
        let lapsed = newer.window_end_ns <= now_ns;
        (hits > 0).then_some(Spare { hits, granted_at: newer.granted_at, lapsed })
    }

    /// Drops hits that may not be used any more; those still held where `all`.
    pub(super) fn expire(&mut self, now_ns: u64, all: bool) -> [Option<Spare>; 2] {
        self.batches.each_mut().map(|batch| {
            if batch.hits == 0 || (batch.expires_ns > now_ns && !all) {
                return None;
            }
            let (hits, granted_at) = (std::mem::take(&mut batch.hits), batch.granted_at);
            Some(Spare { hits, granted_at, lapsed: batch.window_end_ns <= now_ns })
        })
    }

    /// When to look at the lease again; `None` where it says nothing any more.
    pub(super) fn due_ns(&self, now_ns: u64) -> Option<u64> {
        let ends = self.batches.iter().filter(|batch| batch.hits > 0).map(|batch| batch.expires_ns);
        let keep_ns =
            self.used_ns.saturating_add(KEEP_NS).max(self.refusal.until_ns).max(self.failed_until_ns);
        let busy = self.tentative > 0 || self.asked > 0;
        let keep_ns = if busy { keep_ns.max(now_ns.saturating_add(KEEP_NS)) } else { keep_ns };
        ends.chain([keep_ns]).filter(|&due_ns| due_ns > now_ns).min()
    }
}
