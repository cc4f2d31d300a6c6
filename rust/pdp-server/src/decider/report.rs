//! Reports: what a request came to, settled against the limits that it spent.

use std::future::IntoFuture;
use std::panic::AssertUnwindSafe;
use std::time::SystemTime;

use bytes::Buf;
use futures_util::FutureExt;
use futures_util::future::join_all;
use pdp_engine::limit::{CounterName, Limit, LimitOutcome, MAX_HITS, Settle, Settlement, Usage};
use pdp_engine::{PolicySet, Reply};
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
        let found = usage.iter().filter_map(|row| Some((row, limit_of(&set, row)?)));
        let rows: Vec<(&Usage, Limit)> = found.collect();
        let replies: Vec<_> = rows
            .chunk_by(|(a, _), (b, _)| a.holder == b.holder)
            .map(|rows| self.settle_rows(rows, request.hits).into_future())
            .collect();
        let outcomes: Vec<LimitOutcome> = join_all(replies).await.into_iter().flatten().collect();
        if let Some(fault) = outcomes.iter().find_map(|outcome| outcome.fault) {
            return Err(errors::from_limit_fault(fault));
        }
        let limits = rows.iter().zip(&outcomes).map(|((row, limit), outcome)| {
            convert::limit_status(&row.policy_id, &row.limit, limit.limit, outcome)
        });
        Ok(proto::ReportUsageResponse { limits: limits.collect() })
    }

    /// Settles rows of one holder.
    fn settle_rows(&self, rows: &[(&Usage, Limit)], hits: Option<u64>) -> Reply<Vec<LimitOutcome>> {
        let settlements: Vec<Settlement<'_>> =
            rows.iter().map(|(row, limit)| settlement(row, limit, hits)).collect();
        let holder = rows.first().map(|(row, _)| row.holder).unwrap_or_default();
        self.store().settle(&Settle { holder, settlements: &settlements, now: SystemTime::now() })
    }
}

/// The limit of a row as it is now.
fn limit_of(set: &PolicySet, row: &Usage) -> Option<Limit> {
    match &row.definition {
        Some(limit) => Some(limit.clone()),
        None => set.limit(&row.policy_id, &row.limit, row.tenant.as_deref()),
    }
}

