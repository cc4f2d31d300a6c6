//! The input document: what Rego sees as `input` and CEL as its top-level names.
//!
//! Lists and maps exist whenever their message does; unset scalars are absent.

use std::cell::OnceCell;
use std::time::SystemTime;

use pdp_policy::{Float, Input, Key, Map, Value};

use crate::dlp::Finding;
use crate::fact::{Age, FactDocument, FactKinds, StoredFacts};
use crate::policy_set::Policy;
use crate::request::{
    Behaviour, Destination, DestinationKind, Device, Facts, Function, HttpRequest, Labels, LimitSpend,
    Location, Payload, Request, Resource, Subject, Text, Transport,
};

/// The documents of one request, each built when a policy is first evaluated on it: a memoised
/// answer needs none.
///
/// A policy sees the stored facts that it names and no others, so that what it answers does not
/// hang on the policies beside it. There is one document for each set of kinds that some policy names.
pub(crate) struct LazyInput<'a> {
    request: &'a Request,
    findings: Option<&'a [Finding]>,
    now: SystemTime,
    built: Built,
}

/// Documents that were needed so far.
#[derive(Default)]
pub(crate) struct Built {
    /// For policies that name no stored facts: most of them.
    plain: OnceCell<Input>,
    /// By the number of the set of kinds.
    stored: OnceCell<Box<[OnceCell<Input>; FactKinds::SETS]>>,
}

impl<'a> LazyInput<'a> {
    pub(crate) fn new(request: &'a Request, findings: Option<&'a [Finding]>, now: SystemTime) -> Self {
        Self { request, findings, now, built: Built::default() }
    }

    /// Goes on from documents that [`Self::into_built`] gave.
    pub(crate) fn built(request: &'a Request, now: SystemTime, built: Built) -> Self {
        Self { request, findings: None, now, built }
    }

    /// The documents that were needed so far.
    pub(crate) fn into_built(self) -> Built {
        self.built
    }

    /// What `policy` sees.
    pub(crate) fn of(&self, policy: &Policy) -> &Input {
        let kinds = policy.stored_kinds;
        let facts = &self.request.facts;
        let inputs = (!kinds.is_empty()).then(|| self.built.stored.get_or_init(Box::default));
        match inputs.and_then(|inputs| inputs.get(kinds.number())) {
            None => self.built.plain.get_or_init(|| Input::new(document(facts, self.findings, None))),
            Some(input) => input.get_or_init(|| {
                let stored = stored(&self.request.stored, kinds, self.now);
                Input::new(document(facts, self.findings, Some(stored)))
            }),
        }
    }
}

/// Builds the document. `findings` are given for an egress question only, `stored` for a policy
/// that names stored facts.
pub(crate) fn document(facts: &Facts, findings: Option<&[Finding]>, stored: Option<Map>) -> Value {
    let mut fields = Fields::with_capacity(16);
    fields.text("tenant", facts.tenant.as_ref());
    fields.text("action", facts.action.as_ref());
    fields.message("subject", facts.subject.as_ref().map(subject));
    fields.message("resource", facts.resource.as_ref().map(resource));
    fields.message("function", facts.function.as_ref().map(function));
    fields.message("destination", facts.destination.as_ref().map(destination));
    fields.message("transport", facts.transport.as_ref().map(transport));
    fields.message("http", facts.http.as_ref().map(http));
    fields.message("payload", facts.payload.as_ref().map(|p| payload(p, findings)));
    fields.message("limit", Some(limit(&facts.limit)));
    fields.message("device", facts.device.as_ref().map(device));
    fields.message("location", facts.location.as_ref().map(location));
    fields.message("behaviour", facts.behaviour.as_ref().map(behaviour));
    fields.message("context", facts.context.clone());
    fields.message("facts", stored);
    Value::Map(fields.finish())
}

/// The stored facts of `kinds` that were found.
pub(crate) fn stored(stored: &StoredFacts, kinds: FactKinds, now: SystemTime) -> Map {
    let mut fields = Fields::with_capacity(4);
    for (kind, document) in stored.found().filter(|(kind, _)| kinds.contains(*kind)) {
        fields.message(kind.name(), Some(stored_fact(document, now)));
    }
    fields.finish()
}

fn stored_fact(document: &FactDocument, now: SystemTime) -> Map {
    let mut fields = Fields::with_capacity(4);
    fields.message("value", Some(document.value.clone()));
    fields.put("age_seconds", Value::Int(Age::of(document.observed_at, now).seconds()));
    fields.put("version", Value::Int(i64::try_from(document.version).unwrap_or(i64::MAX)));
    fields.text("source", Some(&document.source));
    fields.finish()
}

/// Collects the fields of one message.
struct Fields(Vec<(Key, Value)>);

impl Fields {
    fn with_capacity(fields: usize) -> Self {
        Self(Vec::with_capacity(fields))
    }

    fn put(&mut self, name: &'static str, value: Value) {
        self.0.push((Key::Static(name), value));
    }

    fn text(&mut self, name: &'static str, value: Option<&Text>) {
        if let Some(text) = value {
            self.put(name, Value::Text(text.clone()));
        }
    }

    fn flag(&mut self, name: &'static str, value: Option<bool>) {
        if let Some(flag) = value {
            self.put(name, Value::Bool(flag));
        }
    }

    fn message(&mut self, name: &'static str, value: Option<Map>) {
        if let Some(map) = value {
            self.put(name, Value::Map(map));
        }
    }

