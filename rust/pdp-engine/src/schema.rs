//! The input document's schema: what policies may read, and what is always there.
//!
//! It mirrors the messages of the contract; `input.rs` fills it.

use pdp_policy::schema::{Field, Schema, Shape};

use crate::decision::Question;
use crate::fact::FactKind;

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, guaranteed: false }
}

const fn always(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, guaranteed: true }
}

const TEXTS: Shape = Shape::List(&Shape::Text);
const LABELS: Shape = Shape::Map(&Shape::Text);
const OPEN: Shape = Shape::Map(&Shape::Any);

/// What CEL policies and limit expressions may read.
pub const REQUEST: Schema = Schema {
    fields: &[
        optional("tenant", Shape::Text),
        optional("action", Shape::Text),
        optional("subject", Shape::Message(SUBJECT)),
        optional("resource", Shape::Message(RESOURCE)),
        optional("function", Shape::Message(FUNCTION)),
        optional("destination", Shape::Message(DESTINATION)),
        optional("transport", Shape::Message(TRANSPORT)),
        optional("http", Shape::Message(HTTP)),
        optional("payload", Shape::Message(PAYLOAD)),
        optional("limit", Shape::Message(LIMIT)),
        optional("device", Shape::Message(DEVICE)),
        optional("location", Shape::Message(LOCATION)),
        optional("behaviour", Shape::Message(BEHAVIOUR)),
        optional("context", OPEN),
        optional("facts", Shape::Message(FACTS)),
        optional("now", Shape::Now),
    ],
    // CEL reserves the word `function`.
    cel_names: &[("workload", "function")],
};

const SUBJECT: &[Field] = &[
    always("id", Shape::Text),
    optional("type", Shape::Text),
    always("roles", TEXTS),
    always("groups", TEXTS),
    optional("authentication", Shape::Text),
    always("attributes", OPEN),
];

const RESOURCE: &[Field] = &[
    always("id", Shape::Text),
    optional("type", Shape::Text),
    optional("owner", Shape::Text),
    always("labels", LABELS),
    always("attributes", OPEN),
];

const FUNCTION: &[Field] = &[
    always("id", Shape::Text),
    always("labels", LABELS),
    always("roles", TEXTS),
    optional("environment", Shape::Text),
    optional("version", Shape::Text),
    always("attributes", OPEN),
];

const DESTINATION: &[Field] = &[
    always("id", Shape::Text),
    optional("kind", Shape::Text),
    optional("host", Shape::Text),
    optional("port", Shape::Int),
    always("labels", LABELS),
    always("attributes", OPEN),
];

const TRANSPORT: &[Field] = &[
    optional("source_ip", Shape::Text),
    optional("tls_version", Shape::Text),
    optional("tls_cipher", Shape::Text),
    optional("server_name", Shape::Text),
    optional("peer_identity", Shape::Text),
    optional("encrypted", Shape::Bool),
];

const HTTP: &[Field] = &[
    optional("method", Shape::Text),
    optional("path", Shape::Text),
    optional("host", Shape::Text),
    always("headers", LABELS),
];

const FINDING: &[Field] = &[
    always("detector", Shape::Text),
    always("category", Shape::Text),
    always("start", Shape::Int),
    always("end", Shape::Int),
    always("confidence", Shape::Float),
];

const PAYLOAD: &[Field] = &[
    always("size", Shape::Int),
    optional("content_type", Shape::Text),
    always("findings", Shape::List(&Shape::Message(FINDING))),
];

const LIMIT: &[Field] = &[always("hits", Shape::Int), always("descriptors", LABELS)];

const DEVICE: &[Field] = &[
    optional("id", Shape::Text),
    optional("managed", Shape::Bool),
    optional("compliant", Shape::Bool),
    optional("os", Shape::Text),
    optional("os_version", Shape::Text),
    optional("disk_encrypted", Shape::Bool),
    always("attributes", OPEN),
];

const LOCATION: &[Field] = &[
    optional("country", Shape::Text),
    optional("region", Shape::Text),
    optional("asn", Shape::Int),
    optional("anonymous", Shape::Bool),
];

const BEHAVIOUR: &[Field] = &[optional("score", Shape::Float), always("signals", TEXTS)];

const FACTS: &[Field] = &[
    optional("subject", Shape::Message(FACT)),
    optional("device", Shape::Message(FACT)),
    optional("function", Shape::Message(FACT)),
    optional("destination", Shape::Message(FACT)),
];

const FACT: &[Field] = &[
    always("value", OPEN),
    always("age_seconds", Shape::Int),
    always("version", Shape::Int),
    always("source", Shape::Text),
];

