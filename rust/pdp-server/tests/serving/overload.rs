//! Overload: a server driven past saturation by open-loop load, with and without shedding.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitFault, LimitOutcome, LimitStore, Settle, Spend};
use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorReason;
use pdp_server::{Server, State};
use pdp_state::{Grant, Health, Metric, StateStore};
use tokio::time::Instant;
use tonic::{Code, Request, Status};

use crate::support::{Client, Running, channel, config, detail, policies, post, spend, start_with};

/// What one decision takes.
const SERVICE: Duration = Duration::from_millis(3);
/// How far past saturation the server is driven.
const FACTOR: f64 = 2.5;
/// How long.
const LOAD: Duration = Duration::from_secs(2);
/// Priorities in the order they are sent; one call in ten is critical.
const PRIORITIES: [&str; 10] = [
    "critical",
    "default",
    "sheddable",
    "default",
    "sheddable",
    "default",
    "sheddable",
    "default",
    "sheddable",
    "sheddable",
];

/// A store that keeps its thread for a while, as a slow policy does, but takes the same time whatever
/// else the machine has to do.
struct Toil;

impl LimitStore for Toil {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        std::thread::sleep(SERVICE);
        let admitted = LimitOutcome { admitted: true, ..LimitOutcome::default() };
        Reply::Ready(vec![admitted; spend.demands.len()])
    }

    fn settle(&self, _: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(Vec::new())
    }

    fn reset(&self, _: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        Reply::Ready(Ok(false))
    }
}

impl StateStore for Toil {
    fn health(&self) -> Health {
        let since = SystemTime::UNIX_EPOCH;
        Health { kind: "memory", available: true, since, last_failure: None, nodes: 1 }
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    fn grant(&self, _: &CounterName<'_>, _: u64, _: u64, _: SystemTime) -> Reply<Result<Grant, LimitFault>> {
        Reply::Ready(Err(LimitFault::StoreUnavailable))
    }

    fn give_back(&self, _: &CounterName<'_>, _: u64, _: SystemTime) {}
}

/// A server of one thread whose decisions take a few milliseconds, and a client on two connections.
struct Slow {
    running: Running,
    clients: Vec<Client>,
}

async fn slow(target_ms: u64) -> Slow {
    let directory = policies();
    let more = serde_json::json!({
        "threads": 1, "max_in_flight": 1_000_000,
        "overload": {"target_ms": target_ms, "interval_ms": 100},
    });
    let state = State::new(Arc::new(Toil), None).unwrap();
    let server = Server::start_with(&config(directory.path(), more), state).unwrap();
    let running = Running { server: Arc::new(server), policies: directory };
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(running.client().await);
    }
    Slow { running, clients }
}

/// How one call went.
struct Sample {
    priority: &'static str,
    /// From when it was due to its answer.
    latency: Duration,
    /// From the start of the load to its answer.
    at: Duration,
    error: Option<Status>,
}

fn call(priority: &'static str) -> Request<proto::CheckRequest> {
    let mut request = Request::new(spend("ada", 1));
    request.metadata_mut().insert("pdp-priority", priority.parse().unwrap());
    request
}

impl Slow {
    /// Answers a second when there are always some calls waiting, and never many.
    async fn saturation(&self) -> f64 {
        let until = Instant::now() + Duration::from_secs(1);
        let callers = self.clients.iter().cycle().take(8).map(|client| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut answered = 0.0;
                while Instant::now() < until {
                    client.check(call("critical")).await.unwrap();
                    answered += 1.0;
                }
                answered
            })
        });
        let mut sum = 0.0;
        for caller in callers.collect::<Vec<_>>() {
            sum += caller.await.unwrap();
        }
        sum
    }

    /// Sends `rate` calls a second whether or not they are answered.
    async fn drive(&self, rate: f64) -> Vec<Sample> {
        let start = Instant::now() + Duration::from_millis(20);
        let (mut tasks, mut due) = (Vec::new(), start);
        while due < start + LOAD {
            tokio::time::sleep_until(due).await;
            let priority = PRIORITIES[tasks.len() % PRIORITIES.len()];
            let mut client = self.clients[tasks.len() % self.clients.len()].clone();
            tasks.push(tokio::spawn(async move {
                let error = client.check(call(priority)).await.err();
                Sample { priority, latency: due.elapsed(), at: start.elapsed(), error }
            }));
            due += Duration::from_secs_f64(1.0 / rate);
        }
        let mut samples = Vec::new();
        for task in tasks {
            samples.push(task.await.unwrap());
        }
        samples
    }

    /// Waits until even sheddable calls are admitted, many in a row.
    async fn settled(&self) {
        let until = Instant::now() + Duration::from_secs(10);
        let (mut client, mut admitted) = (self.clients[0].clone(), 0);
        while admitted < 50 {
            assert!(Instant::now() < until, "still shedding");
            admitted = if client.check(call("sheddable")).await.is_ok() { admitted + 1 } else { 0 };
        }
    }

    async fn metric(&self, line: &str) -> f64 {
        let (_, text) = self.running.get("/metrics").await;
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{line} is not in\n{text}")).parse().unwrap()
    }
}

