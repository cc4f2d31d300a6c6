//! The rate-limit stage: which limits apply, under which key, and what their store said.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use pdp_policy::{EvalError, Value};

use crate::combine::plain;
use crate::decision::{Effect, LimitStatus, Question, Reason, ReasonCode, ShadowResult, Verdict};
use crate::input::LazyInput;
use crate::limit::{CounterName, LimitDemand, LimitOutcome};
use crate::outcome::{Outcome, failure, reason};
use crate::policy_set::{Body, Mode, Policy, PolicySet};
use crate::request::{Request, Text};
use crate::worker::evaluators::Evaluators;
use crate::worker::facts;

/// Bytes of a limit's key, above which it is refused.
const MAX_KEY_BYTES: usize = 4096;

/// What the rate-limit stage wants to spend.
#[derive(Default)]
pub(crate) struct LimitPlan {
    tenant: Option<Text>,
    /// Positions of the policies that apply.
    applied: Vec<u32>,
    wants: Vec<Want>,
    /// Policies that could not say what to spend.
    failures: Vec<(u32, Reason)>,
    /// Policies that failed and are set to fail open.
    failed_open: Vec<(u32, Reason)>,
}

struct Want {
    position: u32,
    rule: usize,
    key: String,
    hits: u64,
    /// Whether its policy only shadows.
    shadow: bool,
}

impl LimitPlan {
    /// Evaluates conditions and keys of every limit that applies to the request.
    pub(crate) fn new(
        set: &Arc<PolicySet>,
        evaluators: &mut Evaluators,
        request: &Request,
        input: &LazyInput<'_>,
        now: SystemTime,
    ) -> Self {
        let applied = set.select(Question::RateLimit, &request.facts);
        let mut plan = Self { tenant: request.facts.tenant.clone(), applied, ..Self::default() };
        for position in plan.applied.clone() {
            let Some(policy) = set.policy(position) else { continue };
            if let Some((code, message)) = facts::refusal(policy, request, now) {
                plan.fail(position, policy, code, &message);
                continue;
            }
            let Body::Limits(rules) = &policy.body else { continue };
            for rule in 0..rules.len() {
                match key(evaluators.limit(position, rule, input.of(policy), now)) {
                    Ok(None) => {}
                    Ok(Some(key)) => {
                        let shadow = policy.info.mode != Mode::Enforce;
                        let hits = request.facts.limit.hits;
                        plan.wants.push(Want { position, rule, key, hits, shadow });
                    }
                    Err((code, message)) => plan.fail(position, policy, code, &message),
                }
            }
        }
        plan.wants.sort_by_key(|want| (want.shadow, want.position));
        plan
    }

    fn fail(&mut self, position: u32, policy: &Policy, code: ReasonCode, message: &str) {
        match failure(policy, code, message) {
            Outcome::Error(reason) => self.failures.push((position, reason)),
            Outcome::Allow { reason, .. } => self.failed_open.push((position, reason)),
            Outcome::Deny(_) | Outcome::Abstain | Outcome::Pass { .. } => {}
        }
    }

