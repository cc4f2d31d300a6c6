//! A batch: items begin one after the other, wait beside each other, and keep their order.

use std::collections::HashSet;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pdp_proto::v1::{self as proto, ErrorDetail};

use super::check::{Answer, Check};
use super::{Decider, Named, result, unique};
use crate::convert::{self, RawBatch};
use crate::errors;
use std::time::Instant;

/// Items of one batch that wait at once, at most.
const MOST_WAITING: usize = 256;

/// A batch on its way.
pub(crate) struct Batch {
    items: std::vec::IntoIter<Bytes>,
    deadline: Option<Instant>,
    ids: HashSet<String>,
    /// Answers in the items' order; `None` where one waits.
    results: Vec<Option<proto::CheckResult>>,
    waiting: FuturesUnordered<Named<Place>>,
}

/// Where an item stands, and its id.
type Place = (usize, String);

impl Decider {
    /// Reads a batch, deciding nothing yet.
    pub(crate) fn open_batch(
        &self,
        bytes: impl Buf,
        deadline: Option<Instant>,
    ) -> Result<Batch, ErrorDetail> {
        let opened = convert::decode::<RawBatch>(bytes).and_then(|raw| {
            convert::batch_size(raw.items.len())?;
            Ok(raw)
        });
        let items = self.counted(opened)?.items;
        let results = Vec::with_capacity(items.len());
        let (items, waiting) = (items.into_iter(), FuturesUnordered::new());
        Ok(Batch { items, deadline, ids: HashSet::new(), results, waiting })
    }
}

impl Batch {
    /// Begins the next item; false when there is none, or when so many wait that one has to end first.
    pub(crate) fn advance(&mut self, decider: &Decider) -> bool {
        if self.waiting.len() >= MOST_WAITING {
            return false;
        }
        let Some(item) = self.items.next() else { return false };
        let at = self.results.len();
        self.results.push(None);
        let request = convert::decode::<proto::CheckRequest>(item);
        let id = request.as_ref().map(|request| request.request_id.clone()).unwrap_or_default();
        let request = request.and_then(|request| {
            unique(&mut self.ids, &id, "items of a batch")?;
            Ok(request)
        });
        match request.map(|request| decider.begin(&request, self.deadline)) {
            Ok(Check::Waiting(waiting)) => self.waiting.push(Named::new((at, id), waiting)),
            Ok(Check::Done(answer)) => self.put(decider, (at, id), answer),
            Err(error) => self.put(decider, (at, id), Err(error)),
        }
        true
    }

    /// Waits until one more item is answered; false when none waits.
    pub(crate) async fn settle(&mut self, decider: &Decider) -> bool {
        let Some((place, answer)) = self.waiting.next().await else { return false };
        if let Some(place) = place {
            self.put(decider, place, answer);
        }
        true
    }

    /// Answers what waits with the deadline that has passed.
    pub(crate) fn give_up(&mut self, decider: &Decider) {
        for named in std::mem::take(&mut self.waiting) {
            if let Some(place) = named.name {
                self.put(decider, place, Err(errors::deadline_passed()));
            }
        }
    }

    /// The answers, once nothing waits.
    pub(crate) fn into_response(self) -> proto::CheckBatchResponse {
        let missing = || result(String::new(), Err(errors::internal()));
        let results = self.results.into_iter().map(|one| one.unwrap_or_else(missing)).collect();
        proto::CheckBatchResponse { results }
    }

    fn put(&mut self, decider: &Decider, (at, id): Place, answer: Answer) {
        let answer = answer.map_err(|mut error| {
            let field = std::mem::take(&mut error.field);
            let dot = if field.is_empty() { "" } else { "." };
            error.field = format!("items[{at}]{dot}{field}");
            error
        });
        if let Some(place) = self.results.get_mut(at) {
            *place = Some(result(id, decider.counted(answer)));
        }
    }
}
