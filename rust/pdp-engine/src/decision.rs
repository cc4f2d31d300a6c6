//! What a decision is made of: effects, reasons, verdicts, obligations.

use std::time::Duration;

use pdp_policy::{Map, Value};
use uuid::Uuid;

use crate::limit::{Algorithm, Limit, LimitOutcome, Usage};
use crate::request::Text;

/// What is asked; a stage of the decision. The order is the order of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Is this too much?
    RateLimit,
    /// May this subject do this action on this resource now?
    Access,
    /// May this function talk to that destination?
    Segmentation,
    /// May this payload leave for that destination, and in which form?
    Egress,
}

/// The answer. Undefined is [`Effect::Deny`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Yes.
    Allow,
    /// No, or no answer.
    Deny,
}

/// Who wrote a policy; a lower tier cannot widen a higher one. The order is from highest to lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The platform.
    Guardrail,
    /// The organisation.
    Organisation,
    /// The team that owns the function.
    Team,
}

/// Why an effect was given; the contract's `ReasonCode` documents each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is documented in the contract, under the same name")]
pub enum ReasonCode {
    PolicyAllow,
    PolicyDeny,
    DefaultDeny,
    NotAllowed,
    PolicyError,
    PolicyOutputInvalid,
    PolicyTimeout,
    PolicyInstructionLimit,
    PolicyMemoryLimit,
    FailOpen,
    FactMissing,
    FactTooOld,
    RateLimited,
    WithinLimit,
    DataBlocked,
    DataMasked,
    PayloadNotScanned,
    NotEvaluated,
    RequiredPolicyNotApplied,
    LimitKeyMissing,
    LimitNotCounted,
    LimitCostInvalid,
    LimitStoreUnavailable,
    LimitCountedLocally,
    FactUnavailable,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable code.
    pub code: ReasonCode,
    /// The policy, where one gave the reason.
    pub policy_id: Option<Text>,
    /// The policy's own code.
    pub detail_code: Option<Text>,
    /// One sentence for a person; never payload data.
    pub message: Text,
    /// Tier of the policy.
    pub tier: Option<Tier>,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The question.
    pub question: Question,
    /// Its effect.
    pub effect: Effect,
    /// Why, never empty.
    pub reasons: Vec<Reason>,
    /// False where an earlier stage denied.
    pub evaluated: bool,
}

/// What the enforcement point must do with an ALLOW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obligation {
    /// Kind, such as `mask`.
    pub kind: Text,
    /// Policy that obliges.
    pub policy_id: Text,
    /// Parameters, without the kind.
    pub parameters: Map,
}

/// State of a limit after the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitStatus {
    /// Policy that owns the limit.
    pub policy_id: Text,
    /// Name inside the policy.
    pub name: Text,
    /// Hits the limit admits within its window; the largest number where it is `unlimited`.
    pub limit: u64,
    /// How hits are counted.
    pub algorithm: Algorithm,
    /// Window.
    pub window: Duration,
    /// What the store said. A limit that only shadows is reported as admitted; its `retry_after` still
    /// says that it had no room.
    pub outcome: LimitOutcome,
    /// Position in [`LimitSpend::descriptor_sets`](crate::LimitSpend::descriptor_sets) of the set that
    /// matched. A set without a status matched nothing, or a limit that another one replaces.
    pub descriptor: Option<usize>,
    /// The matched entries as `key_value.key_value`, where the limit asks for metrics by them.
    pub detail: Option<Text>,
    /// Whether the limit counts and never denies.
    pub shadow: bool,
    /// Whether the limit matches and never counts.
    pub unlimited: bool,
}

/// What was done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingAction {
    /// Nothing.
    None,
    /// Masked.
    Mask,
    /// The payload was blocked.
    Block,
}

/// A finding with what was done about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedFinding {
    /// The finding.
    pub finding: crate::dlp::Finding,
    /// What was done.
    pub action: FindingAction,
    /// Policy that chose the action.
    pub policy_id: Option<Text>,
}

