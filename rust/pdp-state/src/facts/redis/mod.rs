//! Facts shared through Redis or Valkey, read through a cache.
//!
//! A document is a hash at `pdp:1:{tenant tag}:f:<keyed hash of kind and id>` with the fields `v` (version),
//! `d` (JSON of name and value), `s` (source) and `o` (observed at, microseconds); a deleted one has `v` and
//! `x`, and expires. Each change is published on `pdp:1:facts`, inside the script that makes it.

mod fetcher;
mod flight;
mod session;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use pdp_engine::Reply;
use pdp_engine::fact::{FactDocument, FactName, FactReading, FactStore};
use tokio::sync::{mpsc, oneshot};

use self::fetcher::{Fetcher, Order};
use super::bounds::{check_keys, check_names, check_puts};
use super::cache::{Cache, Look};
use super::watch::Watchers;
use super::{FactError, FactKey, FactOptions, FactPut, FactRegistry, FactWatch};
use crate::redis::{Hub, Key, KeyKind, Names};
use crate::store::Metric;

/// The channel of changes.
pub const CHANNEL: &str = "pdp:1:facts";
/// The script that stores documents.
pub const PUT: &str = include_str!("put.lua");
/// The script that deletes documents.
pub const DELETE: &str = include_str!("delete.lua");

/// Least age at which a fact is too old to be said: an answer of the store itself takes its time.
const LEAST_STALE: Duration = Duration::from_millis(50);
/// Orders that may wait for the fetcher.
const QUEUE: usize = 16_384;
/// Bytes that the absence of a document takes in the cache.
const NEGATIVE_BYTES: u64 = 256;

/// Facts shared through Redis or Valkey. Shared between threads.
pub struct RedisFacts {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
}

/// What readers and the fetcher share.
struct Shared {
    cache: Cache,
    max_stale: Duration,
    /// How keys are named; unknown until the store was first reached.
    names: ArcSwapOption<Names>,
    watchers: Watchers,
    tally: Tally,
}

/// Counts of what happened.
#[derive(Default)]
struct Tally {
    misses: AtomicU64,
    fetches: AtomicU64,
    invalidations: AtomicU64,
    unreadable: AtomicU64,
    late: AtomicU64,
    sessions_lost: AtomicU64,
    tracking: AtomicBool,
}

/// Where a document lies.
#[must_use]
pub fn key(names: &Names, name: &FactName<'_>) -> Key {
    // An empty tenant is the default tenant.
    let tenant = name.tenant.filter(|tenant| !tenant.is_empty());
    let parts = [tenant.unwrap_or_default(), name.kind.name(), name.id];
    names.key(names.tenant_tag(tenant), KeyKind::Fact, &parts)
}

impl RedisFacts {
    /// Facts behind `hub`. A thread of its own connects, at once and whenever the connection is lost;
    /// it ends with the last owner of what is returned.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn open(hub: Arc<Hub>, options: &FactOptions) -> std::io::Result<Self> {
        let max_stale = options.max_stale.max(LEAST_STALE);
        let shared = Arc::new(Shared {
            cache: Cache::new(options.cache_bytes, max_stale),
            max_stale,
            names: ArcSwapOption::empty(),
            watchers: Watchers::new(options.watch_lag),
            tally: Tally::default(),
        });
        let (orders, received) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let working = shared.clone();
        std::thread::Builder::new().name("pdp-facts".to_owned()).spawn(move || {
            runtime.block_on(async move { Fetcher::new(hub, working).run(received).await });
        })?;
        Ok(Self { shared, orders })
    }

    /// Orders something and waits for its answer.
    fn ask<T: Send + 'static>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, FactError>>) -> Order,
    ) -> Reply<Result<T, FactError>> {
        let (reply, answer) = oneshot::channel();
        if self.orders.try_send(order(reply)).is_err() {
            return Reply::Ready(Err(overloaded()));
        }
        Reply::waiting(async move { answer.await.unwrap_or_else(|_| Err(overloaded())) })
    }
}

