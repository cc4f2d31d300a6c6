//! An answer that is there at once, or comes later.

use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

/// What a store answers: at once where it holds what is asked, else when it has been fetched.
///
/// A reply borrows nothing of the question. Dropping one that waits abandons the answer, not the effect.
pub enum Reply<T> {
    /// The answer.
    Ready(T),
    /// Resolves to the answer. Bounded in time by the store.
    Waiting(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T: Send + 'static> Reply<T> {
    /// A reply that waits for `future`.
    pub fn waiting(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Waiting(Box::pin(future))
    }

    /// The answer, if it is there.
    ///
    /// # Errors
    /// The reply itself, where it waits.
    pub fn ready(self) -> Result<T, Self> {
        match self {
            Self::Ready(answer) => Ok(answer),
            Self::Waiting(_) => Err(self),
        }
    }

    /// The answer, waited for on this thread: for callers outside of any asynchronous runtime.
    pub fn wait(self) -> T {
        match self {
            Self::Ready(answer) => answer,
            Self::Waiting(future) => wait(future),
        }
    }

    /// Turns the answer into another.
    pub fn map<U: Send + 'static>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Reply<U> {
        match self {
            Self::Ready(answer) => Reply::Ready(change(answer)),
            Self::Waiting(future) => Reply::waiting(async move { change(future.await) }),
        }
    }
}

impl<T: Send + 'static> IntoFuture for Reply<T> {
    type Output = T;
    type IntoFuture = Pin<Box<dyn Future<Output = T> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        match self {
            Self::Ready(answer) => Box::pin(std::future::ready(answer)),
            Self::Waiting(future) => future,
        }
    }
}

/// Drives a future on this thread until it is done: for callers outside of any asynchronous runtime.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Wakes a thread that waits for a reply.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