fn of<'a>(samples: &'a [Sample], priority: &'a str) -> impl Iterator<Item = &'a Sample> {
    samples.iter().filter(move |sample| sample.priority == priority)
}

fn p99(samples: &[Sample], priority: &str) -> Duration {
    let answered = of(samples, priority).filter(|sample| sample.error.is_none());
    let mut latencies: Vec<_> = answered.map(|sample| sample.latency).collect();
    latencies.sort_unstable();
    latencies[(latencies.len() * 99).div_ceil(100) - 1]
}

/// Answers a second while the load lasts.
fn goodput(samples: &[Sample]) -> f64 {
    let answered = samples.iter().filter(|sample| sample.error.is_none() && sample.at <= LOAD);
    f64::from(u32::try_from(answered.count()).unwrap()) / LOAD.as_secs_f64()
}

fn shed_share(samples: &[Sample], priority: &str) -> f64 {
    let count = |error: bool| {
        let found = of(samples, priority).filter(|sample| !error || sample.error.is_some()).count();
        f64::from(u32::try_from(found).unwrap())
    };
    count(true) / count(false)
}

/// What one comparison found.
struct Comparison {
    saturation: f64,
    offered: f64,
    without: Vec<Sample>,
    with: Vec<Sample>,
    /// Calls shed for their wait, as the server counted them by priority.
    counted: Vec<(&'static str, f64)>,
}

/// Drives a server without and one with shedding. Measured again where the machine had more to give
/// after than before, as it does when others use it too.
async fn compare() -> Comparison {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let queueing = slow(10_000).await;
        let before = queueing.saturation().await;
        let offered = before * FACTOR;
        let without = queueing.drive(offered).await;
        drop(queueing);
        let shedding = slow(5).await;
        let with = shedding.drive(offered).await;
        let mut counted = Vec::new();
        for priority in ["critical", "default", "sheddable"] {
            let line = format!("pdp_shed_total{{reason=\"queue\",priority=\"{priority}\"}}");
            counted.push((priority, shedding.metric(&line).await));
        }
        shedding.settled().await;
        let after = shedding.saturation().await;
        if attempt == 3 || (0.8..1.25).contains(&(after / before)) {
            return Comparison { saturation: before.min(after), offered, without, with, counted };
        }
    }
}

