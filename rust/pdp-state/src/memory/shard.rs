//! One shard of the counters: a table that forgets what has expired, a few slots at a time.

use hashbrown::HashTable;
use pdp_engine::limit::{Counter, CounterName, Holds};
use uuid::Uuid;

use super::key::CounterKey;

/// Counters under one lock.
#[derive(Debug, Default)]
pub(super) struct Shard {
    table: HashTable<Entry>,
    /// Slot that the next sweep looks at.
    cursor: usize,
    /// Latest moment that a sweep was told.
    now_ns: u64,
    /// Holds that ended or were given back, and that the store still counts.
    ended_holds: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    key: CounterKey,
    counter: Counter,
    /// Of concurrency limits; the counter is their sum.
    holds: Option<Box<Holds>>,
    expires_ns: u64,
}

impl Shard {
    /// The counter as it stands at `now_ns`.
    pub(super) fn find(&mut self, hash: u64, name: &CounterName<'_>, now_ns: u64) -> Option<Counter> {
        let entry = self.table.find_mut(hash, |entry| entry.hash == hash && entry.key.names(name))?;
        if let Some(holds) = &mut entry.holds {
            let before = holds.len();
            entry.counter = Counter::Concurrency(holds.state(now_ns));
            self.ended_holds += before - holds.len();
        }
        Some(entry.counter)
    }

    /// Time until `hits` more can be held.
    pub(super) fn retry_held(
        &self,
        hash: u64,
        name: &CounterName<'_>,
        hits: u64,
        now_ns: u64,
    ) -> Option<u128> {
        let entry = self.table.find(hash, |entry| entry.hash == hash && entry.key.names(name));
        let holds = entry.and_then(|entry| entry.holds.as_deref());
        holds.map_or_else(
            || (hits <= name.limit.limit).then_some(0),
            |it| it.retry_ns(hits, name.limit.limit, now_ns),
        )
    }

    /// Keeps `counter`. What a concurrency limit holds more than before, `holder` holds from now on; the
    /// caller has a place for that hold.
    pub(super) fn store(
        &mut self,
        hash: u64,
        name: &CounterName<'_>,
        counter: Counter,
        holder: Uuid,
        now_ns: u64,
    ) {
        let found = self.table.find_mut(hash, |entry| entry.hash == hash && entry.key.names(name));
        let entry = match found {
            Some(entry) => entry,
            None => {
                let holds = name.limit.is_held().then(Box::default);
                let entry = Entry { hash, key: CounterKey::new(name), counter, holds, expires_ns: 0 };
                self.table.insert_unique(hash, entry, |entry| entry.hash).into_mut()
            }
        };
        entry.counter = counter;
        entry.expires_ns = counter.expires_ns(name.limit);
        if let (Some(holds), Counter::Concurrency(state)) = (&mut entry.holds, counter) {
            let before = holds.len();
            let taken = state.held.saturating_sub(holds.state(now_ns).held);
            self.ended_holds += before - holds.len();
            if taken > 0 {
                let window_ns = u64::try_from(name.limit.window.as_nanos()).unwrap_or(u64::MAX);
                let before = holds.len();
                holds.take(holder, taken, now_ns.saturating_add(window_ns));
                // A holder that held before needs no second place.
                self.ended_holds += (before + 1).saturating_sub(holds.len());
            }
            entry.expires_ns = holds.expires_ns();
        }
    }

    /// Gives back what `holder` holds of a counter.
    pub(super) fn give_back_held(&mut self, hash: u64, name: &CounterName<'_>, holder: Uuid) {
        let found = self.table.find_mut(hash, |entry| entry.hash == hash && entry.key.names(name));
        let Some(entry) = found else { return };
        if let Some(holds) = &mut entry.holds {
            let before = holds.len();
            holds.give_back(holder);
            self.ended_holds += before - holds.len();
            entry.expires_ns = holds.expires_ns();
        }
    }

    /// Forgets a counter; says whether it was there, and whether it still said anything.
    pub(super) fn remove(&mut self, hash: u64, name: &CounterName<'_>) -> (bool, bool) {
        let found = self.table.find_entry(hash, |entry| entry.hash == hash && entry.key.names(name));
        let Ok(entry) = found else { return (false, false) };
        let (removed, _) = entry.remove();
        self.ended_holds += removed.holds.map_or(0, |holds| holds.len());
        (true, removed.expires_ns > self.now_ns)
    }

    /// Latest moment that the shard knows of.
    pub(super) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Holds that ended since the last call.
    pub(super) fn take_ended_holds(&mut self) -> usize {
        std::mem::take(&mut self.ended_holds)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(super) fn holds(&self) -> usize {
        self.table.iter().filter_map(|entry| entry.holds.as_ref()).map(|holds| holds.len()).sum()
    }

    /// Drops expired counters among the next `slots` slots and returns how many.
    pub(super) fn sweep(&mut self, now_ns: u64, slots: usize) -> usize {
        self.now_ns = now_ns;
        let buckets = self.table.num_buckets();
        let mut evicted = 0;
        for _ in 0..slots.min(buckets) {
            self.cursor = if self.cursor + 1 < buckets { self.cursor + 1 } else { 0 };
            if let Ok(entry) = self.table.get_bucket_entry(self.cursor)
                && entry.get().expires_ns <= now_ns
            {
                let (removed, _) = entry.remove();
                self.ended_holds += removed.holds.map_or(0, |holds| holds.len());
                evicted += 1;
            }
        }
        evicted
    }
}
