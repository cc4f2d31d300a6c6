//! Stored facts: documents about subjects, devices, functions and destinations that others keep up to date.

use std::sync::Arc;
use std::time::SystemTime;

use pdp_policy::Map;
use serde::Deserialize;

use crate::reply::Reply;
use crate::request::Text;

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// The request's `subject.id`.
    Subject,
    /// The request's `device.id`.
    Device,
    /// The request's `function.id`.
    Function,
    /// The request's `destination.id`.
    Destination,
}

/// Names a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FactName<'a> {
    /// Tenant; `None` is the default tenant.
    pub tenant: Option<&'a str>,
    /// What it is about.
    pub kind: FactKind,
    /// Which one.
    pub id: &'a str,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FactDocument {
    /// What policies see as `facts.<kind>.value`.
    pub value: Map,
    /// Version, ascending; given by the source.
    pub version: u64,
    /// Who says so.
    pub source: Text,
    /// When the source observed it.
    pub observed_at: SystemTime,
}

/// What a store said of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactReading {
    /// The document, as fresh as the store promises.
    Found(Arc<FactDocument>),
    /// There is none.
    Absent,
    /// The store could not say in time, or not freshly enough.
    Unavailable,
}

/// Reads documents.
pub trait FactStore: Send + Sync {
    /// Reads each name, in their order.
    fn read(&self, names: &[FactName<'_>], now: SystemTime) -> Reply<Vec<FactReading>>;
}

impl FactKind {
    /// Every kind, in the order of the input document.
    pub const ALL: [Self; 4] = [Self::Subject, Self::Device, Self::Function, Self::Destination];

    /// The kind as the manifest and policies spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Device => "device",
            Self::Function => "function",
            Self::Destination => "destination",
        }
    }
}
