//! A grant, from the ask to the landing: exactly one lands for each that was asked.

use std::sync::Arc;
use std::time::SystemTime;

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitFault};

use super::clock::Clock;
use super::core::Core;
use super::flight::{Landing, flight};
use super::held::Ask;
use super::owned::OwnedCounter;
use super::shard::{Entry, LeaseId, Returns};
use super::terms::Terms;
use crate::store::{Grant, StateStore};

/// A grant to be asked for.
pub(super) struct Asking {
    id: LeaseId,
    ask: Ask,
    terms: Terms,
    landing: Landing,
}

/// Lands a grant exactly once: when it is dropped unanswered, as a failure.
struct Lander<S: StateStore + ?Sized + 'static, C: Clock> {
    core: Arc<Core<S, C>>,
    asking: Option<Asking>,
    asked_ns: u64,
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Core<S, C> {
    /// Asks the shared store for hits; nobody need wait for it.
    pub(super) fn ask(self: &Arc<Self>, name: &CounterName<'_>, asking: Asking, now: SystemTime) {
        self.background.start(&self.me, self.options.sweep_every);
        self.count_nodes();
        let ask = asking.ask;
        // Before the store's clock can begin, so that a lease never outlives what was granted.
        let asked_ns = self.clock.now_ns();
        let lander = Lander { core: Arc::clone(self), asking: Some(asking), asked_ns };
        match self.inner.grant(name, ask.least, ask.most, now) {
            Reply::Ready(answer) => lander.land(answer),
            Reply::Waiting(answer) => {
                let land = async move { lander.land(answer.await) };
                self.background.drive(land, &self.me, self.options.sweep_every);
            }
        }
    }

    fn land(&self, asking: Asking, asked_ns: u64, answer: Result<Grant, LimitFault>) {
        let mut returns = Returns::new();
        let now_ns = self.clock.now_ns();
        let mut shard = self.lock(asking.id.hash);
        match &answer {
            Ok(grant) => {
                shard.tally.grants += 1;
                shard.tally.granted_hits += grant.hits;
                let kept = if shard.get(asking.id).is_some() { asking.ask.most } else { 0 };
                // What is forgotten, or was not asked for, stays spent.
                shard.tally.lapsed_hits += grant.hits.saturating_sub(kept);
            }
            Err(_) => shard.tally.failed += 1,
        }
        if let Some((entry, tally)) = shard.get(asking.id) {
            entry.flight = None;
            match answer {
                Ok(grant) => entry.lease.granted(asking.ask, &grant, &asking.terms, asked_ns, now_ns),
                Err(_) => entry.lease.failed(now_ns),
            }
            entry.expire(now_ns, self.is_draining(), tally, &mut returns);
            shard.schedule(asking.id, now_ns);
        }
        self.give_back(returns);
        drop(shard);
        asking.landing.land();
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Lander<S, C> {
    fn land(mut self, answer: Result<Grant, LimitFault>) {
        if let Some(asking) = self.asking.take() {
            self.core.land(asking, self.asked_ns, answer);
        }
    }
}

impl<S: StateStore + ?Sized + 'static, C: Clock> Drop for Lander<S, C> {
    fn drop(&mut self) {
        if let Some(asking) = self.asking.take() {
            self.core.land(asking, self.asked_ns, Err(LimitFault::StoreUnavailable));
        }
    }
}

/// Notes that a grant is asked for, and keeps the limit as it is now.
pub(super) fn asking(entry: &mut Entry, name: &CounterName<'_>, ask: Ask, terms: Terms) -> Asking {
    if entry.counter.limit() != name.limit {
        entry.counter = Arc::new(OwnedCounter::new(name));
    }
    let (flight, landing) = flight();
    entry.flight = Some(flight);
    Asking { id: entry.id(), ask, terms, landing }
}
