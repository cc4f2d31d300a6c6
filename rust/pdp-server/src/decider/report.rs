//! Reports: what a request came to, settled against the limits that it spent.

use std::future::IntoFuture;
use std::panic::AssertUnwindSafe;
use std::time::SystemTime;

use bytes::Buf;
use futures_util::FutureExt;
use futures_util::future::join_all;
use pdp_engine::Reply;
use pdp_engine::limit::{LimitOutcome, MAX_HITS};
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
        // A limit that a reload took away has nothing left to settle.
        let settling = self.active_set().settling(&usage);
        let replies = settling.settle(request.hits, self.store().as_ref(), SystemTime::now());
        let outcomes = join_all(replies.into_iter().map(Reply::into_future)).await;
        let outcomes: Vec<LimitOutcome> = outcomes.into_iter().flatten().collect();
        if let Some(fault) = outcomes.iter().find_map(|outcome| outcome.fault) {
            return Err(errors::from_limit_fault(fault));
        }
        let limits = settling.statuses(&outcomes).iter().map(convert::limit).collect();
        Ok(proto::ReportUsageResponse { limits })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use pdp_engine::WorkerOptions;
    use pdp_engine::limit::{CounterName, LimitFault, LimitStore, Settle, Settlement, Spend, Usage};
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
        fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
            let admitted = LimitOutcome { admitted: true, remaining: 5, ..LimitOutcome::default() };
            Reply::Ready(vec![admitted; spend.demands.len()])
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
        - {name: hour, algorithm: fixed_window, limit: 90, window: 1h, key: tenant}\n  \
        - {name: open, algorithm: concurrency, limit: 9, hold: 1m, key: tenant, \
           when: has(limit.descriptors.hold)}\n";

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
        let rows = [usage("hour", 1, false), usage("gone", 1, false), usage("open", 2, true)];
        let token = decider.shared.state.key.sign(&rows).unwrap();
        let answer = report(&decider, token.clone(), Some(12)).unwrap();
        let found: Vec<_> =
            answer.limits.iter().map(|it| (it.name.as_str(), it.limit, it.remaining)).collect();
        assert_eq!(found, [("hour", 90, 7), ("open", 9, 7)]);
        report(&decider, token, None).unwrap();
        let wanted = [
            "1 shop hour Some(\"acme\") 4:acme; 30>12",
            "2 shop open Some(\"acme\") 4:acme; 30>0",
            "1 shop hour Some(\"acme\") 4:acme; 30>30",
            "2 shop open Some(\"acme\") 4:acme; 30>0",
        ];
        assert_eq!(*store.settled.lock().unwrap(), wanted);
    }

    #[test]
    fn what_is_held_for_a_request_that_is_denied_is_given_back_at_once() {
        let (decider, store) = decider(None);
        let mut request = spending(true, true);
        request.questions.push(proto::Question::Access.into());
        request.subject = Some(proto::Subject { id: "ann".to_owned(), ..proto::Subject::default() });
        request.action = "read".to_owned();
        request.resource = Some(proto::Resource { id: "/".to_owned(), ..proto::Resource::default() });
        let denied = decider.check(&request).unwrap().decision.unwrap();
        assert_eq!(denied.effect(), proto::Effect::Deny);
        let holder = denied.decision_id.parse::<Uuid>().unwrap().as_u128();
        let wanted = [format!("{holder} shop open Some(\"acme\") 4:acme; 4>0")];
        assert_eq!(*store.settled.lock().unwrap(), wanted);
        report(&decider, denied.usage_token, Some(9)).unwrap();
        let last = store.settled.lock().unwrap().last().cloned();
        let spent = format!("{holder} shop hour Some(\"acme\") 4:acme; 4>9");
        assert_eq!(last, Some(spent), "the estimate was spent, and may still be corrected");
    }

    fn decide(decider: &Decider, report_later: bool, hold: bool) -> proto::Decision {
        decider.check(&spending(report_later, hold)).unwrap().decision.unwrap()
    }

    fn spending(report_later: bool, hold: bool) -> proto::CheckRequest {
        let descriptors = hold.then(|| ("hold".to_owned(), "yes".to_owned())).into_iter().collect();
        proto::CheckRequest {
            questions: vec![proto::Question::RateLimit.into()],
            tenant: "acme".to_owned(),
            limit: Some(proto::LimitSpend {
                hits: Some(4),
                descriptors,
                report_later,
                ..proto::LimitSpend::default()
            }),
            ..proto::CheckRequest::default()
        }
    }

    #[test]
    fn decision_carries_a_token_where_there_is_something_to_report() {
        let (decider, store) = decider(None);
        assert!(decide(&decider, false, false).usage_token.is_empty());
        let estimate = decide(&decider, true, false);
        report(&decider, estimate.usage_token, Some(9)).unwrap();
        let held = decide(&decider, false, true);
        report(&decider, held.usage_token, None).unwrap();
        let settled = store.settled.lock().unwrap();
        let holder = |id: &str| id.parse::<Uuid>().unwrap().as_u128();
        let wanted = [
            format!("{} shop hour Some(\"acme\") 4:acme; 4>9", holder(&estimate.decision_id)),
            format!("{} shop open Some(\"acme\") 4:acme; 4>0", holder(&held.decision_id)),
        ];
        assert_eq!(*settled, wanted);
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
