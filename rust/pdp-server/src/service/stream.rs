//! `CheckStream`: answers are made when the transport asks for them.
//!
//! There is no task and no queue per stream. Each time the transport has room
//! it polls the body, which decides the messages that have arrived and sends
//! their answers as one frame. A caller that does not read its answers is not
//! read from either: that is the back-pressure.

use std::collections::HashSet;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use hyper::body::Incoming;
use pdp_proto::v1 as proto;

use super::admission::Permit;
use super::body::{error_trailers, ok_trailers};
use super::drain::{DrainSignal, Draining, draining_trailers};
use super::frame::{MessageReader, write_message};
use crate::decider::Decider;
use crate::errors;

/// Time one stream may decide before other calls of its thread get their turn.
const TURN: Duration = Duration::from_micros(500);

/// The body of a `CheckStream` answer.
pub(crate) struct StreamBody {
    decider: Decider,
    reader: MessageReader<Incoming>,
    /// Requests answered in one frame, at most.
    in_flight: usize,
    deadline: Option<Instant>,
    timer: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    draining: Draining,
    /// Set when the next poll sends these and ends.
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Whether the last poll used up its turn.
    yielding: bool,
    ids: HashSet<String>,
    _permit: Permit,
}

impl StreamBody {
    pub(super) fn new(
        decider: Decider,
        reader: MessageReader<Incoming>,
        in_flight: usize,
        deadline: Option<Instant>,
        drain: &DrainSignal,
        permit: Permit,
    ) -> Self {
        let timer = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        Self {
            decider,
            reader,
            in_flight,
            deadline,
            timer,
            draining: drain.wait(),
            trailers: None,
            ended: false,
            yielding: false,
            ids: HashSet::new(),
            _permit: permit,
        }
    }

    /// The next frame: answers to what has arrived, or the trailers.
    pub(super) fn poll_answers(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut self.yielding) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.trailers.is_none() {
            let answers = self.decide(context);
            if !answers.is_empty() {
                return Poll::Ready(Some(Frame::data(answers.freeze())));
            }
            if self.trailers.is_none() {
                ready!(self.poll_end(context));
            }
        }
        self.ended = true;
        Poll::Ready(self.trailers.take().map(Frame::trailers))
    }

    /// Decides what has arrived, up to the bound and the turn.
    fn decide(&mut self, context: &mut Context<'_>) -> BytesMut {
        let mut answers = BytesMut::new();
        let start = Instant::now();
        self.ids.clear();
        for _ in 0..self.in_flight {
            match self.reader.poll_message(context) {
                Poll::Pending => return answers,
                Poll::Ready(None) => {
                    self.trailers = Some(ok_trailers());
                    return answers;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.fail(&error);
                    return answers;
                }
                Poll::Ready(Some(Ok(message))) => {
                    if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        self.fail(&errors::deadline_passed());
                        return answers;
                    }
                    let result = self.decider.check_stream_item(message, &mut self.ids);
                    write_message(&proto::CheckStreamResponse { result: Some(result) }, &mut answers);
                }
            }
            if start.elapsed() > TURN {
                break;
            }
        }
        self.yielding = true;
        answers
    }

    fn fail(&mut self, error: &proto::ErrorDetail) {
        let _ = self.decider.counted::<()>(Err(error.clone()));
        self.trailers = Some(error_trailers(error));
    }

    /// Nothing has arrived: the stream ends when its deadline passes or the server drains.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.fail(&errors::deadline_passed());
            return Poll::Ready(());
        }
        ready!(self.draining.as_mut().poll(context));
        self.trailers = Some(draining_trailers());
        Poll::Ready(())
    }
}
