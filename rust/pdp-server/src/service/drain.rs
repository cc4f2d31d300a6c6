//! Draining: long calls learn that the server is about to end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use pdp_proto::v1::ErrorReason;
use tokio::sync::watch;

use super::body::{BodyError, error_trailers};
use crate::errors;

/// Tells when draining begins; cheap to clone.
#[derive(Clone)]
pub(crate) struct DrainSignal(watch::Receiver<bool>);

/// Begins draining.
pub(crate) struct DrainTrigger(watch::Sender<bool>);

/// Resolves when draining begins.
pub(crate) type Draining = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A trigger and its signal.
pub(crate) fn drain() -> (DrainTrigger, DrainSignal) {
    let (sender, receiver) = watch::channel(false);
    (DrainTrigger(sender), DrainSignal(receiver))
}

impl DrainTrigger {
    pub(crate) fn begin(&self) {
        self.0.send_replace(true);
    }
}

impl DrainSignal {
    /// Whether draining has begun.
    pub(crate) fn begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when draining begins, or when nobody is left to begin it.
    pub(crate) fn wait(&self) -> Draining {
        let mut receiver = self.0.clone();
        Box::pin(async move {
            let _ = receiver.wait_for(|begun| *begun).await;
        })
    }
}

/// Trailers of a call that ends because the server does.
pub(super) fn draining_trailers() -> HeaderMap {
    error_trailers(&errors::detail(ErrorReason::NotReady, "", "the server is draining; call another one"))
}

/// A body that ends with UNAVAILABLE once draining has begun and nothing is
/// left to send, so that a health watch does not hold the server up.
pub(crate) struct EndsAtDrain {
    inner: tonic::body::Body,
    draining: Draining,
    ended: bool,
}

impl EndsAtDrain {
    pub(super) fn new(inner: tonic::body::Body, signal: &DrainSignal) -> Self {
        Self { inner, draining: signal.wait(), ended: false }
    }
}

impl Body for EndsAtDrain {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => match self.draining.as_mut().poll(context) {
                Poll::Ready(()) => {
                    self.ended = true;
                    Poll::Ready(Some(Ok(Frame::trailers(draining_trailers()))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }
}
