//! What goes wrong with a store, by name.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Kinds of failure, each a value of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No answer in time.
    Timeout,
    /// No connection could be opened.
    Connect,
    /// The connection broke.
    Cut,
    /// NOAUTH, WRONGPASS, NOPERM.
    Denied,
    /// The server is a replica, or its replicas are gone (READONLY, NOREPLICAS).
    ReadOnly,
    /// The server has no memory left, or cannot save (OOM, MISCONF).
    Full,
    /// The server is starting or runs something long (LOADING, BUSY, TRYAGAIN).
    Busy,
    /// The Cluster serves not all slots (CLUSTERDOWN, MASTERDOWN).
    ClusterDown,
    /// The breaker is open: nothing was sent.
    Open,
    /// An answer that makes no sense.
    Protocol,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Timeout,
        Self::Connect,
        Self::Cut,
        Self::Denied,
        Self::ReadOnly,
        Self::Full,
        Self::Busy,
        Self::ClusterDown,
        Self::Open,
        Self::Protocol,
    ];

    /// The label's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Cut => "cut",
            Self::Denied => "denied",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Busy => "busy",
            Self::ClusterDown => "cluster_down",
            Self::Open => "breaker_open",
            Self::Protocol => "protocol",
        }
    }

    /// Whether waiting for a second failure would tell nothing new.
    pub(super) fn is_certain(self) -> bool {
        matches!(self, Self::Denied | Self::ReadOnly | Self::Full | Self::ClusterDown)
    }
}

/// Whether the server may have run what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It has not.
    No,
    /// Nobody knows: it was sent, and no answer came.
    Unknown,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}", kind = .kind.name())]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// Whether the server may have run it.
    pub executed: Executed,
    /// For people; never a secret.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, executed: Executed, message: impl Into<String>) -> Self {
        Self { kind, executed, message: message.into() }
    }

    pub(crate) fn connect(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Connect, Executed::No, message)
    }

    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Protocol, Executed::Unknown, message)
    }

    /// Of a call that was sent.
    pub(crate) fn sent(error: &RedisError) -> Self {
        if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) {
            return Self::answered(error);
        }
        Self::new(FailureKind::Cut, Executed::Unknown, error.to_string())
    }

    /// Of an error that the server answered.
    fn answered(error: &RedisError) -> Self {
        let code = error.code().unwrap_or("ERR");
        let kind = match code {
            "NOAUTH" | "WRONGPASS" | "NOPERM" => FailureKind::Denied,
            // A right that the script needs and the user lacks has no code of its own.
            "ERR" if error.detail().is_some_and(|detail| detail.contains("ACL failure in script")) => {
                FailureKind::Denied
            }
            "READONLY" | "NOREPLICAS" => FailureKind::ReadOnly,
            "OOM" | "MISCONF" => FailureKind::Full,
            "LOADING" | "BUSY" | "TRYAGAIN" => FailureKind::Busy,
            "CLUSTERDOWN" | "MASTERDOWN" | "MOVED" | "ASK" => FailureKind::ClusterDown,
            _ => FailureKind::Protocol,
        };
        let executed = match kind {
            // A script that failed in its middle may have written.
            FailureKind::Protocol if code != "NOSCRIPT" => Executed::Unknown,
            FailureKind::Denied if code == "ERR" => Executed::Unknown,
            _ => Executed::No,
        };
        // What a server says of the command may hold its arguments; they are hashes, but keep it short.
        let detail: String = error.detail().unwrap_or_default().chars().take(120).collect();
        Self::new(kind, executed, format!("{code} {detail}"))
    }

    /// Of a handshake.
    pub(super) fn opening(error: &RedisError) -> Self {
        let denied = matches!(error.kind(), ErrorKind::AuthenticationFailed)
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
        if denied {
            // The server repeats no password, and neither does this.
            return Self::new(FailureKind::Denied, Executed::No, "the server refused user or password");
        }
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => {
                Self { executed: Executed::No, ..Self::answered(error) }
            }
            _ => Self::connect(error.to_string()),
        }
    }
}

/// Whether the server forgot the script; it then ran nothing.
pub(super) fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
