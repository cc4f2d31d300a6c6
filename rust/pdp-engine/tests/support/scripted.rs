//! A store that answers as it is told.

// Of the test that includes it.
#![allow(unreachable_pub)]

use std::cell::RefCell;
use std::time::Duration;

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitDemand, LimitFault, LimitOutcome, LimitStore, Settle, Spend};

/// Admits each demand whose limit is not to refuse, and remembers what was asked.
#[derive(Default)]
pub struct Scripted {
    /// Names of limits that refuse.
    pub refuse: Vec<&'static str>,
    /// Key, hits and peek of each demand.
    pub seen: std::sync::Mutex<RefCell<Vec<(String, u64, bool)>>>,
    /// Names of the limits of each call.
    pub calls: std::sync::Mutex<Vec<Vec<String>>>,
}

impl LimitStore for Scripted {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        let demands = spend.demands;
        let seen = self.seen.lock().unwrap();
        self.calls.lock().unwrap().push(demands.iter().map(|d| d.counter.limit.name.to_string()).collect());
        let answer = |demand: &LimitDemand<'_>| {
            seen.borrow_mut().push((demand.counter.key.to_owned(), demand.hits, demand.peek));
            let admitted = !self.refuse.contains(&&*demand.counter.limit.name);
            LimitOutcome {
                admitted,
                remaining: 0,
                reset_after: Duration::from_secs(1),
                retry_after: (!admitted).then_some(Duration::from_secs(1)),
                ..LimitOutcome::default()
            }
        };
        Reply::Ready(demands.iter().map(answer).collect())
    }

    fn settle(&self, _: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(Vec::new())
    }

    fn reset(&self, _: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        Reply::Ready(Ok(false))
    }
}
