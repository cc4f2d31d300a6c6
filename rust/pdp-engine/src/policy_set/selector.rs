//! Selectors and the index over them: a decision costs what the policies that
//! match cost, not how many exist.

use std::collections::{BTreeSet, HashMap};

use crate::policy_set::manifest::SelectorEntry;
use crate::request::{Facts, Labels, Text};

/// A text, or a prefix written with a trailing `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(Text),
    Prefix(Text),
}

/// Which requests a policy applies to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selectors {
    functions: Vec<Pattern>,
    labels: Labels,
    resources: Vec<Pattern>,
    actions: Vec<Pattern>,
    tenants: Vec<Pattern>,
    destinations: Vec<Pattern>,
    environments: Vec<Pattern>,
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Exact(text.into()),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => &**exact == text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
        }
    }
}

/// Whether `value` satisfies `patterns`; an absent value satisfies only an empty list.
fn any(patterns: &[Pattern], value: Option<&Text>) -> bool {
    patterns.is_empty() || value.is_some_and(|text| patterns.iter().any(|pattern| pattern.matches(text)))
}

impl Selectors {
    pub(crate) fn new(entry: &SelectorEntry) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect();
        Self {
            functions: patterns(&entry.functions),
            labels: entry.labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
            resources: patterns(&entry.resources),
            actions: patterns(&entry.actions),
            tenants: patterns(&entry.tenants),
            destinations: patterns(&entry.destinations),
            environments: patterns(&entry.environments),
        }
    }

    /// Whether the policy applies. Labels are those of the function.
    pub(crate) fn select(&self, facts: &Facts) -> bool {
        let function = facts.function.as_ref();
        let labelled = |(key, value): &(Text, Text)| {
            function.is_some_and(|f| f.labels.iter().any(|(k, v)| k == key && v == value))
        };
        any(&self.functions, function.map(|f| &f.id))
            && any(&self.resources, facts.resource.as_ref().map(|r| &r.id))
            && any(&self.actions, facts.action.as_ref())
            && any(&self.tenants, facts.tenant.as_ref())
            && any(&self.destinations, facts.destination.as_ref().map(|d| &d.id))
            && any(&self.environments, function.and_then(|f| f.environment.as_ref()))
            && self.labels.iter().all(labelled)
    }

    /// The dimension that narrows best, first of those that are given.
    fn narrowest(&self) -> Option<(Dimension, &[Pattern])> {
        let dimensions = [
            (Dimension::Function, &self.functions),
            (Dimension::Resource, &self.resources),
            (Dimension::Destination, &self.destinations),
            (Dimension::Tenant, &self.tenants),
            (Dimension::Action, &self.actions),
        ];
        let given = |(_, patterns): &(Dimension, &Vec<Pattern>)| {
            !patterns.is_empty() && patterns.iter().all(|p| !matches!(p, Pattern::Prefix(x) if x.is_empty()))
        };
        dimensions.into_iter().find(given).map(|(dimension, patterns)| (dimension, patterns.as_slice()))
    }
}

#[derive(Clone, Copy, Debug)]
enum Dimension {
    Function,
    Resource,
    Destination,
    Tenant,
    Action,
}

/// Policies by exact text or prefix of one dimension.
#[derive(Debug, Default)]
struct Table {
    exact: HashMap<Text, Vec<u32>, ahash::RandomState>,
    prefix: HashMap<Text, Vec<u32>, ahash::RandomState>,
    /// Lengths in bytes that occur among the prefixes.
    lengths: BTreeSet<usize>,
}

impl Table {
    fn insert(&mut self, pattern: &Pattern, policy: u32) {
        match pattern {
            Pattern::Exact(text) => self.exact.entry(text.clone()).or_default().push(policy),
            Pattern::Prefix(text) => {
                self.lengths.insert(text.len());
                self.prefix.entry(text.clone()).or_default().push(policy);
            }
        }
    }

    fn collect(&self, text: Option<&Text>, found: &mut Vec<u32>) {
        let Some(text) = text else { return };
        found.extend(self.exact.get(text).into_iter().flatten());
        for length in self.lengths.range(..=text.len()) {
            if let Some(prefix) = text.get(..*length) {
                found.extend(self.prefix.get(prefix).into_iter().flatten());
            }
        }
    }
}

