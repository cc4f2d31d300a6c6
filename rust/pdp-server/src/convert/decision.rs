//! A decision as the engine made it, to one that travels.

use std::time::Duration;

use bytes::Bytes;
use pdp_engine as engine;
use pdp_engine::limit::CountedBy;
use pdp_engine::{Effect, FindingAction, Question, ReasonCode, Tier};
use pdp_policy::{Map, Value};
use pdp_proto::v1 as proto;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};

/// Converts a decision.
#[must_use]
pub fn decision(from: engine::Decision) -> proto::Decision {
    proto::Decision {
        effect: effect(from.effect),
        decision_id: from.decision_id.to_string(),
        policy_revision: from.policy_revision.to_string(),
        verdicts: from.verdicts.into_iter().map(verdict).collect(),
        obligations: from.obligations.iter().map(obligation).collect(),
        limits: from.limits.iter().map(limit).collect(),
        findings: from.findings.iter().map(finding).collect(),
        masked_payload: from.masked_payload.map(Bytes::from),
        facts: from.facts.iter().map(fact).collect(),
        cacheable_for: from.cacheable_for.map(duration),
        shadow: from.shadow.into_iter().map(shadow).collect(),
        memoised: from.memoised,
        usage_token: Vec::new(),
    }
}

fn effect(from: Effect) -> i32 {
    match from {
        Effect::Allow => proto::Effect::Allow.into(),
        Effect::Deny => proto::Effect::Deny.into(),
    }
}

fn question(from: Question) -> i32 {
    match from {
        Question::Access => proto::Question::Access.into(),
        Question::Segmentation => proto::Question::Segmentation.into(),
        Question::Egress => proto::Question::Egress.into(),
        Question::RateLimit => proto::Question::RateLimit.into(),
    }
}

fn tier(from: Option<Tier>) -> i32 {
    match from {
        None => proto::Tier::Unspecified.into(),
        Some(Tier::Guardrail) => proto::Tier::Guardrail.into(),
        Some(Tier::Organisation) => proto::Tier::Organisation.into(),
        Some(Tier::Team) => proto::Tier::Team.into(),
    }
}

fn text(from: Option<engine::Text>) -> String {
    from.map_or_else(String::new, |text| text.as_ref().to_owned())
}

fn verdict(from: engine::Verdict) -> proto::Verdict {
    proto::Verdict {
        question: question(from.question),
        effect: effect(from.effect),
        reasons: from.reasons.into_iter().map(reason).collect(),
        evaluated: from.evaluated,
    }
}

fn reason(from: engine::Reason) -> proto::Reason {
    proto::Reason {
        code: code(from.code).into(),
        policy_id: text(from.policy_id),
        detail_code: text(from.detail_code),
        message: from.message.as_ref().to_owned(),
        tier: tier(from.tier),
    }
}

pub(super) fn code(from: ReasonCode) -> proto::ReasonCode {
    match from {
        ReasonCode::PolicyAllow => proto::ReasonCode::PolicyAllow,
        ReasonCode::PolicyDeny => proto::ReasonCode::PolicyDeny,
        ReasonCode::DefaultDeny => proto::ReasonCode::DefaultDeny,
        ReasonCode::NotAllowed => proto::ReasonCode::NotAllowed,
        ReasonCode::PolicyError => proto::ReasonCode::PolicyError,
        ReasonCode::PolicyOutputInvalid => proto::ReasonCode::PolicyOutputInvalid,
        ReasonCode::PolicyTimeout => proto::ReasonCode::PolicyTimeout,
        ReasonCode::PolicyInstructionLimit => proto::ReasonCode::PolicyInstructionLimit,
        ReasonCode::PolicyMemoryLimit => proto::ReasonCode::PolicyMemoryLimit,
        ReasonCode::FailOpen => proto::ReasonCode::FailOpen,
        ReasonCode::FactMissing => proto::ReasonCode::FactMissing,
        ReasonCode::FactTooOld => proto::ReasonCode::FactTooOld,
        ReasonCode::RateLimited => proto::ReasonCode::RateLimited,
        ReasonCode::WithinLimit => proto::ReasonCode::WithinLimit,
        ReasonCode::DataBlocked => proto::ReasonCode::DataBlocked,
        ReasonCode::DataMasked => proto::ReasonCode::DataMasked,
        ReasonCode::PayloadNotScanned => proto::ReasonCode::PayloadNotScanned,
        ReasonCode::NotEvaluated => proto::ReasonCode::NotEvaluated,
        ReasonCode::RequiredPolicyNotApplied => proto::ReasonCode::RequiredPolicyNotApplied,
        ReasonCode::LimitKeyMissing => proto::ReasonCode::LimitKeyMissing,
        ReasonCode::LimitNotCounted => proto::ReasonCode::LimitNotCounted,
        ReasonCode::LimitCostInvalid => proto::ReasonCode::LimitCostInvalid,
        ReasonCode::LimitStoreUnavailable => proto::ReasonCode::LimitStoreUnavailable,
        ReasonCode::LimitCountedLocally => proto::ReasonCode::LimitCountedLocally,
        ReasonCode::FactUnavailable => proto::ReasonCode::FactUnavailable,
    }
}

