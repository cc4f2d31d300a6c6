//! A decision as Envoy's rate limit service answers it.

use std::time::Duration;

use pdp_engine::limit::{Algorithm, NEVER, Period};
use pdp_engine::{Decision, Effect, LimitStatus, Reason, Request};
use pdp_policy::{Key, Map, Value};
use pdp_proto::envoy::service::ratelimit::v3::RateLimitResponse;
use pdp_proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use pdp_proto::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus, RateLimit};

use super::headers;
use crate::convert::decision::{code, duration, structure};

/// Reasons that go into the dynamic metadata; the audit trail has them all.
const MAX_REASONS: usize = 16;

/// Converts a decision about `request`.
pub(crate) fn answer(request: &Request, from: &Decision) -> RateLimitResponse {
    let sets = request.facts.limit.descriptor_sets.len();
    let overall = if from.effect == Effect::Allow { Code::Ok } else { Code::OverLimit };
    RateLimitResponse {
        overall_code: overall.into(),
        statuses: (0..sets).map(|set| descriptor_status(set, &from.limits)).collect(),
        response_headers_to_add: headers::of(&from.limits),
        dynamic_metadata: Some(structure(&metadata(from))),
        ..RateLimitResponse::default()
    }
}

/// The status of one descriptor: that of the tightest limit it matched, where policies share a domain.
fn descriptor_status(set: usize, limits: &[LimitStatus]) -> DescriptorStatus {
    let matched = limits.iter().filter(|status| status.descriptor == Some(set));
    match matched.min_by_key(|status| tightness(status)) {
        None => DescriptorStatus { code: Code::Ok.into(), ..DescriptorStatus::default() },
        Some(status) if status.unlimited => DescriptorStatus {
            code: Code::Ok.into(),
            limit_remaining: u32::MAX,
            ..DescriptorStatus::default()
        },
        Some(status) => DescriptorStatus {
            code: if status.outcome.admitted { Code::Ok } else { Code::OverLimit }.into(),
            current_limit: Some(current_limit(status)),
            limit_remaining: u32::try_from(status.outcome.remaining).unwrap_or(u32::MAX),
            duration_until_reset: Some(duration(status.outcome.reset_after)),
            quota: None,
        },
    }
}

/// Orders limits: the smaller, the closer to a refusal. What only shadows stands after all that enforces.
pub(super) fn tightness(status: &LimitStatus) -> (bool, bool, bool, u64) {
    (status.unlimited, status.shadow, status.outcome.admitted, status.outcome.remaining)
}

/// The limit as configured.
///
/// A window that is no unit of the service, such as five minutes, has the unit `UNKNOWN` beside the count as
/// configured. A unit that divides the window, with a part of the count, would promise an evenness that the
/// limit does not have, and remaining hits above the limit.
fn current_limit(status: &LimitStatus) -> RateLimit {
    RateLimit {
        name: status.name.as_ref().to_owned(),
        requests_per_unit: u32::try_from(status.limit).unwrap_or(u32::MAX),
        unit: unit(status).into(),
    }
}

fn unit(status: &LimitStatus) -> Unit {
    const DAY: u64 = 86_400;
    match status.algorithm {
        Algorithm::Quota(calendar) => match calendar.period {
            Period::Day => Unit::Day,
            Period::Month => Unit::Month,
        },
        // What is held at once has no window.
        Algorithm::Concurrency => Unit::Unknown,
        Algorithm::Gcra { .. } | Algorithm::FixedWindow | Algorithm::SlidingWindow => {
            match (status.window.as_secs(), status.window.subsec_nanos()) {
                (1, 0) => Unit::Second,
                (60, 0) => Unit::Minute,
                (3_600, 0) => Unit::Hour,
                (DAY, 0) => Unit::Day,
                (seconds, 0) if seconds == 7 * DAY => Unit::Week,
                (seconds, 0) if seconds == 30 * DAY => Unit::Month,
                (seconds, 0) if seconds == 365 * DAY => Unit::Year,
                _ => Unit::Unknown,
            }
        }
    }
}

/// What logs and filters behind this one may want to know.
fn metadata(from: &Decision) -> Map {
    let mut entries = vec![
        ("decision_id", Value::text(&from.decision_id.to_string())),
        ("policy_revision", Value::text(&from.policy_revision)),
        // None at all may be a domain that nobody wrote limits for.
        ("limits", Value::Int(i64::try_from(from.limits.len()).unwrap_or(i64::MAX))),
    ];
    if from.effect == Effect::Deny {
        let reasons = from.verdicts.iter().flat_map(|verdict| &verdict.reasons);
        entries.push(("reasons", reasons.take(MAX_REASONS).map(reason).collect::<Vec<_>>().into()));
    }
    // A limit that only shadows is reported as admitted, with the wait that it would have asked for.
    let shadowed = from.limits.iter().filter(|one| one.shadow && one.outcome.retry_after.is_some());
    let shadowed: Vec<Value> = shadowed.take(MAX_REASONS).map(|one| Value::text(&one.name)).collect();
    if !shadowed.is_empty() {
        entries.push(("shadow_over_limit", shadowed.into()));
    }
    map(entries)
}

fn reason(from: &Reason) -> Value {
    let name = code(from.code).as_str_name();
    let mut entries = vec![
        ("code", Value::text(name.strip_prefix("REASON_CODE_").unwrap_or(name))),
        ("message", Value::text(&from.message)),
    ];
    if let Some(policy_id) = &from.policy_id {
        entries.push(("policy_id", Value::text(policy_id)));
    }
    if let Some(detail) = &from.detail_code {
        entries.push(("detail_code", Value::text(detail)));
    }
    Value::Map(map(entries))
}

fn map(entries: Vec<(&'static str, Value)>) -> Map {
    Map::from_entries(entries.into_iter().map(|(key, value)| (Key::from(key), value)).collect())
}

/// Whole seconds, upwards: who waits that long finds room.
pub(super) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The longest wait that the limits which refused ask for; `None` where none did, or no wait helps.
pub(super) fn wait(limits: &[LimitStatus]) -> Option<Duration> {
    let refused = limits.iter().filter(|one| !one.shadow && !one.outcome.admitted);
    refused.filter_map(|one| one.outcome.retry_after).max().filter(|wait| *wait < NEVER)
}
