//! A policy set: built whole from a directory, immutable, indexed.

mod fact_names;
mod files;
mod limits;
mod load;
mod manifest;
mod selector;
mod usage;

use std::collections::HashMap;
use std::time::Duration;

use pdp_policy::Program;

pub(crate) use self::limits::{AlgorithmName, CountingName, LimitList, LimitRule, Terms};
pub use self::load::LoadOptions;
use self::manifest::{BudgetOverride, OnError};
pub use self::manifest::{EngineKind, Mode};
pub(crate) use self::manifest::{FactGroup, optional_duration};
use self::selector::{Index, Selectors};
pub use self::usage::{Settling, UsageFault};
use crate::decision::{Question, Tier};
use crate::fact::{FactKind, FactKinds};
use crate::limit::Limit;
use crate::request::{Facts, Text};

/// What people may know of a policy.
#[derive(Clone, Debug)]
pub struct PolicyInfo {
    /// Id, unique in the set.
    pub id: Text,
    /// The question it answers.
    pub kind: Question,
    /// What evaluates it.
    pub engine: EngineKind,
    /// Who wrote it.
    pub tier: Tier,
    /// Whether it decides.
    pub mode: Mode,
    /// Who answers for it.
    pub owner: String,
    /// One sentence.
    pub description: String,
    /// Compliance controls it is evidence for.
    pub controls: Vec<String>,
}

/// A compiled policy.
pub(crate) struct Policy {
    pub(crate) info: PolicyInfo,
    pub(crate) selectors: Selectors,
    pub(crate) facts: Vec<FactRequirement>,
    pub(crate) stored: Vec<StoredRequirement>,
    /// The kinds among `stored`.
    pub(crate) stored_kinds: FactKinds,
    pub(crate) on_error: OnError,
    pub(crate) cacheable_for: Option<Duration>,
    pub(crate) budget: BudgetOverride,
    pub(crate) body: Body,
}

impl Policy {
    /// Whether the policy's failure allows instead of denying.
    pub(crate) fn fails_open(&self) -> bool {
        self.on_error == OnError::Allow
    }
}

/// What a policy does.
pub(crate) enum Body {
    /// It answers by a program.
    Rules {
        program: Box<dyn Program>,
        /// Whether it can allow. A policy that cannot only denies or obliges.
        grants: bool,
    },
    /// It limits.
    Limits(LimitList),
}

/// A fact group that must be supplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FactRequirement {
    pub(crate) group: FactGroup,
    pub(crate) max_age: Option<Duration>,
}

/// A stored fact that a policy reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredRequirement {
    pub(crate) kind: FactKind,
    pub(crate) max_age: Option<Duration>,
    pub(crate) required: bool,
}

/// A policy set.
pub struct PolicySet {
    revision: Text,
    /// Sorted by tier, then id, so that reasons come highest tier first.
    policies: Vec<Policy>,
    by_id: HashMap<Text, u32, ahash::RandomState>,
    indexes: [Index; 4],
    /// Kinds of stored facts that some policy of each question reads.
    stored_kinds: [FactKinds; 4],
    /// Limit lists that answer Envoy's rate limit service, by domain; in no index.
    domains: HashMap<Text, Vec<u32>, ahash::RandomState>,
}

impl PolicySet {
    /// The first 16 hex digits of the SHA-256 over the set's files.
    #[must_use]
    pub fn revision(&self) -> &Text {
        &self.revision
    }

    /// Each policy, by tier, then id.
    #[must_use]
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &PolicyInfo> {
        self.policies.iter().map(|policy| &policy.info)
    }

    /// Each limit that a list names with its policy, by tier, then policy, in the order of the list.
    pub fn limits(&self) -> impl Iterator<Item = (&PolicyInfo, &Limit)> {
        self.policies.iter().flat_map(|policy| {
            let rules = match &policy.body {
                Body::Limits(list) => list.rules.as_slice(),
                Body::Rules { .. } => &[],
            };
            rules.iter().map(|rule| (&policy.info, &rule.limit))
        })
    }

    pub(crate) fn new(revision: Text, mut policies: Vec<Policy>) -> Self {
        policies.sort_by(|a, b| (a.info.tier, &a.info.id).cmp(&(b.info.tier, &b.info.id)));
        let mut by_id = HashMap::default();
        let mut indexes: [Index; 4] = Default::default();
        let mut stored_kinds = [FactKinds::default(); 4];
        let mut domains: HashMap<Text, Vec<u32>, ahash::RandomState> = HashMap::default();
        for (position, policy) in (0u32..).zip(&policies) {
            by_id.insert(policy.info.id.clone(), position);
            if policy.info.mode == Mode::Off {
                continue;
            }
            if let Body::Limits(LimitList { domain: Some(domain), .. }) = &policy.body {
                domains.entry(domain.clone()).or_default().push(position);
            } else if let Some(index) = indexes.get_mut(policy.info.kind.position()) {
                index.insert(&policy.selectors, position);
            }
            if let Some(kinds) = stored_kinds.get_mut(policy.info.kind.position()) {
                *kinds = kinds.union(policy.stored_kinds);
            }
        }
        Self { revision, policies, by_id, indexes, domains, stored_kinds }
    }

    pub(crate) fn policy(&self, position: u32) -> Option<&Policy> {
        self.policies.get(position as usize)
    }

    pub(crate) fn position(&self, policy_id: &str) -> Option<u32> {
        self.by_id.get(policy_id).copied()
    }

    /// Kinds of stored facts that policies which apply to the questions read.
    pub(crate) fn stored_kinds(&self, questions: &[Question], facts: &Facts) -> FactKinds {
        let mut kinds = FactKinds::default();
        for question in questions {
            // Costs nothing where no policy of the question reads any.
            if self.stored_kinds.get(question.position()).is_none_or(|kinds| kinds.is_empty()) {
                continue;
            }
            let selected = match question {
                Question::RateLimit => self.select_limits(facts),
                question => self.select(*question, facts),
            };
            for policy in selected.into_iter().filter_map(|at| self.policy(at)) {
                kinds = kinds.union(policy.stored_kinds);
            }
        }
        kinds
    }

    /// The limit of this name inside a policy, as it is for a tenant; `None` where the set has no such limit,
    /// or one that never counts. Limits that Rego policies make have no name in the set.
    #[must_use]
    pub fn limit(&self, policy_id: &str, name: &str, tenant: Option<&str>) -> Option<Limit> {
        let Body::Limits(list) = &self.policy(self.position(policy_id)?)?.body else { return None };
        let rule = list.rules.iter().find(|rule| *rule.limit.name == *name && !rule.unlimited)?;
        Some(rule.limit_of(tenant).clone())
    }

    /// Positions of the policies whose limits apply to a request, ascending: of its domain where it has one.
    pub(crate) fn select_limits(&self, facts: &Facts) -> Vec<u32> {
        let Some(domain) = &facts.limit.domain else { return self.select(Question::RateLimit, facts) };
        let applies = |position: &u32| self.policy(*position).is_some_and(|it| it.selectors.select(facts));
        self.domains.get(domain).map(|of| of.iter().copied().filter(applies).collect()).unwrap_or_default()
    }

    /// Positions of the policies that apply to a question, ascending.
    pub(crate) fn select(&self, question: Question, facts: &Facts) -> Vec<u32> {
        let Some(index) = self.indexes.get(question.position()) else { return Vec::new() };
        let mut found = index.candidates(facts);
        found.retain(|position| self.policy(*position).is_some_and(|policy| policy.selectors.select(facts)));
        found
    }
}
