//! Facts shared through a real Valkey: what each home of facts keeps to, freshness, and every fault.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "test code: a panic is a failed test"
)]

mod faults;
mod freshness;
mod sharing;
mod valkey;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::fact::{FactDocument, FactKind, FactReading, FactStore};
use pdp_state::facts::{FactKey, FactPut, FactRegistry, value_from_json};
use serde_json::json;

pub(crate) fn key(id: &str) -> FactKey {
    FactKey { tenant: Some("shop".into()), kind: FactKind::Device, id: id.into() }
}

pub(crate) fn put(id: &str, version: Option<u64>, value: u64) -> FactPut {
    let value = value_from_json(&json!({ "n": value }));
    FactPut { key: key(id), value, version, source: "mdm".into(), observed_at: SystemTime::now(), ttl: None }
}

/// Stores one document and answers with its version.
pub(crate) fn store(node: &dyn FactRegistry, fact: FactPut) -> u64 {
    node.put(vec![fact], SystemTime::now()).wait().unwrap()[0]
}

pub(crate) fn read(node: &dyn FactStore, id: &str) -> FactReading {
    node.read(&[key(id).name()], SystemTime::now()).wait().remove(0)
}

/// The version that a node says, 0 where there is no document; `None` where it cannot say.
pub(crate) fn version(node: &dyn FactStore, id: &str) -> Option<u64> {
    match read(node, id) {
        FactReading::Found(found) => Some(found.version),
        FactReading::Absent => Some(0),
        FactReading::Unavailable => None,
    }
}

pub(crate) fn get(node: &dyn FactRegistry, id: &str) -> Option<Arc<FactDocument>> {
    node.get(vec![key(id)], SystemTime::now()).wait().unwrap().remove(0)
}

pub(crate) fn metric(node: &dyn FactRegistry, name: &str) -> f64 {
    node.metrics().into_iter().find(|metric| metric.name == name).unwrap().value
}

/// How old what is said may be.
pub(crate) const MAX_STALE: Duration = Duration::from_secs(1);
