//! A session with a server: a connection on which it tells of each change to what was read there.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, PushInfo, PushKind, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::super::cache::SessionId;
use super::{CHANNEL, wire};
use crate::redis::{
    Address, Connection, Executed, Failure, FailureKind, Hub, Key, Link, Names, Purpose, SALT,
};

/// A session. Dropping it closes the connection.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) connection: Connection,
    pub(super) pushes: UnboundedReceiver<PushInfo>,
    /// Whether the server tells of changes to what is read on this connection.
    pub(super) tracks: bool,
    /// Whether published changes arrive here.
    pub(super) subscribed: bool,
}

/// What a server told by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Push {
    /// These keys changed.
    Changed(Vec<Key>),
    /// Every key may have changed.
    AllChanged,
    /// A change was published.
    Published(Vec<u8>),
    /// The connection is gone.
    Gone,
    /// Nothing of interest.
    Other,
}

impl Session {
    /// Opens a session with the first server that takes one.
    ///
    /// Where the server knows no pushes or refuses to track, the session is one that reads only; what
    /// it fetched is then said for as long as it is young enough by itself.
    pub(super) async fn open(hub: Arc<Hub>, id: SessionId, watched: bool) -> Result<Self, Failure> {
        let mut last = Failure::connect("no server is named");
        for address in &hub.options.addresses {
            match Self::open_at(&hub, address, id, watched).await {
                Ok(session) => return Ok(session),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn open_at(hub: &Hub, address: &Address, id: SessionId, watched: bool) -> Result<Self, Failure> {
        let (sender, pushes) = unbounded_channel();
        let connection = match hub.open(address, Purpose { pushes: Some(sender) }).await {
            Ok(connection) => connection,
            // The server does not speak RESP3.
            Err(failure) if failure.kind == FailureKind::Protocol => {
                let connection = hub.open(address, Purpose::default()).await?;
                return Ok(Self { id, connection, pushes, tracks: false, subscribed: false });
            }
            Err(failure) => return Err(failure),
        };
        let mut session = Self { id, connection, pushes, tracks: false, subscribed: false };
        let wait = hub.options.connect_timeout;
        // On a Cluster, keys lie on many servers and this session is with one.
        if !hub.options.cluster {
            let mut track = redis::cmd("CLIENT");
            track.arg("TRACKING").arg("ON");
            session.tracks = session.ask(&track, wait).await.is_ok();
        }
        if watched || !session.tracks {
            let subscribed = subscribe(session.connection.clone(), wait).await;
            session.subscribed = subscribed.is_ok();
            // Those who watch must hear; a cache does without.
            if watched {
                subscribed?;
            }
        }
        Ok(session)
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn ask(&self, command: &Cmd, wait: Duration) -> Result<Value, Failure> {
        ask(self.connection.clone(), command, wait).await
    }
}

/// Has published changes arrive on a connection that takes pushes.
pub(super) async fn subscribe(mut connection: Connection, wait: Duration) -> Result<(), Failure> {
    match timeout(wait, connection.multiplexed.subscribe(CHANNEL)).await {
        Ok(answer) => answer.map_err(|error| Failure::sent(&error)),
        Err(_) => Err(late()),
    }
}

/// Sends a command on a connection and waits for its answer.
pub(super) async fn ask(mut connection: Connection, command: &Cmd, wait: Duration) -> Result<Value, Failure> {
    match timeout(wait, connection.multiplexed.send_packed_command(command)).await {
        Ok(answer) => answer.and_then(Value::extract_error).map_err(|error| Failure::sent(&error)),
        Err(_) => Err(late()),
    }
}

/// Reads keys in one message; each answer to [`wire::fetch`] may be an error.
pub(super) async fn fetch(
    mut connection: Connection,
    keys: &[Key],
    wait: Duration,
) -> Result<Vec<Value>, Failure> {
    let mut pipeline = Pipeline::with_capacity(2 * keys.len());
    for command in keys.iter().flat_map(wire::fetch) {
        pipeline.add_command(command);
    }
    match timeout(wait, connection.multiplexed.send_packed_commands(&pipeline, 0, 2 * keys.len())).await {
        Ok(answers) => answers.map_err(|error| Failure::sent(&error)),
        Err(_) => Err(late()),
    }
}

/// How names are hashed: with the bytes configured, or else with those agreed on in the store, which
/// are also answered. Where the store has lost those, what was agreed on before is proposed again.
pub(super) async fn names(
    link: &Arc<Link>,
    hub: &Hub,
    agreed: Option<Arc<[u8]>>,
) -> Result<(Names, Option<Arc<[u8]>>), Failure> {
    if let Some(secret) = &hub.options.key_secret {
        return Ok((Names::new(secret.reveal().as_bytes()), None));
    }
    let deadline = || tokio::time::Instant::now() + hub.options.connect_timeout;
    let mut get = redis::cmd("GET");
    get.arg(SALT);
    for _ in 0..2 {
        if let Value::BulkString(salt) = link.command(0, &get, deadline()).await? {
            return Ok((Names::new(&salt), Some(salt.into())));
        }
        let fresh = || uuid::Uuid::now_v7().simple().to_string().into_bytes().into();
        let mut propose = redis::cmd("SET");
        propose.arg(SALT).arg(&*agreed.clone().unwrap_or_else(fresh)).arg("NX");
        link.command(0, &propose, deadline()).await?;
    }
    Err(Failure::new(FailureKind::Protocol, Executed::No, "the salt was set and is not there"))
}

fn late() -> Failure {
    Failure::new(FailureKind::Timeout, Executed::Unknown, "no answer in time")
}

/// Reads a push.
pub(super) fn read_push(push: Option<PushInfo>) -> Push {
    let Some(PushInfo { kind, data }) = push else { return Push::Gone };
    match (kind, data.as_slice()) {
        (PushKind::Disconnection, _) => Push::Gone,
        (PushKind::Invalidate, [Value::Array(keys)]) => {
            let key = |value: &Value| match value {
                Value::BulkString(bytes) => Key::from_bytes(bytes),
                _ => None,
            };
            Push::Changed(keys.iter().filter_map(key).collect())
        }
        // A flush tells no keys; and what is not understood may be one.
        (PushKind::Invalidate, _) => Push::AllChanged,
        (PushKind::Message, [_, Value::BulkString(payload)]) => Push::Published(payload.clone()),
        _ => Push::Other,
    }
}
