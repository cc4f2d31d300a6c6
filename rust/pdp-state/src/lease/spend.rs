//! One spend: leased demands from leases, all others of the shared store, all or none.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pdp_engine::Reply;
use pdp_engine::limit::{CountedBy, Counting, LimitDemand, LimitFault, LimitOutcome, Spend};

use super::clock::Clock;
use super::core::{Core, Taken, Took, lock};
use super::flight::Flight;
use super::owned::OwnedSpend;
use super::terms::leasable;
use crate::memory::key::hash_request;
use crate::store::StateStore;

/// Grants that a spend waits for before the shared store decides it exactly.
const ROUNDS: u32 = 4;

/// How far a spend has come.
pub(super) enum Step {
    /// It is decided.
    Done(Vec<LimitOutcome>),
    /// A grant is on its way.
    Wait(Flight),
    /// The shared store decides the rest.
    Rest(Part, Reply<Vec<LimitOutcome>>),
}

/// What the leases said of a spend. Demands left to the shared store are not `CountedBy::Lease`.
#[derive(Debug, Default)]
pub(super) struct Part {
    outcomes: Vec<LimitOutcome>,
    taken: Vec<Taken>,
    refused: bool,
    /// Whether the shared store must decide some.
    exact: bool,
    /// Whether what was taken is put back.
    undone: bool,
}

