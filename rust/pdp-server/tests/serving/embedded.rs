//! The decider without a server, as a process embeds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitDemand, LimitFault, LimitOutcome, LimitStore, Settle, Spend};
use pdp_proto::v1::{Effect, ErrorReason, ReasonCode};
use pdp_server::{Decider, EngineConfig, State, reload};
use pdp_state::{Grant, Health, Metric, StateStore};
use prost::Message;

use crate::support::{access, codes, effect, policies, spend};

/// Meets a fault while it is told to.
#[derive(Default)]
struct Faulty(AtomicBool);

impl LimitStore for Faulty {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        assert!(!self.0.load(Ordering::Relaxed), "a fault on purpose");
        let admitted = |_: &LimitDemand<'_>| LimitOutcome {
            admitted: true,
            remaining: 1,
            reset_after: Duration::ZERO,
            ..LimitOutcome::default()
        };
        Reply::Ready(spend.demands.iter().map(admitted).collect())
    }

    fn settle(&self, _: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(Vec::new())
    }

    fn reset(&self, _: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        Reply::Ready(Ok(false))
    }
}

impl StateStore for Faulty {
    fn health(&self) -> Health {
        Health {
            kind: "memory",
            available: true,
            since: SystemTime::UNIX_EPOCH,
            last_failure: None,
            nodes: 1,
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn grant(&self, _: &CounterName<'_>, _: u64, _: u64, _: SystemTime) -> Reply<Result<Grant, LimitFault>> {
        Reply::Ready(Err(LimitFault::StoreUnavailable))
    }

    fn give_back(&self, _: &CounterName<'_>, _: u64, _: SystemTime) {}
}

fn state(store: Arc<Faulty>) -> State {
    State::new(store, None).unwrap()
}

fn decider(store: Arc<Faulty>) -> Decider {
    let directory = policies();
    let config = serde_json::json!({"policies": directory.path()}).to_string();
    let config = EngineConfig::from_json(&config).unwrap();
    Decider::new(reload::load(&config.policies).unwrap(), config.worker_options(), state(store))
}

#[test]
fn panic_costs_one_request_and_is_counted() {
    let store = Arc::new(Faulty::default());
    let decider = decider(store.clone());
    store.0.store(true, Ordering::Relaxed);
    let error = decider.check(&spend("ada", 1)).unwrap_err();
    assert_eq!(error.reason(), ErrorReason::Internal);
    assert!(!error.message.contains("purpose"), "what it was is not told to callers");
    assert_eq!(effect(&decider.check(&access()).unwrap()), Effect::Allow);
    store.0.store(false, Ordering::Relaxed);
    assert_eq!(effect(&decider.check(&spend("ada", 1)).unwrap()), Effect::Allow);
    let text = decider.metrics().render(&Default::default());
    assert!(text.contains("pdp_panics_total 1\n"), "{text}");
    assert_eq!(decider.metrics().errors(ErrorReason::Internal), 1);
}

#[test]
fn deadline_of_the_caller_bounds_the_evaluation() {
    let directory = policies();
    let evaluation = serde_json::json!({"time_ms": 60_000, "instructions": 1_000_000_000_000u64, "memory_bytes": 1u64 << 40});
    let config = serde_json::json!({"policies": directory.path(), "evaluation": evaluation}).to_string();
    let options = EngineConfig::from_json(&config).unwrap().worker_options();
    let decider = Decider::new(reload::load(directory.path()).unwrap(), options, state(Arc::default()));
    let mut request = access();
    request.resource.as_mut().unwrap().id = "/loop".to_owned();
    let start = Instant::now();
    let deadline = start + Duration::from_millis(30);
    let answer = decider.check_encoded(request.encode_to_vec().as_slice(), Some(deadline)).unwrap();
    assert_eq!(codes(&answer.decision.unwrap()), [ReasonCode::PolicyTimeout]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn every_thread_answers_alike() {
    let decider = decider(Arc::default());
    let bytes = access().encode_to_vec();
    std::thread::scope(|scope| {
        let check = || decider.check_encoded(bytes.as_slice(), None).map(|answer| effect(&answer));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(check)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap(), Effect::Allow);
        }
    });
    let text = decider.metrics().render(&Default::default());
    assert!(text.contains("effect=\"allow\"} 8\n"), "counts of threads that ended are kept: {text}");
}

#[test]
fn two_deciders_of_one_thread_do_not_mix() {
    let (first, second) = (decider(Arc::default()), decider(Arc::default()));
    let revision = |decider: &Decider| {
        let answer = decider.check(&access()).unwrap();
        answer.decision.unwrap().policy_revision
    };
    let directory = policies();
    std::fs::write(
        directory.path().join("loop.rego"),
        "package notes.loop\n\nimport rego.v1\n\nallow if false\n",
    )
    .unwrap();
    second.swap(Arc::new(reload::load(directory.path()).unwrap()));
    let (a, b) = (revision(&first), revision(&second));
    assert_ne!(a, b);
    assert_eq!(revision(&first), a);
    drop(second);
    assert_eq!(revision(&first), a);
}

#[test]
fn batch_of_an_embedded_engine_has_its_own_verdicts() {
    let decider = decider(Arc::default());
    let items = vec![access(), spend("ada", 0)];
    let batch = pdp_proto::v1::CheckBatchRequest { items }.encode_to_vec();
    let answer = decider.check_batch_encoded(batch.as_slice()).unwrap();
    assert_eq!(answer.results.len(), 2);
    assert_eq!(answer.results[1].request_id, "");
}
