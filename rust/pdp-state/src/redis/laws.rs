//! Properties of the counting script: it agrees with the engine's arithmetic, whatever comes in whatever
//! order. The server is real; time runs ahead of it, as fast as the test says.

use std::sync::Arc;
use std::time::Duration;

use pdp_engine::limit::{
    Algorithm, Calendar, Counter, CounterName, Limit, LimitDemand, LimitOutcome, NEVER, Period, Reading,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::time::Instant;
use uuid::Uuid;

use super::decode::{Status, Told};
use super::encode::{Group, Operation, place, spend_group};
use super::hub::Hub;
use super::lane::{self, Lane};
use super::name::Names;
use super::options::RedisOptions;

#[path = "../../tests/support/valkey.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod valkey;

const DAY_US: u64 = 86_400_000_000;

/// A step on one counter.
#[derive(Clone, Debug)]
enum Step {
    Spend { hits: u64, peek: bool },
    Two { hits: u64, more: u64 },
    Force { hits: u64 },
    GiveBack { hits: u64, ago_us: u64 },
    Grant { least: u64, most: u64 },
    Wait { us: u64 },
    Limit { hits: u64 },
}

fn step(window_us: u64, most: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..=most + 1, prop::bool::weighted(0.15)).prop_map(|(hits, peek)| Step::Spend { hits, peek }),
        1 => (1..=most, 1..=most).prop_map(|(hits, more)| Step::Two { hits, more }),
        1 => (1..=most).prop_map(|hits| Step::Force { hits }),
        1 => (1..=most, 0..window_us).prop_map(|(hits, ago_us)| Step::GiveBack { hits, ago_us }),
        1 => (1..=most, 1..=most).prop_map(|(least, most)| Step::Grant { least, most }),
        4 => (0..window_us * 5 / 4).prop_map(|us| Step::Wait { us }),
        1 => (1..=most * 2).prop_map(|hits| Step::Limit { hits }),
    ]
}

fn limits() -> impl Strategy<Value = (Limit, Vec<Step>)> {
    let calendar = Calendar { period: Period::Day, zone: "Europe/Berlin".parse().unwrap() };
    let hits = prop_oneof![1..20u64, 1..2_000_000u64, 900_000_000_000..1_000_000_000_000u64];
    let windows =
        prop_oneof![1_000..50_000u64, Just(1_000_000), 60_000_000..7_200_000_000u64, DAY_US..300 * DAY_US,];
    (hits, windows, 0..4u8, 1..4u64).prop_flat_map(move |(hits, window_us, kind, wide)| {
        // Eighths that are whole microseconds, and a bucket that is counted exactly, so that the model agrees to the last unit.
        let window_us = window_us.next_multiple_of(8);
        let burst = (hits * wide).min((1 << 52) / window_us).max(1);
        let (algorithm, window_us) = match kind {
            0 => (Algorithm::Gcra { burst }, window_us),
            1 => (Algorithm::FixedWindow, window_us),
            2 => (Algorithm::SlidingWindow, window_us),
            _ => (Algorithm::Quota(calendar), DAY_US),
        };
        let limit = Limit::new("law", algorithm, hits, Duration::from_micros(window_us));
        let limit = if limit.validate().is_ok() {
            limit
        } else {
            Limit { algorithm: Algorithm::SlidingWindow, ..limit }
        };
        let most = if kind == 0 { burst } else { hits };
        (Just(limit), prop::collection::vec(step(window_us, most), 1..40))
    })
}

/// The script's counter beside the engine's.
struct Pair<'a> {
    bench: &'a Bench,
    limit: Limit,
    key: String,
    model: Counter,
    now_us: u64,
}

struct Bench {
    _server: valkey::Valkey,
    runtime: tokio::runtime::Runtime,
    hub: Arc<Hub>,
    lane: Lane,
    names: Names,
    policy_id: Arc<str>,
}