/// One test loads the machine at a time.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn past_saturation_critical_calls_stay_fast_and_the_server_keeps_deciding() {
    let _alone = MACHINE.lock().await;
    let Comparison { saturation, offered, without, with, counted } = compare().await;
    let figures = format!(
        "saturation {saturation:.0}/s, offered {offered:.0}/s; without: p99 {:?}, goodput {:.0}/s; \
         with: p99 {:?}, goodput {:.0}/s, shed {:.2} of sheddable, {:.2} of default",
        p99(&without, "critical"),
        goodput(&without),
        p99(&with, "critical"),
        goodput(&with),
        shed_share(&with, "sheddable"),
        shed_share(&with, "default"),
    );
    eprintln!("{figures}");
    // Without shedding the wait grows as long as the load does.
    assert!(p99(&without, "critical") > LOAD / 2, "{figures}");
    // With it, it does not.
    assert!(p99(&with, "critical") < Duration::from_millis(250), "{figures}");
    assert!(p99(&with, "critical") * 3 < p99(&without, "critical"), "{figures}");
    assert!(goodput(&with) >= 0.8 * saturation, "{figures}");
    assert!(of(&with, "critical").all(|sample| sample.error.is_none()), "{figures}");
    assert!(shed_share(&with, "sheddable") > shed_share(&with, "default"), "{figures}");
    for sample in with.iter().filter(|sample| sample.error.is_some()) {
        let status = sample.error.as_ref().unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(detail(status).reason(), ErrorReason::Overloaded);
        let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
        assert!((50..=150).contains(&pushback.parse::<u32>().unwrap()), "{pushback}");
    }
    // Every refusal is counted once, under its priority.
    for (priority, count) in counted {
        let shed = of(&with, priority).filter(|sample| sample.error.is_some()).count();
        assert_eq!(count, f64::from(u32::try_from(shed).unwrap()), "{priority}");
    }
}

#[tokio::test]
async fn once_the_load_has_passed_nothing_is_shed() {
    let _alone = MACHINE.lock().await;
    let slow = slow(5).await;
    let saturation = slow.saturation().await;
    let samples = slow.drive(saturation * FACTOR).await;
    assert!(samples.iter().any(|sample| sample.error.is_some()));
    slow.settled().await;
}

#[tokio::test]
async fn a_deadline_shorter_than_a_decision_is_refused_without_deciding() {
    let _alone = MACHINE.lock().await;
    let slow = slow(5).await;
    let mut client = slow.clients[0].clone();
    client.check(call("critical")).await.unwrap();
    let decided = slow.metric("pdp_decision_seconds_count").await;
    let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "100u")];
    let path = "/pdp.v1.PolicyDecisionService/Check";
    let (_, found) = post(slow.running.address(), path, &headers, bytes::Bytes::new()).await;
    assert_eq!(found.get("grpc-status").unwrap(), "4", "{found:?}");
    assert!(!found.contains_key("grpc-retry-pushback-ms"));
    assert!(slow.metric("pdp_shed_total{reason=\"deadline\",priority=\"default\"}").await >= 1.0);
    assert_eq!(slow.metric("pdp_decision_seconds_count").await, decided);
}

#[tokio::test]
async fn the_bound_on_calls_in_progress_keeps_places_for_critical_ones() {
    let running = start_with(serde_json::json!({"max_in_flight": 20, "threads": 1}));
    let mut held = Vec::new();
    for (priority, places) in [("sheddable", 16), ("default", 19), ("critical", 20)] {
        // A stream holds its place until it is dropped.
        let refused = loop {
            let mut client = Client::new(channel(running.address()).await);
            let mut request = Request::new(tokio_stream::pending::<proto::CheckStreamRequest>());
            request.metadata_mut().insert("pdp-priority", priority.parse().unwrap());
            match client.check_stream(request).await {
                Ok(stream) => held.push((client, stream)),
                Err(status) => break status,
            }
        };
        assert_eq!(held.len(), places, "{priority}");
        assert!(refused.message().contains(priority), "{refused:?}");
        assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
    }
    let (_, metrics) = running.get("/metrics").await;
    for priority in ["critical", "default", "sheddable"] {
        let line = format!("pdp_shed_total{{reason=\"in_flight\",priority=\"{priority}\"}} 1");
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}
