//! A request as the engine trusts it: parsed and bounded at the edge.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_policy::{Float, Map};

use crate::decision::Question;
use crate::fact::StoredFacts;

/// Text shared between the request, its input document and the engines.
pub type Text = Arc<str>;

/// Sorted, unique pairs of text.
pub type Labels = Vec<(Text, Text)>;

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The caller's name for the request; not visible to policies.
    pub request_id: Option<Text>,
    /// When set, the answer must come from this revision.
    pub policy_revision: Option<Text>,
    /// Policies that must have applied.
    pub required_policies: Vec<Text>,
    /// Questions in the order of evaluation, each once, never empty.
    pub questions: Vec<Question>,
    /// What policies can see.
    pub facts: Facts,
    /// When the supplied fact groups were observed; not visible to policies.
    pub observed: Observed,
    /// What a store said of the documents that the request's policies name.
    pub stored: StoredFacts,
    /// Limits are read and not spent: what would this request be told?
    pub preview: bool,
    /// Hits are an estimate that a report corrects; the decision names what was spent.
    pub report_later: bool,
}

/// When fact groups were observed; `None` is with the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Of [`Facts::device`].
    pub device: Option<SystemTime>,
    /// Of [`Facts::location`].
    pub location: Option<SystemTime>,
    /// Of [`Facts::behaviour`].
    pub behaviour: Option<SystemTime>,
}

/// All that policies can see of a request.
///
/// INVARIANT: `Eq` and `Hash` cover every field, because a memoised answer is
/// found by them: a field left out would answer one request with another's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Tenant; `None` is the default tenant.
    pub tenant: Option<Text>,
    /// What is to be done.
    pub action: Option<Text>,
    /// Who asks.
    pub subject: Option<Subject>,
    /// What it is to be done to.
    pub resource: Option<Resource>,
    /// Function on whose behalf the question is asked.
    pub function: Option<Function>,
    /// Where the call or the payload goes.
    pub destination: Option<Destination>,
    /// Facts of the connection.
    pub transport: Option<Transport>,
    /// HTTP request behind the question.
    pub http: Option<HttpRequest>,
    /// Payload to scan.
    pub payload: Option<Payload>,
    /// How much a rate-limit question spends.
    pub limit: LimitSpend,
    /// The subject's device.
    pub device: Option<Device>,
    /// Where the request comes from.
    pub location: Option<Location>,
    /// Recent behaviour.
    pub behaviour: Option<Behaviour>,
    /// Open attributes.
    pub context: Option<Map>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Stable id.
    pub id: Text,
    /// Kind of subject.
    pub kind: Option<Text>,
    /// Roles.
    pub roles: Vec<Text>,
    /// Groups.
    pub groups: Vec<Text>,
    /// How the subject was authenticated; `None` is not at all.
    pub authentication: Option<Text>,
    /// Open attributes.
    pub attributes: Map,
}

/// What an action is done to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Id or path.
    pub id: Text,
    /// Kind of resource.
    pub kind: Option<Text>,
    /// Owning subject.
    pub owner: Option<Text>,
    /// Labels.
    pub labels: Labels,
    /// Open attributes.
    pub attributes: Map,
}

/// A serverless function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// Stable id.
    pub id: Text,
    /// Labels.
    pub labels: Labels,
    /// Roles it runs under.
    pub roles: Vec<Text>,
    /// Environment.
    pub environment: Option<Text>,
    /// Deployed version.
    pub version: Option<Text>,
    /// Open attributes.
    pub attributes: Map,
}

/// Kind of destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestinationKind {
    /// Another function of the estate.
    Function,
    /// A service of the estate.
    Service,
    /// Outside of the estate.
    External,
}

/// Where a call or payload goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Stable id.
    pub id: Text,
    /// Kind, where known.
    pub kind: Option<DestinationKind>,
    /// Host name or address.
    pub host: Option<Text>,
    /// Port.
    pub port: Option<u16>,
    /// Labels.
    pub labels: Labels,
    /// Open attributes.
    pub attributes: Map,
}

/// Facts of the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Transport {
    /// Address of the immediate peer, as written by [`std::net::IpAddr`].
    pub source_ip: Option<Text>,
    /// Negotiated TLS version.
    pub tls_version: Option<Text>,
    /// Negotiated cipher suite.
    pub tls_cipher: Option<Text>,
    /// Server name the client sent.
    pub server_name: Option<Text>,
    /// Verified identity of the peer.
    pub peer_identity: Option<Text>,
    /// Whether the connection is encrypted, where known.
    pub encrypted: Option<bool>,
}

/// The HTTP request behind a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HttpRequest {
    /// Method.
    pub method: Option<Text>,
    /// Path and query.
    pub path: Option<Text>,
    /// Authority.
    pub host: Option<Text>,
    /// Headers.
    pub headers: Labels,
}

/// A payload that is about to leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payload {
    /// The bytes.
    pub content: Arc<[u8]>,
    /// Media type.
    pub content_type: Option<Text>,
}

/// How much a rate-limit question spends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitSpend {
    /// Hits, at least 1.
    pub hits: u64,
    /// Values that limit keys may use.
    pub descriptors: Labels,
    /// Domain of Envoy's rate limit service. Where it is set, the limit lists of that domain answer, and
    /// no others; where it is not, lists without a domain.
    pub domain: Option<Text>,
    /// What the lists of `domain` are matched against: each an ordered list of keys with values.
    pub descriptor_sets: Vec<Vec<(Text, Text)>>,
    /// Hits of single descriptor sets, by position, in place of `hits`; 0 only reads. May be shorter.
    pub descriptor_hits: Vec<Option<u64>>,
    /// Limits that single descriptor sets bring along, by position, in place of the configured ones. May be
    /// shorter.
    pub descriptor_limits: Vec<Option<SpendLimit>>,
}

/// A limit that a request brings along; counted in a fixed window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpendLimit {
    /// Hits admitted within `window`; 0 admits nothing.
    pub limit: u64,
    /// Window.
    pub window: Duration,
}

impl LimitSpend {
    /// The limit that the descriptor set at `at` brings along.
    #[must_use]
    pub fn brought(&self, at: usize) -> Option<SpendLimit> {
        self.descriptor_limits.get(at).copied().flatten()
    }
}

impl Default for LimitSpend {
    fn default() -> Self {
        Self {
            hits: 1,
            descriptors: Vec::new(),
            domain: None,
            descriptor_sets: Vec::new(),
            descriptor_hits: Vec::new(),
            descriptor_limits: Vec::new(),
        }
    }
}

/// The subject's device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Device {
    /// Stable id.
    pub id: Option<Text>,
    /// Whether it is under management, where known.
    pub managed: Option<bool>,
    /// Whether it meets its posture policy, where known.
    pub compliant: Option<bool>,
    /// Operating system.
    pub os: Option<Text>,
    /// Version of the operating system.
    pub os_version: Option<Text>,
    /// Whether storage is encrypted, where known.
    pub disk_encrypted: Option<bool>,
    /// Open attributes.
    pub attributes: Map,
}

/// Where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// ISO 3166-1 alpha-2 code.
    pub country: Option<Text>,
    /// Region or subdivision.
    pub region: Option<Text>,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Whether the address is known as an anonymiser, where known.
    pub anonymous: Option<bool>,
}

/// Recent behaviour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Behaviour {
    /// Risk score, 0 to 1.
    pub score: Option<Float>,
    /// Signals that raised the score.
    pub signals: Vec<Text>,
}
