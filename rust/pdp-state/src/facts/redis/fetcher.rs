//! Fetches, writes and listens, on a thread of its own: the only place that changes the cache.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pdp_engine::fact::{FactDocument, FactReading};
use redis::{Cmd, PushInfo, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::cache::{Entry, Look, Moment, SessionId};
use super::super::{FactError, FactKey, FactPut, FactWatch};
use super::flight::{Flights, Want};
use super::session::{self, Push, Session, read_push};
use super::{Shared, wire};
use crate::redis::{Executed, Failure, Hub, Key, Link, Names};

/// Keys of one fetch.
const FETCH_KEYS: usize = 256;
/// Orders taken at once, so that what comes at once shares a fetch.
const ORDERS: usize = 1_024;
/// First and longest wait between attempts to open a session.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));
/// Least time that a change may take: an operator waits longer than a decision does.
const WRITE_TIME: Duration = Duration::from_secs(1);

type Answer<T> = oneshot::Sender<Result<T, FactError>>;

/// What others want of the fetcher.
pub(super) enum Order {
    /// Read these names, of which the readings hold what is known.
    Read(Vec<(usize, FactKey)>, Vec<FactReading>, oneshot::Sender<Vec<FactReading>>),
    /// Fetch a name again.
    Refresh(FactKey),
    /// Store documents, with their values as JSON.
    Put(Vec<FactPut>, Vec<String>, Answer<Vec<u64>>),
    /// Delete documents.
    Delete(Vec<FactKey>, Answer<u32>),
    /// Read past the cache.
    Get(Vec<FactKey>, Answer<Vec<Option<Arc<FactDocument>>>>),
    /// Watch changes.
    Watch(Answer<FactWatch>),
}

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

    /// Opens a session where there is none and it is time.
    fn keep_session(&mut self) {
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
    fn beat(&mut self, now: Instant) {
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

    fn lose_session(&mut self, why: &str) {
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

    fn order(&mut self, order: Order) {
        let Some(names) = self.shared.names.load_full() else {
            return self.park(order);
        };
        match order {
            Order::Read(wants, readings, reply) => self.read(&names, wants, readings, reply),
            Order::Refresh(name) => self.flights.refresh(super::key(&names, &name.name()), name),
            Order::Put(puts, jsons, reply) => {
                let keys: Vec<_> = puts.iter().map(|put| super::key(&names, &put.key.name())).collect();
                let command = wire::put(&keys, &puts, &jsons);
                self.write(keys, command, |answer| wire::read_put(answer).ok_or_else(nonsense)?, reply);
            }
            Order::Delete(targets, reply) => {
                let keys: Vec<_> = targets.iter().map(|it| super::key(&names, &it.name())).collect();
                let command = wire::delete(&keys, &targets);
                self.write(keys, command, |answer| wire::read_deleted(answer).ok_or_else(nonsense), reply);
            }
            Order::Get(targets, reply) => self.get(&names, targets, reply),
            Order::Watch(reply) => self.watch(reply),
        }
    }

    /// Keeps an order for the first session, or refuses it where the store cannot be reached.
    fn park(&mut self, order: Order) {
        let wait = match order {
            Order::Read(..) | Order::Refresh(_) => self.read_time(),
            _ => self.hub.options.connect_timeout.max(WRITE_TIME),
        };
        match self.failures == 0 && self.parked.len() < ORDERS {
            true => self.parked.push((Instant::now() + wait, order)),
            false => refuse(order),
        }
    }

    /// How long a reading may wait.
    fn read_time(&self) -> Duration {
        self.hub.options.timeout.min(self.shared.max_stale)
    }

    fn read(
        &mut self,
        names: &Names,
        wants: Vec<(usize, FactKey)>,
        mut readings: Vec<FactReading>,
        reply: oneshot::Sender<Vec<FactReading>>,
    ) {
        let mut missing = Vec::with_capacity(wants.len());
        for (slot, name) in wants {
            let key = super::key(names, &name.name());
            // It may have been fetched since it was missed.
            match (self.shared.cache.look(&key), readings.get_mut(slot)) {
                (Look::Fresh(reading, _), Some(place)) => *place = reading,
                _ => missing.push(Want { key, name, slot }),
            }
        }
        let deadline = Instant::now() + self.read_time();
        self.flights.gather(missing, readings, reply, deadline);
    }

    /// Sends for what is wanted.
    fn send(&mut self) {
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

    fn opened(&mut self, opened: Result<(Session, Agreed), Failure>) {
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
    fn take_names(&mut self, (names, salt): Agreed) {
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

    fn beaten(&mut self, id: SessionId, asked: Moment, answered: Result<Agreed, Failure>) {
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

    fn fetched(&mut self, fetch: Fetch) {
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
            let bytes = found.bytes.max(super::NEGATIVE_BYTES);
            let entry = Entry::new(name.clone(), found.document, fetch.session, fetch.asked, expires, bytes);
            let reading = entry.reading();
            if self.flights.land(key, &reading) {
                self.shared.cache.insert(*key, entry);
            }
        }
    }

    /// Takes in all that the server has told so far.
    fn take_pushes(&mut self) {
        while let Some(push) = self.session.as_mut().and_then(|session| session.pushes.try_recv().ok()) {
            self.push(Some(push));
        }
    }

    fn push(&mut self, push: Option<PushInfo>) {
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

    fn published(&mut self, payload: &[u8]) {
        let Some(change) = wire::read_change(payload) else {
            // Someone else's message; but it may stand for a change.
            return self.shared.watchers.tell_lost();
        };
        if let Some(names) = self.shared.names.load_full() {
            self.forget(&[super::key(&names, &change.key.name())]);
        }
        self.shared.watchers.tell(change);
    }

    /// Forgets what changed. What is in use is fetched again before someone waits for it.
    fn forget(&mut self, keys: &[Key]) {
        for key in keys {
            self.flights.changed(key);
            let Some(entry) = self.shared.cache.remove(key) else { continue };
            if entry.used() && self.session.is_some() {
                self.flights.refresh(*key, entry.name.clone());
            }
        }
    }

    fn write<T: Send + 'static>(
        &mut self,
        keys: Vec<Key>,
        command: Cmd,
        read: impl FnOnce(&Value) -> Result<T, FactError> + Send + 'static,
        reply: Answer<T>,
    ) {
        let link = self.link.clone();
        let deadline = Instant::now() + self.hub.options.timeout.max(WRITE_TIME);
        self.tasks.spawn(async move {
            let slot = keys.first().map_or(0, Key::slot);
            let outcome = match link.command(slot, &command, deadline).await {
                Ok(answer) => read(&answer),
                Err(failure) => Err(refused(&failure)),
            };
            // Nobody may be waiting any more.
            Done::Wrote(keys, Box::new(move || drop(reply.send(outcome))))
        });
    }

    fn get(&mut self, names: &Names, targets: Vec<FactKey>, reply: Answer<Vec<Option<Arc<FactDocument>>>>) {
        let link = self.link.clone();
        let keys: Vec<_> = targets.iter().map(|target| super::key(names, &target.name())).collect();
        let wait = self.hub.options.timeout.max(WRITE_TIME);
        self.tasks.spawn(async move {
            let outcome = match fetch_apart(&link, &keys, wait).await {
                Ok(answers) => read_all(&targets, &answers),
                Err(failure) => Err(refused(&failure)),
            };
            Done::Wrote(Vec::new(), Box::new(move || drop(reply.send(outcome))))
        });
    }

    /// Answers a watcher when changes arrive here.
    fn watch(&mut self, reply: Answer<FactWatch>) {
        match &self.session {
            Some(session) if session.subscribed => drop(reply.send(Ok(self.shared.watchers.watch()))),
            Some(session) => {
                let (id, connection) = (session.id, session.connection.clone());
                let wait = self.hub.options.connect_timeout;
                self.watches.push(reply);
                if self.watches.len() == 1 {
                    self.tasks.spawn(async move {
                        Done::Subscribed(id, session::subscribe(connection, wait).await)
                    });
                }
            }
            None if self.failures == 0 => self.watches.push(reply),
            None => drop(reply.send(Err(unreachable_store()))),
        }
    }

    fn subscribed(&mut self, id: SessionId, outcome: Result<(), Failure>) {
        let watches = std::mem::take(&mut self.watches);
        match (outcome, self.session.as_mut().filter(|session| session.id == id)) {
            (Ok(()), Some(session)) => {
                session.subscribed = true;
                watches.into_iter().for_each(|reply| self.watch(reply));
            }
            (Err(failure), Some(_)) => {
                for reply in watches {
                    // Nobody may be waiting any more.
                    let _ = reply.send(Err(refused(&failure)));
                }
            }
            // Another session has come, or is to come.
            (_, None) => watches.into_iter().for_each(|reply| self.watch(reply)),
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

/// Reads keys that may lie on several servers; the answers are those of one message.
async fn fetch_apart(link: &Arc<Link>, keys: &[Key], wait: Duration) -> Result<Vec<Value>, Failure> {
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

fn read_all(targets: &[FactKey], answers: &[Value]) -> Result<Vec<Option<Arc<FactDocument>>>, FactError> {
    let read = |(target, pair): (&FactKey, &[Value])| match pair {
        [fields, ttl] => wire::read_fetched(target, fields, ttl).map(|found| found.document),
        _ => None,
    };
    let found: Option<Vec<_>> = targets.iter().zip(answers.chunks_exact(2)).map(read).collect();
    found.ok_or_else(nonsense)
}

/// Answers an order that the store cannot be reached.
fn refuse(order: Order) {
    // Nobody may be waiting any more.
    match order {
        // Dropping the reply answers it: unavailable.
        Order::Read(..) | Order::Refresh(_) => {}
        Order::Put(_, _, reply) => drop(reply.send(Err(unreachable_store()))),
        Order::Delete(_, reply) => drop(reply.send(Err(unreachable_store()))),
        Order::Get(_, reply) => drop(reply.send(Err(unreachable_store()))),
        Order::Watch(reply) => drop(reply.send(Err(unreachable_store()))),
    }
}

fn nonsense() -> FactError {
    let message = "it answered what makes no sense".to_owned();
    FactError::Unavailable { message, uncertain: true }
}

fn unreachable_store() -> FactError {
    FactError::Unavailable { message: "it cannot be reached".to_owned(), uncertain: false }
}

fn refused(failure: &Failure) -> FactError {
    if failure.kind == crate::redis::FailureKind::Full {
        return FactError::Full(failure.message.clone());
    }
    let uncertain = failure.executed == Executed::Unknown;
    FactError::Unavailable { message: failure.to_string(), uncertain }
}
