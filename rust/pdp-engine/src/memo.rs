//! Remembers what pure policies answered to equal facts.
//!
//! The key is the whole of what policies can see, compared in full, beside the
//! question; a worker's memo lives and dies with its policy set. Failures are
//! never kept.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use pdp_policy::{Map, Value};
use quick_cache::unsync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::decision::Question;
use crate::request::Facts;
use crate::worker::stage::Stage;

/// Bytes an entry may hold on average.
const ENTRY_BYTES: u64 = 4096;

/// A worker's memo.
pub(crate) struct Memo {
    cache: Cache<Owned, Arc<Stage>, ByBytes, ahash::RandomState>,
}

#[derive(Clone, PartialEq, Eq)]
struct Owned {
    question: Question,
    facts: Facts,
}

struct Borrowed<'a> {
    question: Question,
    facts: &'a Facts,
}

#[derive(Clone)]
struct ByBytes;

impl Hash for Owned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrowed { question: self.question, facts: &self.facts }.hash(state);
    }
}

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.question.hash(state);
        self.facts.hash(state);
    }
}

impl Equivalent<Owned> for Borrowed<'_> {
    fn equivalent(&self, key: &Owned) -> bool {
        self.question == key.question && *self.facts == key.facts
    }
}

impl Weighter<Owned, Arc<Stage>> for ByBytes {
    fn weight(&self, key: &Owned, _stage: &Arc<Stage>) -> u64 {
        // 1 KiB stands for the outcomes and the entry's own overhead.
        1024 + key.facts.context.as_ref().map_or(0, map_bytes) + attribute_bytes(&key.facts)
    }
}

impl Memo {
    /// A memo for about `entries` answers; `None` for 0.
    pub(crate) fn new(entries: usize) -> Option<Self> {
        let bytes = (entries as u64).checked_mul(ENTRY_BYTES).filter(|bytes| *bytes > 0)?;
        let cache = Cache::with(entries, bytes, ByBytes, ahash::RandomState::new(), Default::default());
        Some(Self { cache })
    }

    pub(crate) fn get(&mut self, question: Question, facts: &Facts) -> Option<Arc<Stage>> {
        self.cache.get(&Borrowed { question, facts }).cloned()
    }

    pub(crate) fn insert(&mut self, question: Question, facts: &Facts, stage: Arc<Stage>) {
        self.cache.insert(Owned { question, facts: facts.clone() }, stage);
    }
}

fn attribute_bytes(facts: &Facts) -> u64 {
    let maps = [
        facts.subject.as_ref().map(|subject| &subject.attributes),
        facts.resource.as_ref().map(|resource| &resource.attributes),
        facts.function.as_ref().map(|function| &function.attributes),
        facts.destination.as_ref().map(|destination| &destination.attributes),
        facts.device.as_ref().map(|device| &device.attributes),
    ];
    let headers = facts.http.iter().flat_map(|http| &http.headers);
    let header_bytes = headers.map(|(name, value)| (name.len() + value.len()) as u64).sum::<u64>();
    maps.into_iter().flatten().map(map_bytes).sum::<u64>() + header_bytes
}

fn map_bytes(map: &Map) -> u64 {
    map.iter().map(|(key, value)| 32 + key.as_str().len() as u64 + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::Text(text) => text.len() as u64,
        Value::Bytes(bytes) => bytes.len() as u64,
        Value::List(items) => items.iter().map(|item| 32 + value_bytes(item)).sum(),
        Value::Map(map) => map_bytes(map),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    }
}
