//! `CheckStream`: answers are made when the transport asks for them.
//!
//! There is no task and no queue per stream. Each time the transport has room
//! it polls the body, which decides the messages that have arrived and sends
//! their answers as one frame. A request that has to wait for a store waits
//! beside the others, and its answer goes out when it is there. A caller that
//! does not read its answers is not read from either, and no more is read than
//! may wait: that is the back-pressure.

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
use crate::decider::stream::InFlight;
use crate::errors;

/// Time one stream may decide before other calls of its thread get their turn.
const TURN: Duration = Duration::from_micros(500);

/// The body of a `CheckStream` answer.
pub(crate) struct StreamBody {
    decider: Decider,
    reader: MessageReader<Incoming>,
    /// Requests that wait at once, and that are answered in one frame, at most.
    most: usize,
    in_flight: InFlight,
    deadline: Option<Instant>,
    timer: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
    draining: Draining,
    /// Set when nothing more is read: these are sent once nothing waits.
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Whether the last poll used up its turn.
    yielding: bool,
    _permit: Permit,
}

impl StreamBody {
    pub(super) fn new(
        decider: Decider,
        reader: MessageReader<Incoming>,
        most: usize,
        deadline: Option<Instant>,
        drain: &DrainSignal,
        permit: Permit,
    ) -> Self {
        let timer = deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        Self {
            decider,
            reader,
            most,
            in_flight: InFlight::default(),
            deadline,
            timer,
            draining: drain.wait(),
            trailers: None,
            ended: false,
            yielding: false,
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
        let answers = self.decide(context);
        if !answers.is_empty() {
            return Poll::Ready(Some(Frame::data(answers.freeze())));
        }
        if !self.is_done() {
            self.poll_end(context);
        }
        if !self.is_done() {
            return Poll::Pending;
        }
        self.ended = true;
        Poll::Ready(self.trailers.take().map(Frame::trailers))
    }

    /// Whether nothing is left but the trailers.
    fn is_done(&self) -> bool {
        self.trailers.is_some() && self.in_flight.waiting() == 0
    }

    /// Sends what has been waited for and decides what has arrived, up to the bound and the turn.
    fn decide(&mut self, context: &mut Context<'_>) -> BytesMut {
        let mut answers = BytesMut::new();
        let start = Instant::now();
        self.in_flight.begin_frame();
        let mut answered = 0;
        while answered < self.most {
            let result = match self.poll_waiting(context) {
                Some(result) => Some(result),
                None => match self.poll_next(context) {
                    Poll::Ready(result) => result,
                    Poll::Pending => return answers,
                },
            };
            if let Some(result) = result {
                write_message(&proto::CheckStreamResponse { result: Some(result) }, &mut answers);
                answered += 1;
            }
            if start.elapsed() > TURN {
                break;
            }
        }
        self.yielding = true;
        answers
    }

    /// An answer that has been waited for.
    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Option<proto::CheckResult> {
        if self.in_flight.waiting() == 0 {
            return None;
        }
        match self.in_flight.poll_answer(&self.decider, context) {
            Poll::Ready(result) => result,
            Poll::Pending => None,
        }
    }

    /// Begins the next request; `None` where it waits. Pending also where nothing more is to be read.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<proto::CheckResult>> {
        if self.trailers.is_some() || self.in_flight.waiting() >= self.most {
            return Poll::Pending;
        }
        match ready!(self.reader.poll_message(context)) {
            None => self.trailers = Some(ok_trailers()),
            Some(Err(error)) => self.fail(&error),
            Some(Ok(_)) if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => self.expire(),
            Some(Ok(message)) => return Poll::Ready(self.in_flight.begin(&self.decider, message)),
        }
        Poll::Pending
    }

    /// The deadline has passed: nobody waits for what is still to come.
    fn expire(&mut self) {
        self.in_flight = InFlight::default();
        self.fail(&errors::deadline_passed());
    }

    fn fail(&mut self, error: &proto::ErrorDetail) {
        let _ = self.decider.counted::<()>(Err(error.clone()));
        self.trailers = Some(error_trailers(error));
    }

    /// Nothing has come: the stream ends when its deadline passes, or when the server drains.
    fn poll_end(&mut self, context: &mut Context<'_>) {
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.expire();
        } else if self.trailers.is_none() && self.draining.as_mut().poll(context).is_ready() {
            self.trailers = Some(draining_trailers());
        }
    }
}
