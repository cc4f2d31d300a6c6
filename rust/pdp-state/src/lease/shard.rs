//! One shard of the leases: a table, and which lease to look at next, so that nothing scans.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::HashTable;
use pdp_engine::limit::CounterName;

use super::flight::Flight;
use super::held::{Lease, Spare};
use super::owned::OwnedCounter;
use crate::memory::key::same_counter;

/// What was done under one lock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) admitted: u64,
    pub(super) refused: u64,
    pub(super) missed: u64,
    pub(super) exact: u64,
    pub(super) full: u64,
    pub(super) grants: u64,
    pub(super) failed: u64,
    pub(super) granted_hits: u64,
    pub(super) spent_hits: u64,
    pub(super) given_back_hits: u64,
    pub(super) lapsed_hits: u64,
}

/// A lease and whose it is.
#[derive(Debug)]
pub(super) struct Entry {
    hash: u64,
    serial: u64,
    pub(super) counter: Arc<OwnedCounter>,
    pub(super) lease: Lease,
    pub(super) flight: Option<Flight>,
    /// When it is looked at next.
    due_ns: u64,
}

/// Which lease of a shard, without its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseId {
    pub(super) hash: u64,
    pub(super) serial: u64,
}

/// Hits to give back before the lock is released.
pub(super) type Returns = Vec<(Arc<OwnedCounter>, Spare)>;

/// Leases under one lock.
#[derive(Debug, Default)]
pub(super) struct Shard {
    table: HashTable<Entry>,
    /// When to look at which lease. A place that does not agree with its lease is out of date.
    due: BinaryHeap<Reverse<(u64, u64, u64)>>,
    next_serial: u64,
    pub(super) tally: Tally,
}

impl Entry {
    pub(super) fn id(&self) -> LeaseId {
        LeaseId { hash: self.hash, serial: self.serial }
    }

    /// Moves hits that may not be used any more to `returns`.
    pub(super) fn expire(&mut self, now_ns: u64, all: bool, tally: &mut Tally, returns: &mut Returns) {
        for spare in self.lease.expire(now_ns, all).into_iter().flatten() {
            tally.spare(&spare);
            returns.push((Arc::clone(&self.counter), spare));
        }
    }
}

impl Tally {
    pub(super) fn spare(&mut self, spare: &Spare) {
        let hits = if spare.lapsed { &mut self.lapsed_hits } else { &mut self.given_back_hits };
        *hits += spare.hits;
    }
}

impl Shard {
    pub(super) fn find(&mut self, hash: u64, name: &CounterName<'_>) -> Option<(&mut Entry, &mut Tally)> {
        let same = |entry: &Entry| entry.hash == hash && same_counter(&entry.counter.name(), name);
        Some((self.table.find_mut(hash, same)?, &mut self.tally))
    }

    pub(super) fn get(&mut self, id: LeaseId) -> Option<(&mut Entry, &mut Tally)> {
        Some((self.table.find_mut(id.hash, |entry| entry.serial == id.serial)?, &mut self.tally))
    }

    /// Adds an empty lease.
    pub(super) fn insert(&mut self, hash: u64, name: &CounterName<'_>, now_ns: u64) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let counter = Arc::new(OwnedCounter::new(name));
        let lease = Lease::new(now_ns);
        let entry = Entry { hash, serial, counter, lease, flight: None, due_ns: u64::MAX };
        self.table.insert_unique(hash, entry, |entry| entry.hash);
        self.schedule(LeaseId { hash, serial }, now_ns);
    }

    /// Sees to it that the lease is looked at in time.
    pub(super) fn schedule(&mut self, id: LeaseId, now_ns: u64) {
        let Some(entry) = self.table.find_mut(id.hash, |entry| entry.serial == id.serial) else { return };
        let due_ns = entry.lease.due_ns(now_ns).unwrap_or(now_ns);
        if due_ns < entry.due_ns {
            entry.due_ns = due_ns;
            self.due.push(Reverse((due_ns, id.hash, id.serial)));
        }
    }

    /// Forgets a lease with the hits that it holds; true where there was one.
    pub(super) fn remove(&mut self, hash: u64, name: &CounterName<'_>) -> bool {
        let same = |entry: &Entry| entry.hash == hash && same_counter(&entry.counter.name(), name);
        let Ok(entry) = self.table.find_entry(hash, same) else { return false };
        let ((removed, _), tally) = (entry.remove(), &mut self.tally);
        tally.lapsed_hits += removed.lease.available();
        true
    }

    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        self.due.peek().is_some_and(|Reverse((due_ns, ..))| *due_ns <= now_ns)
    }

    /// Looks at up to `most` leases whose time has come; returns how many were forgotten.
    pub(super) fn sweep(&mut self, now_ns: u64, most: usize, returns: &mut Returns) -> usize {
        let mut forgotten = 0;
        for _ in 0..most {
            if !self.is_due(now_ns) {
                break;
            }
            let Some(Reverse((due_ns, hash, serial))) = self.due.pop() else { break };
            // A lease that was reset is gone already.
            let Ok(mut found) = self.table.find_entry(hash, |entry| entry.serial == serial) else { continue };
            let entry = found.get_mut();
            if entry.due_ns != due_ns {
                continue;
            }
            entry.expire(now_ns, false, &mut self.tally, returns);
            match entry.lease.due_ns(now_ns) {
                Some(due_ns) => {
                    entry.due_ns = due_ns;
                    self.due.push(Reverse((due_ns, hash, serial)));
                }
                None => {
                    found.remove();
                    forgotten += 1;
                }
            }
        }
        forgotten
    }

    /// Takes all hits that no spend holds.
    pub(super) fn release(&mut self, now_ns: u64, returns: &mut Returns) {
        for entry in &mut self.table {
            entry.expire(now_ns, true, &mut self.tally, returns);
        }
    }
}
