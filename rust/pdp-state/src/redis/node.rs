//! One server as one thread sees it: a connection that comes back by itself.

use std::sync::{Arc, Mutex};

use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::failure::{Executed, Failure, FailureKind, is_no_script};
use super::hub::{Hub, Server, Tally, lock};
use super::options::Address;
use super::socket::{Connection, Purpose};

/// Why a command was not answered.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It failed.
    Failed(Failure),
    /// The server does not know the script; nothing ran.
    NoScript,
    /// The slot lives elsewhere; nothing ran.
    Moved(Address),
    /// The slot is moving elsewhere; nothing ran.
    Ask(Address),
    /// Some keys have moved and others not; nothing ran.
    TryAgain,
}

/// One server.
pub(super) struct Node {
    hub: Arc<Hub>,
    pub(super) server: Arc<Server>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    /// Set while a connection is being opened.
    attempt: Option<watch::Receiver<Option<Failure>>>,
    opened: u64,
}

#[derive(Clone)]
struct Live {
    connection: Connection,
    id: u64,
    /// [`super::breaker::Breaker::opened`] when it was opened.
    epoch: u64,
}

impl Node {
    pub(super) fn new(hub: Arc<Hub>, address: &Address) -> Arc<Self> {
        let server = hub.server(address);
        Arc::new(Self { hub, server, state: Mutex::default() })
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn command(
        self: &Arc<Self>,
        command: &Cmd,
        asking: bool,
        deadline: Instant,
    ) -> Result<Value, Refusal> {
        if asking {
            let mut pipeline = Pipeline::new();
            pipeline.add_command(redis::cmd("ASKING")).add_command(command.clone());
            let answers = self.pipeline(&pipeline, 2, deadline).await?;
            let Some(answer) = answers.into_iter().nth(1) else {
                return Err(Refusal::Failed(Failure::protocol("an answer is missing")));
            };
            return answer.extract_error().map_err(|error| self.refusal(None, &error));
        }
        let live = self.live(deadline).await?;
        let mut connection = live.connection.multiplexed.clone();
        Tally::add(&self.hub.tally.calls, 1);
        let answer = timeout_at(deadline, connection.send_packed_command(command)).await;
        self.judge(&live, answer.map(|answer| answer.and_then(Value::extract_error)))
    }

    /// Sends commands as one message; each answer may be an error.
    pub(super) async fn pipeline(
        self: &Arc<Self>,
        pipeline: &Pipeline,
        answers: usize,
        deadline: Instant,
    ) -> Result<Vec<Value>, Refusal> {
        let live = self.live(deadline).await?;
        let mut connection = live.connection.multiplexed.clone();
        Tally::add(&self.hub.tally.calls, 1);
        let answer = timeout_at(deadline, connection.send_packed_commands(pipeline, 0, answers)).await;
        self.judge(&live, answer)
    }

    fn judge<T>(
        self: &Arc<Self>,
        live: &Live,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, Refusal> {
        match answer {
            Ok(Ok(answer)) => {
                self.server.breaker.succeeded();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.refusal(Some(live), &error)),
            Err(_) => {
                let message = format!("{}: no answer in time", self.server.address);
                Err(self.failed(Failure::new(FailureKind::Timeout, Executed::Unknown, message)))
            }
        }
    }

    fn refusal(self: &Arc<Self>, live: Option<&Live>, error: &RedisError) -> Refusal {
        if is_no_script(error) {
            return Refusal::NoScript;
        }
        let redirect = error.redirect_node().and_then(|(place, _)| self.place(place));
        match (error.code(), redirect) {
            (Some("MOVED"), Some(address)) => return Refusal::Moved(address),
            (Some("ASK"), Some(address)) => return Refusal::Ask(address),
            (Some("TRYAGAIN"), _) => return Refusal::TryAgain,
            _ => (),
        }
        let failure = Failure::sent(error);
        // A primary that became a replica: its name may lead to the new one.
        if matches!(failure.kind, FailureKind::Cut | FailureKind::ReadOnly | FailureKind::Denied)
            && let Some(live) = live
        {
            self.discard(live.id);
        }
        self.failed(failure)
    }

    fn failed(&self, failure: Failure) -> Refusal {
        self.hub.failed(&self.server, &failure);
        Refusal::Failed(failure)
    }

    /// Reads `host:port`; without a host it is this server's.
    fn place(&self, text: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() { &self.server.address.host } else { host };
        Some(Address { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
    }

    /// The connection; opens one where there is none.
    async fn live(self: &Arc<Self>, deadline: Instant) -> Result<Live, Refusal> {
        loop {
            if self.server.breaker.is_open() {
                let message = format!("{}: not asked until it answers a probe", self.server.address);
                return Err(self.failed(Failure::new(FailureKind::Open, Executed::No, message)));
            }
            let mut attempt = match self.live_or_attempt() {
                Ok(live) => return Ok(live),
                Err(attempt) => attempt,
            };
            match timeout_at(deadline, attempt.changed()).await {
                // The attempt succeeded and took its sender with it.
                Ok(Err(_)) => (),
                Ok(Ok(())) => {
                    // Whoever made the attempt has counted it.
                    let failure = attempt.borrow().clone();
                    return Err(Refusal::Failed(
                        failure.unwrap_or_else(|| Failure::connect("no connection")),
                    ));
                }
                Err(_) => {
                    let message = format!("{}: no connection in time", self.server.address);
                    return Err(self.failed(Failure::connect(message)));
                }
            }
        }
    }

    fn live_or_attempt(self: &Arc<Self>) -> Result<Live, watch::Receiver<Option<Failure>>> {
        let mut state = lock(&self.state);
        let epoch = self.server.breaker.opened();
        if let Some(live) = state.live.as_ref().filter(|live| live.epoch == epoch) {
            return Ok(live.clone());
        }
        state.live = None;
        if let Some(attempt) = &state.attempt
            && attempt.has_changed().is_ok()
        {
            return Err(attempt.clone());
        }
        let (sender, receiver) = watch::channel(None);
        state.attempt = Some(receiver.clone());
        // A task of its own, since opening may take longer than one caller waits.
        let node = self.clone();
        tokio::spawn(async move {
            match node.hub.open(&node.server.address, Purpose::default()).await {
                Ok(connection) => {
                    let mut state = lock(&node.state);
                    state.opened += 1;
                    state.live = Some(Live { connection, id: state.opened, epoch });
                    state.attempt = None;
                }
                Err(failure) => {
                    lock(&node.state).attempt = None;
                    node.hub.failed(&node.server, &failure);
                    // Nobody may be waiting.
                    let _ = sender.send(Some(failure));
                }
            }
        });
        Err(receiver)
    }

    fn discard(&self, id: u64) {
        let mut state = lock(&self.state);
        if state.live.as_ref().is_some_and(|live| live.id == id) {
            state.live = None;
        }
    }
}
