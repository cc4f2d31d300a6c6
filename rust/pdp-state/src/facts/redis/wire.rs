//! What is sent to the store and how its answers and messages read.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::fact::FactDocument;
use redis::{Cmd, Value};
use serde::Deserialize;

use super::super::document::{envelope, from_micros, micros, name_json, read_envelope, weight};
use super::super::{FactChange, FactError, FactKey, FactPut, TOMBSTONE};
use super::{CHANNEL, DELETE, PUT};
use crate::redis::Key;

/// What a fetch found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) document: Option<Arc<FactDocument>>,
    /// How long the store keeps it.
    pub(super) ttl: Option<Duration>,
    /// Bytes it takes here.
    pub(super) bytes: u64,
}

/// The head of a change that was published; the rest is an envelope.
#[derive(Deserialize)]
struct Head {
    v: String,
    #[serde(default)]
    s: String,
    #[serde(default)]
    o: String,
}

/// Reads a document.
pub(super) fn fetch(key: &Key) -> [Cmd; 2] {
    let mut fields = redis::cmd("HMGET");
    fields.arg(key.as_bytes()).arg("v").arg("d").arg("s").arg("o");
    let mut ttl = redis::cmd("PTTL");
    ttl.arg(key.as_bytes());
    [fields, ttl]
}

/// What the answers to [`fetch`] say of `key`; `None` where they make no sense.
pub(super) fn read_fetched(key: &FactKey, fields: &Value, ttl: &Value) -> Option<Fetched> {
    let Value::Array(fields) = fields else { return None };
    let [version, document, source, observed] = fields.as_slice() else { return None };
    let ttl = match ttl {
        Value::Int(ms) => u64::try_from(*ms).ok().map(Duration::from_millis),
        _ => return None,
    };
    // A tombstone has a version and no document.
    if *document == Value::Nil {
        return Some(Fetched { ttl: None, ..Fetched::default() });
    }
    let found = read_document(text(document)?, text(version)?, text(source)?, text(observed)?)?;
    if found.0 != *key {
        return None;
    }
    let bytes = weight(key, &found.1) + Key::LENGTH as u64;
    Some(Fetched { document: Some(Arc::new(found.1)), ttl, bytes })
}

/// Reads a change that was published.
pub(super) fn read_change(payload: &[u8]) -> Option<FactChange> {
    let (head, body) = std::str::from_utf8(payload).ok()?.split_once('\n')?;
    let head: Head = serde_json::from_str(head).ok()?;
    if head.o.is_empty() {
        let (key, _) = read_envelope(body)?;
        return Some(FactChange::deleted(key, head.v.parse().ok()?));
    }
    let (key, document) = read_document(body, &head.v, &head.s, &head.o)?;
    Some(FactChange::put(key, Arc::new(document)))
}

fn read_document(body: &str, version: &str, source: &str, observed: &str) -> Option<(FactKey, FactDocument)> {
    let (key, value) = read_envelope(body)?;
    let document = FactDocument {
        value: value?,
        version: version.parse().ok()?,
        source: source.into(),
        observed_at: from_micros(observed.parse().ok()?),
    };
    Some((key, document))
}

/// Stores documents whose values are `jsons`, under `keys`.
pub(super) fn put(keys: &[Key], puts: &[FactPut], jsons: &[String]) -> Cmd {
    let mut command = script(PUT, keys);
    command.arg(CHANNEL);
    for (put, json) in puts.iter().zip(jsons) {
        command
            .arg(put.version.map(|version| version.to_string()).unwrap_or_default())
            .arg(envelope(&put.key, json))
            .arg(&*put.source)
            .arg(observed(put.observed_at))
            .arg(put.ttl.map(|ttl| ttl.as_millis().to_string()).unwrap_or_default());
    }
    command
}

/// An empty text is no time: what lies before 1970 was observed in 1970.
fn observed(at: SystemTime) -> String {
    micros(at).to_string()
}

/// What the answer to [`put`] says.
pub(super) fn read_put(answer: &Value) -> Option<Result<Vec<u64>, FactError>> {
    let Value::Array(parts) = answer else { return None };
    let (outcome, rest) = parts.split_first()?;
    let numbers: Vec<u64> = rest.iter().map(|it| text(it)?.parse().ok()).collect::<Option<_>>()?;
    match (text(outcome)?, numbers.as_slice()) {
        ("ok", _) => Some(Ok(numbers)),
        ("old", [index, given, stored]) => {
            let index = usize::try_from(*index).unwrap_or_default();
            Some(Err(FactError::OldVersion { index, given: *given, stored: *stored }))
        }
        _ => None,
    }
}

/// Deletes documents.
pub(super) fn delete(keys: &[Key], names: &[FactKey]) -> Cmd {
    let mut command = script(DELETE, keys);
    command.arg(CHANNEL).arg(TOMBSTONE.as_millis().to_string());
    for name in names {
        command.arg(name_json(name));
    }
    command
}

/// What the answer to [`delete`] says.
pub(super) fn read_deleted(answer: &Value) -> Option<u32> {
    match answer {
        Value::Int(deleted) => u32::try_from(*deleted).ok(),
        _ => None,
    }
}

/// The script goes along each time: changes are rare, and a server that forgot it needs no second try.
fn script(text: &str, keys: &[Key]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(keys.len());
    for key in keys {
        command.arg(key.as_bytes());
    }
    command
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