/// A fact group that the request supplied, or a stored fact that was read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactUse {
    /// `device`, `location` or `behaviour`; `facts.<kind>` of a stored fact.
    pub name: &'static str,
    /// Age at the time of the decision.
    pub age: Duration,
    /// Version of a stored fact, and who says so.
    pub stored: Option<(u64, Text)>,
}

/// What a shadow policy would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowResult {
    /// The policy.
    pub policy_id: Text,
    /// The question.
    pub question: Question,
    /// What it would have answered.
    pub effect: Effect,
    /// Whether enforcing it would have changed the question's effect.
    pub would_change: bool,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// One effect and everything that explains it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Combined effect.
    pub effect: Effect,
    /// UUIDv7.
    pub decision_id: Uuid,
    /// Revision of the policy set.
    pub policy_revision: Text,
    /// One verdict per question, in the order of evaluation.
    pub verdicts: Vec<Verdict>,
    /// What the enforcement point must do.
    pub obligations: Vec<Obligation>,
    /// Limits read or spent.
    pub limits: Vec<LimitStatus>,
    /// What the scanner found.
    pub findings: Vec<ReportedFinding>,
    /// The payload to send instead, when masking is obliged.
    pub masked_payload: Option<Vec<u8>>,
    /// Facts supplied, with ages.
    pub facts: Vec<FactUse>,
    /// How long an equal request may be answered by this decision.
    pub cacheable_for: Option<Duration>,
    /// What shadow policies would have said.
    pub shadow: Vec<ShadowResult>,
    /// Whether policies' results came from the memo.
    pub memoised: bool,
    /// What a later report may correct: hits spent by an estimate, where the request announced a report,
    /// and what concurrency limits hold. It is there whatever the effect: who denies a request for
    /// another reason gives back at once what it holds.
    pub usage: Vec<Usage>,
}

impl LimitStatus {
    /// The status of a limit of an ordinary list.
    #[must_use]
    pub fn new(policy_id: Text, limit: &Limit, outcome: LimitOutcome) -> Self {
        Self {
            policy_id,
            name: limit.name.clone(),
            limit: limit.limit,
            algorithm: limit.algorithm,
            window: limit.window,
            outcome,
            descriptor: None,
            detail: None,
            shadow: false,
            unlimited: false,
        }
    }
}

impl Question {
    /// Every question, in the order of evaluation.
    pub const ALL: [Self; 4] = [Self::RateLimit, Self::Access, Self::Segmentation, Self::Egress];

    /// Position in [`Self::ALL`].
    #[must_use]
    pub fn position(self) -> usize {
        self as usize
    }

    /// The question as the manifest spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::Access => "access",
            Self::Segmentation => "segmentation",
            Self::Egress => "egress",
        }
    }
}

impl Tier {
    /// The tier as the manifest spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guardrail => "guardrail",
            Self::Organisation => "organisation",
            Self::Team => "team",
        }
    }
}

impl Obligation {
    /// Reads an obligation that a policy returned: a map with a text `type`.
    #[must_use]
    pub fn parse(value: &Value, policy_id: &Text) -> Option<Self> {
        let map = value.as_map()?;
        let kind = map.get("type")?.as_text()?;
        let parameters = map.iter().filter(|(key, _)| key.as_str() != "type").cloned().collect();
        Some(Self { kind: Text::from(kind), policy_id: policy_id.clone(), parameters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_stands_at_its_position_and_reads_its_own_name() {
        for (position, question) in Question::ALL.into_iter().enumerate() {
            assert_eq!(question.position(), position);
            let read: Question = serde_norway::from_str(question.name()).unwrap();
            assert_eq!(read, question);
        }
    }

    #[test]
    fn each_tier_reads_its_own_name() {
        for tier in [Tier::Guardrail, Tier::Organisation, Tier::Team] {
            assert_eq!(serde_norway::from_str::<Tier>(tier.name()).unwrap(), tier);
        }
    }
}
