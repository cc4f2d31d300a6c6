//! Request ids that have spent and holders that were settled, with what they were told: bounded, oldest out
//! first.

use std::collections::VecDeque;

use hashbrown::HashTable;
use pdp_engine::limit::LimitOutcome;

/// Replays under one lock.
#[derive(Debug)]
pub(crate) struct Replays {
    capacity: usize,
    window_ns: u64,
    /// In order of insertion.
    queue: VecDeque<Replay>,
    /// Serial numbers by hash; the front of the queue has number `front`.
    index: HashTable<(u64, u64)>,
    front: u64,
}

#[derive(Debug)]
struct Replay {
    hash: u64,
    id: Box<[u8]>,
    fingerprint: u64,
    spent_ns: u64,
    outcomes: Box<[LimitOutcome]>,
}

impl Replays {
    /// Room for `capacity` ids, each remembered for `window_ns`.
    pub(crate) fn new(capacity: usize, window_ns: u64) -> Self {
        Self {
            capacity: capacity.max(1),
            window_ns,
            queue: VecDeque::new(),
            index: HashTable::new(),
            front: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// What the same request with the same demands, or the same holder, was told within the window.
    pub(crate) fn find(
        &self,
        hash: u64,
        id: &[u8],
        fingerprint: u64,
        now_ns: u64,
    ) -> Option<Vec<LimitOutcome>> {
        let replay = |serial: u64| self.queue.get(usize::try_from(serial - self.front).ok()?);
        let same = |found: &Replay| {
            found.hash == hash
                && found.fingerprint == fingerprint
                && *found.id == *id
                && self.is_alive(found, now_ns)
        };
        let &(_, serial) = self.index.find(hash, |&(_, serial)| replay(serial).is_some_and(same))?;
        replay(serial).map(|found| found.outcomes.to_vec())
    }

    /// Remembers a spend; returns how many living ids were forgotten for it.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        id: &[u8],
        fingerprint: u64,
        now_ns: u64,
        outcomes: &[LimitOutcome],
    ) -> u64 {
        let mut forgotten = 0;
        // Two at a time, so that what has expired shrinks while the window moves on.
        for _ in 0..2 {
            if self.queue.front().is_some_and(|oldest| !self.is_alive(oldest, now_ns)) {
                self.pop();
            }
        }
        while self.queue.len() >= self.capacity {
            self.pop();
            forgotten += 1;
        }
        let serial = self.front + self.queue.len() as u64;
        self.queue.push_back(Replay {
            hash,
            id: id.into(),
            fingerprint,
            spent_ns: now_ns,
            outcomes: outcomes.into(),
        });
        self.index.insert_unique(hash, (hash, serial), |entry| entry.0);
        forgotten
    }

    /// A clock that stepped back leaves a replay alive: it can only spend less.
    fn is_alive(&self, replay: &Replay, now_ns: u64) -> bool {
        now_ns.saturating_sub(replay.spent_ns) < self.window_ns
    }

    fn pop(&mut self) {
        let Some(oldest) = self.queue.pop_front() else { return };
        if let Ok(entry) = self.index.find_entry(oldest.hash, |entry| entry.1 == self.front) {
            entry.remove();
        }
        self.front += 1;
    }
}
