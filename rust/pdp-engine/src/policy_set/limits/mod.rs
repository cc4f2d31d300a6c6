//! Limit lists: which limits apply to a request and under which key.

mod compile;
mod descriptor;
mod document;
mod place;
mod terms;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use pdp_policy::Program;

pub(crate) use self::compile::compile;
pub(crate) use self::descriptor::{DescriptorTree, Entry};
pub(crate) use self::terms::{AlgorithmName, CountingName, Terms};
use crate::limit::Limit;
use crate::request::Text;

/// The limits of one policy.
pub(crate) struct LimitList {
    /// Domain of Envoy's rate limit service that the list answers; such a list answers nothing else.
    pub(crate) domain: Option<Text>,
    pub(crate) rules: Vec<LimitRule>,
    /// Finds a rule by a request's descriptor. Empty without a domain.
    pub(crate) descriptors: DescriptorTree,
}

/// A limit with what chooses and keys it.
pub(crate) struct LimitRule {
    pub(crate) limit: Limit,
    /// The limit as it is for single tenants.
    pub(crate) overrides: HashMap<Text, Limit, ahash::RandomState>,
    /// Yields the key: text, or a list of texts and whole numbers. `None` where a descriptor is the key, or
    /// where the limit never counts.
    pub(crate) key: Option<Box<dyn Program>>,
    /// The descriptor it answers, in a list with a domain.
    pub(crate) descriptor: Vec<Entry>,
    /// Yields whether the limit applies.
    pub(crate) when: Option<Box<dyn Program>>,
    /// Yields the hits, in place of the request's own.
    pub(crate) cost: Option<Box<dyn Program>>,
    /// It counts and never denies.
    pub(crate) shadow: bool,
    /// It applies and never counts.
    pub(crate) unlimited: bool,
    /// Its metrics are labelled by the request's descriptor.
    pub(crate) detailed_metric: bool,
    /// Positions of the rules that do not apply to a request to which this one does.
    pub(crate) replaces: Vec<usize>,
}

impl LimitRule {
    /// The limit as it is for `tenant`.
    pub(crate) fn limit_of(&self, tenant: Option<&str>) -> &Limit {
        tenant.and_then(|tenant| self.overrides.get(tenant)).unwrap_or(&self.limit)
    }
}
