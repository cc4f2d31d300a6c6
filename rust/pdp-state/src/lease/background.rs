//! The thread that gives idle leases back, and drives grants nobody else does.

use std::future::Future;
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// What is done every so often.
pub(super) trait Tick: Send + Sync + 'static {
    /// Does it.
    fn tick(&self);
}

/// A thread with a runtime of its own, started when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Background {
    thread: OnceLock<Option<Running>>,
}

/// Dropping it ends the thread, which then drops what it drives.
#[derive(Debug)]
struct Running {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Background {
    /// Starts the thread, if it does not run yet; `every` is how often it ticks, if at all.
    pub(super) fn start<T: Tick>(&self, ticked: &Weak<T>, every: Option<Duration>) -> Option<&Handle> {
        // Where no thread can be had, leases are given back by those who use others, and grants that
        // nobody drives fail, which leaves the decision to the shared store.
        self.thread.get_or_init(|| start(ticked.clone(), every)).as_ref().map(|running| &running.handle)
    }

    /// Drives `future` on the runtime of the caller, else on the thread.
    pub(super) fn drive<T: Tick>(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
        ticked: &Weak<T>,
        every: Option<Duration>,
    ) {
        if let Ok(handle) = Handle::try_current() {
            handle.spawn(future);
        } else if let Some(handle) = self.start(ticked, every) {
            handle.spawn(future);
        }
    }
}

fn start<T: Tick>(ticked: Weak<T>, every: Option<Duration>) -> Option<Running> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let handle = runtime.handle().clone();
    let (end, mut ended) = oneshot::channel();
    let run = move || {
        runtime.block_on(async {
            let Some(every) = every else {
                let _ended = ended.await;
                return;
            };
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut ended => return,
                    _ = ticks.tick() => match ticked.upgrade() {
                        Some(ticked) => ticked.tick(),
                        None => return,
                    },
                }
            }
        });
    };
    std::thread::Builder::new().name("pdp-leases".into()).spawn(run).ok()?;
    Some(Running { handle, _end: end })
}
