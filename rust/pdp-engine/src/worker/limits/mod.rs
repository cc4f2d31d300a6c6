//! The rate-limit stage: which limits apply, under which key, and what their store said.

mod conclude;
mod demand;
mod dynamic;

use std::sync::Arc;
use std::time::SystemTime;

use pdp_policy::Input;

use self::demand::Fault;
use crate::decision::{Reason, ReasonCode};
use crate::input::LazyInput;
use crate::limit::{CounterName, Limit, LimitDemand};
use crate::outcome::{self, Outcome, failure};
use crate::policy_set::{Body, LimitList, LimitRule, Mode, Policy, PolicySet};
use crate::request::{Request, Text};
use crate::worker::evaluators::Evaluators;
use crate::worker::facts;

/// What the rate-limit stage wants to spend.
#[derive(Default)]
pub(crate) struct LimitPlan {
    tenant: Option<Text>,
    /// Whether the request is one of Envoy's rate limit service.
    has_domain: bool,
    /// Whether a report will correct what the request's own hits spend.
    report_later: bool,
    /// Whether all is only read.
    preview: bool,
    now: Option<SystemTime>,
    /// Positions of the policies that apply.
    applied: Vec<u32>,
    /// By group.
    wants: Vec<Want>,
    /// Limits that match and never count.
    unlimited: Vec<Match>,
    /// Policies that could not say what to spend, or that deny by themselves.
    denials: Vec<(u32, Reason)>,
    /// Limits that only shadow and could not say what to spend.
    shadow_denials: Vec<(u32, Reason)>,
    /// Policies that failed and are set to fail open.
    failed_open: Vec<(u32, Reason)>,
}

/// A rule of a limit list that applies.
#[derive(Clone, Copy)]
struct Match {
    position: u32,
    rule: usize,
    /// Position of the descriptor set that it answers.
    descriptor: Option<usize>,
}

/// What a request is counted under.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// Policy that owns the limit.
    pub policy_id: &'a str,
    /// The limit's name.
    pub limit: &'a str,
    /// The key, as [`crate::limit::encode_key`] writes it.
    pub key: &'a str,
    /// Whether the limit decides, or only shadows.
    pub decides: bool,
}

struct Want {
    position: u32,
    limit: Wanted,
    descriptor: Option<usize>,
    key: String,
    hits: u64,
    /// Whether the hits are the request's own, which a report may correct.
    estimated: bool,
    /// Whether they are only read.
    peek: bool,
    group: Group,
}

enum Wanted {
    /// A rule of a limit list, by position.
    Rule(usize),
    /// One that a Rego policy made, or the request brought along.
    Own(Box<Limit>),
}

/// What is spent together: the enforced limits, then each shadow policy's own, then each limit that only
/// shadows by itself. A shadow must not take from what it shadows, and not stop it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Enforced,
    ShadowPolicy(u32),
    ShadowLimit(u32, usize, Option<usize>),
}

/// What the policies are asked with.
struct Question<'a> {
    evaluators: &'a mut Evaluators,
    request: &'a Request,
    inputs: &'a LazyInput<'a>,
    policy: &'a Policy,
    now: SystemTime,
}

impl<'a> Question<'a> {
    /// What the policy sees.
    fn input(&self) -> &'a Input {
        self.inputs.of(self.policy)
    }
}

impl LimitPlan {
    /// Evaluates conditions, keys and costs of every limit that applies to the request.
    pub(crate) fn new(
        set: &Arc<PolicySet>,
        evaluators: &mut Evaluators,
        request: &Request,
        input: &LazyInput<'_>,
        now: SystemTime,
    ) -> Self {
        let mut plan = Self {
            tenant: request.facts.tenant.clone(),
            has_domain: request.facts.limit.domain.is_some(),
            report_later: request.report_later,
            preview: request.preview,
            now: Some(now),
            applied: set.select_limits(&request.facts),
            ..Self::default()
        };
        for position in plan.applied.clone() {
            let Some(policy) = set.policy(position) else { continue };
            if let Some((code, message)) = facts::refusal(policy, request, now) {
                plan.fail(position, policy, &Fault { code, message });
                continue;
            }
            let mut question = Question { evaluators, request, inputs: input, policy, now };
            match &policy.body {
                Body::Limits(list) => {
                    plan.listed(position, policy, list, &mut question);
                    plan.brought(position, policy, request);
                }
                Body::Rules { .. } => plan.returned(position, policy, &mut question),
            }
        }
        plan.wants.sort_by_key(|want| (want.group, want.position));
        plan
    }

