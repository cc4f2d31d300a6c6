//! What to send, where to, and how hard.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::LoadError;
use crate::expect::Expectation;

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadConfig {
    /// Where requests go.
    pub target: Target,
    /// What is sent, over and over, in order.
    pub requests: Requests,
    /// What answers must be; each request names one of these by its index.
    pub expectations: Vec<Expectation>,
    /// How requests are paced.
    pub load: Load,
    /// Threads, each with a share of the connections and a runtime of its own.
    #[serde(default = "one_thread")]
    pub threads: usize,
    /// Time before measuring starts. Answers are checked all the same.
    #[serde(default = "default_warm_up")]
    pub warm_up_seconds: f64,
    /// Time that is measured.
    pub duration_seconds: f64,
    /// How long answers may be outstanding once the time is over.
    #[serde(default = "default_grace")]
    pub grace_seconds: f64,
    /// Decisions one request asks for; above 1 for batches.
    #[serde(default = "one_decision")]
    pub decisions_per_request: u32,
}

/// Where requests go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// How they travel.
    pub protocol: Protocol,
    /// Address and port; plaintext.
    pub address: SocketAddr,
    /// Path, such as `/pdp.v1.PolicyDecisionService/Check` or `/v1/data/access`.
    pub path: String,
}

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Unary gRPC; a request is an encoded message.
    Grpc,
    /// `CheckStream`; a request is an encoded `CheckRequest` without `request_id`.
    CheckStream,
    /// HTTP/1.1 POST with a JSON body; a connection carries one request at a time.
    Http,
}

/// What is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requests {
    /// A file of records: index of the expectation (`u16`), length of the body
    /// (`u32`), both little-endian, and the body.
    File(PathBuf),
    /// Requests written out.
    Inline(Vec<InlineRequest>),
}

/// One request written out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InlineRequest {
    /// Body in hexadecimal digits.
    pub body_hex: String,
    /// Index of its expectation.
    #[serde(default)]
    pub expectation: u16,
}

/// How requests are paced.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Load {
    /// As many as the target answers: each answer starts the next request.
    Closed {
        /// Connections.
        connections: usize,
        /// Requests in flight on each.
        in_flight: usize,
    },
    /// At a fixed rate, whether or not the target keeps up. Latency counts
    /// from the moment a request was due.
    Open {
        /// Connections.
        connections: usize,
        /// Requests a second, over all connections.
        rate: f64,
    },
}

impl LoadConfig {
    /// Checks ranges that types do not.
    ///
    /// # Errors
    /// [`LoadError::Config`] naming the field.
    pub(crate) fn validate(&self) -> Result<(), LoadError> {
        let (connections, in_flight, rate) = match self.load {
            Load::Closed { connections, in_flight } => (connections, in_flight, 1.0),
            Load::Open { connections, rate } => (connections, 1, rate),
        };
        let faults = [
            (connections == 0 || connections > 4096, "load.connections must be 1 to 4096"),
            (in_flight == 0 || in_flight > 4096, "load.in_flight must be 1 to 4096"),
            (!(rate > 0.0 && rate <= 1e7), "load.rate must be above 0 and at most 10,000,000"),
            (
                self.threads == 0 || self.threads > connections,
                "threads must be 1 to the number of connections",
            ),
            (
                !(self.warm_up_seconds >= 0.0 && self.warm_up_seconds <= 600.0),
                "warm_up_seconds must be 0 to 600",
            ),
            (
                !(self.duration_seconds > 0.0 && self.duration_seconds <= 3600.0),
                "duration_seconds must be above 0 and at most 3600",
            ),
            (
                !(self.grace_seconds > 0.0 && self.grace_seconds <= 600.0),
                "grace_seconds must be above 0 and at most 600",
            ),
            (self.decisions_per_request == 0, "decisions_per_request must be 1 or more"),
            (self.expectations.is_empty(), "expectations must not be empty"),
        ];
        match faults.iter().find(|(faulty, _)| *faulty) {
            Some((_, message)) => Err(LoadError::Config((*message).to_owned())),
            None => Ok(()),
        }
    }
}

impl Load {
    /// Connections over all threads.
    pub(crate) fn connections(&self) -> usize {
        match *self {
            Self::Closed { connections, .. } | Self::Open { connections, .. } => connections,
        }
    }
}

fn one_thread() -> usize {
    1
}

fn one_decision() -> u32 {
    1
}

fn default_warm_up() -> f64 {
    1.0
}

fn default_grace() -> f64 {
    5.0
}
