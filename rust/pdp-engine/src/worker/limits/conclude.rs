//! What the store's outcomes come to: a verdict, each limit's status, and what a report may correct.

use uuid::Uuid;

use super::demand::descriptor_text;
use super::{Group, LimitPlan, Want, Wanted, enforced, rule_of};
use crate::combine::plain;
use crate::decision::{Effect, LimitStatus, Question, Reason, ReasonCode, ShadowResult, Verdict};
use crate::limit::{CountedBy, LimitFault, LimitOutcome, NEVER, Usage};
use crate::outcome::reason;
use crate::policy_set::{Policy, PolicySet};
use crate::request::{LimitSpend, Text};

/// What the rate-limit stage came to.
pub(crate) struct Concluded {
    pub(crate) verdict: Verdict,
    pub(crate) limits: Vec<LimitStatus>,
    pub(crate) shadow: Vec<ShadowResult>,
    pub(crate) usage: Vec<Usage>,
}

/// Reasons as they gather.
struct Reasons {
    denials: Vec<Reason>,
    /// Of each shadow policy.
    shadows: Vec<(u32, Vec<Reason>)>,
    /// Of single limits that only shadow.
    shadow_limits: Vec<(u32, Reason)>,
    /// Limits that admitted without being counted.
    open: Vec<Reason>,
    /// Limits that were counted in this node alone.
    local: Vec<Reason>,
}

impl LimitPlan {
    /// The verdict, each limit's status, the shadow results and the usage. `outcomes` are in the order of
    /// the groups; `holder` is what they were spent under.
    pub(crate) fn conclude(
        &self,
        set: &PolicySet,
        spend: &LimitSpend,
        outcomes: &[LimitOutcome],
        holder: Uuid,
    ) -> Concluded {
        let mut reasons = self.reasons(set);
        let mut limits = Vec::with_capacity(self.wants.len() + self.unlimited.len());
        for (index, want) in self.wants.iter().enumerate() {
            let Some((policy, limit)) = self.limit(set, want) else { continue };
            let outcome = outcomes.get(index);
            reasons.take(set, want, policy, &limit.name, outcome);
            let Some(outcome) = outcome else { continue };
            let shadow = matches!(want.group, Group::ShadowLimit(..));
            limits.push(LimitStatus {
                outcome: LimitOutcome { admitted: outcome.admitted || shadow, ..*outcome },
                descriptor: want.descriptor,
                detail: detail(set, want, spend),
                shadow,
                ..LimitStatus::new(policy.info.id.clone(), limit, *outcome)
            });
        }
        limits.extend(self.unlimited_statuses(set, spend));
        let usage = self.usage(set, outcomes, holder);
        let verdict = self.verdict(set, &mut reasons);
        let shadow = reasons.shadow_results(set, &verdict);
        Concluded { verdict, limits, shadow, usage }
    }

    /// The reasons there are before anything is counted.
    fn reasons(&self, set: &PolicySet) -> Reasons {
        let shadows = self.applied.iter().filter(|position| !enforced(set, **position));
        let mut reasons = Reasons {
            denials: Vec::new(),
            shadows: shadows.map(|position| (*position, Vec::new())).collect(),
            shadow_limits: self.shadow_denials.clone(),
            open: self.failed_open.iter().filter(|it| enforced(set, it.0)).map(|it| it.1.clone()).collect(),
            local: Vec::new(),
        };
        for (position, reason) in &self.denials {
            reasons.deny(*position, reason.clone());
        }
        reasons
    }

    fn verdict(&self, set: &PolicySet, reasons: &mut Reasons) -> Verdict {
        let mut given = std::mem::take(&mut reasons.denials);
        // Envoy's rate limit service admits what no limit matches.
        let deciding = self.has_domain || self.applied.iter().any(|position| enforced(set, *position));
        let effect = if deciding && given.is_empty() { Effect::Allow } else { Effect::Deny };
        if effect == Effect::Allow {
            given.append(&mut reasons.open);
            if given.is_empty() {
                given.push(plain(ReasonCode::WithinLimit, "every limit that applies has room"));
            }
        } else if given.is_empty() {
            given.push(plain(ReasonCode::DefaultDeny, "no policy applies to this request"));
        }
        given.append(&mut reasons.local);
        Verdict { question: Question::RateLimit, effect, reasons: given, evaluated: true }
    }

    fn unlimited_statuses(&self, set: &PolicySet, spend: &LimitSpend) -> Vec<LimitStatus> {
        let status = |found: &super::Match| {
            let (policy, rule) = rule_of(set, found.position, found.rule)?;
            let outcome = LimitOutcome { admitted: true, remaining: u64::MAX, ..LimitOutcome::default() };
            let entries = found.descriptor.and_then(|at| spend.descriptor_sets.get(at));
            Some(LimitStatus {
                descriptor: found.descriptor,
                detail: entries.filter(|_| rule.detailed_metric).map(|it| descriptor_text(it).into()),
                unlimited: true,
                ..LimitStatus::new(policy.info.id.clone(), &rule.limit, outcome)
            })
        };
        self.unlimited.iter().filter_map(status).collect()
    }

