//! Keeps a session, proves that it lives, and takes in what it tells.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::PushInfo;
use tokio::time::Instant;

use super::orders::{refuse, unreachable_store};
use super::{Agreed, Done, Fetcher, session, wire};
use crate::facts::cache::{Moment, SessionId};
use crate::facts::redis::key;
use crate::facts::redis::session::{Push, Session, read_push};
use crate::redis::{Failure, Key};

/// First and longest wait between attempts to open a session.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

impl Fetcher {
    /// Opens a session where there is none and it is time.
    pub(super) fn keep_session(&mut self) {
        if self.session.is_some() || self.opening || Instant::now() < self.open_at {
            return;
        }
        self.opening = true;
        let (hub, link, id) = (self.hub.clone(), self.link.clone(), self.last_session.next());
        let (watched, salt) = (self.shared.watchers.count() > 0, self.salt.clone());
        self.last_session = id;
        self.tasks.spawn(async move {
            let opened = async {
                let session = Session::open(hub.clone(), id, watched).await?;
                Ok((session, session::names(&link, &hub, salt).await?))
            };
            Done::Opened(opened.await)
        });
    }

    /// Asks the session whether it lives; one that did not answer the last time is dead.
    pub(super) fn beat(&mut self, now: Instant) {
        let Some(session) = &self.session else { return };
        let every = self.shared.max_stale / 3;
        self.beat_at = now + every.max(Duration::from_millis(1));
        if let Some(sent) = self.beating {
            if now.duration_since(sent) > self.shared.max_stale {
                self.lose_session("it does not answer");
            }
            return;
        }
        self.beating = Some(now);
        let (id, asked) = (session.id, self.shared.cache.now());
        let (connection, link, hub) = (session.connection.clone(), self.link.clone(), self.hub.clone());
        let (wait, salt) = (self.shared.max_stale, self.salt.clone());
        self.tasks.spawn(async move {
            let answered = async {
                session::ask(connection, &redis::cmd("PING"), wait).await?;
                session::names(&link, &hub, salt).await
            };
            Done::Beat(id, asked, answered.await)
        });
    }

    pub(super) fn lose_session(&mut self, why: &str) {
        if self.session.take().is_none() {
            return;
        }
        tracing::warn!(reason = why, "the session that keeps cached facts fresh is lost");
        self.shared.tally.sessions_lost.fetch_add(1, Ordering::Relaxed);
        self.shared.tally.tracking.store(false, Ordering::Relaxed);
        self.shared.watchers.tell_lost();
        self.beating = None;
        self.open_at = Instant::now();
    }

    pub(super) fn opened(&mut self, opened: Result<(Session, Agreed), Failure>) {
        self.opening = false;
        match opened {
            Ok((session, names)) => {
                tracing::debug!(tracks = session.tracks, "a session keeps cached facts fresh");
                self.failures = 0;
                self.beating = None;
                self.beat_at = Instant::now();
                self.shared.tally.tracking.store(session.tracks, Ordering::Relaxed);
                // Nothing of an earlier session may pass for confirmed by this one.
                self.shared.cache.begin(if session.tracks { session.id } else { SessionId::default() });
                self.session = Some(session);
                self.take_names(names);
                // What changed before this node listened again was not seen.
                self.shared.watchers.tell_lost();
                std::mem::take(&mut self.parked).into_iter().for_each(|(_, order)| self.order(order));
                std::mem::take(&mut self.watches).into_iter().for_each(|reply| self.watch(reply));
            }
            Err(failure) => {
                if self.failures == 0 {
                    tracing::warn!(reason = %failure, "stored facts cannot be read");
                }
                let wait = BACKOFF.0.saturating_mul(1 << self.failures.min(8)).min(BACKOFF.1);
                self.failures = self.failures.saturating_add(1);
                self.open_at = Instant::now() + wait;
                self.flights.fail_unsent();
                std::mem::take(&mut self.parked).into_iter().for_each(|(_, order)| refuse(order));
                for reply in std::mem::take(&mut self.watches) {
                    // Nobody may be waiting any more.
                    let _ = reply.send(Err(unreachable_store()));
                }
            }
        }
    }

    /// Names under other bytes are other keys: nothing that is cached belongs to them.
    pub(super) fn take_names(&mut self, (names, salt): Agreed) {
        self.salt = salt;
        if self
            .shared
            .names
            .load()
            .as_ref()
            .is_none_or(|known| known.tenant_tag(None) != names.tenant_tag(None))
        {
            self.shared.names.store(Some(Arc::new(names)));
            self.shared.cache.clear();
            self.flights.all_changed();
        }
    }

    pub(super) fn beaten(&mut self, id: SessionId, asked: Moment, answered: Result<Agreed, Failure>) {
        if self.session.as_ref().is_none_or(|session| session.id != id) {
            return;
        }
        self.beating = None;
        match answered {
            Ok(names) => {
                // All that the server told before it answered lies in the channel: take it in first.
                self.take_pushes();
                self.take_names(names);
                self.shared.cache.confirm(id, asked);
            }
            Err(failure) => self.lose_session(&failure.to_string()),
        }
    }

    /// Takes in all that the server has told so far.
    pub(super) fn take_pushes(&mut self) {
        while let Some(push) = self.session.as_mut().and_then(|session| session.pushes.try_recv().ok()) {
            self.push(Some(push));
        }
    }

    pub(super) fn push(&mut self, push: Option<PushInfo>) {
        match read_push(push) {
            Push::Changed(keys) => {
                self.shared.tally.invalidations.fetch_add(keys.len() as u64, Ordering::Relaxed);
                self.forget(&keys);
            }
            Push::AllChanged => {
                self.shared.tally.invalidations.fetch_add(1, Ordering::Relaxed);
                self.shared.cache.clear();
                self.flights.all_changed();
            }
            Push::Published(payload) => self.published(&payload),
            Push::Gone => self.lose_session("the connection broke"),
            Push::Other => {}
        }
    }

    pub(super) fn published(&mut self, payload: &[u8]) {
        let Some(change) = wire::read_change(payload) else {
            // Someone else's message; but it may stand for a change.
            return self.shared.watchers.tell_lost();
        };
        if let Some(names) = self.shared.names.load_full() {
            self.forget(&[key(&names, &change.key.name())]);
        }
        self.shared.watchers.tell(change);
    }

    /// Forgets what changed. What is in use is fetched again before someone waits for it.
    pub(super) fn forget(&mut self, keys: &[Key]) {
        for key in keys {
            self.flights.changed(key);
            let Some(entry) = self.shared.cache.remove(key) else { continue };
            if entry.used() && self.session.is_some() {
                self.flights.refresh(*key, entry.name.clone());
            }
        }
    }
}