/// Index over the policies of one question.
#[derive(Debug, Default)]
pub(crate) struct Index {
    functions: Table,
    resources: Table,
    destinations: Table,
    tenants: Table,
    actions: Table,
    /// Policies that no dimension narrows.
    general: Vec<u32>,
}

impl Index {
    /// Adds the policy at position `policy`.
    pub(crate) fn insert(&mut self, selectors: &Selectors, policy: u32) {
        let Some((dimension, patterns)) = selectors.narrowest() else {
            self.general.push(policy);
            return;
        };
        let table = match dimension {
            Dimension::Function => &mut self.functions,
            Dimension::Resource => &mut self.resources,
            Dimension::Destination => &mut self.destinations,
            Dimension::Tenant => &mut self.tenants,
            Dimension::Action => &mut self.actions,
        };
        for pattern in patterns {
            table.insert(pattern, policy);
        }
    }

    /// Positions of the policies that may apply, ascending, each once. A
    /// superset: the caller still asks [`Selectors::select`].
    pub(crate) fn candidates(&self, facts: &Facts) -> Vec<u32> {
        let mut found = self.general.clone();
        self.functions.collect(facts.function.as_ref().map(|f| &f.id), &mut found);
        self.resources.collect(facts.resource.as_ref().map(|r| &r.id), &mut found);
        self.destinations.collect(facts.destination.as_ref().map(|d| &d.id), &mut found);
        self.tenants.collect(facts.tenant.as_ref(), &mut found);
        self.actions.collect(facts.action.as_ref(), &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Destination, Function, Resource};
    use pdp_policy::Map;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        prop::string::string_regex("[ab/é]{0,3}").unwrap()
    }

    fn patterns() -> impl Strategy<Value = Vec<String>> {
        let pattern = (text(), prop::bool::ANY).prop_map(|(t, prefix)| if prefix { t + "*" } else { t });
        prop::collection::vec(pattern, 0..3)
    }

    prop_compose! {
        fn entry()(
            functions in patterns(), resources in patterns(), actions in patterns(),
            tenants in patterns(), destinations in patterns(), environments in patterns(),
            labels in prop::collection::btree_map(text(), text(), 0..2),
        ) -> SelectorEntry {
            SelectorEntry { functions, labels, resources, actions, tenants, destinations, environments }
        }
    }

    prop_compose! {
        fn facts()(
            function in prop::option::of((text(), prop::option::of(text()), text(), text())),
            resource in prop::option::of(text()), action in prop::option::of(text()),
            tenant in prop::option::of(text()), destination in prop::option::of(text()),
        ) -> Facts {
            let attributes = Map::default;
            Facts {
                tenant: tenant.map(Text::from),
                action: action.map(Text::from),
                function: function.map(|(id, environment, key, value)| Function {
                    id: id.into(), labels: vec![(key.into(), value.into())], roles: vec![],
                    environment: environment.map(Text::from), version: None, attributes: attributes(),
                }),
                resource: resource.map(|id| Resource {
                    id: id.into(), kind: None, owner: None, labels: vec![], attributes: attributes(),
                }),
                destination: destination.map(|id| Destination {
                    id: id.into(), kind: None, host: None, port: None, labels: vec![], attributes: attributes(),
                }),
                ..Facts::default()
            }
        }
    }

    proptest! {
        #[test]
        fn index_misses_no_policy_that_selects_the_request(
            entries in prop::collection::vec(entry(), 0..12), facts in facts(),
        ) {
            let selectors: Vec<_> = entries.iter().map(Selectors::new).collect();
            let mut index = Index::default();
            for (position, selector) in (0u32..).zip(&selectors) {
                index.insert(selector, position);
            }
            let candidates = index.candidates(&facts);
            prop_assert!(candidates.is_sorted_by(|a, b| a < b));
            for (position, selector) in (0u32..).zip(&selectors) {
                prop_assert!(!selector.select(&facts) || candidates.contains(&position));
            }
        }
    }
}