    /// What was spent and may be corrected.
    fn usage(&self, set: &PolicySet, outcomes: &[LimitOutcome], holder: Uuid) -> Vec<Usage> {
        let Some(now) = self.now.filter(|_| !self.only_reads(set)) else { return Vec::new() };
        let mut usage = Vec::new();
        let mut outcomes = outcomes.iter();
        for wants in self.wants.chunk_by(|a, b| a.group == b.group) {
            let told: Vec<&LimitOutcome> = outcomes.by_ref().take(wants.len()).collect();
            if !wants.iter().zip(&told).all(|(want, it)| want.peek || (it.admitted && it.fault.is_none())) {
                continue;
            }
            for (want, outcome) in wants.iter().zip(told) {
                let Some((policy, limit)) = self.limit(set, want) else { continue };
                let held = limit.is_held();
                if want.peek || !(held || (self.report_later && want.estimated)) {
                    continue;
                }
                usage.push(Usage {
                    policy_id: policy.info.id.clone(),
                    limit: limit.name.clone(),
                    tenant: self.tenant.clone(),
                    key: want.key.as_str().into(),
                    hits: want.hits,
                    spent_at: now,
                    holder: outcome.spent_by.unwrap_or(holder),
                    held,
                    definition: match &want.limit {
                        Wanted::Own(limit) => Some((**limit).clone()),
                        Wanted::Rule(_) => None,
                    },
                });
            }
        }
        usage
    }
}

impl Reasons {
    /// Takes what the store said of one want.
    fn take(
        &mut self,
        set: &PolicySet,
        want: &Want,
        policy: &Policy,
        name: &Text,
        outcome: Option<&LimitOutcome>,
    ) {
        let say =
            |code, what: &str| reason(policy, code, Some(name.clone()), &format!("limit `{name}` {what}"));
        let decides = want.group == Group::Enforced && enforced(set, want.position);
        match outcome.map_or(Some((ReasonCode::LimitNotCounted, "was not counted".to_owned())), refusal) {
            Some((code, what)) if matches!(want.group, Group::ShadowLimit(..)) => {
                self.shadow_limits.push((want.position, say(code, &what)));
            }
            Some((code, what)) => self.deny(want.position, say(code, &what)),
            None if decides && outcome.is_some_and(|it| it.fault.is_some()) => {
                let what = "could not be counted, and admits while its store cannot be asked";
                self.open.push(say(ReasonCode::FailOpen, what));
            }
            None => {}
        }
        if decides && outcome.is_some_and(|it| it.counted_by == CountedBy::Local) {
            let what = "was counted in this node alone, since its store cannot be asked";
            self.local.push(say(ReasonCode::LimitCountedLocally, what));
        }
    }

    fn deny(&mut self, position: u32, reason: Reason) {
        match self.shadows.iter_mut().find(|(shadow, _)| *shadow == position) {
            Some((_, reasons)) => reasons.push(reason),
            None => self.denials.push(reason),
        }
    }

    /// What the shadow policies, and the limits that shadow by themselves, would have said.
    fn shadow_results(self, set: &PolicySet, verdict: &Verdict) -> Vec<ShadowResult> {
        // A limit takes away what others allow; it gives only where nothing else applies.
        let default_denied = verdict.reasons.iter().any(|reason| reason.code == ReasonCode::DefaultDeny);
        let result = |(position, reasons): (u32, Vec<Reason>)| {
            let effect = if reasons.is_empty() { Effect::Allow } else { Effect::Deny };
            Some(ShadowResult {
                policy_id: set.policy(position)?.info.id.clone(),
                question: Question::RateLimit,
                effect,
                would_change: match effect {
                    Effect::Allow => default_denied,
                    Effect::Deny => verdict.effect == Effect::Allow,
                },
                reasons,
            })
        };
        let limits = self.shadow_limits.into_iter().map(|(position, reason)| (position, vec![reason]));
        self.shadows.into_iter().chain(limits).filter_map(result).collect()
    }
}

/// The descriptor of a want, where its limit asks for metrics by it.
fn detail(set: &PolicySet, want: &Want, spend: &LimitSpend) -> Option<Text> {
    let Wanted::Rule(rule) = want.limit else { return None };
    let (_, rule) = rule_of(set, want.position, rule)?;
    let entries = spend.descriptor_sets.get(want.descriptor.filter(|_| rule.detailed_metric)?)?;
    Some(descriptor_text(entries).into())
}

/// Why an outcome denies, where it does.
fn refusal(outcome: &LimitOutcome) -> Option<(ReasonCode, String)> {
    match (outcome.fault, outcome.admitted) {
        (Some(LimitFault::StoreFull | LimitFault::InvalidLimit), _) => {
            Some((ReasonCode::LimitNotCounted, "could not be counted".to_owned()))
        }
        (Some(LimitFault::StoreUnavailable), false) => {
            let what = "could not be counted, and denies while its store cannot be asked";
            Some((ReasonCode::LimitStoreUnavailable, what.to_owned()))
        }
        (_, true) => None,
        (None, false) => {
            let wait = match outcome.retry_after {
                Some(wait) if wait < NEVER => format!("; retry after {} ms", wait.as_millis()),
                Some(_) | None => "; no wait admits so many hits at once".to_owned(),
            };
            Some((ReasonCode::RateLimited, format!("is used up{wait}")))
        }
    }
}
