//! Fetches, writes and listens, on a thread of its own: the only place that changes the cache.

mod fetch;
mod orders;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{PushInfo, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use self::orders::Order;
use self::orders::{Answer, refuse};
use super::flight::Flights;
use super::session::Session;
use super::{Shared, session, wire};
use crate::facts::cache::{Moment, SessionId};
use crate::facts::{FactKey, FactWatch};
use crate::redis::{Failure, Hub, Key, Link, Names};

/// Orders taken at once, so that what comes at once shares a fetch.
const ORDERS: usize = 1_024;

/// What a task came to.
enum Done {
    Opened(Result<(Session, Agreed), Failure>),
    Fetched(Fetch),
    /// The session answered a heartbeat that was sent at the moment, and names are these.
    Beat(SessionId, Moment, Result<Agreed, Failure>),
    Wrote(Vec<Key>, Box<dyn FnOnce() + Send>),
    Subscribed(SessionId, Result<(), Failure>),
}

/// How names are hashed, and the bytes that nodes agreed on for it.
type Agreed = (Names, Option<Arc<[u8]>>);

struct Fetch {
    session: SessionId,
    asked: Moment,
    keys: Vec<(Key, FactKey)>,
    answers: Result<Vec<Value>, Failure>,
}

/// The fetcher.
pub(super) struct Fetcher {
    hub: Arc<Hub>,
    link: Arc<Link>,
    shared: Arc<Shared>,
    flights: Flights,
    session: Option<Session>,
    last_session: SessionId,
    tasks: JoinSet<Done>,
    /// What nodes last agreed to hash names with.
    salt: Option<Arc<[u8]>>,
    /// Whether a session is being opened.
    opening: bool,
    /// Attempts to open one that failed in a row.
    failures: u32,
    open_at: Instant,
    beat_at: Instant,
    /// When a heartbeat was sent that is not answered yet.
    beating: Option<Instant>,
    /// Orders that wait for the first session, and until when.
    parked: Vec<(Instant, Order)>,
    watches: Vec<Answer<FactWatch>>,
}

impl Fetcher {
    pub(super) fn new(hub: Arc<Hub>, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            link: Link::new(hub.clone()),
            hub,
            shared,
            flights: Flights::default(),
            session: None,
            last_session: SessionId::default(),
            tasks: JoinSet::new(),
            salt: None,
            opening: false,
            failures: 0,
            open_at: now,
            beat_at: now,
            beating: None,
            parked: Vec::new(),
            watches: Vec::new(),
        }
    }

    /// Works until nobody can order any more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut batch = Vec::with_capacity(ORDERS);
        loop {
            self.keep_session();
            let wake = self.wake();
            tokio::select! {
                taken = orders.recv_many(&mut batch, ORDERS) => {
                    if taken == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|order| self.order(order));
                    self.send();
                }
                Some(done) = self.tasks.join_next() => {
                    if let Ok(done) = done {
                        self.done(done);
                    }
                    self.send();
                }
                push = next_push(&mut self.session) => {
                    self.push(push);
                    self.send();
                }
                () = tokio::time::sleep_until(wake) => self.tick(),
            }
        }
    }

    /// When something is due.
    fn wake(&mut self) -> Instant {
        let mut wake = Instant::now() + Duration::from_secs(3_600);
        if let Some(deadline) = self.flights.deadline() {
            wake = wake.min(deadline);
        }
        if let Some(deadline) = self.parked.iter().map(|(at, _)| *at).min() {
            wake = wake.min(deadline);
        }
        match (&self.session, self.opening) {
            (Some(_), _) => wake.min(self.beat_at),
            (None, false) => wake.min(self.open_at),
            (None, true) => wake,
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let expired = self.flights.expire(now);
        self.shared.tally.late.fetch_add(expired as u64, Ordering::Relaxed);
        for (_, order) in self.parked.extract_if(.., |(deadline, _)| *deadline <= now) {
            refuse(order);
        }
        if self.session.is_some() && self.beat_at <= now {
            self.beat(now);
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Opened(opened) => self.opened(opened),
            Done::Fetched(fetch) => self.fetched(fetch),
            Done::Beat(id, asked, answered) => self.beaten(id, asked, answered),
            Done::Wrote(keys, tell) => {
                // Whoever is told of a change here reads it here.
                self.forget(&keys);
                tell();
            }
            Done::Subscribed(id, outcome) => self.subscribed(id, outcome),
        }
    }
}

/// The next push; never where there is no session.
async fn next_push(session: &mut Option<Session>) -> Option<PushInfo> {
    match session {
        // A session without pushes has a channel that is closed: its heartbeat tells when it dies.
        Some(session) if session.tracks || session.subscribed => session.pushes.recv().await,
        _ => std::future::pending().await,
    }
}
