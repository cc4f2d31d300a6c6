//! A grant in the air: asked once, waited for by many, landed whatever happens.

use tokio::sync::watch;

/// What waits for a grant. Works in any executor.
#[derive(Clone, Debug)]
pub(super) struct Flight(watch::Receiver<bool>);

/// The other end: says that the grant has landed, at the latest when it is dropped.
#[derive(Debug)]
pub(super) struct Landing(watch::Sender<bool>);

/// A flight and its landing.
pub(super) fn flight() -> (Flight, Landing) {
    let (sender, receiver) = watch::channel(false);
    (Flight(receiver), Landing(sender))
}

impl Flight {
    pub(super) fn has_landed(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    pub(super) async fn landed(mut self) {
        // An error says that the other end is gone, so it has landed.
        let _gone = self.0.wait_for(|landed| *landed).await.is_err();
    }
}

impl Landing {
    pub(super) fn land(self) {
        self.0.send_replace(true);
    }
}