    /// Plans the limits that the request's descriptors bring along, under the first policy of its domain.
    fn brought(&mut self, position: u32, policy: &Policy, request: &Request) {
        let spend = &request.facts.limit;
        for (at, set) in spend.descriptor_sets.iter().enumerate() {
            let taken = self.wants.iter().any(|want| want.descriptor == Some(at));
            let Some(limit) = spend.brought(at).filter(|_| !taken) else { continue };
            match demand::brought(at, set, limit, spend) {
                Ok((limit, demand)) => self.wants.push(Want {
                    position,
                    limit: Wanted::Own(Box::new(limit)),
                    descriptor: Some(at),
                    key: demand.key,
                    hits: demand.hits,
                    estimated: true,
                    peek: demand.hits == 0,
                    group: group(policy, position, None),
                }),
                Err(fault) => self.fail(position, policy, &fault),
            }
        }
    }

    /// Plans the limits of a list.
    fn listed(&mut self, position: u32, policy: &Policy, list: &LimitList, question: &mut Question<'_>) {
        for found in self.matches(position, policy, list, question) {
            let Some(rule) = list.rules.get(found.rule) else { continue };
            if rule.unlimited {
                self.unlimited.push(found);
                continue;
            }
            match demand::of_rule(found, list, rule, question) {
                Ok(demand) => self.wants.push(Want {
                    position,
                    limit: Wanted::Rule(found.rule),
                    descriptor: found.descriptor,
                    key: demand.key,
                    hits: demand.hits,
                    estimated: rule.cost.is_none(),
                    peek: demand.hits == 0,
                    group: group(policy, position, rule.shadow.then_some(found)),
                }),
                Err(fault) if rule.shadow => self.shadow_fail(position, policy, rule, &fault),
                Err(fault) => self.fail(position, policy, &fault),
            }
        }
    }

