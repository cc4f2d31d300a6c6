//! Stored facts: documents with versions, in memory or shared through Redis, read from a cache that
//! knows how fresh it is.

pub(crate) mod bounds;
mod cache;
mod document;
mod memory;
mod redis;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::fact::{FactDocument, FactKind, FactName, FactStore};
use pdp_engine::{Reply, Text};
use pdp_policy::Map;

pub use self::bounds::{MAX_BATCH, MAX_ID_BYTES, MAX_VALUE_BYTES, MAX_VERSION};
pub use self::document::value_from_json;
pub use self::memory::MemoryFacts;
pub use self::redis::{CHANNEL, DELETE, PUT, RedisFacts, key};
pub use self::watch::{FactWatch, Lost};

use crate::store::Metric;

/// How long the version of a deleted document is remembered, so that an older one cannot come back.
pub const TOMBSTONE: Duration = Duration::from_secs(600);

/// Bounds of facts on one node.
#[derive(Clone, Debug)]
pub struct FactOptions {
    /// Bytes of documents that memory holds, where facts are kept there. Default 256 MiB.
    pub memory_bytes: u64,
    /// Bytes of documents that the cache before Redis holds. Default 64 MiB.
    pub cache_bytes: u64,
    /// How old what a cache says may be before it is not said. Default 1 s.
    pub max_stale: Duration,
    /// Changes that a slow watcher may lag behind before it is told that it lost some. Default 1,024.
    pub watch_lag: usize,
}

impl Default for FactOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            cache_bytes: 64 << 20,
            max_stale: Duration::from_secs(1),
            watch_lag: 1_024,
        }
    }
}

/// Names a document, and owns the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FactKey {
    /// Tenant; `None` is the default tenant.
    pub tenant: Option<Text>,
    /// What it is about.
    pub kind: FactKind,
    /// Which one.
    pub id: Text,
}

/// A document to store.
#[derive(Clone, Debug)]
pub struct FactPut {
    /// Its name.
    pub key: FactKey,
    /// What policies see.
    pub value: Map,
    /// Its version, above the stored one; `None` is one above it.
    pub version: Option<u64>,
    /// Who says so.
    pub source: Text,
    /// When the source observed it.
    pub observed_at: SystemTime,
    /// How long it is kept; `None` is until it is deleted.
    pub ttl: Option<Duration>,
}

/// A document that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactChange {
    /// Its name.
    pub key: FactKey,
    /// Its version; of a deleted one, the last it had.
    pub version: u64,
    /// The document; `None` where it was deleted.
    pub document: Option<Arc<FactDocument>>,
}

/// Why facts could not be stored, read or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactError {
    /// A name or document is out of bounds.
    #[error("{field}: {message}")]
    Invalid {
        /// Position in the batch.
        index: usize,
        /// Field of that document, such as `name.id`.
        field: &'static str,
        /// What is wrong, and how to fix it.
        message: String,
    },
    /// A version is not above the stored one.
    #[error("version {given} is not above the stored version {stored}")]
    OldVersion {
        /// Position in the batch.
        index: usize,
        /// The version given.
        given: u64,
        /// The version stored.
        stored: u64,
    },
    /// The store has no room.
    #[error("the fact store is full: {0}")]
    Full(String),
    /// The store did not answer.
    #[error("the fact store does not answer: {message}")]
    Unavailable {
        /// What happened; never a secret.
        message: String,
        /// Whether the change may have happened all the same.
        uncertain: bool,
    },
}

/// Documents that people and sources keep up to date.
pub trait FactRegistry: FactStore {
    /// Stores all documents, of one tenant, or none. Answers with the version of each.
    fn put(&self, puts: Vec<FactPut>, now: SystemTime) -> Reply<Result<Vec<u64>, FactError>>;

    /// Reads documents as they are in the store, past any cache.
    fn get(
        &self,
        keys: Vec<FactKey>,
        now: SystemTime,
    ) -> Reply<Result<Vec<Option<Arc<FactDocument>>>, FactError>>;

    /// Deletes documents of one tenant; answers with how many there were.
    fn delete(&self, keys: Vec<FactKey>, now: SystemTime) -> Reply<Result<u32, FactError>>;

    /// Tells of each change from the answer on, each document's in the order of its versions.
    fn watch(&self) -> Reply<Result<FactWatch, FactError>>;

    /// What it holds and did.
    fn metrics(&self) -> Vec<Metric>;
}

impl FactKey {
    /// The name, borrowed.
    #[must_use]
    pub fn name(&self) -> FactName<'_> {
        FactName { tenant: self.tenant.as_deref(), kind: self.kind, id: &self.id }
    }
}

impl From<&FactName<'_>> for FactKey {
    fn from(name: &FactName<'_>) -> Self {
        Self { tenant: name.tenant.map(Text::from), kind: name.kind, id: name.id.into() }
    }
}

impl FactChange {
    pub(crate) fn put(key: FactKey, document: Arc<FactDocument>) -> Self {
        Self { key, version: document.version, document: Some(document) }
    }

    pub(crate) fn deleted(key: FactKey, version: u64) -> Self {
        Self { key, version, document: None }
    }
}
