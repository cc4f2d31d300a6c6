//! What egress obligations come to: which findings are masked, and the masked payload.

use crate::decision::{Effect, FindingAction, Obligation, Reason, ReasonCode, ReportedFinding};
use crate::dlp::{self, Finding};
use crate::request::Text;

/// Findings with their actions, and the payload to send instead.
pub(crate) struct Masking {
    pub(crate) findings: Vec<ReportedFinding>,
    pub(crate) payload: Option<Vec<u8>>,
}

/// Whether an obligation masks.
pub(crate) fn masks(obligation: &Obligation) -> bool {
    matches!(&*obligation.kind, "mask" | "redact")
}

/// Checks that every masking obligation names known detectors and categories: a misspelt
/// name must not let data through unmasked.
pub(crate) fn check(obligation: &Obligation) -> Result<(), String> {
    for (parameter, known) in [
        ("detectors", dlp::detectors().iter().map(|d| d.name).collect::<Vec<_>>()),
        ("categories", dlp::detectors().iter().map(|d| d.category).collect()),
    ] {
        let Some(value) = obligation.parameters.get(parameter) else { continue };
        let names = value.as_list().ok_or_else(|| format!("`{parameter}` of a mask is not a list"))?;
        for name in names {
            if !name.as_text().is_some_and(|name| known.contains(&name)) {
                return Err(format!("`{parameter}` of a mask names something unknown"));
            }
        }
    }
    Ok(())
}

/// Applies `obligations` of an allowed egress to `findings`, or reports them as blocked.
pub(crate) fn apply(
    effect: Effect,
    findings: Vec<Finding>,
    obligations: &[Obligation],
    reasons: &[Reason],
    content: &[u8],
) -> Masking {
    let blocker =
        reasons.iter().find(|r| r.code == ReasonCode::DataBlocked).and_then(|r| r.policy_id.clone());
    let report = |finding: Finding| {
        let (action, policy_id) = match effect {
            Effect::Deny => (FindingAction::Block, blocker.clone()),
            Effect::Allow => match masked_by(&finding, obligations) {
                Some(policy_id) => (FindingAction::Mask, Some(policy_id)),
                None => (FindingAction::None, None),
            },
        };
        ReportedFinding { finding, action, policy_id }
    };
    let findings: Vec<_> = findings.into_iter().map(report).collect();
    let masked: Vec<_> =
        findings.iter().filter(|f| f.action == FindingAction::Mask).map(|f| f.finding.clone()).collect();
    let payload = (!masked.is_empty()).then(|| dlp::mask(content, &masked));
    Masking { findings, payload }
}

/// The policy that obliges to mask `finding`.
fn masked_by(finding: &Finding, obligations: &[Obligation]) -> Option<Text> {
    let names = |obligation: &Obligation, parameter: &str, name: &str| {
        let list = obligation.parameters.get(parameter).and_then(|value| value.as_list());
        list.map(|list| list.iter().any(|item| item.as_text() == Some(name)))
    };
    let covers = |obligation: &&Obligation| {
        let detector = names(obligation, "detectors", finding.detector);
        let category = names(obligation, "categories", finding.category);
        masks(obligation)
            && match (detector, category) {
                (None, None) => true,
                (detector, category) => detector == Some(true) || category == Some(true),
            }
    };
    obligations.iter().find(covers).map(|obligation| obligation.policy_id.clone())
}
