//! Measures spends on a shared store: `shared_spend URL [IN_FLIGHT] [SECONDS] [KEYS]`.
//!
//! One thread with the runtime of a request thread; so many requests in flight, each on a random key.
//! Prints spends per second, microseconds of this process's CPU per spend, and the median and 99th
//! percentile of the time to an answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use pdp_engine::limit::{Algorithm, CounterName, Limit, LimitDemand, LimitStore, Spend};
use pdp_state::redis::{RedisOptions, RedisStore};
use uuid::Uuid;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let mut number = |default: u64| arguments.next().and_then(|it| it.parse().ok()).unwrap_or(default);
    let (in_flight, seconds, keys) = (number(64), number(5), number(10_000));
    let store = match RedisOptions::from_url(&url).and_then(RedisStore::connect) {
        Ok(store) => store,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(64);
        }
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, measure(store, in_flight, Duration::from_secs(seconds), keys));
}

async fn measure(store: Arc<RedisStore>, in_flight: u64, span: Duration, keys: u64) {
    let limit = Limit::new("calls", Algorithm::Gcra { burst: 100 }, 100, Duration::from_secs(1));
    let limit = Rc::new(limit);
    let (admitted, faults) = (Rc::new(Cell::new(0u64)), Rc::new(Cell::new(0u64)));
    let times = Rc::new(RefCell::new(Vec::with_capacity(1 << 22)));
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let requests: Vec<_> = (0..in_flight)
        .map(|seed| {
            let (store, limit, times) = (store.clone(), limit.clone(), times.clone());
            let (admitted, faults) = (admitted.clone(), faults.clone());
            tokio::task::spawn_local(async move {
                let policy_id: Arc<str> = "bench".into();
                let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                while start.elapsed() < span {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let key = format!("user-{}", random % keys);
                    let counter =
                        CounterName { policy_id: &policy_id, limit: &limit, tenant: Some("acme"), key: &key };
                    let demands = [LimitDemand { counter, hits: 1, peek: false }];
                    let spend = Spend {
                        request_id: None,
                        holder: Uuid::nil(),
                        demands: &demands,
                        now: SystemTime::now(),
                    };
                    let asked = Instant::now();
                    let outcomes = store.spend(&spend).await;
                    times.borrow_mut().push(asked.elapsed());
                    let count = |to: &Cell<u64>, it: bool| to.set(to.get() + u64::from(it));
                    count(&admitted, outcomes.iter().all(|it| it.admitted));
                    count(&faults, outcomes.iter().any(|it| it.fault.is_some()));
                }
            })
        })
        .collect();
    for request in requests {
        let _ = request.await;
    }
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let mut times = times.take();
    times.sort_unstable();
    let quantile = |part: usize| times.get(times.len() * part / 1_000).copied().unwrap_or_default();
    let spends = times.len() as f64;
    println!(
        "{:.0} spends/s, {:.2} us CPU each, p50 {:?}, p99 {:?}, admitted {}, faults {}",
        spends / elapsed,
        cpu * 1e6 / spends,
        quantile(500),
        quantile(990),
        admitted.get(),
        faults.get()
    );
    let metrics = pdp_state::StateStore::metrics(&*store);
    let value = |name| metrics.iter().find(|it| it.name == name).map_or(0.0, |it| it.value);
    println!("{:.1} groups a call", value("pdp_state_groups_total") / value("pdp_state_batches_total"));
}

/// CPU time of this process, where the system tells it.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .into_iter()
        .flat_map(|it| it.split_whitespace().skip(11).take(2).filter_map(|it| it.parse().ok()))
        .collect();
    fields.iter().sum::<f64>() / 100.0
}
