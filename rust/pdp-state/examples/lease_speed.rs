//! What a spend from a lease costs: `cargo run --release -p pdp-state --example lease_speed`.
//!
//! Prints nanoseconds for each spend: of one counter, of many, of two limits at once, with a request
//! id, and refused.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pdp_engine::Reply;
use pdp_engine::limit::{
    Algorithm, CounterName, Counting, Limit, LimitDemand, LimitFault, LimitOutcome, LimitStore, Settle, Spend,
};
use pdp_state::{Grant, Health, LeaseOptions, LeasedStore, Metric, StateStore};
use uuid::Uuid;

const TURNS: u32 = 2_000_000;

/// A shared store that grants whatever is asked, unless the limit is called `none`.
struct Generous;

impl LimitStore for Generous {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(vec![LimitOutcome::default(); spend.demands.len()])
    }

    fn settle(&self, _settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(Vec::new())
    }

    fn reset(&self, _counter: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        Reply::Ready(Ok(false))
    }
}

impl StateStore for Generous {
    fn health(&self) -> Health {
        Health { kind: "none", available: true, since: SystemTime::UNIX_EPOCH, last_failure: None, nodes: 3 }
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn grant(
        &self,
        counter: &CounterName<'_>,
        _least: u64,
        most: u64,
        now: SystemTime,
    ) -> Reply<Result<Grant, LimitFault>> {
        let admitted = &*counter.limit.name != "none";
        let reset_after = Duration::from_secs(60);
        let retry_after = (!admitted).then_some(reset_after);
        let outcome = LimitOutcome { admitted, reset_after, retry_after, ..LimitOutcome::default() };
        Reply::Ready(Ok(Grant { hits: if admitted { most } else { 0 }, outcome, granted_at: now }))
    }

    fn give_back(&self, _counter: &CounterName<'_>, _hits: u64, _granted_at: SystemTime) {}
}

fn main() {
    let store = LeasedStore::new(Arc::new(Generous), LeaseOptions::default());
    let limit = |name: &str| {
        let limit = Limit::new(name, Algorithm::FixedWindow, 1_000_000_000, Duration::from_secs(60));
        Limit { counting: Counting::Leased { most: 1_000_000 }, ..limit }
    };
    let (a, b, none, policy_id) = (limit("a"), limit("b"), limit("none"), Arc::from("policy"));
    let demand = |limit, key| LimitDemand {
        counter: CounterName { policy_id: &policy_id, limit, tenant: Some("tenant"), key },
        hits: 1,
        peek: false,
    };
    let keys: Vec<String> = (0..10_000).map(|key| format!("subject/{key}")).collect();
    let key = |turn: u32| keys.get(turn as usize % keys.len()).map_or("", String::as_str);
    let spend = |request_id: Option<&str>, demands: &[LimitDemand<'_>]| {
        let spend = Spend { request_id, holder: Uuid::nil(), demands, now: SystemTime::UNIX_EPOCH };
        black_box(store.spend(&spend).wait());
    };

    measure("one counter", |_| spend(None, &[demand(&a, "k")]));
    measure("10,000 counters", |turn| spend(None, &[demand(&a, key(turn))]));
    measure("two limits at once", |_| spend(None, &[demand(&a, "k"), demand(&b, "k")]));
    let mut id = String::new();
    measure("with a request id", |turn| {
        id.clear();
        // Writing to a string cannot fail.
        let _written = write!(id, "request-{turn}");
        spend(Some(&id), &[demand(&a, "k")]);
    });
    measure("refused", |_| spend(None, &[demand(&none, "k")]));
    for metric in store.lease_metrics() {
        println!("{} {}", metric.name, metric.value);
    }
}

fn measure(what: &str, mut turn: impl FnMut(u32)) {
    (0..TURNS / 10).for_each(&mut turn);
    let begin = Instant::now();
    (0..TURNS).for_each(turn);
    println!("{what}: {:.0} ns", begin.elapsed().as_nanos() as f64 / f64::from(TURNS));
}
