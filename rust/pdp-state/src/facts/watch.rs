//! Watching: each watcher has a bounded lag, and is told where it lost changes.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use super::FactChange;

/// Changes were lost: read again what matters, and go on watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("changes were lost: read again what matters")]
pub struct Lost;

/// What is told to watchers.
#[derive(Clone, Debug)]
enum Told {
    Change(Arc<FactChange>),
    Lost,
}

/// Tells watchers of changes, in the order it is told itself.
#[derive(Debug)]
pub(crate) struct Watchers(broadcast::Sender<Told>);

/// Changes as they happen.
#[derive(Debug)]
pub struct FactWatch(broadcast::Receiver<Told>);

impl Watchers {
    pub(crate) fn new(lag: usize) -> Self {
        Self(broadcast::Sender::new(lag.max(1)))
    }

    pub(crate) fn watch(&self) -> FactWatch {
        FactWatch(self.0.subscribe())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.receiver_count()
    }

    pub(crate) fn tell(&self, change: FactChange) {
        if self.count() > 0 {
            // Without a receiver, nobody misses it.
            let _ = self.0.send(Told::Change(Arc::new(change)));
        }
    }

    /// Tells all that changes may have passed unseen.
    pub(crate) fn tell_lost(&self) {
        let _ = self.0.send(Told::Lost);
    }
}

impl FactWatch {
    /// The next change; `None` when the store is gone.
    pub async fn next(&mut self) -> Option<Result<Arc<FactChange>, Lost>> {
        match self.0.recv().await {
            Ok(Told::Change(change)) => Some(Ok(change)),
            Ok(Told::Lost) | Err(RecvError::Lagged(_)) => Some(Err(Lost)),
            Err(RecvError::Closed) => None,
        }
    }
}
