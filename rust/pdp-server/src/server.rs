//! The server as a whole: the only place where its parts are put together.

mod control;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pdp_engine::PolicySet;
use pdp_policy::Diagnostic;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use self::control::{Control, Sockets, Started, set_health};
use crate::config::{ConfigError, Listeners, ServerConfig};
use crate::decider::Decider;
use crate::http::Probes;
use crate::reload::{self, Reloaded, Reloader};
use crate::runtime::connection::{self, ConnectionOptions};
use crate::runtime::listener::BindError;
use crate::runtime::thread::{self, ThreadHandle};
use crate::service::DecisionService;
use crate::service::admission::Admission;
use crate::service::drain::{DrainTrigger, drain};
use crate::service::standard::{self, Health};
use crate::state::{self, State, StateError};
use crate::tls::{self, TlsError};
use crate::watch::{self, Watch};

/// Time request threads get to be ready for a new set before it serves anyway.
const WARM_TIMEOUT: Duration = Duration::from_secs(10);
/// Time past the drain timeout after which a thread that does not end is left behind.
const JOIN_GRACE: Duration = Duration::from_secs(2);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy set does not build.
    #[error("{}", first(.0))]
    Policies(Vec<Diagnostic>),
    /// TLS cannot be offered.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The state store cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system gives no thread or runtime.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The contract's own description cannot be served.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

fn first(diagnostics: &[Diagnostic]) -> String {
    let more = diagnostics.len().saturating_sub(1);
    let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
    if more == 0 { first } else { format!("{first} (and {more} more)") }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Decision service.
    pub decision: SocketAddr,
    /// Admin service.
    pub admin: Option<SocketAddr>,
    /// Metrics and probes.
    pub http: Option<SocketAddr>,
}

/// A running server. Dropping it ends it without draining.
pub struct Server {
    addresses: Addresses,
    reloader: Arc<Reloader>,
    health: Health,
    drain: DrainTrigger,
    control: Handle,
    parts: Mutex<Option<Parts>>,
    ended: Arc<Ended>,
}

/// What ends when the server does.
struct Parts {
    handles: Vec<ThreadHandle>,
    threads: Vec<JoinHandle<bool>>,
    watch: Option<Watch>,
    control: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Tells waiters that the server has ended.
#[derive(Default)]
struct Ended {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Server {
    /// Opens the state store, builds the policy set, binds every address and starts to answer.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(config: &ServerConfig) -> Result<Self, StartError> {
        let state = state::open(&config.state)?;
        Self::start_with(config, state)
    }

