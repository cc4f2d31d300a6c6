//! Limits: how one stands for a key, and forgetting what was spent.

use std::time::SystemTime;

use pdp_engine::limit::{CounterName, KeyError, Limit, LimitDemand, LimitFault, Spend, encode_key};
use pdp_engine::{LimitStatus, PolicySet, Text};
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};
use uuid::Uuid;

use super::Admin;
use crate::{convert, errors};

/// Bytes of a tenant, as in a request.
const MAX_TENANT_BYTES: usize = 256;
/// Names that an error lists.
const MOST_NAMES: usize = 20;

/// A counter whose limit exists.
struct Found {
    policy_id: Text,
    limit: Limit,
    tenant: Option<String>,
    key: String,
}

/// How a limit stands, spending nothing.
pub(super) async fn inspect(
    admin: &Admin,
    request: proto::InspectLimitRequest,
) -> Result<proto::InspectLimitResponse, ErrorDetail> {
    let decider = admin.reloader.decider();
    let found = Found::find(&decider.active().set, request.counter)?;
    let reply = {
        let demands = [LimitDemand { counter: found.counter(), hits: 1, peek: true }];
        let spend =
            Spend { request_id: None, holder: Uuid::nil(), demands: &demands, now: SystemTime::now() };
        decider.store().spend(&spend)
    };
    let outcome = reply.await.into_iter().next().ok_or_else(errors::internal)?;
    if let Some(fault @ LimitFault::StoreUnavailable) = outcome.fault {
        return Err(errors::from_limit_fault(fault));
    }
    let status = LimitStatus::new(found.policy_id, &found.limit, outcome);
    Ok(proto::InspectLimitResponse { status: Some(convert::limit(&status)) })
}

/// Forgets what was spent under a key.
pub(super) async fn reset(
    admin: &Admin,
    request: proto::ResetLimitRequest,
) -> Result<proto::ResetLimitResponse, ErrorDetail> {
    let decider = admin.reloader.decider();
    let found = Found::find(&decider.active().set, request.counter)?;
    let reply = decider.store().reset(&found.counter());
    let existed = reply.await.map_err(errors::from_limit_fault)?;
    tracing::info!(policy = %found.policy_id, limit = %found.limit.name, existed, "an operator reset a limit");
    Ok(proto::ResetLimitResponse { existed })
}

impl Found {
    /// Checks that the set has the limit, and that the key is one.
    fn find(set: &PolicySet, counter: Option<proto::LimitCounter>) -> Result<Self, ErrorDetail> {
        let missing = "name a policy, a limit and a key";
        let counter =
            counter.ok_or_else(|| errors::detail(ErrorReason::FieldRequired, "counter", missing))?;
        if counter.tenant.len() > MAX_TENANT_BYTES {
            let message = format!("is longer than {MAX_TENANT_BYTES} bytes");
            return Err(errors::detail(ErrorReason::TooLarge, "counter.tenant", message));
        }
        let key = encode_key(counter.key.iter().map(String::as_str)).map_err(|error| {
            let reason = match error {
                KeyError::Empty => ErrorReason::FieldRequired,
                KeyError::TooLong => ErrorReason::TooLarge,
            };
            errors::detail(reason, "counter.key", error.to_string())
        })?;
        let tenant = Some(counter.tenant).filter(|tenant| !tenant.is_empty());
        let limit = set.limit(&counter.policy_id, &counter.limit, tenant.as_deref());
        let limit = limit.ok_or_else(|| absent(set, &counter.policy_id, &counter.limit))?;
        Ok(Self { policy_id: counter.policy_id.into(), limit, tenant, key })
    }

    fn counter(&self) -> CounterName<'_> {
        CounterName {
            policy_id: &self.policy_id,
            limit: &self.limit,
            tenant: self.tenant.as_deref(),
            key: &self.key,
        }
    }
}

/// Says which of policy and limit does not exist.
fn absent(set: &PolicySet, policy: &str, name: &str) -> ErrorDetail {
    let own: Vec<&str> = (set.limits())
        .filter(|(info, _)| *info.id == *policy)
        .map(|(_, limit)| limit.name.as_ref())
        .collect();
    if own.is_empty() {
        let mut policies: Vec<&str> = set.limits().map(|(info, _)| info.id.as_ref()).collect();
        policies.dedup();
        return unknown("counter.policy_id", &format!("no policy `{policy}` with limits"), &policies);
    }
    unknown("counter.limit", &format!("no limit `{name}` in policy `{policy}`"), &own)
}

/// What does not exist, and what does.
fn unknown(field: &str, what: &str, names: &[&str]) -> ErrorDetail {
    let more = if names.len() > MOST_NAMES { ", ..." } else { "" };
    let listed: Vec<String> = names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    let there = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
    let message = format!("the active policy set has {what}; there is {there}{more}");
    errors::detail(ErrorReason::PolicyUnknown, field, message)
}
