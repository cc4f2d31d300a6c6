//! Stored facts: documents about subjects, devices, functions and destinations that others keep up to date.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_policy::Map;
use serde::Deserialize;

use crate::reply::Reply;
use crate::request::{Facts, Text};

/// How far in the future an observation may lie before it is not believed.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

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

/// What was read for one request, by kind.
#[derive(Clone, Debug, Default)]
pub struct StoredFacts([Option<FactReading>; 4]);

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FactKinds(u8);

/// Age of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// There is no such fact.
    Missing,
    /// The fact's age.
    Known(Duration),
    /// It was observed further in the future than clocks differ.
    Unbelievable,
}

impl StoredFacts {
    /// What a store said of each kind, in their order.
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = FactKind>, readings: Vec<FactReading>) -> Self {
        let mut stored = Self::default();
        for (kind, reading) in kinds.into_iter().zip(readings) {
            stored.put(kind, reading);
        }
        stored
    }

    /// Sets what is known of a kind.
    pub fn put(&mut self, kind: FactKind, reading: FactReading) {
        if let Some(slot) = self.0.get_mut(kind as usize) {
            *slot = Some(reading);
        }
    }

    /// What a store said of a kind; `None` where it was not asked.
    pub(crate) fn get(&self, kind: FactKind) -> Option<&FactReading> {
        self.0.get(kind as usize)?.as_ref()
    }

    /// The documents that were found.
    pub(crate) fn found(&self) -> impl Iterator<Item = (FactKind, &FactDocument)> {
        FactKind::ALL.into_iter().filter_map(|kind| match self.get(kind) {
            Some(FactReading::Found(document)) => Some((kind, &**document)),
            _ => None,
        })
    }
}

impl FactKinds {
    /// How many sets there are.
    pub(crate) const SETS: usize = 1 << FactKind::ALL.len();

    pub(crate) fn insert(&mut self, kind: FactKind) {
        self.0 |= 1 << kind as u8;
    }

    pub(crate) fn contains(self, kind: FactKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set's number, below [`Self::SETS`].
    pub(crate) fn number(self) -> usize {
        usize::from(self.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = FactKind> {
        FactKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<FactKind> for FactKinds {
    fn from_iter<I: IntoIterator<Item = FactKind>>(kinds: I) -> Self {
        let mut set = Self::default();
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

impl Age {
    /// The age at `now` of what was observed at `at`.
    pub(crate) fn of(at: SystemTime, now: SystemTime) -> Self {
        match now.duration_since(at) {
            Ok(age) => Self::Known(age),
            Err(ahead) if ahead.duration() <= CLOCK_SKEW => Self::Known(Duration::ZERO),
            Err(_) => Self::Unbelievable,
        }
    }

    /// The age in whole seconds, rounded up: a fact is never younger than it says.
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::Known(age) => {
                let partial = u64::from(age.subsec_nanos() > 0);
                i64::try_from(age.as_secs().saturating_add(partial)).unwrap_or(i64::MAX)
            }
            Self::Missing | Self::Unbelievable => i64::MAX,
        }
    }
}

impl FactKind {
    /// The id under which a request's document of this kind is stored, where it has one.
    pub(crate) fn id(self, facts: &Facts) -> Option<&Text> {
        match self {
            Self::Subject => facts.subject.as_ref().map(|subject| &subject.id),
            Self::Device => facts.device.as_ref().and_then(|device| device.id.as_ref()),
            Self::Function => facts.function.as_ref().map(|function| &function.id),
            Self::Destination => facts.destination.as_ref().map(|destination| &destination.id),
        }
    }

    /// The kind of a decision's fact that was stored: `facts.<kind>`.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Subject => "facts.subject",
            Self::Device => "facts.device",
            Self::Function => "facts.function",
            Self::Destination => "facts.destination",
        }
    }

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
