//! The cache before a shared store: what it holds, and until when it may be said.
//!
//! An entry was true when it was fetched. While the server tells this node of each change (a session
//! that tracks), an entry of that session was also true when the server last answered a heartbeat, for
//! what it told before that answer has been taken in. An entry is said while either lies at most
//! `max_stale` back: however the connection dies, what is said was true that short a time ago.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pdp_engine::fact::{FactDocument, FactReading};
use quick_cache::Weighter;
use quick_cache::sync::Cache as Table;

use super::FactKey;
use crate::redis::Key;

/// Bits of [`Cache::confirmed`] that hold milliseconds: 34 years.
const TIME_BITS: u32 = 40;

/// Numbers sessions; 0 tracks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionId(u32);

/// Milliseconds since the cache was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// A document, or that there is none, with what is known of its freshness.
pub(super) struct Entry {
    pub(super) name: FactKey,
    pub(super) document: Option<Arc<FactDocument>>,
    pub(super) session: SessionId,
    /// When it was asked for: it was true later than that.
    pub(super) fetched: Moment,
    /// When the store drops it.
    pub(super) expires: Option<Moment>,
    pub(super) bytes: u64,
    /// Whether it was read since it was fetched.
    used: AtomicBool,
    /// Whether someone has asked to fetch it again.
    refreshing: AtomicBool,
}

/// What the cache says of a name.
pub(super) enum Look {
    /// What may be said, and whether it should be fetched again in the background.
    Fresh(FactReading, bool),
    /// Nothing.
    Miss,
}

/// Entries by key, bounded by bytes. Shared between threads; a read takes no more than a shard's read lock.
pub(super) struct Cache {
    table: Table<Key, Arc<Entry>, ByBytes, ahash::RandomState>,
    started: Instant,
    max_stale: u64,
    /// The session that tracks, above [`TIME_BITS`], and through when it is confirmed.
    confirmed: AtomicU64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Arc<Entry>> for ByBytes {
    fn weight(&self, _key: &Key, entry: &Arc<Entry>) -> u64 {
        entry.bytes.max(1)
    }
}

impl SessionId {
    /// The session after this one.
    pub(super) fn next(self) -> Self {
        Self((self.0 + 1) % (1 << (64 - TIME_BITS)))
    }
}

impl Entry {
    pub(super) fn new(
        name: FactKey,
        document: Option<Arc<FactDocument>>,
        session: SessionId,
        fetched: Moment,
        expires: Option<Moment>,
        bytes: u64,
    ) -> Self {
        let (used, refreshing) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { name, document, session, fetched, expires, bytes, used, refreshing }
    }

    /// What the entry says.
    pub(super) fn reading(&self) -> FactReading {
        self.document.as_ref().map_or(FactReading::Absent, |found| FactReading::Found(found.clone()))
    }

    /// Whether it was read since it was fetched.
    pub(super) fn used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

impl Cache {
    pub(super) fn new(bytes: u64, max_stale: Duration) -> Self {
        // An entry takes a few hundred bytes at least.
        let entries = usize::try_from(bytes / 512).unwrap_or(usize::MAX).clamp(16, 1 << 24);
        let hasher = ahash::RandomState::new();
        Self {
            table: Table::with(entries, bytes, ByBytes, hasher, Default::default()),
            started: Instant::now(),
            max_stale: millis(max_stale).max(1),
            confirmed: AtomicU64::new(0),
        }
    }

    /// Now, rounded down.
    pub(super) fn now(&self) -> Moment {
        Moment(millis(self.started.elapsed()))
    }

    /// A time to come, rounded down.
    pub(super) fn moment_in(&self, wait: Duration) -> Moment {
        Moment(millis(self.started.elapsed() + wait))
    }

    /// Whether what was true at `at` may still be said.
    pub(super) fn may_say(&self, at: Moment) -> bool {
        self.left(at).is_some()
    }

    /// A new session tracks from now on; what an earlier one confirmed is worth its own time only.
    pub(super) fn begin(&self, session: SessionId) {
        self.confirmed.store(u64::from(session.0) << TIME_BITS, Ordering::Release);
    }

    /// All that `session` told up to `through` has been taken in.
    pub(super) fn confirm(&self, session: SessionId, through: Moment) {
        let (tracking, before) = self.confirmed();
        if tracking == session && before < through {
            self.confirmed.store((u64::from(session.0) << TIME_BITS) | through.0, Ordering::Release);
        }
    }

    /// The session that tracks, and through when it is confirmed.
    pub(super) fn confirmed(&self) -> (SessionId, Moment) {
        let packed = self.confirmed.load(Ordering::Acquire);
        let session = u32::try_from(packed >> TIME_BITS).unwrap_or_default();
        (SessionId(session), Moment(packed & ((1 << TIME_BITS) - 1)))
    }

    pub(super) fn look(&self, key: &Key) -> Look {
        // INVARIANT: looked at before the table is. Whatever was told before `through` has left the table
        // by then; an entry that is found was true at `through`.
        let (session, through) = self.confirmed();
        let Some(entry) = self.table.get(key) else { return Look::Miss };
        let told = session != SessionId::default() && session == entry.session;
        let basis = if told { entry.fetched.max(through) } else { entry.fetched };
        let Some(left) = self.left(basis) else { return Look::Miss };
        if entry.expires.is_some_and(|at| at <= self.now()) {
            return Look::Miss;
        }
        if !entry.used() {
            entry.used.store(true, Ordering::Relaxed);
        }
        let again = left < self.max_stale / 2 && !entry.refreshing.swap(true, Ordering::Relaxed);
        Look::Fresh(entry.reading(), again)
    }

    pub(super) fn insert(&self, key: Key, entry: Entry) {
        self.table.insert(key, Arc::new(entry));
    }

    pub(super) fn remove(&self, key: &Key) -> Option<Arc<Entry>> {
        self.table.remove(key).map(|(_, entry)| entry)
    }

    pub(super) fn clear(&self) {
        self.table.clear();
    }

    /// Entries, and their bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.table.len(), self.table.weight())
    }

    /// How long what was true at `at` may still be said.
    fn left(&self, at: Moment) -> Option<u64> {
        self.max_stale.checked_sub(self.now().0.saturating_sub(at.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
