//! One shard of the counters: a table that forgets what has expired, a few slots at a time.

use hashbrown::HashTable;
use pdp_engine::limit::{Counter, CounterName};

use super::key::CounterKey;

/// Counters under one lock.
#[derive(Debug, Default)]
pub(super) struct Shard {
    table: HashTable<Entry>,
    /// Slot that the next sweep looks at.
    cursor: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    key: CounterKey,
    counter: Counter,
    expires_ns: u64,
}

impl Shard {
    pub(super) fn find(&self, hash: u64, name: &CounterName<'_>) -> Option<Counter> {
        self.table.find(hash, |entry| entry.hash == hash && entry.key.names(name)).map(|entry| entry.counter)
    }

    pub(super) fn store(&mut self, hash: u64, name: &CounterName<'_>, counter: Counter) {
        let expires_ns = counter.expires_ns(name.limit);
        if let Some(entry) = self.table.find_mut(hash, |entry| entry.hash == hash && entry.key.names(name)) {
            entry.counter = counter;
            entry.expires_ns = expires_ns;
            return;
        }
        let entry = Entry { hash, key: CounterKey::new(name), counter, expires_ns };
        self.table.insert_unique(hash, entry, |entry| entry.hash);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Drops expired counters among the next `slots` slots and returns how many.
    pub(super) fn sweep(&mut self, now_ns: u64, slots: usize) -> usize {
        let buckets = self.table.num_buckets();
        let mut evicted = 0;
        for _ in 0..slots.min(buckets) {
            self.cursor = if self.cursor + 1 < buckets { self.cursor + 1 } else { 0 };
            if let Ok(entry) = self.table.get_bucket_entry(self.cursor)
                && entry.get().expires_ns <= now_ns
            {
                entry.remove();
                evicted += 1;
            }
        }
        evicted
    }
}
