//! Reports: what a request came to, settled against the limits that it spent.

use std::panic::AssertUnwindSafe;
use std::time::SystemTime;

use bytes::Buf;
use futures_util::FutureExt;
use pdp_engine::PolicyInfo;
use pdp_engine::limit::{CounterName, Limit, MAX_HITS, Settle, Settlement, Usage};
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};

use super::Decider;
use crate::{convert, errors};

impl Decider {
    /// Settles an encoded `ReportUsageRequest`, waiting on this thread for the store.
    ///
    /// # Errors
    /// [`ErrorDetail`] for bytes that are no such message, a token that is not this decider's, hits out of
    /// range, or a store that does not answer. Nothing is counted then.
    pub fn report_usage_encoded(&self, bytes: impl Buf) -> Result<proto::ReportUsageResponse, ErrorDetail> {
        let outcome = pdp_engine::reply::wait(self.report_usage(bytes));
        self.counted(outcome)
    }

    /// As [`Self::report_usage_encoded`], without waiting on the thread; the outcome is still to be counted.
    pub(crate) async fn report_usage(
        &self,
        bytes: impl Buf,
    ) -> Result<proto::ReportUsageResponse, ErrorDetail> {
        let request: proto::ReportUsageRequest = convert::decode(bytes)?;
        let settled = AssertUnwindSafe(self.settle(&request)).catch_unwind().await;
        settled.unwrap_or_else(|_| {
            self.shared.metrics.panics.add(1);
            tracing::error!("a report met a fault of the server");
            Err(errors::internal())
        })
    }

    async fn settle(
        &self,
        request: &proto::ReportUsageRequest,
    ) -> Result<proto::ReportUsageResponse, ErrorDetail> {
        let usage = self.shared.state.key.open(&request.usage_token);
        let usage = usage.ok_or_else(errors::usage_token_refused)?;
        if let Some(hits) = request.hits.filter(|hits| *hits > MAX_HITS) {
            let message = format!("`{hits}` is out of range; write 0 to {MAX_HITS}");
            return Err(errors::detail(ErrorReason::FieldOutOfRange, "hits", message));
        }
        let set = self.active_set();
        // A limit that a reload took away has nothing left to settle.
        let found = usage.iter().filter_map(|row| Some((row, set.limit(&row.policy_id, &row.limit)?)));
        let rows: Vec<(&Usage, (&PolicyInfo, &Limit))> = found.collect();
        let Some(holder) = usage.first().map(|row| row.holder) else {
            return Ok(proto::ReportUsageResponse::default());
        };
        let settlements: Vec<Settlement<'_>> =
            rows.iter().map(|(row, (policy, limit))| settlement(row, policy, limit, request.hits)).collect();
        let settle = Settle { holder, settlements: &settlements, now: SystemTime::now() };
        let outcomes = self.store().settle(&settle).await;
        if let Some(fault) = outcomes.iter().find_map(|outcome| outcome.fault) {
            return Err(errors::from_limit_fault(fault));
        }
        let limits = rows.iter().zip(&outcomes).map(|((row, (_, limit)), outcome)| {
            convert::limit_status(&row.policy_id, &row.limit, limit.limit, outcome)
        });
        Ok(proto::ReportUsageResponse { limits: limits.collect() })
    }
}

fn settlement<'a>(
    row: &'a Usage,
    policy: &'a PolicyInfo,
    limit: &'a Limit,
    hits: Option<u64>,
) -> Settlement<'a> {
    let counter = CounterName { policy_id: &policy.id, limit, tenant: row.tenant.as_deref(), key: &row.key };
    Settlement { counter, spent: row.hits, actual: hits.unwrap_or(row.hits), spent_at: row.spent_at }
}