    /// What to spend, in groups that are each spent whole or not at all: the enforced
    /// limits first, then each shadow policy's own, which must not take from what it shadows.
    ///
    /// When an enforced policy failed, the request is denied whatever the counters say,
    /// so they are only read.
    pub(crate) fn groups<'a>(&'a self, set: &'a PolicySet) -> Vec<Vec<LimitDemand<'a>>> {
        let tenant = self.tenant.as_deref();
        let doomed = self.failures.iter().any(|(position, _)| enforced(set, *position));
        let mut groups: Vec<(Option<u32>, Vec<LimitDemand<'a>>)> = Vec::new();
        for want in &self.wants {
            let Some((policy, rule)) = rule(set, want) else { continue };
            let (policy_id, limit) = (&policy.info.id, &rule.limit);
            let counter = CounterName { policy_id, limit, tenant, key: &want.key };
            let demand = LimitDemand { counter, hits: want.hits, peek: doomed };
            let owner = want.shadow.then_some(want.position);
            match groups.last_mut() {
                Some((last, demands)) if *last == owner => demands.push(demand),
                _ => groups.push((owner, vec![demand])),
            }
        }
        groups.into_iter().map(|(_, demands)| demands).collect()
    }

    /// Whether the policy at `position` applied and decides.
    pub(crate) fn applied(&self, set: &PolicySet, position: u32) -> bool {
        self.applied.contains(&position) && enforced(set, position)
    }

    /// The verdict, each limit's status and the shadow results. `outcomes` are in the order of the groups.
    pub(crate) fn conclude(
        &self,
        set: &PolicySet,
        outcomes: &[LimitOutcome],
    ) -> (Verdict, Vec<LimitStatus>, Vec<ShadowResult>) {
        let mut denials = Vec::new();
        let mut shadows: Vec<(u32, Vec<Reason>)> =
            self.applied.iter().filter(|p| !enforced(set, **p)).map(|p| (*p, Vec::new())).collect();
        let mut deny = |position: u32, reason: Reason| match shadows
            .iter_mut()
            .find(|(shadow, _)| *shadow == position)
        {
            Some((_, reasons)) => reasons.push(reason),
            None => denials.push(reason),
        };
        for (position, reason) in &self.failures {
            deny(*position, reason.clone());
        }
        let mut statuses = Vec::with_capacity(self.wants.len());
        for (index, want) in self.wants.iter().enumerate() {
            let Some((policy, rule)) = rule(set, want) else { continue };
            let name = &rule.limit.name;
            let refusal = match outcomes.get(index) {
                None => Some((ReasonCode::LimitNotCounted, "was not counted".to_owned())),
                Some(outcome) => {
                    statuses.push(LimitStatus {
                        policy_id: policy.info.id.clone(),
                        name: name.clone(),
                        limit: rule.limit.limit,
                        outcome: *outcome,
                    });
                    refusal(outcome)
                }
            };
            if let Some((code, what)) = refusal {
                let message = format!("limit `{name}` {what}");
                deny(want.position, reason(policy, code, Some(name.clone()), &message));
            }
        }
        let verdict = self.verdict(set, denials);
        let shadow = shadows.into_iter().filter_map(|s| shadow_result(set, s, &verdict)).collect();
        (verdict, statuses, shadow)
    }

    fn verdict(&self, set: &PolicySet, denials: Vec<Reason>) -> Verdict {
        let mut reasons = denials;
        let deciding = self.applied.iter().any(|position| enforced(set, *position));
        let effect = if deciding && reasons.is_empty() { Effect::Allow } else { Effect::Deny };
        if effect == Effect::Allow {
            let open = self.failed_open.iter().filter(|(position, _)| enforced(set, *position));
            reasons.extend(open.map(|(_, reason)| reason.clone()));
            if reasons.is_empty() {
                reasons.push(plain(ReasonCode::WithinLimit, "every limit that applies has room"));
            }
        } else if reasons.is_empty() {
            reasons.push(plain(ReasonCode::DefaultDeny, "no policy applies to this request"));
        }
        Verdict { question: Question::RateLimit, effect, reasons, evaluated: true }
    }
}

fn enforced(set: &PolicySet, position: u32) -> bool {
    set.policy(position).is_some_and(|policy| policy.info.mode == Mode::Enforce)
}

fn rule<'a>(set: &'a PolicySet, want: &Want) -> Option<(&'a Policy, &'a crate::policy_set::LimitRule)> {
    let policy = set.policy(want.position)?;
    match &policy.body {
        Body::Limits(rules) => rules.get(want.rule).map(|rule| (policy, rule)),
        Body::Rules { .. } => None,
    }
}

/// Why an outcome denies, where it does.
fn refusal(outcome: &LimitOutcome) -> Option<(ReasonCode, String)> {
    if outcome.fault.is_some() {
        return Some((ReasonCode::LimitNotCounted, "could not be counted".to_owned()));
    }
    if outcome.admitted {
        return None;
    }
    let wait = match outcome.retry_after {
        Some(wait) if wait < crate::limit::NEVER => format!("; retry after {} ms", wait.as_millis()),
        Some(_) | None => "; no wait admits so many hits at once".to_owned(),
    };
    Some((ReasonCode::RateLimited, format!("is used up{wait}")))
}

fn shadow_result(
    set: &PolicySet,
    (position, reasons): (u32, Vec<Reason>),
    verdict: &Verdict,
) -> Option<ShadowResult> {
    let policy = set.policy(position)?;
    let effect = if reasons.is_empty() { Effect::Allow } else { Effect::Deny };
    // A limit takes away what others allow; it gives only where nothing else applies.
    let default_denied = verdict.reasons.iter().any(|reason| reason.code == ReasonCode::DefaultDeny);
    let would_change = match effect {
        Effect::Allow => default_denied,
        Effect::Deny => verdict.effect == Effect::Allow,
    };
    Some(ShadowResult {
        policy_id: policy.info.id.clone(),
        question: Question::RateLimit,
        effect,
        would_change,
        reasons,
    })
}

/// The text of a key, `None` where the limit does not apply.
fn key(answer: Result<Option<Option<Value>>, EvalError>) -> Result<Option<String>, (ReasonCode, String)> {
    let missing = |message: &str| Err((ReasonCode::LimitKeyMissing, message.to_owned()));
    let value = match answer {
        Err(EvalError::Policy { message }) => return Err((ReasonCode::LimitKeyMissing, message)),
        Err(error) => return Err((ReasonCode::PolicyError, error.to_string())),
        Ok(None) => return Ok(None),
        Ok(Some(None)) => return missing("the key is undefined"),
        Ok(Some(Some(value))) => value,
    };
    let mut text = String::new();
    let parts = match &value {
        Value::List(parts) => parts.as_ref(),
        single => std::slice::from_ref(single),
    };
    for part in parts {
        // Each part carries its length, so that no two lists share a key.
        let _ = match part {
            Value::Text(part) => write!(text, "{}:{part};", part.len()),
            Value::Int(part) => write!(text, "i{part};"),
            _ => return missing("the key is neither text nor a list of texts and whole numbers"),
        };
    }
    if text.is_empty() || text.len() > MAX_KEY_BYTES {
        return missing("the key is empty or longer than 4,096 bytes");
    }
    Ok(Some(text))
}