    fn texts(&mut self, name: &'static str, values: &[Text]) {
        self.put(name, Value::List(values.iter().map(|text| Value::Text(text.clone())).collect()));
    }

    fn labels(&mut self, name: &'static str, labels: &Labels) {
        let map = labels.iter().map(|(key, value)| (Key::Owned(key.clone()), Value::Text(value.clone())));
        self.put(name, Value::Map(map.collect()));
    }

    fn finish(self) -> Map {
        Map::from_entries(self.0)
    }
}

fn subject(subject: &Subject) -> Map {
    let mut fields = Fields::with_capacity(6);
    fields.text("id", Some(&subject.id));
    fields.text("type", subject.kind.as_ref());
    fields.texts("roles", &subject.roles);
    fields.texts("groups", &subject.groups);
    fields.text("authentication", subject.authentication.as_ref());
    fields.message("attributes", Some(subject.attributes.clone()));
    fields.finish()
}

fn resource(resource: &Resource) -> Map {
    let mut fields = Fields::with_capacity(5);
    fields.text("id", Some(&resource.id));
    fields.text("type", resource.kind.as_ref());
    fields.text("owner", resource.owner.as_ref());
    fields.labels("labels", &resource.labels);
    fields.message("attributes", Some(resource.attributes.clone()));
    fields.finish()
}

fn function(function: &Function) -> Map {
    let mut fields = Fields::with_capacity(6);
    fields.text("id", Some(&function.id));
    fields.labels("labels", &function.labels);
    fields.texts("roles", &function.roles);
    fields.text("environment", function.environment.as_ref());
    fields.text("version", function.version.as_ref());
    fields.message("attributes", Some(function.attributes.clone()));
    fields.finish()
}

fn destination(destination: &Destination) -> Map {
    let mut fields = Fields::with_capacity(6);
    fields.text("id", Some(&destination.id));
    if let Some(kind) = destination.kind {
        fields.put("kind", Value::Text(kind.name().into()));
    }
    fields.text("host", destination.host.as_ref());
    if let Some(port) = destination.port {
        fields.put("port", Value::Int(port.into()));
    }
    fields.labels("labels", &destination.labels);
    fields.message("attributes", Some(destination.attributes.clone()));
    fields.finish()
}

impl DestinationKind {
    /// The kind as policies read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Service => "service",
            Self::External => "external",
        }
    }
}

fn transport(transport: &Transport) -> Map {
    let mut fields = Fields::with_capacity(6);
    fields.text("source_ip", transport.source_ip.as_ref());
    fields.text("tls_version", transport.tls_version.as_ref());
    fields.text("tls_cipher", transport.tls_cipher.as_ref());
    fields.text("server_name", transport.server_name.as_ref());
    fields.text("peer_identity", transport.peer_identity.as_ref());
    fields.flag("encrypted", transport.encrypted);
    fields.finish()
}

fn http(http: &HttpRequest) -> Map {
    let mut fields = Fields::with_capacity(4);
    fields.text("method", http.method.as_ref());
    fields.text("path", http.path.as_ref());
    fields.text("host", http.host.as_ref());
    fields.labels("headers", &http.headers);
    fields.finish()
}

fn payload(payload: &Payload, findings: Option<&[Finding]>) -> Map {
    let mut fields = Fields::with_capacity(3);
    fields.put("size", Value::Int(i64::try_from(payload.content.len()).unwrap_or(i64::MAX)));
    fields.text("content_type", payload.content_type.as_ref());
    fields.put("findings", Value::List(findings.unwrap_or(&[]).iter().map(finding).collect()));
    fields.finish()
}

fn finding(finding: &Finding) -> Value {
    let offset = |at: usize| Value::Int(i64::try_from(at).unwrap_or(i64::MAX));
    let mut fields = Fields::with_capacity(5);
    fields.put("detector", Value::text(finding.detector));
    fields.put("category", Value::text(finding.category));
    fields.put("start", offset(finding.start));
    fields.put("end", offset(finding.end));
    fields.put("confidence", Float::new(finding.confidence).map_or(Value::Null, Value::Float));
    Value::Map(fields.finish())
}

fn limit(limit: &LimitSpend) -> Map {
    let mut fields = Fields::with_capacity(2);
    fields.put("hits", Value::Int(i64::try_from(limit.hits).unwrap_or(i64::MAX)));
    fields.labels("descriptors", &limit.descriptors);
    fields.finish()
}

fn device(device: &Device) -> Map {
    let mut fields = Fields::with_capacity(7);
    fields.text("id", device.id.as_ref());
    fields.flag("managed", device.managed);
    fields.flag("compliant", device.compliant);
    fields.text("os", device.os.as_ref());
    fields.text("os_version", device.os_version.as_ref());
    fields.flag("disk_encrypted", device.disk_encrypted);
    fields.message("attributes", Some(device.attributes.clone()));
    fields.finish()
}

fn location(location: &Location) -> Map {
    let mut fields = Fields::with_capacity(4);
    fields.text("country", location.country.as_ref());
    fields.text("region", location.region.as_ref());
    if let Some(asn) = location.asn {
        fields.put("asn", Value::Int(asn.into()));
    }
    fields.flag("anonymous", location.anonymous);
    fields.finish()
}

fn behaviour(behaviour: &Behaviour) -> Map {
    let mut fields = Fields::with_capacity(2);
    if let Some(score) = behaviour.score {
        fields.put("score", Value::Float(score));
    }
    fields.texts("signals", &behaviour.signals);
    fields.finish()
}
