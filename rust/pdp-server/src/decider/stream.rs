//! The requests of one stream: those answered at once, and those that wait beside them.

use std::collections::HashSet;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pdp_proto::v1::{self as proto, ErrorReason};

use super::check::{Answer, Check};
use super::{Decider, Named, result, unique};
use crate::convert::{self, RawStreamItem};
use crate::errors;

/// Requests of one stream that are in flight: not answered, or answered in a frame that is not sent.
#[derive(Default)]
pub(crate) struct InFlight {
    waiting: FuturesUnordered<Named<String>>,
    waiting_ids: HashSet<String>,
    frame_ids: HashSet<String>,
}

impl InFlight {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Begins a frame: what was answered before is sent.
    pub(crate) fn begin_frame(&mut self) {
        self.frame_ids.clear();
    }

    /// Begins one encoded `CheckStreamRequest`; `None` where it waits.
    pub(crate) fn begin(&mut self, decider: &Decider, bytes: impl Buf) -> Option<proto::CheckResult> {
        let request = convert::decode::<RawStreamItem>(bytes)
            .and_then(|item| convert::decode::<proto::CheckRequest>(item.request.unwrap_or_default()));
        let id = request.as_ref().map(|request| request.request_id.clone()).unwrap_or_default();
        let request = request.and_then(|request| {
            if id.is_empty() {
                let message = "answers of a stream are told apart by it";
                return Err(errors::detail(ErrorReason::FieldRequired, "request_id", message));
            }
            if self.waiting_ids.contains(&id) {
                return Err(errors::duplicate_id("requests in flight"));
            }
            unique(&mut self.frame_ids, &id, "requests in flight")?;
            Ok(request)
        });
        match request.map(|request| decider.begin(&request, None)) {
            Ok(Check::Waiting(waiting)) => {
                self.waiting_ids.insert(id.clone());
                self.waiting.push(Named::new(id, waiting));
                None
            }
            Ok(Check::Done(answer)) => Some(answered(decider, id, answer)),
            Err(error) => Some(answered(decider, id, Err(error))),
        }
    }

    /// The next answer of those that wait; `None` when none waits.
    pub(crate) fn poll_answer(
        &mut self,
        decider: &Decider,
        context: &mut Context<'_>,
    ) -> Poll<Option<proto::CheckResult>> {
        let Some((id, answer)) = ready!(self.waiting.poll_next_unpin(context)) else {
            return Poll::Ready(None);
        };
        let id = id.unwrap_or_default();
        self.waiting_ids.remove(&id);
        self.frame_ids.insert(id.clone());
        Poll::Ready(Some(answered(decider, id, answer)))
    }
}

fn answered(decider: &Decider, id: String, answer: Answer) -> proto::CheckResult {
    let answer = answer.map_err(|mut error| {
        let field = std::mem::take(&mut error.field);
        error.field = if field.is_empty() { "request".to_owned() } else { format!("request.{field}") };
        error
    });
    result(id, decider.counted(answer))
}