fn obligation(from: &engine::Obligation) -> proto::Obligation {
    proto::Obligation {
        r#type: from.kind.to_string(),
        policy_id: from.policy_id.to_string(),
        parameters: Some(structure(&from.parameters)),
    }
}

/// How a limit stands.
pub(crate) fn limit(from: &engine::LimitStatus) -> proto::LimitStatus {
    proto::LimitStatus {
        policy_id: from.policy_id.to_string(),
        name: from.name.to_string(),
        limit: from.limit,
        remaining: from.outcome.remaining,
        reset_after: Some(duration(from.outcome.reset_after)),
        retry_after: from.outcome.retry_after.map(duration),
        admitted: from.outcome.admitted,
        counted_by: counted_by(from.outcome.counted_by).into(),
        overshoot: from.outcome.overshoot,
    }
}

fn counted_by(from: CountedBy) -> proto::CountedBy {
    match from {
        CountedBy::Memory => proto::CountedBy::Memory,
        CountedBy::Shared => proto::CountedBy::Shared,
        CountedBy::Lease => proto::CountedBy::Lease,
        CountedBy::Local => proto::CountedBy::Local,
    }
}

fn finding(from: &engine::ReportedFinding) -> proto::Finding {
    let action = match from.action {
        FindingAction::None => "none",
        FindingAction::Mask => "mask",
        FindingAction::Block => "block",
    };
    proto::Finding {
        detector: from.finding.detector.to_owned(),
        category: from.finding.category.to_owned(),
        start: from.finding.start as u64,
        end: from.finding.end as u64,
        confidence: from.finding.confidence,
        action: action.to_owned(),
        policy_id: text(from.policy_id.clone()),
    }
}

fn fact(from: &engine::FactUse) -> proto::FactUse {
    let (version, source) = from
        .stored
        .as_ref()
        .map_or((0, String::new()), |(version, source)| (*version, source.as_ref().to_owned()));
    proto::FactUse { name: from.name.to_owned(), age: Some(duration(from.age)), version, source }
}

fn shadow(from: engine::ShadowResult) -> proto::ShadowResult {
    proto::ShadowResult {
        policy_id: from.policy_id.to_string(),
        question: question(from.question),
        effect: effect(from.effect),
        would_change: from.would_change,
        reasons: from.reasons.into_iter().map(reason).collect(),
    }
}

/// A duration; past what the message holds (10,000 years) it is that.
pub(super) fn duration(from: Duration) -> prost_types::Duration {
    const MAX_SECONDS: u64 = 315_576_000_000;
    let seconds = i64::try_from(from.as_secs().min(MAX_SECONDS)).unwrap_or_default();
    prost_types::Duration { seconds, nanos: i32::try_from(from.subsec_nanos()).unwrap_or_default() }
}

/// A map as open attributes. Bytes become base64 text, as policies see them.
#[must_use]
pub fn structure(map: &Map) -> Struct {
    Struct { fields: map.iter().map(|(key, item)| (key.as_str().to_owned(), value(item))).collect() }
}

// The recursion is bounded: the engine bounds the depth of what policies return.
fn value(item: &Value) -> prost_types::Value {
    let kind = match item {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        #[allow(clippy::cast_precision_loss, reason = "JSON numbers travel as doubles")]
        Value::Int(number) => Kind::NumberValue(*number as f64),
        Value::Float(number) => Kind::NumberValue(number.get()),
        Value::Text(text) => Kind::StringValue(text.as_ref().to_owned()),
        Value::Bytes(_) => match serde_json::Value::from(item) {
            serde_json::Value::String(text) => Kind::StringValue(text),
            _ => Kind::NullValue(0),
        },
        Value::List(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
        Value::Map(map) => Kind::StructValue(structure(map)),
    };
    prost_types::Value { kind: Some(kind) }
}