    /// As [`Self::start`], over state that is open already.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: &ServerConfig, state: State) -> Result<Self, StartError> {
        let listeners = config.listeners()?;
        let tls = config.tls.as_ref().map(tls::server_config).transpose()?.map(TlsAcceptor::from);
        let sockets = Sockets::bind(&listeners)?;
        let addresses = sockets.addresses()?;
        // Looked at before it is read: a change in between must not be missed.
        let seen = watch::digest(&config.policies);
        let set = reload::load(&config.policies).map_err(StartError::Policies)?;
        let decider = Decider::new(set, config.worker_options(), state);
        let (trigger, signal) = drain();
        let (health, standard) = standard::public()?;
        let service = DecisionService {
            decider: decider.clone(),
            admission: Admission::new(decider.metrics().clone(), config.max_in_flight),
            drain: signal.clone(),
            max_message_bytes: config.max_message_bytes,
            stream_in_flight: config.stream_in_flight,
            standard,
        };
        let options = ConnectionOptions { service, tls, http: connection::http(config) };
        // Threads already started end by themselves when their handles are dropped on an error.
        let numbers = 0..config.thread_count();
        let started =
            numbers.map(|number| thread::start(number, options.clone())).collect::<Result<Vec<_>, _>>()?;
        let (handles, threads): (Vec<_>, Vec<_>) = started.into_iter().unzip();
        let reloader = Reloader::new(config.policies.clone(), decider).with_warm(warm(handles.clone()));
        let reloader = Arc::new(reloader);
        // Before the first connection is accepted: no request pays for preparing a policy.
        reloader.warm();
        let probes = Probes {
            reloader: reloader.clone(),
            drain: signal.clone(),
            exposed: Arc::new(exposed(config, &listeners)),
        };
        let control = Control {
            sockets,
            threads: handles.clone(),
            probes,
            signal,
            health: health.clone(),
            most_connections: config.max_connections,
        };
        let Started { handle, thread: control, stop } = control.start()?;
        let interval = Duration::from_millis(config.watch_interval_ms);
        let watch = config.watch.then(|| Watch::start(reloader.clone(), interval, seen)).transpose()?;
        tracing::info!(listen = %addresses.decision, threads = threads.len(), "decision service is listening");
        let parts = Mutex::new(Some(Parts { handles, threads, watch, control, stop }));
        Ok(Self {
            addresses,
            reloader,
            health,
            drain: trigger,
            control: handle,
            parts,
            ended: Arc::default(),
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The decider and its policy set.
    #[must_use]
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Builds the policy set anew and swaps it in whole. Blocks while it builds.
    ///
    /// # Errors
    /// Every fault found; the set that served before keeps serving.
    pub fn reload(&self) -> Result<Reloaded, Vec<Diagnostic>> {
        self.reloader.reload()
    }

    /// Says NOT_SERVING, takes no more connections, answers what is in progress
    /// and ends. Blocks up to `timeout`; true when every call was answered.
    /// Once it has ended, true.
    pub fn drain(&self, timeout: Duration) -> bool {
        // Held to the end: a second caller waits for the first one's drain.
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(parts) = parts.take() else { return true };
        set_health(&self.control, &self.health, false);
        drop(parts.watch);
        self.drain.begin();
        let until = tokio::time::Instant::now() + timeout;
        for handle in &parts.handles {
            handle.drain(until);
        }
        let mut clean = true;
        for thread in parts.threads {
            clean &= join(thread, until.into_std() + JOIN_GRACE);
        }
        self.reloader.decider().store().drain();
        let _ = parts.stop.send(());
        let _ = parts.control.join();
        tracing::info!(clean, "decision service has ended");
        *self.ended.done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.changed.notify_all();
        clean
    }

    /// Waits until the server has ended, at most `timeout`; true when it has.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        let done = self.ended.done.lock().unwrap_or_else(PoisonError::into_inner);
        let running = |done: &mut bool| !*done;
        match timeout {
            None => *self.ended.changed.wait_while(done, running).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = self.ended.changed.wait_timeout_while(done, timeout, running);
                *waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain(Duration::ZERO);
    }
}

/// Joins a thread that should have ended by `until`; a thread that hangs is left behind.
fn join(thread: JoinHandle<bool>, until: std::time::Instant) -> bool {
    while !thread.is_finished() {
        if std::time::Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    thread.join().unwrap_or(false)
}

/// Listeners reachable from outside in plaintext, said once in the log.
fn exposed(config: &ServerConfig, listeners: &Listeners) -> Vec<(&'static str, SocketAddr)> {
    let exposed: Vec<_> = config.exposed_in(listeners).collect();
    for (key, address) in &exposed {
        tracing::warn!(key, %address, "plaintext is reachable from outside, as `allow_plaintext` permits");
    }
    exposed
}

/// Has every request thread get ready for a set, and waits for them.
fn warm(threads: Vec<ThreadHandle>) -> reload::Warm {
    Box::new(move |set: &Arc<PolicySet>| {
        let (done, ready) = std::sync::mpsc::channel();
        for thread in &threads {
            thread.warm(set.clone(), done.clone());
        }
        drop(done);
        let until = std::time::Instant::now() + WARM_TIMEOUT;
        // Ends when all are ready, when all are gone, or when it takes too long.
        while ready.recv_timeout(until.saturating_duration_since(std::time::Instant::now())).is_ok() {}
    })
}