impl Bench {
    fn new() -> Self {
        let server = valkey::Valkey::start(&[]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut options = RedisOptions::from_url(&server.url()).unwrap();
        options.timeout = Duration::from_secs(5);
        let hub = Hub::new(options, runtime.handle().clone()).unwrap();
        let lane = lane::start(hub.clone(), runtime.handle());
        Self { _server: server, runtime, hub, lane, names: Names::new(b"laws"), policy_id: "p".into() }
    }

    fn ask(&self, group: Group) -> Told {
        let deadline = Instant::now() + Duration::from_secs(5);
        self.runtime.block_on(lane::ask(&self.lane, group, deadline)).unwrap()
    }
}

impl Pair<'_> {
    fn counter(&self) -> CounterName<'_> {
        CounterName { policy_id: &self.bench.policy_id, limit: &self.limit, tenant: None, key: &self.key }
    }

    /// Has the server's time pass.
    fn wait(&mut self, us: u64) {
        self.now_us += us;
        self.bench.hub.clock.told(self.now_us + 1_000_000);
    }

    fn spend(&mut self, hits: &[u64], peek: bool) -> Told {
        let counter = self.counter();
        let (tag, key) = place(&self.bench.names, &counter).unwrap();
        let demands: Vec<_> = hits.iter().map(|&hits| (LimitDemand { counter, hits, peek }, key)).collect();
        let group = spend_group(tag, &demands, None, Uuid::nil(), self.now_us);
        let told = self.bench.ask(group);
        self.now_us = told.now_us;
        told
    }

    fn one(&mut self, operation: Operation, number: u64, hits: u64, moves: Option<(i64, u64)>) -> Told {
        let (tag, key) = place(&self.bench.names, &self.counter()).unwrap();
        let mut group = Group::new(operation, tag, None, None);
        group.number(number);
        group.record(key, &self.limit, hits, false, self.now_us);
        if let Some((by, at_us)) = moves {
            group.moves(by, at_us);
        }
        let told = self.bench.ask(group);
        self.now_us = told.now_us;
        told
    }

    /// The limit and a moment as the engine counts them: in nanoseconds for calendars, else in the
    /// script's own unit, which the arithmetic does not know.
    fn model_limit(&self) -> Limit {
        let window = match self.limit.algorithm {
            Algorithm::Quota(_) => self.limit.window,
            _ => Duration::from_nanos(u64::try_from(self.limit.window.as_micros()).unwrap()),
        };
        Limit { window, ..self.limit.clone() }
    }

    fn model_time(&self, us: u64) -> u64 {
        match self.limit.algorithm {
            Algorithm::Quota(_) => us * 1_000,
            _ => us,
        }
    }

    fn reading(&self, counter: Counter, hits: u64) -> (Counter, Reading) {
        counter.spend(&self.model_limit(), hits, self.model_time(self.now_us))
    }

    fn check(&self, told: LimitOutcome, admitted: bool, standing: Reading, retry: Option<u128>) {
        let unit = u128::from(self.model_time(1));
        let micros = |time: u128| Duration::from_micros(u64::try_from(time.div_ceil(unit)).unwrap());
        let retry_after = (!admitted).then(|| retry.map_or(NEVER, micros));
        assert_eq!(
            (told.admitted, told.remaining, told.reset_after, told.retry_after),
            (admitted, standing.remaining, micros(standing.reset_ns), retry_after),
            "{:?} at {}",
            self.limit,
            self.now_us,
        );
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Wait { us } => self.wait(us),
            Step::Limit { hits } => {
                let changed = Limit { limit: hits, ..self.limit.clone() };
                if changed.validate().is_ok() {
                    self.limit = changed;
                }
            }
            Step::Spend { hits, peek } => {
                let told = self.spend(&[hits], peek);
                let (next, reading) = self.reading(self.model, hits);
                let standing = if peek { self.reading(self.model, 0).1 } else { reading };
                self.check(told.outcomes[0], reading.admitted, standing, reading.retry_ns);
                if reading.admitted && !peek {
                    self.model = next;
                }
            }
            Step::Two { hits, more } => {
                let told = self.spend(&[hits, more], false);
                let (first, one) = self.reading(self.model, hits);
                let (both, two) = self.reading(if one.admitted { first } else { self.model }, more);
                let spent = one.admitted && two.admitted;
                assert_eq!(told.status, if spent { Status::Done } else { Status::Refused });
                let standing = self.reading(self.model, 0).1;
                self.check(told.outcomes[0], one.admitted, if spent { one } else { standing }, one.retry_ns);
                self.check(told.outcomes[1], two.admitted, if spent { two } else { standing }, two.retry_ns);
                if spent {
                    self.model = both;
                }
            }
            Step::Force { hits } => {
                let by = i64::try_from(hits).unwrap();
                let told = self.one(Operation::Settle, 0, 0, Some((by, self.now_us)));
                self.model = self.model.force(&self.model_limit(), hits, self.model_time(self.now_us));
                self.check(told.outcomes[0], true, self.reading(self.model, 0).1, None);
            }
            Step::GiveBack { hits, ago_us } => {
                let at = self.now_us - ago_us;
                let told = self.one(Operation::Settle, 0, 0, Some((-i64::try_from(hits).unwrap(), at)));
                self.model = self.model.give_back(
                    &self.model_limit(),
                    hits,
                    self.model_time(at),
                    self.model_time(self.now_us),
                );
                self.check(told.outcomes[0], true, self.reading(self.model, 0).1, None);
            }
            Step::Grant { least, most } => {
                let told = self.one(Operation::Grant, least, most, None);
                let (next, hits, reading) =
                    self.model.grant(&self.model_limit(), least, most, self.model_time(self.now_us));
                assert_eq!(told.hits, hits);
                self.check(told.outcomes[0], reading.admitted, reading, reading.retry_ns);
                self.model = next;
            }
        }
    }
}

