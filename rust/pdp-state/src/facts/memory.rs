//! Facts in memory: one node's, bounded by bytes.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use hashbrown::{Equivalent, HashMap as Table};
use pdp_engine::Reply;
use pdp_engine::fact::{FactDocument, FactName, FactReading, FactStore};

use super::bounds::{MAX_VERSION, check_keys, check_names, check_puts};
use super::document::{name_weight, weight};
use super::watch::Watchers;
use super::{FactChange, FactError, FactKey, FactOptions, FactPut, FactRegistry, FactWatch, TOMBSTONE};
use crate::store::Metric;

/// Facts in memory. Shared between threads.
#[derive(Debug)]
pub struct MemoryFacts {
    inner: RwLock<Inner>,
    max_bytes: u64,
    watchers: Watchers,
}

#[derive(Debug, Default)]
struct Inner {
    facts: Table<FactKey, Stored, ahash::RandomState>,
    /// What expires, by when: numbers of `names`.
    expiries: BTreeSet<(SystemTime, u64)>,
    names: HashMap<u64, FactKey>,
    next: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Stored {
    /// `None` is a tombstone.
    document: Option<Arc<FactDocument>>,
    version: u64,
    expires: Option<(SystemTime, u64)>,
    bytes: u64,
}

/// A borrowed name that finds its owned equal.
struct Named<'a>(FactName<'a>);

impl Hash for Named<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As the derived hash of `FactKey`: `Arc<str>` hashes as `str`.
        (self.0.tenant, self.0.kind, self.0.id).hash(state);
    }
}

impl Equivalent<FactKey> for Named<'_> {
    fn equivalent(&self, key: &FactKey) -> bool {
        self.0 == key.name()
    }
}

impl MemoryFacts {
    /// An empty store.
    #[must_use]
    pub fn new(options: &FactOptions) -> Self {
        Self {
            inner: RwLock::default(),
            max_bytes: options.memory_bytes,
            watchers: Watchers::new(options.watch_lag),
        }
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_all(&self, puts: Vec<FactPut>, now: SystemTime) -> Result<Vec<u64>, FactError> {
        check_puts(&puts)?;
        let mut inner = self.write_lock();
        inner.expire(now);
        let mut versions = Vec::with_capacity(puts.len());
        for (index, put) in puts.iter().enumerate() {
            versions.push(next_version(index, put.version, inner.version(&put.key))?);
        }
        let documents: Vec<_> =
            puts.into_iter().zip(&versions).map(|(put, version)| document(put, *version)).collect();
        let added: u64 = documents.iter().map(|(key, document, _)| weight(key, document)).sum();
        let freed: u64 =
            documents.iter().filter_map(|(key, ..)| inner.facts.get(key)).map(|it| it.bytes).sum();
        if (inner.bytes + added).saturating_sub(freed) > self.max_bytes {
            let message = format!("{} bytes are stored, {added} more pass {}", inner.bytes, self.max_bytes);
            return Err(FactError::Full(message));
        }
        for (key, document, ttl) in documents {
            let bytes = weight(&key, &document);
            let expires = ttl.and_then(|ttl| now.checked_add(ttl));
            inner.store(key.clone(), Some(document.clone()), document.version, expires, bytes);
            // Told under the lock: the order of changes is the order of versions.
            self.watchers.tell(FactChange::put(key, document));
        }
        Ok(versions)
    }

    fn delete_all(&self, keys: Vec<FactKey>, now: SystemTime) -> Result<u32, FactError> {
        check_keys(keys.iter())?;
        let mut inner = self.write_lock();
        inner.expire(now);
        let mut deleted = 0;
        for key in keys {
            let Some(stored) = inner.facts.get(&key).filter(|stored| stored.document.is_some()) else {
                continue;
            };
            let version = stored.version;
            deleted += 1;
            let bytes = name_weight(&key);
            inner.store(key.clone(), None, version, now.checked_add(TOMBSTONE), bytes);
            self.watchers.tell(FactChange::deleted(key, version));
        }
        Ok(deleted)
    }
}

/// The version that a put gets.
fn next_version(index: usize, given: Option<u64>, stored: u64) -> Result<u64, FactError> {
    let version = given.unwrap_or(stored.saturating_add(1));
    if version <= stored || version > MAX_VERSION {
        return Err(FactError::OldVersion { index, given: version, stored });
    }
    Ok(version)
}

fn document(put: FactPut, version: u64) -> (FactKey, Arc<FactDocument>, Option<Duration>) {
    let FactPut { key, value, source, observed_at, ttl, .. } = put;
    (key, Arc::new(FactDocument { value, version, source, observed_at }), ttl)
}

impl Inner {
    fn version(&self, key: &FactKey) -> u64 {
        self.facts.get(key).map_or(0, |stored| stored.version)
    }

