//! Limits: how one stands for a key, and forgetting what was spent.

use std::sync::Arc;
use std::time::SystemTime;

use pdp_engine::PolicySet;
use pdp_engine::limit::{CounterName, KeyError, Limit, LimitDemand, LimitFault, Spend, encode_key};
use pdp_engine::{PolicyInfo, Reply};
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason};
use uuid::Uuid;

use super::Admin;
use crate::{convert, errors};

/// Bytes of a tenant, as in a request.
const MAX_TENANT_BYTES: usize = 256;
/// Names that an error lists.
const MOST_NAMES: usize = 20;

/// A counter that exists by name.
struct Named {
    set: Arc<PolicySet>,
    from: proto::LimitCounter,
    key: String,
}

/// How a limit stands, spending nothing.
pub(super) async fn inspect(
    admin: &Admin,
    request: proto::InspectLimitRequest,
) -> Result<proto::InspectLimitResponse, ErrorDetail> {
    let named = Named::find(admin, request.counter)?;
    let (policy, limit) = named.limit()?;
    let reply = {
        let counter = named.counter(policy, limit);
        let demands = [LimitDemand { counter, hits: 1, peek: true }];
        let spend =
            Spend { request_id: None, holder: Uuid::nil(), demands: &demands, now: SystemTime::now() };
        admin.reloader.decider().store().spend(&spend)
    };
    let outcome = reply.await.into_iter().next().ok_or_else(errors::internal)?;
    if let Some(fault @ LimitFault::StoreUnavailable) = outcome.fault {
        return Err(errors::from_limit_fault(fault));
    }
    let status = convert::limit_status(&policy.id, &limit.name, limit.limit, &outcome);
    Ok(proto::InspectLimitResponse { status: Some(status) })
}

/// Forgets what was spent under a key.
pub(super) async fn reset(
    admin: &Admin,
    request: proto::ResetLimitRequest,
) -> Result<proto::ResetLimitResponse, ErrorDetail> {
    let named = Named::find(admin, request.counter)?;
    let (policy, limit) = named.limit()?;
    let reply: Reply<_> = admin.reloader.decider().store().reset(&named.counter(policy, limit));
    let existed = reply.await.map_err(errors::from_limit_fault)?;
    let (policy, limit) = (&named.from.policy_id, &named.from.limit);
    tracing::info!(%policy, %limit, existed, "an operator reset a limit");
    Ok(proto::ResetLimitResponse { existed })
}

impl Named {
    /// Checks that the set has the limit, and that the key is one.
    fn find(admin: &Admin, counter: Option<proto::LimitCounter>) -> Result<Self, ErrorDetail> {
        let missing =
            || errors::detail(ErrorReason::FieldRequired, "counter", "name a policy, a limit and a key");
        let from = counter.ok_or_else(missing)?;
        if from.tenant.len() > MAX_TENANT_BYTES {
            let message = format!("is longer than {MAX_TENANT_BYTES} bytes");
            return Err(errors::detail(ErrorReason::TooLarge, "counter.tenant", message));
        }
        let key = encode_key(from.key.iter().map(String::as_str)).map_err(|error| {
            let reason = match error {
                KeyError::Empty => ErrorReason::FieldRequired,
                KeyError::TooLong => ErrorReason::TooLarge,
            };
            errors::detail(reason, "counter.key", error.to_string())
        })?;
        let named = Self { set: admin.reloader.decider().active().set.clone(), from, key };
        named.limit()?;
        Ok(named)
    }

    fn limit(&self) -> Result<(&PolicyInfo, &Limit), ErrorDetail> {
        let (policy, name) = (&self.from.policy_id, &self.from.limit);
        self.set.limit(policy, name).ok_or_else(|| {
            let own: Vec<&str> = (self.set.limits())
                .filter(|(info, _)| *info.id == **policy)
                .map(|(_, limit)| limit.name.as_ref())
                .collect();
            if own.is_empty() {
                let mut policies: Vec<&str> = self.set.limits().map(|(info, _)| info.id.as_ref()).collect();
                policies.dedup();
                unknown("counter.policy_id", &format!("no policy `{policy}` with limits"), &policies)
            } else {
                unknown("counter.limit", &format!("no limit `{name}` in policy `{policy}`"), &own)
            }
        })
    }

    fn counter<'a>(&'a self, policy: &'a PolicyInfo, limit: &'a Limit) -> CounterName<'a> {
        let tenant = Some(self.from.tenant.as_str()).filter(|tenant| !tenant.is_empty());
        CounterName { policy_id: &policy.id, limit, tenant, key: &self.key }
    }
}

/// What does not exist, and what does.
fn unknown(field: &str, what: &str, names: &[&str]) -> ErrorDetail {
    let more = if names.len() > MOST_NAMES { ", ..." } else { "" };
    let listed: Vec<String> = names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    let there = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
    let message = format!("the active policy set has {what}; there is {there}{more}");
    errors::detail(ErrorReason::PolicyUnknown, field, message)
}