#[test]
fn the_script_agrees_with_the_engines_arithmetic() {
    let bench = Bench::new();
    // A day ahead of the server, and later in each run, so that the test sets the time.
    let start = pdp_engine::limit::epoch_ns(std::time::SystemTime::now()) / 1_000 + DAY_US;
    let mut runner = TestRunner::new(Config { cases: 1024, failure_persistence: None, ..Config::default() });
    let latest = std::cell::Cell::new(start);
    runner
        .run(&limits(), |(limit, steps)| {
            let key = Uuid::now_v7().to_string();
            let model = Counter::empty(limit.algorithm);
            let mut pair = Pair { bench: &bench, limit, key, model, now_us: latest.get() };
            pair.wait(1);
            steps.into_iter().for_each(|step| pair.run(step));
            latest.set(pair.now_us);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_rate_too_fine_for_doubles_never_admits_more_than_its_limit() {
    let bench = Bench::new();
    let (hits, window_us) = (999_999_999_989, 31 * DAY_US);
    let limit = Limit::new("fine", Algorithm::Gcra { burst: hits }, hits, Duration::from_micros(window_us));
    let now_us = pdp_engine::limit::epoch_ns(std::time::SystemTime::now()) / 1_000 + DAY_US;
    let model = Counter::empty(limit.algorithm);
    let mut pair = Pair { bench: &bench, limit, key: "k".into(), model, now_us };
    pair.wait(1);
    let from = pair.now_us;
    let mut admitted = 0u128;
    for _ in 0..200 {
        let take = pair.spend(&[0], false).outcomes[0].remaining;
        if take > 0 && pair.spend(&[take], false).outcomes[0].admitted {
            admitted += u128::from(take);
        }
        pair.wait(3_600_000_000);
        let span = u128::from(pair.now_us - from);
        assert!(admitted <= u128::from(hits) + u128::from(hits) * span / u128::from(window_us));
    }
    // And hardly less.
    assert!(admitted * 100 >= u128::from(hits) * 125, "{admitted}");
}