/// Hits taken for a spend that waits. When nobody waits any more they count as spent, since the shared
/// store may have spent the rest.
struct Held<S: StateStore + ?Sized + 'static, C: Clock> {
    core: Arc<Core<S, C>>,
    taken: Vec<Taken>,
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Drop for Held<S, C> {
    fn drop(&mut self) {
        self.core.decide(&self.taken, true);
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Core<S, C> {
    /// Spends, at once where the leases and the shared store answer at once.
    pub(super) fn spend(self: &Arc<Self>, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        if !spend.demands.iter().any(is_leased) {
            return self.inner.spend(spend);
        }
        for round in 0.. {
            match self.attempt(spend, round) {
                Step::Done(outcomes) => return Reply::Ready(outcomes),
                Step::Wait(flight) if flight.has_landed() => {}
                Step::Rest(part, Reply::Ready(rest)) => return Reply::Ready(self.finish(spend, part, rest)),
                step => {
                    let (core, spend) = (Arc::clone(self), OwnedSpend::new(spend));
                    return Reply::waiting(spend_later(core, spend, step, round));
                }
            }
        }
        Reply::Ready(Vec::new())
    }

    /// Once more, unless the same request has spent already.
    fn attempt(self: &Arc<Self>, spend: &Spend<'_>, round: u32) -> Step {
        let Some((hash, fingerprint)) = self.replay_key(spend) else { return self.try_spend(spend, round) };
        let Some(replays) = self.replays.get(self.replay_index(hash)) else {
            return self.try_spend(spend, round);
        };
        let (id, now_ns) = (spend.request_id.unwrap_or_default(), self.clock.now_ns());
        // Held over the spend, and always taken before the leases' locks: two copies of one request
        // cannot both spend.
        let mut replays = lock(replays);
        if let Some(outcomes) = replays.find(hash, id.as_bytes(), fingerprint, now_ns) {
            self.replayed.fetch_add(1, Ordering::Relaxed);
            return Step::Done(outcomes);
        }
        let mut step = self.try_spend(spend, round);
        if let Step::Done(outcomes) = &mut step
            && is_spent(spend.demands, outcomes)
        {
            sign(spend, outcomes);
            replays.insert(hash, id.as_bytes(), fingerprint, now_ns, outcomes);
        }
        step
    }

    fn try_spend(self: &Arc<Self>, spend: &Spend<'_>, round: u32) -> Step {
        let (mut part, flight) = self.take_all(spend, round);
        if let Some(flight) = flight {
            self.decide(&part.taken, false);
            return Step::Wait(flight);
        }
        if part.refused {
            self.undo(spend.demands, &mut part);
        }
        if part.exact {
            let demands = rest(spend.demands, &part);
            let reply = self.inner.spend(&Spend { demands: &demands, ..*spend });
            return Step::Rest(part, reply);
        }
        self.decide(&part.taken, true);
        Step::Done(part.outcomes)
    }

    /// Takes what the leases have; the flight, if a grant must be waited for.
    fn take_all(self: &Arc<Self>, spend: &Spend<'_>, round: u32) -> (Part, Option<Flight>) {
        let demands = spend.demands;
        let leases = round < ROUNDS && !self.is_draining();
        let mut part = Part { outcomes: Vec::with_capacity(demands.len()), ..Part::default() };
        let mut flight = None;
        for demand in demands {
            let most = if leases { leasable(demand) } else { None };
            let took = most.map_or(Took::Exact, |most| self.take(demand, most, spend.now, demands.len() > 1));
            match took {
                Took::Decided(outcome, taken) => {
                    part.refused |= !outcome.admitted;
                    part.outcomes.push(outcome);
                    part.taken.extend(taken);
                }
                Took::Wait(wait) => {
                    flight.get_or_insert(wait);
                    part.outcomes.push(LimitOutcome::default());
                }
                Took::Exact => {
                    part.exact = true;
                    part.outcomes.push(LimitOutcome::default());
                }
            }
        }
        (part, flight)
    }

    /// Joins what the shared store said of the rest to what the leases said.
    fn finish(&self, spend: &Spend<'_>, mut part: Part, rest: Vec<LimitOutcome>) -> Vec<LimitOutcome> {
        let mut rest = rest.into_iter();
        for (outcome, demand) in part.outcomes.iter_mut().zip(spend.demands) {
            if outcome.counted_by == CountedBy::Lease {
                continue;
            }
            // A store that answers less than it was asked admits nothing.
            let fault = Some(LimitFault::StoreUnavailable);
            *outcome = rest.next().unwrap_or(LimitOutcome { fault, ..LimitOutcome::default() });
            if let Counting::Leased { most } = demand.counter.limit.counting {
                outcome.overshoot = self.overshoot(most);
                if demand.peek {
                    add_held(outcome, demand.hits, self.held(&demand.counter));
                }
            }
        }
        self.settle_part(spend, part)
    }

    fn settle_part(&self, spend: &Spend<'_>, mut part: Part) -> Vec<LimitOutcome> {
        if !is_spent(spend.demands, &part.outcomes) {
            self.undo(spend.demands, &mut part);
            return part.outcomes;
        }
        let Some((hash, fingerprint)) = self.replay_key(spend) else {
            self.decide(&part.taken, true);
            return part.outcomes;
        };
        let (id, now_ns) = (spend.request_id.unwrap_or_default(), self.clock.now_ns());
        if let Some(replays) = self.replays.get(self.replay_index(hash)) {
            let mut replays = lock(replays);
            if let Some(outcomes) = replays.find(hash, id.as_bytes(), fingerprint, now_ns) {
                // Another copy was faster; the shared store spent the rest once for both.
                drop(replays);
                self.decide(&part.taken, false);
                self.replayed.fetch_add(1, Ordering::Relaxed);
                return outcomes;
            }
            sign(spend, &mut part.outcomes);
            replays.insert(hash, id.as_bytes(), fingerprint, now_ns, &part.outcomes);
        }
        self.decide(&part.taken, true);
        part.outcomes
    }

    /// Puts back what was taken; the outcomes then say how the leases stand without it.
    fn undo(&self, demands: &[LimitDemand<'_>], part: &mut Part) {
        if std::mem::replace(&mut part.undone, true) {
            return;
        }
        self.decide(&part.taken, false);
        part.taken.clear();
        for (outcome, demand) in part.outcomes.iter_mut().zip(demands) {
            if outcome.counted_by == CountedBy::Lease && outcome.admitted {
                outcome.remaining = outcome.remaining.saturating_add(demand.hits);
            }
        }
    }

    fn replay_key(&self, spend: &Spend<'_>) -> Option<(u64, u64)> {
        let spends = spend.demands.iter().any(|demand| !demand.peek);
        let id = spend.request_id.filter(|_| spends && self.options.max_replays > 0)?;
        Some(hash_request(&self.hasher, id, spend.demands))
    }

    fn replay_index(&self, hash: u64) -> usize {
        usize::try_from(hash >> 40).unwrap_or(0) & (self.replays.len() - 1)
    }
}

async fn spend_later<S: StateStore + ?Sized + 'static, C: Clock>(
    core: Arc<Core<S, C>>,
    owned: OwnedSpend,
    mut step: Step,
    mut round: u32,
) -> Vec<LimitOutcome> {
    let demands = owned.demands();
    let spend = owned.spend(&demands);
    loop {
        match step {
            Step::Done(outcomes) => return outcomes,
            Step::Wait(flight) => {
                flight.landed().await;
                round += 1;
                step = core.attempt(&spend, round);
            }
            Step::Rest(mut part, reply) => {
                let taken = std::mem::take(&mut part.taken);
                let mut held = Held { core: Arc::clone(&core), taken };
                let rest = reply.await;
                part.taken = std::mem::take(&mut held.taken);
                return core.finish(&spend, part, rest);
            }
        }
    }
}

/// The demands that the shared store is asked; only read, where a lease has refused already.
fn rest<'a>(demands: &[LimitDemand<'a>], part: &Part) -> Vec<LimitDemand<'a>> {
    let asked = demands.iter().zip(&part.outcomes).filter(|(_, it)| it.counted_by != CountedBy::Lease);
    asked.map(|(demand, _)| LimitDemand { peek: demand.peek || part.refused, ..*demand }).collect()
}

fn is_leased(demand: &LimitDemand<'_>) -> bool {
    matches!(demand.counter.limit.counting, Counting::Leased { .. })
}

fn is_spent(demands: &[LimitDemand<'_>], outcomes: &[LimitOutcome]) -> bool {
    demands.iter().zip(outcomes).all(|(demand, outcome)| demand.peek || outcome.admitted)
}

/// Says under which holder hits were spent, so that a repeated request settles those of the first.
fn sign(spend: &Spend<'_>, outcomes: &mut [LimitOutcome]) {
    for (outcome, demand) in outcomes.iter_mut().zip(spend.demands) {
        if !demand.peek {
            // The shared store may know of a first one on another node.
            outcome.spent_by.get_or_insert(spend.holder);
        }
    }
}

/// A demand that is read finds hits in the lease, too.
fn add_held(outcome: &mut LimitOutcome, hits: u64, held: u64) {
    outcome.remaining = outcome.remaining.saturating_add(held);
    if !outcome.admitted && outcome.fault.is_none() && hits <= held {
        (outcome.admitted, outcome.retry_after) = (true, None);
    }
}
