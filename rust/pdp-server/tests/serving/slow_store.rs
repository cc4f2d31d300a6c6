//! A store that answers when the test says so.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitDemand, LimitFault, LimitOutcome, LimitStore, Settle, Spend};
use pdp_server::{Server, State};
use pdp_state::{Grant, Health, Metric, StateStore};
use tokio::sync::oneshot;

use crate::support::{Running, config, policies};

/// What a question that waits is told.
enum Told {
    Admitted,
    Fault,
}

/// Keeps each spend waiting until it is released by its key.
#[derive(Default)]
pub(crate) struct SlowStore {
    held: Mutex<Vec<(String, oneshot::Sender<Told>)>>,
    pub(crate) available: std::sync::atomic::AtomicBool,
}

impl SlowStore {
    /// Keys that wait now.
    pub(crate) fn held(&self) -> Vec<String> {
        self.held.lock().unwrap().iter().map(|(key, _)| key.clone()).collect()
    }

    /// Waits until `count` questions wait.
    pub(crate) async fn holds(&self, count: usize) {
        until(|| self.held().len() == count).await;
    }

    /// Lets the question about `caller` be answered.
    pub(crate) fn release(&self, caller: &str) {
        self.tell(caller, Told::Admitted);
    }

    /// Lets the question about `caller` meet a fault.
    pub(crate) fn fail(&self, caller: &str) {
        self.tell(caller, Told::Fault);
    }

    fn tell(&self, caller: &str, what: Told) {
        let mut held = self.held.lock().unwrap();
        let at = held.iter().position(|(key, _)| key.contains(caller)).expect("nobody waits");
        // Whoever asked may have gone.
        let _ = held.remove(at).1.send(what);
    }
}

impl LimitStore for SlowStore {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        let admitted = |_: &LimitDemand<'_>| LimitOutcome {
            admitted: true,
            remaining: 1,
            reset_after: Duration::ZERO,
            ..LimitOutcome::default()
        };
        let outcomes: Vec<_> = spend.demands.iter().map(admitted).collect();
        let (sender, told) = oneshot::channel();
        self.held.lock().unwrap().push((spend.demands[0].counter.key.to_owned(), sender));
        Reply::waiting(async move {
            match told.await.unwrap() {
                Told::Admitted => outcomes,
                Told::Fault => panic!("a fault on purpose"),
            }
        })
    }

    fn settle(&self, _: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(Vec::new())
    }

    fn reset(&self, _: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        Reply::Ready(Err(LimitFault::StoreUnavailable))
    }
}

impl StateStore for SlowStore {
    fn health(&self) -> Health {
        let available = self.available.load(std::sync::atomic::Ordering::Relaxed);
        let last_failure = (!available).then(|| "it is asleep".to_owned());
        Health { kind: "redis", available, since: SystemTime::UNIX_EPOCH, last_failure, nodes: 2 }
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn grant(&self, _: &CounterName<'_>, _: u64, _: u64, _: SystemTime) -> Reply<Result<Grant, LimitFault>> {
        Reply::Ready(Err(LimitFault::StoreUnavailable))
    }

    fn give_back(&self, _: &CounterName<'_>, _: u64, _: SystemTime) {}
}

/// A server with one request thread over a slow store.
pub(crate) fn start(more: serde_json::Value) -> (Running, Arc<SlowStore>) {
    let store = Arc::new(SlowStore::default());
    let mut settings = serde_json::json!({"threads": 1});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let policies = policies();
    let state = State::new(store.clone(), None).unwrap();
    let server = Server::start_with(&config(policies.path(), settings), state).unwrap();
    (Running { server: Arc::new(server), policies }, store)
}

/// Waits for a condition, at most 20 s.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.expect("the condition never came true");
}
