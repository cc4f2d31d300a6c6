//! Paces requests: as fast as they are answered, or at a rate.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet, yield_now};

use crate::error::LoadError;
use crate::record::{Cursor, Record};
use crate::tally::{Tally, Window};

/// Something that sends a request and checks the answer.
pub(crate) trait Caller: 'static {
    /// Sends `record`, the request of that index, and waits for its answer.
    async fn call(&self, index: usize, record: &Record) -> Result<(), LoadError>;
}

/// What one thread works with.
pub(crate) struct Drive<C> {
    pub(crate) callers: Vec<Rc<C>>,
    pub(crate) cursor: Cursor,
    pub(crate) tally: Rc<RefCell<Tally>>,
    pub(crate) window: Window,
    pub(crate) grace: Duration,
}

impl<C: Caller> Drive<C> {
    /// Keeps `in_flight` requests going on each connection until the end.
    pub(crate) async fn closed(&self, in_flight: usize) -> Result<(), LoadError> {
        let mut tasks = JoinSet::new();
        for caller in &self.callers {
            for _ in 0..in_flight {
                tasks.spawn_local(repeat(
                    Rc::clone(caller),
                    self.cursor.clone(),
                    Rc::clone(&self.tally),
                    self.window.end,
                ));
            }
        }
        self.settle(tasks).await
    }

    /// Sends `rate` requests a second until the end. Spins between them: a
    /// timer's resolution of a millisecond would show in the latencies. Spinning
    /// lets others of the core go first: the store that a server counts in may be on it.
    pub(crate) async fn open(&self, rate: f64) -> Result<(), LoadError> {
        let mut tasks = JoinSet::new();
        let mut callers = self.callers.iter().cycle();
        for sequence in 0_u32.. {
            let due = self.window.start + Duration::from_secs_f64(f64::from(sequence) / rate);
            if due >= self.window.end {
                break;
            }
            while Instant::now() < due {
                while let Some(finished) = tasks.try_join_next() {
                    flatten(finished)?;
                }
                std::thread::yield_now();
                yield_now().await;
            }
            let Some(caller) = callers.next() else { break };
            tasks.spawn_local(once(Rc::clone(caller), self.cursor.clone(), Rc::clone(&self.tally), due));
        }
        self.settle(tasks).await
    }

    /// Waits for all tasks; the first failure ends the run.
    async fn settle(&self, mut tasks: JoinSet<Result<(), LoadError>>) -> Result<(), LoadError> {
        let all = async {
            while let Some(finished) = tasks.join_next().await {
                flatten(finished)?;
            }
            Ok(())
        };
        let deadline = tokio::time::Instant::from_std(self.window.end + self.grace);
        tokio::time::timeout_at(deadline, all)
            .await
            .unwrap_or(Err(LoadError::Stalled(self.grace.as_secs_f64())))
    }
}

async fn repeat<C: Caller>(
    caller: Rc<C>,
    cursor: Cursor,
    tally: Rc<RefCell<Tally>>,
    end: Instant,
) -> Result<(), LoadError> {
    let mut from = Instant::now();
    while from < end {
        let (index, record) = cursor.next()?;
        caller.call(index, &record).await?;
        let until = Instant::now();
        tally.borrow_mut().record(from, until, until);
        from = until;
    }
    Ok(())
}

async fn once<C: Caller>(
    caller: Rc<C>,
    cursor: Cursor,
    tally: Rc<RefCell<Tally>>,
    due: Instant,
) -> Result<(), LoadError> {
    let (index, record) = cursor.next()?;
    caller.call(index, &record).await?;
    tally.borrow_mut().record(due, Instant::now(), due);
    Ok(())
}

fn flatten(finished: Result<Result<(), LoadError>, JoinError>) -> Result<(), LoadError> {
    finished.unwrap_or_else(|error| Err(LoadError::Generator(error.to_string())))
}