    fn store(
        &mut self,
        key: FactKey,
        document: Option<Arc<FactDocument>>,
        version: u64,
        expires: Option<SystemTime>,
        bytes: u64,
    ) {
        self.next += 1;
        let expires = expires.map(|at| (at, self.next));
        if let Some(expiry) = expires {
            self.expiries.insert(expiry);
            self.names.insert(expiry.1, key.clone());
        }
        self.bytes += bytes;
        let before = self.facts.insert(key, Stored { document, version, expires, bytes });
        if let Some(before) = before {
            self.bytes = self.bytes.saturating_sub(before.bytes);
            if let Some(expiry) = before.expires {
                self.expiries.remove(&expiry);
                self.names.remove(&expiry.1);
            }
        }
    }

    /// Drops what has expired; it costs what it drops.
    fn expire(&mut self, now: SystemTime) {
        while let Some(expiry) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.remove(&expiry);
            if let Some(stored) = self.names.remove(&expiry.1).and_then(|key| self.facts.remove(&key)) {
                self.bytes = self.bytes.saturating_sub(stored.bytes);
            }
        }
    }

    fn find(&self, name: &FactName<'_>, now: SystemTime) -> Option<&Arc<FactDocument>> {
        let stored = self.facts.get(&Named(*name))?;
        let live = stored.expires.is_none_or(|(at, _)| now < at);
        stored.document.as_ref().filter(|_| live)
    }
}

impl FactStore for MemoryFacts {
    fn read(&self, names: &[FactName<'_>], now: SystemTime) -> Reply<Vec<FactReading>> {
        let inner = self.read_lock();
        let read = |name: &FactName<'_>| match inner.find(name, now) {
            Some(document) => FactReading::Found(document.clone()),
            None => FactReading::Absent,
        };
        Reply::Ready(names.iter().map(read).collect())
    }
}

impl FactRegistry for MemoryFacts {
    fn put(&self, puts: Vec<FactPut>, now: SystemTime) -> Reply<Result<Vec<u64>, FactError>> {
        Reply::Ready(self.put_all(puts, now))
    }

    fn get(
        &self,
        keys: Vec<FactKey>,
        now: SystemTime,
    ) -> Reply<Result<Vec<Option<Arc<FactDocument>>>, FactError>> {
        let found = check_names(&keys).map(|()| {
            let inner = self.read_lock();
            keys.iter().map(|key| inner.find(&key.name(), now).cloned()).collect()
        });
        Reply::Ready(found)
    }

    fn delete(&self, keys: Vec<FactKey>, now: SystemTime) -> Reply<Result<u32, FactError>> {
        Reply::Ready(self.delete_all(keys, now))
    }

    fn watch(&self) -> Reply<Result<FactWatch, FactError>> {
        Reply::Ready(Ok(self.watchers.watch()))
    }

    fn metrics(&self) -> Vec<Metric> {
        let inner = self.read_lock();
        vec![
            Metric::gauge("pdp_facts_stored", "Fact documents in memory.", inner.facts.len() as u64),
            Metric::gauge("pdp_facts_stored_bytes", "Bytes of fact documents in memory.", inner.bytes),
            Metric::gauge("pdp_facts_watchers", "Watchers of fact changes.", self.watchers.count() as u64),
        ]
    }
}
