//! Fetches what is wanted, and keeps what may be kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pdp_engine::fact::FactReading;
use redis::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Done, Fetch, Fetcher, session, wire};
use crate::facts::cache::Entry;
use crate::facts::redis::NEGATIVE_BYTES;
use crate::redis::{Failure, Key, Link};

/// Keys of one fetch.
const FETCH_KEYS: usize = 256;

impl Fetcher {
    /// Sends for what is wanted.
    pub(super) fn send(&mut self) {
        if !self.flights.has_unsent() {
            return;
        }
        let Some(session) = &self.session else {
            // While the first attempt after a loss runs, readings wait for it, as long as they can.
            if self.failures > 0 {
                self.flights.fail_unsent();
            }
            return;
        };
        let (id, connection) = (session.id, session.connection.clone());
        let wait = self.read_time();
        while self.flights.has_unsent() {
            let keys = self.flights.take_unsent(FETCH_KEYS);
            let asked = self.shared.cache.now();
            self.shared.tally.fetches.fetch_add(1, Ordering::Relaxed);
            let (connection, link, cluster) =
                (connection.clone(), self.link.clone(), self.hub.options.cluster);
            self.tasks.spawn(async move {
                let wanted: Vec<Key> = keys.iter().map(|(key, _)| *key).collect();
                let answers = match cluster {
                    true => fetch_apart(&link, &wanted, wait).await,
                    false => session::fetch(connection, &wanted, wait).await,
                };
                Done::Fetched(Fetch { session: id, asked, keys, answers })
            });
        }
    }

    pub(super) fn fetched(&mut self, fetch: Fetch) {
        // A change that the server told before this answer must not be missed.
        self.take_pushes();
        let young = self.shared.cache.may_say(fetch.asked);
        let answers = fetch.answers.unwrap_or_default();
        let mut pairs = answers.chunks_exact(2);
        for (key, name) in &fetch.keys {
            let found = match pairs.next() {
                Some([fields, ttl]) if young => wire::read_fetched(name, fields, ttl),
                _ => None,
            };
            let Some(found) = found else {
                self.shared.tally.unreadable.fetch_add(1, Ordering::Relaxed);
                self.flights.land(key, &FactReading::Unavailable);
                continue;
            };
            let expires = found.ttl.map(|ttl| self.shared.cache.moment_in(ttl));
            let bytes = found.bytes.max(NEGATIVE_BYTES);
            let entry = Entry::new(name.clone(), found.document, fetch.session, fetch.asked, expires, bytes);
            let reading = entry.reading();
            if self.flights.land(key, &reading) {
                self.shared.cache.insert(*key, entry);
            }
        }
    }
}

/// Reads keys that may lie on several servers; the answers are those of one message.
pub(super) async fn fetch_apart(
    link: &Arc<Link>,
    keys: &[Key],
    wait: Duration,
) -> Result<Vec<Value>, Failure> {
    let deadline = Instant::now() + wait;
    let mut reads = JoinSet::new();
    for (position, key) in keys.iter().copied().enumerate() {
        let link = link.clone();
        reads.spawn(async move { (position, link.pipeline(key.slot(), &wire::fetch(&key), deadline).await) });
    }
    let mut answers = vec![Value::Nil; 2 * keys.len()];
    while let Some(read) = reads.join_next().await {
        let Ok((position, read)) = read else { continue };
        let places = answers.iter_mut().skip(2 * position);
        places.zip(read?).for_each(|(place, answer)| *place = answer);
    }
    Ok(answers)
}
