//! What all connections to one store share: how to open them, breakers, and tallies.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

use super::breaker::{self, Breaker};
use super::clock::Clock;
use super::failure::{Executed, Failure, FailureKind};
use super::name::NODES;
use super::options::{Address, RedisOptions, RedisOptionsError};
use super::slots::Slots;
use super::socket::{Connection, Opener, Purpose};

/// Shared by the connections of one process to one store.
pub struct Hub {
    /// The options.
    pub(crate) options: RedisOptions,
    /// Counts of what happened.
    pub(crate) tally: Tally,
    opener: Opener,
    background: tokio::runtime::Handle,
    servers: Mutex<HashMap<Address, Arc<Server>>>,
    status: Mutex<Status>,
    /// Who holds which slot of a Cluster, as last heard.
    pub(super) slots: ArcSwapOption<Slots>,
    /// Servers that are not asked.
    away: AtomicU32,
    /// The servers' clock, as far as it is known.
    pub(crate) clock: Clock,
}

/// One server as all threads see it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) breaker: Breaker,
}

struct Status {
    since: SystemTime,
    last_failure: Option<String>,
}

/// Counts of what happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: AtomicU64,
    pub(crate) connections: AtomicU64,
    /// By [`FailureKind::ALL`].
    pub(crate) failures: [AtomicU64; FailureKind::ALL.len()],
    pub(crate) uncertain: AtomicU64,
    pub(crate) unreturned: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) local: AtomicU64,
    pub(crate) outage: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) reloaded: AtomicU64,
    pub(crate) redirects: AtomicU64,
    pub(crate) retried: AtomicU64,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    fn failed(&self, kind: FailureKind) {
        let place = FailureKind::ALL.iter().position(|&other| other == kind);
        if let Some(counter) = place.and_then(|place| self.failures.get(place)) {
            Self::add(counter, 1);
        }
    }
}

impl Hub {
    /// A hub; nothing is opened yet. `background` runs the probes.
    ///
    /// # Errors
    /// The setting at fault.
    pub fn new(
        options: RedisOptions,
        background: tokio::runtime::Handle,
    ) -> Result<Arc<Self>, RedisOptionsError> {
        options.validate()?;
        let opener = Opener::new(&options)?;
        let status = Status { since: SystemTime::now(), last_failure: None };
        Ok(Arc::new(Self {
            options,
            tally: Tally::default(),
            opener,
            background,
            servers: Mutex::default(),
            status: Mutex::new(status),
            slots: ArcSwapOption::empty(),
            away: AtomicU32::new(0),
            clock: Clock::default(),
        }))
    }

    /// Whether all servers that matter are asked, since when that is so, and what failed last.
    pub fn status(&self) -> (bool, SystemTime, Option<String>) {
        let status = lock(&self.status);
        (self.is_whole(), status.since, status.last_failure.clone())
    }

    /// Whether nothing is away; on a Cluster, no server that holds slots. One that was replaced may
    /// stay away for good.
    fn is_whole(&self) -> bool {
        if self.away.load(Ordering::Acquire) == 0 {
            return true;
        }
        let slots = self.slots.load();
        let Some(slots) = slots.as_ref().filter(|_| self.options.cluster) else { return false };
        slots.primaries().all(|address| !self.server(address).breaker.is_open())
    }

    /// Whether asking is known to be in vain: the only server is away.
    pub(crate) fn is_away(&self) -> bool {
        !self.options.cluster && self.away.load(Ordering::Acquire) > 0
    }

    pub(super) fn server(&self, address: &Address) -> Arc<Server> {
        let mut servers = lock(&self.servers);
        if let Some(server) = servers.get(address) {
            return server.clone();
        }
        let server = Arc::new(Server { address: address.clone(), breaker: Breaker::default() });
        servers.insert(address.clone(), server.clone());
        server
    }

    /// Opens a connection on the caller's runtime.
    ///
    /// # Errors
    /// What kept it from opening.
    pub async fn open(&self, address: &Address, purpose: Purpose) -> Result<Connection, Failure> {
        let opened = self.opener.open(address, purpose).await;
        if opened.is_ok() {
            Tally::add(&self.tally.connections, 1);
        }
        opened
    }

    /// Notes a failed call; the breaker may open, and then one probe runs until the server is back.
    pub(super) fn failed(self: &Arc<Self>, server: &Arc<Server>, failure: &Failure) {
        self.tally.failed(failure.kind);
        if failure.kind == FailureKind::Open {
            return;
        }
        let patience_ms = u64::try_from(self.options.timeout.as_millis()).unwrap_or(u64::MAX);
        let opened = server.breaker.failed(failure.kind, self.clock.elapsed_ms(), patience_ms);
        let mut status = lock(&self.status);
        status.last_failure = Some(failure.to_string());
        if !opened {
            return;
        }
        if self.away.fetch_add(1, Ordering::AcqRel) == 0 {
            status.since = SystemTime::now();
        }
        drop(status);
        tracing::debug!(server = %server.address, reason = %failure, "the store is not asked until it answers");
        // A hub that is gone needs no probe.
        let (hub, server) = (Arc::downgrade(self), server.clone());
        self.background.spawn(async move {
            let mut attempt = 0;
            loop {
                tokio::time::sleep(breaker::wait(attempt, random())).await;
                attempt += 1;
                let Some(hub) = hub.upgrade() else { return };
                match hub.probe(&server.address).await {
                    Ok(()) => return hub.closed(&server),
                    Err(failure) => lock(&hub.status).last_failure = Some(failure.to_string()),
                }
            }
        });
    }

    /// Whether a server answers, and lets this user write.
    async fn probe(&self, address: &Address) -> Result<(), Failure> {
        let mut connection = self.open(address, Purpose::default()).await?;
        let command = match self.options.cluster {
            // A server of a Cluster holds only some keys.
            true => redis::cmd("PING"),
            false => {
                // Changes nothing, but is refused by whoever refuses writes.
                let mut command = redis::cmd("ZADD");
                command.arg(NODES).arg("XX").arg(0).arg("probe");
                command
            }
        };
        let sent = connection.multiplexed.send_packed_command(&command);
        match tokio::time::timeout(self.options.timeout, sent).await {
            Ok(answer) => answer
                .and_then(redis::Value::extract_error)
                .map(|_| ())
                .map_err(|error| Failure::sent(&error)),
            Err(_) => Err(Failure::new(FailureKind::Timeout, Executed::No, format!("{address}: no answer"))),
        }
    }

    fn closed(&self, server: &Server) {
        server.breaker.close();
        tracing::info!(server = %server.address, "the store answers again");
        let mut status = lock(&self.status);
        if self.away.fetch_sub(1, Ordering::AcqRel) == 1 {
            status.since = SystemTime::now();
        }
    }
}

/// A number from 0 to 1 that differs between nodes.
fn random() -> f64 {
    let mut bytes = [0u8; 4];
    // Without randomness the waits are in step, which is no fault of the answer.
    let _ = rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