/// Input paths that are there whenever a policy that requires stored facts of `kinds` is evaluated.
#[must_use]
pub fn guaranteed_facts(kinds: &[FactKind]) -> Vec<String> {
    let mut paths = Vec::new();
    for kind in kinds {
        let fact = format!("input.facts.{}", kind.name());
        paths.extend(FACT.iter().map(|field| format!("{fact}.{}", field.name)));
        paths.push(fact);
    }
    if !paths.is_empty() {
        paths.push("input.facts".to_owned());
    }
    paths
}

/// Input paths that are there whenever a policy of this kind is evaluated: the
/// messages its question requires, with their guaranteed fields.
#[must_use]
pub fn guaranteed(kind: Question) -> Vec<String> {
    let required: &[&str] = match kind {
        Question::Access => &["action", "subject", "resource", "limit"],
        Question::Segmentation => &["function", "destination", "limit"],
        Question::Egress => &["function", "destination", "payload", "limit"],
        Question::RateLimit => &["limit"],
    };
    let mut paths = Vec::new();
    for field in REQUEST.fields.iter().filter(|field| required.contains(&field.name)) {
        paths.push(format!("input.{}", field.name));
        if let Shape::Message(fields) = field.shape {
            let inner = fields.iter().filter(|inner| inner.guaranteed);
            paths.extend(inner.map(|inner| format!("input.{}.{}", field.name, inner.name)));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{FactDocument, FactKinds, FactReading, StoredFacts};
    use crate::input;
    use crate::request::{
        Behaviour, Destination, Device, Facts, Function, HttpRequest, Location, Payload, Resource, Subject,
        Transport,
    };
    use pdp_policy::{Map, Value};
    use std::sync::Arc;
    use std::time::SystemTime;

    /// Facts with every message present and every optional field absent.
    fn sparse() -> Facts {
        let attributes = Map::default;
        Facts {
            tenant: Some("t".into()),
            action: Some("read".into()),
            subject: Some(Subject {
                id: "s".into(),
                kind: None,
                roles: vec![],
                groups: vec![],
                authentication: None,
                attributes: attributes(),
            }),
            resource: Some(Resource {
                id: "r".into(),
                kind: None,
                owner: None,
                labels: vec![],
                attributes: attributes(),
            }),
            function: Some(Function {
                id: "f".into(),
                labels: vec![],
                roles: vec![],
                environment: None,
                version: None,
                attributes: attributes(),
            }),
            destination: Some(Destination {
                id: "d".into(),
                kind: None,
                host: None,
                port: None,
                labels: vec![],
                attributes: attributes(),
            }),
            transport: Some(Transport::default()),
            http: Some(HttpRequest::default()),
            payload: Some(Payload { content: [].into(), content_type: None }),
            device: Some(Device::default()),
            location: Some(Location::default()),
            behaviour: Some(Behaviour::default()),
            context: Some(Map::default()),
            ..Facts::default()
        }
    }

    /// A document of every kind.
    fn stored() -> Option<Map> {
        let document = FactDocument {
            value: Map::default(),
            version: 1,
            source: "mdm".into(),
            observed_at: SystemTime::UNIX_EPOCH,
        };
        let mut stored = StoredFacts::default();
        for kind in FactKind::ALL {
            stored.put(kind, FactReading::Found(Arc::new(document.clone())));
        }
        let kinds = FactKind::ALL.into_iter().collect::<FactKinds>();
        Some(input::stored(&stored, kinds, SystemTime::UNIX_EPOCH))
    }

    fn assert_guaranteed(fields: &[Field], value: &Value, path: &str) {
        for field in fields.iter().filter(|field| field.guaranteed) {
            assert!(value.get(field.name).is_some(), "{path}.{} is guaranteed and absent", field.name);
        }
    }

    #[test]
    fn guaranteed_fields_are_there_when_all_that_is_optional_is_not() {
        let document = input::document(&sparse(), Some(&[]), stored());
        for field in REQUEST.fields {
            if let (Shape::Message(fields), Some(value)) = (field.shape, document.get(field.name)) {
                assert_guaranteed(fields, value, field.name);
            }
        }
    }

    #[test]
    fn document_holds_only_declared_names() {
        let document = input::document(&sparse(), Some(&[]), stored());
        for (key, value) in document.as_map().unwrap() {
            let field = REQUEST.fields.iter().find(|field| field.name == key.as_str()).unwrap();
            let Shape::Message(fields) = field.shape else { continue };
            for (inner, _) in value.as_map().unwrap() {
                assert!(
                    fields.iter().any(|f| f.name == inner.as_str()),
                    "{}.{}",
                    key.as_str(),
                    inner.as_str()
                );
            }
        }
    }
    #[test]
    fn every_path_guaranteed_of_a_required_fact_is_there() {
        let document = input::document(&sparse(), None, stored());
        for path in guaranteed_facts(&FactKind::ALL) {
            let found = path.split('.').skip(1).try_fold(&document, |at, step| at.get(step));
            assert!(found.is_some(), "{path} is guaranteed and absent");
        }
        assert!(guaranteed_facts(&[]).is_empty());
    }
}
