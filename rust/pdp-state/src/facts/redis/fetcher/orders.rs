//! What others want of the fetcher.

use std::sync::Arc;
use std::time::Duration;

use pdp_engine::fact::{FactDocument, FactReading};
use redis::{Cmd, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fetch::fetch_apart;
use super::{Done, Fetcher, ORDERS, session, wire};
use crate::facts::cache::{Look, SessionId};
use crate::facts::redis::flight::Want;
use crate::facts::redis::key;
use crate::facts::{FactError, FactKey, FactPut, FactWatch};
use crate::redis::{Executed, Failure, FailureKind, Key, Names};

/// Least time that a change may take: an operator waits longer than a decision does.
const WRITE_TIME: Duration = Duration::from_secs(1);

pub(super) type Answer<T> = oneshot::Sender<Result<T, FactError>>;

/// What others want of the fetcher.
pub(in crate::facts::redis) enum Order {
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

impl Fetcher {
    pub(super) fn order(&mut self, order: Order) {
        let Some(names) = self.shared.names.load_full() else {
            return self.park(order);
        };
        match order {
            Order::Read(wants, readings, reply) => self.read(&names, wants, readings, reply),
            Order::Refresh(name) => self.flights.refresh(key(&names, &name.name()), name),
            Order::Put(puts, jsons, reply) => {
                let keys: Vec<_> = puts.iter().map(|put| key(&names, &put.key.name())).collect();
                let command = wire::put(&keys, &puts, &jsons);
                self.write(keys, command, |answer| wire::read_put(answer).ok_or_else(nonsense)?, reply);
            }
            Order::Delete(targets, reply) => {
                let keys: Vec<_> = targets.iter().map(|it| key(&names, &it.name())).collect();
                let command = wire::delete(&keys, &targets);
                self.write(keys, command, |answer| wire::read_deleted(answer).ok_or_else(nonsense), reply);
            }
            Order::Get(targets, reply) => self.get(&names, targets, reply),
            Order::Watch(reply) => self.watch(reply),
        }
    }

    /// Keeps an order for the first session, or refuses it where the store cannot be reached.
    pub(super) fn park(&mut self, order: Order) {
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
    pub(super) fn read_time(&self) -> Duration {
        self.hub.options.timeout.min(self.shared.max_stale)
    }

    pub(super) fn read(
        &mut self,
        names: &Names,
        wants: Vec<(usize, FactKey)>,
        mut readings: Vec<FactReading>,
        reply: oneshot::Sender<Vec<FactReading>>,
    ) {
        let mut missing = Vec::with_capacity(wants.len());
        for (slot, name) in wants {
            let key = key(names, &name.name());
            // It may have been fetched since it was missed.
            match (self.shared.cache.look(&key), readings.get_mut(slot)) {
                (Look::Fresh(reading, _), Some(place)) => *place = reading,
                _ => missing.push(Want { key, name, slot }),
            }
        }
        let deadline = Instant::now() + self.read_time();
        self.flights.gather(missing, readings, reply, deadline);
    }

    pub(super) fn write<T: Send + 'static>(
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

    pub(super) fn get(
        &mut self,
        names: &Names,
        targets: Vec<FactKey>,
        reply: Answer<Vec<Option<Arc<FactDocument>>>>,
    ) {
        let link = self.link.clone();
        let keys: Vec<_> = targets.iter().map(|target| key(names, &target.name())).collect();
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
    pub(super) fn watch(&mut self, reply: Answer<FactWatch>) {
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

    pub(super) fn subscribed(&mut self, id: SessionId, outcome: Result<(), Failure>) {
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

/// Answers an order that the store cannot be reached.
pub(super) fn refuse(order: Order) {
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

fn read_all(targets: &[FactKey], answers: &[Value]) -> Result<Vec<Option<Arc<FactDocument>>>, FactError> {
    let read = |(target, pair): (&FactKey, &[Value])| match pair {
        [fields, ttl] => wire::read_fetched(target, fields, ttl).map(|found| found.document),
        _ => None,
    };
    let found: Option<Vec<_>> = targets.iter().zip(answers.chunks_exact(2)).map(read).collect();
    found.ok_or_else(nonsense)
}

fn nonsense() -> FactError {
    let message = "it answered what makes no sense".to_owned();
    FactError::Unavailable { message, uncertain: true }
}

pub(super) fn unreachable_store() -> FactError {
    FactError::Unavailable { message: "it cannot be reached".to_owned(), uncertain: false }
}

pub(super) fn refused(failure: &Failure) -> FactError {
    if failure.kind == FailureKind::Full {
        return FactError::Full(failure.message.clone());
    }
    let uncertain = failure.executed == Executed::Unknown;
    FactError::Unavailable { message: failure.to_string(), uncertain }
}