fn overloaded() -> FactError {
    let message = "too much is asked of it at once".to_owned();
    FactError::Unavailable { message, uncertain: false }
}

impl FactStore for RedisFacts {
    fn read(&self, names: &[FactName<'_>], _now: SystemTime) -> Reply<Vec<FactReading>> {
        let known = self.shared.names.load();
        let mut readings = vec![FactReading::Unavailable; names.len()];
        let mut missing = Vec::new();
        for (slot, (name, reading)) in names.iter().zip(&mut readings).enumerate() {
            let look = known.as_ref().map_or(Look::Miss, |known| self.shared.cache.look(&key(known, name)));
            match look {
                Look::Fresh(found, again) => {
                    *reading = found;
                    if again {
                        // A full queue means that the fetcher has work enough.
                        let _ = self.orders.try_send(Order::Refresh(FactKey::from(name)));
                    }
                }
                Look::Miss => missing.push((slot, FactKey::from(name))),
            }
        }
        if missing.is_empty() {
            return Reply::Ready(readings);
        }
        self.shared.tally.misses.fetch_add(missing.len() as u64, Ordering::Relaxed);
        let unknown = readings.clone();
        let (reply, answer) = oneshot::channel();
        if self.orders.try_send(Order::Read(missing, readings, reply)).is_err() {
            return Reply::Ready(unknown);
        }
        Reply::waiting(async move { answer.await.unwrap_or(unknown) })
    }
}

impl FactRegistry for RedisFacts {
    fn put(&self, puts: Vec<FactPut>, _now: SystemTime) -> Reply<Result<Vec<u64>, FactError>> {
        match check_puts(&puts) {
            Ok(jsons) => self.ask(|reply| Order::Put(puts, jsons, reply)),
            Err(error) => Reply::Ready(Err(error)),
        }
    }

    fn get(
        &self,
        keys: Vec<FactKey>,
        _now: SystemTime,
    ) -> Reply<Result<Vec<Option<Arc<FactDocument>>>, FactError>> {
        match check_names(&keys) {
            Ok(()) => self.ask(|reply| Order::Get(keys, reply)),
            Err(error) => Reply::Ready(Err(error)),
        }
    }

    fn delete(&self, keys: Vec<FactKey>, _now: SystemTime) -> Reply<Result<u32, FactError>> {
        match check_keys(keys.iter()) {
            Ok(()) => self.ask(|reply| Order::Delete(keys, reply)),
            Err(error) => Reply::Ready(Err(error)),
        }
    }

    fn watch(&self) -> Reply<Result<FactWatch, FactError>> {
        self.ask(Order::Watch)
    }

    fn metrics(&self) -> Vec<Metric> {
        let tally = &self.shared.tally;
        let (entries, bytes) = self.shared.cache.size();
        let gauge = Metric::gauge;
        let counter =
            |name, help, value: &AtomicU64| Metric::counter(name, help, value.load(Ordering::Relaxed));
        vec![
            gauge("pdp_facts_cached", "Fact documents and absences in the cache.", entries as u64),
            gauge("pdp_facts_cached_bytes", "Bytes of the fact cache.", bytes),
            gauge(
                "pdp_facts_tracking",
                "Whether the store tells this node of each change to what it has cached.",
                u64::from(tally.tracking.load(Ordering::Relaxed)),
            ),
            gauge("pdp_facts_watchers", "Watchers of fact changes.", self.shared.watchers.count() as u64),
            counter("pdp_facts_misses_total", "Facts that were read and not in the cache.", &tally.misses),
            counter("pdp_facts_fetches_total", "Messages that fetched facts.", &tally.fetches),
            counter("pdp_facts_invalidations_total", "Changes that the store told of.", &tally.invalidations),
            counter("pdp_facts_unreadable_total", "Facts that could not be fetched.", &tally.unreadable),
            counter("pdp_facts_late_total", "Reads of facts that were not answered in time.", &tally.late),
            counter(
                "pdp_facts_sessions_lost_total",
                "Sessions with the store that ended.",
                &tally.sessions_lost,
            ),
        ]
    }
}