    /// The rules that apply, without those that another one replaces.
    fn matches(
        &mut self,
        position: u32,
        policy: &Policy,
        list: &LimitList,
        question: &mut Question<'_>,
    ) -> Vec<Match> {
        let of_rule = |rule, descriptor| Match { position, rule, descriptor };
        let candidates: Vec<Match> = if list.domain.is_some() {
            let sets = question.request.facts.limit.descriptor_sets.iter().enumerate();
            let brings = &question.request.facts.limit;
            let sets = sets.filter(|(at, _)| brings.brought(*at).is_none());
            sets.filter_map(|(at, set)| Some(of_rule(list.descriptors.find(set)?, Some(at)))).collect()
        } else {
            (0..list.rules.len()).map(|rule| of_rule(rule, None)).collect()
        };
        let mut found = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let Some(rule) = list.rules.get(candidate.rule) else { continue };
            match demand::applies(candidate, rule, question) {
                Ok(true) => found.push(candidate),
                Ok(false) => {}
                Err(fault) if rule.shadow => self.shadow_fail(position, policy, rule, &fault),
                Err(fault) => self.fail(position, policy, &fault),
            }
        }
        without_replaced(found, list)
    }

    /// Plans the limits that a Rego policy returns.
    fn returned(&mut self, position: u32, policy: &Policy, question: &mut Question<'_>) {
        let answer = question.evaluators.rules(position, question.input(), question.now);
        let read = match answer {
            Err(error) => Err(Fault { code: outcome::code(&error), message: error.to_string() }),
            Ok(value) => dynamic::read(policy, value.as_ref()).map_err(Fault::output),
        };
        match read {
            Err(fault) => self.fail(position, policy, &fault),
            Ok(returned) => {
                self.denials.extend(returned.denials.into_iter().map(|reason| (position, reason)));
                let own_hits = question.request.facts.limit.hits;
                self.wants.extend(returned.demands.into_iter().map(|demand| Want {
                    position,
                    limit: Wanted::Own(Box::new(demand.limit)),
                    descriptor: None,
                    key: demand.key,
                    hits: demand.hits.unwrap_or(own_hits),
                    estimated: demand.hits.is_none(),
                    peek: false,
                    group: group(policy, position, None),
                }));
            }
        }
    }

    fn fail(&mut self, position: u32, policy: &Policy, fault: &Fault) {
        match failure(policy, fault.code, &fault.message) {
            Outcome::Error(reason) => self.denials.push((position, reason)),
            Outcome::Allow { reason, .. } => self.failed_open.push((position, reason)),
            Outcome::Deny(_) | Outcome::Abstain | Outcome::Pass { .. } => {}
        }
    }

    /// A limit that only shadows denies nothing, whatever its policy does when it fails.
    fn shadow_fail(&mut self, position: u32, policy: &Policy, rule: &LimitRule, fault: &Fault) {
        let name = Some(rule.limit.name.clone());
        self.shadow_denials.push((position, outcome::reason(policy, fault.code, name, &fault.message)));
    }

    /// What to spend, in groups that are each spent whole or not at all.
    ///
    /// When an enforced policy denies already, the request is denied whatever the counters say, so they are
    /// only read; likewise where the request is a preview.
    pub(crate) fn groups<'a>(&'a self, set: &'a PolicySet) -> Vec<Vec<LimitDemand<'a>>> {
        let tenant = self.tenant.as_deref();
        let only_reads = self.only_reads(set);
        let demand = |want: &'a Want| {
            let (policy, limit) = self.limit(set, want)?;
            let counter = CounterName { policy_id: &policy.info.id, limit, tenant, key: &want.key };
            Some(LimitDemand { counter, hits: want.hits, peek: want.peek || only_reads })
        };
        let groups = self.wants.chunk_by(|a, b| a.group == b.group);
        groups.map(|wants| wants.iter().filter_map(demand).collect()).collect()
    }

    /// The counters of the groups' demands, in their order.
    pub(crate) fn counters<'a>(&'a self, set: &'a PolicySet) -> impl Iterator<Item = Counted<'a>> + Clone {
        self.wants.iter().filter_map(move |want| {
            let (policy, limit) = self.limit(set, want)?;
            let decides = want.group == Group::Enforced;
            Some(Counted { policy_id: &policy.info.id, limit: &limit.name, key: &want.key, decides })
        })
    }

    fn only_reads(&self, set: &PolicySet) -> bool {
        self.preview || self.denials.iter().any(|(position, _)| enforced(set, *position))
    }

    /// The policy and limit of a want.
    fn limit<'a>(&'a self, set: &'a PolicySet, want: &'a Want) -> Option<(&'a Policy, &'a Limit)> {
        let policy = set.policy(want.position)?;
        let limit = match (&want.limit, &policy.body) {
            (Wanted::Own(limit), _) => limit,
            (Wanted::Rule(rule), Body::Limits(list)) => {
                list.rules.get(*rule)?.limit_of(self.tenant.as_deref())
            }
            (Wanted::Rule(_), Body::Rules { .. }) => return None,
        };
        Some((policy, limit))
    }

    /// Whether the policy at `position` applied and decides.
    pub(crate) fn applied(&self, set: &PolicySet, position: u32) -> bool {
        self.applied.contains(&position) && enforced(set, position)
    }
}

/// Drops what is replaced. A limit that only shadows replaces only its like: a shadow never takes a limit
/// away that decides.
fn without_replaced(found: Vec<Match>, list: &LimitList) -> Vec<Match> {
    let rule = |found: &Match| list.rules.get(found.rule);
    let replaces = |by: &Match, other: &Match| {
        let (Some(by), Some(replaced)) = (rule(by), rule(other)) else { return false };
        by.replaces.contains(&other.rule) && (replaced.shadow || !by.shadow)
    };
    if found.iter().all(|it| rule(it).is_none_or(|rule| rule.replaces.is_empty())) {
        return found;
    }
    found.iter().filter(|other| !found.iter().any(|by| replaces(by, other))).copied().collect()
}

fn group(policy: &Policy, position: u32, shadow: Option<Match>) -> Group {
    match shadow {
        Some(found) => Group::ShadowLimit(position, found.rule, found.descriptor),
        None if policy.info.mode == Mode::Enforce => Group::Enforced,
        None => Group::ShadowPolicy(position),
    }
}

fn enforced(set: &PolicySet, position: u32) -> bool {
    set.policy(position).is_some_and(|policy| policy.info.mode == Mode::Enforce)
}

/// The rule behind a want, where a list holds it.
fn rule_of(set: &PolicySet, position: u32, rule: usize) -> Option<(&Policy, &LimitRule)> {
    let policy = set.policy(position)?;
    match &policy.body {
        Body::Limits(list) => list.rules.get(rule).map(|rule| (policy, rule)),
        Body::Rules { .. } => None,
    }
}

impl Fault {
    /// What a policy returned has the wrong shape.
    fn output(message: String) -> Self {
        Self { code: ReasonCode::PolicyOutputInvalid, message }
    }
}
