//! Sends commands to the store, be it one server or a Cluster, and follows keys that move.
//!
//! The client library's own Cluster connection sends a command again when its connection breaks before
//! the answer; for a counter that could spend twice. Here a command is sent again only where the
//! server said that it did not run it (MOVED, ASK, TRYAGAIN, NOSCRIPT).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::failure::{Executed, Failure, FailureKind};
use super::hub::{Hub, Tally, lock};
use super::node::{Node, Refusal};
use super::options::Address;
use super::script::Call;
use super::slots::Slots;

/// Times that one command may be sent to another server.
const MOST_REDIRECTS: usize = 8;
/// Wait before a command whose keys are on the move is sent again.
const MOVING: Duration = Duration::from_millis(3);
/// Least time between two looks at the topology.
const REFRESH: Duration = Duration::from_millis(100);

/// Connections of one thread to the store. Use it on the runtime it was first used on.
pub struct Link {
    hub: Arc<Hub>,
    /// The only server, where it is no Cluster.
    single: Option<Arc<Node>>,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    topology: Mutex<Topology>,
}

#[derive(Default)]
struct Topology {
    slots: Option<Arc<Slots>>,
    refresh: Option<watch::Receiver<()>>,
    refreshed: Option<Instant>,
}

/// What is sent to one server.
enum Message<'a> {
    Command(&'a Cmd),
    Call(&'a Call),
}

impl Link {
    /// A link; connections are opened when they are needed.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Arc<Self> {
        let single = (!hub.options.cluster).then(|| hub.options.addresses.first()).flatten();
        let single = single.map(|address| Node::new(hub.clone(), address));
        Arc::new(Self { hub, single, nodes: Mutex::default(), topology: Mutex::default() })
    }

    /// When a call that starts now must be over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.hub.options.timeout
    }

    /// Sends a command on keys of one slot.
    ///
    /// # Errors
    /// The failure; it says whether the command may have run.
    pub async fn command(
        self: &Arc<Self>,
        slot: u16,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        self.send(slot, Message::Command(command), deadline).await
    }

    /// Runs a script.
    pub(crate) async fn call(self: &Arc<Self>, call: &Call, deadline: Instant) -> Result<Value, Failure> {
        self.send(call.slot, Message::Call(call), deadline).await
    }

    /// Sends commands on keys of one slot: in one message to a single server, else one by one. The
    /// first error is the answer.
    ///
    /// # Errors
    /// The first failure; it says whether that command may have run.
    pub async fn pipeline(
        self: &Arc<Self>,
        slot: u16,
        commands: &[Cmd],
        deadline: Instant,
    ) -> Result<Vec<Value>, Failure> {
        let Some(node) = &self.single else {
            let mut answers = Vec::with_capacity(commands.len());
            for command in commands {
                answers.push(self.command(slot, command, deadline).await?);
            }
            return Ok(answers);
        };
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let answers =
            node.pipeline(&pipeline, commands.len(), deadline).await.map_err(|it| self.last(node, it))?;
        let extract =
            |answer: Value| answer.extract_error().map_err(|error| self.note(node, Failure::sent(&error)));
        answers.into_iter().map(extract).collect()
    }

    async fn send(
        self: &Arc<Self>,
        slot: u16,
        message: Message<'_>,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let mut node = match &self.single {
            Some(node) => node.clone(),
            None => self.primary(slot, deadline).await?,
        };
        let (mut asking, mut whole) = (false, false);
        for _ in 0..MOST_REDIRECTS {
            let sent = match message {
                Message::Command(command) => node.command(command, asking, deadline).await,
                Message::Call(call) => node.command(&call.command(whole), asking, deadline).await,
            };
            match sent {
                Ok(answer) => return Ok(answer),
                Err(Refusal::NoScript) if !whole => {
                    Tally::add(&self.hub.tally.reloaded, 1);
                    whole = true;
                }
                Err(Refusal::Moved(address)) if self.single.is_none() => {
                    Tally::add(&self.hub.tally.redirects, 1);
                    self.refresh();
                    node = self.node(&address);
                    asking = false;
                }
                Err(Refusal::Ask(address)) if self.single.is_none() => {
                    Tally::add(&self.hub.tally.redirects, 1);
                    node = self.node(&address);
                    asking = true;
                }
                Err(Refusal::TryAgain) if self.single.is_none() => {
                    let until = (Instant::now() + MOVING).min(deadline);
                    tokio::time::sleep_until(until).await;
                    if until == deadline {
                        return Err(self.last(&node, Refusal::TryAgain));
                    }
                    asking = false;
                    node = self.primary(slot, deadline).await?;
                }
                Err(other) => return Err(self.last(&node, other)),
            }
        }
        let message = "the keys moved too often";
        Err(self.note(&node, Failure::new(FailureKind::Busy, Executed::No, message)))
    }

    /// The failure that a refusal is, where nothing else can be tried.
    fn last(self: &Arc<Self>, node: &Arc<Node>, refusal: Refusal) -> Failure {
        let failure = match refusal {
            Refusal::Failed(failure) => {
                if self.single.is_none() {
                    self.refresh();
                }
                return failure;
            }
            Refusal::NoScript => {
                Failure::new(FailureKind::Protocol, Executed::No, "NOSCRIPT after the script was sent")
            }
            Refusal::Moved(_) | Refusal::Ask(_) => Failure::new(
                FailureKind::ClusterDown,
                Executed::No,
                "the server is one of a Cluster; write `redis+cluster://` in `url`",
            ),
            Refusal::TryAgain => {
                Failure::new(FailureKind::Busy, Executed::No, "TRYAGAIN: keys are on the move")
            }
        };
        self.note(node, failure)
    }

    fn note(&self, node: &Node, failure: Failure) -> Failure {
        self.hub.failed(&node.server, &failure);
        failure
    }

    fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = lock(&self.nodes);
        nodes.entry(address.clone()).or_insert_with(|| Node::new(self.hub.clone(), address)).clone()
    }

    /// The primary of a slot; waits for the topology where it is not known yet.
    async fn primary(self: &Arc<Self>, slot: u16, deadline: Instant) -> Result<Arc<Node>, Failure> {
        let slots = lock(&self.topology).slots.clone();
        if let Some(address) = slots.as_ref().and_then(|slots| slots.primary(slot)) {
            return Ok(self.node(address));
        }
        if let Some(mut done) = self.refresh() {
            // The sender's end is the signal.
            let _ = timeout_at(deadline, done.changed()).await;
        }
        let slots = lock(&self.topology).slots.clone();
        match slots.as_ref().and_then(|slots| slots.primary(slot)) {
            Some(address) => Ok(self.node(address)),
            None => {
                let message = match slots {
                    None => "no server of the Cluster tells the topology",
                    Some(_) => "CLUSTERDOWN: no server holds the slot",
                };
                let failure = Failure::new(FailureKind::ClusterDown, Executed::No, message);
                let first = self.hub.options.addresses.first();
                Err(first.map_or(failure.clone(), |first| self.note(&self.node(first), failure)))
            }
        }
    }

    /// Looks at the topology in a task of its own, one at a time; `None` where it was looked at just
    /// now.
    fn refresh(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut topology = lock(&self.topology);
        if let Some(running) = &topology.refresh {
            return Some(running.clone());
        }
        if topology.refreshed.is_some_and(|at| at.elapsed() < REFRESH) {
            return None;
        }
        let (sender, receiver) = watch::channel(());
        topology.refresh = Some(receiver.clone());
        let mut places: Vec<Address> =
            topology.slots.iter().flat_map(|slots| slots.primaries().cloned()).collect();
        drop(topology);
        places.extend(self.hub.options.addresses.iter().cloned());
        places.dedup();
        let link = self.clone();
        tokio::spawn(async move {
            let slots = link.ask_topology(places).await;
            let mut topology = lock(&link.topology);
            if let Some(slots) = slots {
                topology.slots = Some(Arc::new(slots));
            }
            topology.refresh = None;
            topology.refreshed = Some(Instant::now());
            drop(sender);
        });
        Some(receiver)
    }

    async fn ask_topology(self: &Arc<Self>, places: Vec<Address>) -> Option<Slots> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        for address in places {
            let node = self.node(&address);
            let deadline = Instant::now() + self.hub.options.connect_timeout;
            if let Ok(answer) = node.command(&command, false, deadline).await
                && let Some(slots) = Slots::read(&answer, &address)
            {
                return Some(slots);
            }
        }
        None
    }
}