fn settlement<'a>(row: &'a Usage, limit: &'a Limit, hits: Option<u64>) -> Settlement<'a> {
    let counter =
        CounterName { policy_id: &row.policy_id, limit, tenant: row.tenant.as_deref(), key: &row.key };
    let actual = if row.held { 0 } else { hits.unwrap_or(row.hits) };
    Settlement { counter, spent: row.hits, actual, spent_at: row.spent_at }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use pdp_engine::WorkerOptions;
    use pdp_engine::limit::{LimitFault, LimitStore, Spend};
    use pdp_state::{Grant, Health, Metric, StateStore};
    use prost::Message;
    use uuid::Uuid;

    use super::*;
    use crate::state::State;

    /// Remembers what was settled: holder, limit, tenant, key, spent and actual hits.
    #[derive(Default)]
    struct Recorder {
        settled: Mutex<Vec<String>>,
        fault: Option<LimitFault>,
    }

    impl LimitStore for Recorder {
        fn spend(&self, _: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
            Reply::Ready(Vec::new())
        }

        fn settle(&self, settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
            let line = |one: &Settlement<'_>| {
                let CounterName { policy_id, limit, tenant, key } = one.counter;
                let (holder, name) = (settle.holder.as_u128(), &limit.name);
                format!("{holder} {policy_id} {name} {tenant:?} {key} {}>{}", one.spent, one.actual)
            };
            self.settled.lock().unwrap().extend(settle.settlements.iter().map(line));
            let outcome = LimitOutcome { remaining: 7, fault: self.fault, ..LimitOutcome::default() };
            let outcomes = vec![outcome; settle.settlements.len()];
            Reply::waiting(async move { outcomes })
        }

        fn reset(&self, _: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
            Reply::Ready(Ok(false))
        }
    }

    impl StateStore for Recorder {
        fn health(&self) -> Health {
            let since = SystemTime::UNIX_EPOCH;
            Health { kind: "memory", available: true, since, last_failure: None, nodes: 1 }
        }

        fn metrics(&self) -> Vec<Metric> {
            Vec::new()
        }

        fn grant(
            &self,
            _: &CounterName<'_>,
            _: u64,
            _: u64,
            _: SystemTime,
        ) -> Reply<Result<Grant, LimitFault>> {
            Reply::Ready(Err(LimitFault::StoreUnavailable))
        }

        fn give_back(&self, _: &CounterName<'_>, _: u64, _: SystemTime) {}
    }

    const MANIFEST: &str = "version: 1\npolicies:\n  \
        - {id: shop, kind: rate_limit, engine: limits, source: limits.yaml}\n";
    const LIMITS: &str = "limits:\n  \
        - {name: hour, algorithm: fixed_window, limit: 90, window: 1h, key: tenant}\n";

    fn decider(fault: Option<LimitFault>) -> (Decider, Arc<Recorder>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("manifest.yaml"), MANIFEST).unwrap();
        std::fs::write(directory.path().join("limits.yaml"), LIMITS).unwrap();
        let set = crate::reload::load(directory.path()).unwrap();
        let store = Arc::new(Recorder { fault, ..Recorder::default() });
        let state = State::new(store.clone(), None).unwrap();
        (Decider::new(set, WorkerOptions::default(), state), store)
    }

    fn usage(limit: &str, holder: u128, held: bool) -> Usage {
        Usage {
            policy_id: "shop".into(),
            limit: limit.into(),
            tenant: Some("acme".into()),
            key: "4:acme;".into(),
            hits: 30,
            spent_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            holder: Uuid::from_u128(holder),
            held,
            definition: None,
        }
    }

    fn report(
        decider: &Decider,
        token: Vec<u8>,
        hits: Option<u64>,
    ) -> Result<proto::ReportUsageResponse, ErrorDetail> {
        let request = proto::ReportUsageRequest { usage_token: token, hits };
        decider.report_usage_encoded(request.encode_to_vec().as_slice())
    }

    #[test]
    fn report_settles_what_the_token_names() {
        let (decider, store) = decider(None);
        let rows = [usage("hour", 1, false), usage("gone", 1, false), usage("hour", 2, true)];
        let token = decider.shared.state.key.sign(&rows).unwrap();
        let answer = report(&decider, token.clone(), Some(12)).unwrap();
        let found: Vec<_> =
            answer.limits.iter().map(|it| (it.name.as_str(), it.limit, it.remaining)).collect();
        assert_eq!(found, [("hour", 90, 7), ("hour", 90, 7)]);
        report(&decider, token, None).unwrap();
        let name = "shop hour Some(\"acme\") 4:acme;";
        let wanted = [
            format!("1 {name} 30>12"),
            format!("2 {name} 30>0"),
            format!("1 {name} 30>30"),
            format!("2 {name} 30>0"),
        ];
        assert_eq!(*store.settled.lock().unwrap(), wanted);
    }

    #[test]
    fn report_that_cannot_be_trusted_counts_nothing() {
        let (decider, store) = decider(None);
        let (stranger, _) = self::decider(None);
        let rows = [usage("hour", 1, false)];
        let foreign = stranger.shared.state.key.sign(&rows).unwrap();
        for token in [Vec::new(), vec![0; 4], vec![1; 5_000], foreign] {
            let error = report(&decider, token, Some(1)).unwrap_err();
            assert_eq!((error.reason(), error.field.as_str()), (ErrorReason::FieldMalformed, "usage_token"));
            assert_eq!(error.grpc_code, tonic::Code::InvalidArgument as i32);
        }
        let token = decider.shared.state.key.sign(&rows).unwrap();
        let error = report(&decider, token, Some(MAX_HITS + 1)).unwrap_err();
        assert_eq!((error.reason(), error.field.as_str()), (ErrorReason::FieldOutOfRange, "hits"));
        assert!(store.settled.lock().unwrap().is_empty());
        assert_eq!(decider.metrics().errors(ErrorReason::FieldMalformed), 4);
    }

    #[test]
    fn store_that_does_not_answer_is_unavailable() {
        let (decider, _) = decider(Some(LimitFault::StoreUnavailable));
        let token = decider.shared.state.key.sign(&[usage("hour", 1, false)]).unwrap();
        let error = report(&decider, token, Some(1)).unwrap_err();
        assert_eq!(error.grpc_code, tonic::Code::Unavailable as i32);
    }
}
