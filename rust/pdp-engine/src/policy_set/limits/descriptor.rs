//! Finds the limit that a descriptor of Envoy's rate limit service comes to.
//!
//! As in envoyproxy/ratelimit, a request's entries are walked through a tree, one level each: the entry with
//! its key and value first, then values with `*`, the longest beginning first, then its key alone. There is
//! no way back: a limit applies only if the walk ends on it with the last entry.

use std::collections::HashMap;

use crate::request::Text;

/// One entry of a limit's descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Text,
    /// `None` is any value; `*` stands for any text.
    pub(crate) value: Option<Text>,
    /// All values that match share one counter.
    pub(crate) share: bool,
}

/// Rules by their descriptors.
#[derive(Debug, Default)]
pub(crate) struct DescriptorTree {
    root: Level,
}

/// Entries of one level, by key.
#[derive(Debug, Default)]
struct Level(HashMap<Text, Values, ahash::RandomState>);

/// What may follow under one key.
#[derive(Debug, Default)]
struct Values {
    exact: HashMap<Text, Node, ahash::RandomState>,
    /// Values with `*`, by what stands before the first one.
    patterns: HashMap<Text, Vec<Pattern>, ahash::RandomState>,
    /// Lengths of these beginnings, longest first.
    lengths: Vec<usize>,
    any: Option<Box<Node>>,
}

#[derive(Debug)]
struct Pattern {
    text: Text,
    node: Node,
}

#[derive(Debug, Default)]
struct Node {
    rule: Option<usize>,
    next: Level,
}

impl Entry {
    /// Whether the value stands for many.
    pub(crate) fn is_pattern(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.contains('*'))
    }
}

impl DescriptorTree {
    /// Adds a rule; gives the rule back that has the same descriptor, where there is one.
    pub(crate) fn insert(&mut self, entries: &[Entry], rule: usize) -> Result<(), usize> {
        let mut level = &mut self.root;
        let mut entries = entries.iter().peekable();
        while let Some(entry) = entries.next() {
            let node = level.0.entry(entry.key.clone()).or_default().node(entry);
            if entries.peek().is_none() {
                return match node.rule.replace(rule) {
                    None => Ok(()),
                    Some(other) => Err(other),
                };
            }
            level = &mut node.next;
        }
        Ok(())
    }

    /// The rule that a request's descriptor comes to.
    pub(crate) fn find(&self, entries: &[(Text, Text)]) -> Option<usize> {
        let mut level = &self.root;
        let mut rule = None;
        for (key, value) in entries {
            let node = level.0.get(key)?.find(value)?;
            rule = node.rule;
            level = &node.next;
        }
        rule
    }
}

impl Values {
    fn node(&mut self, entry: &Entry) -> &mut Node {
        let Some(value) = &entry.value else { return self.any.get_or_insert_default() };
        let Some((beginning, _)) = value.split_once('*') else {
            return self.exact.entry(value.clone()).or_default();
        };
        if let Err(at) = self.lengths.binary_search_by(|length| beginning.len().cmp(length)) {
            self.lengths.insert(at, beginning.len());
        }
        let patterns = self.patterns.entry(beginning.into()).or_default();
        let at = patterns.iter().position(|pattern| pattern.text == *value).unwrap_or_else(|| {
            // Of equal beginnings the longer pattern first, then the one that was written first.
            let at = patterns.partition_point(|other| other.text.len() >= value.len());
            patterns.insert(at, Pattern { text: value.clone(), node: Node::default() });
            at
        });
        #[allow(clippy::indexing_slicing, reason = "the place was just found or made")]
        &mut patterns[at].node
    }

    fn find(&self, value: &str) -> Option<&Node> {
        if let Some(node) = self.exact.get(value) {
            return Some(node);
        }
        let patterns = self.lengths.iter().filter_map(|length| self.patterns.get(value.get(..*length)?));
        let pattern = patterns.flatten().find(|pattern| matches(&pattern.text, value));
        pattern.map(|pattern| &pattern.node).or(self.any.as_deref())
    }
}

/// Whether `value` is `pattern` with each `*` standing for any text.
fn matches(pattern: &str, value: &str) -> bool {
    let Some((beginning, rest)) = pattern.split_once('*') else { return pattern == value };
    let Some(mut left) = value.strip_prefix(beginning) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or("");
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(descriptors: &[&[(&str, &str)]]) -> DescriptorTree {
        let mut tree = DescriptorTree::default();
        for (rule, entries) in descriptors.iter().enumerate() {
            let entry = |(key, value): &(&str, &str)| Entry {
                key: (*key).into(),
                value: (!value.is_empty()).then(|| (*value).into()),
                share: false,
            };
            tree.insert(&entries.iter().map(entry).collect::<Vec<_>>(), rule).unwrap();
        }
        tree
    }

    fn find(tree: &DescriptorTree, entries: &[(&str, &str)]) -> Option<usize> {
        let entries: Vec<(Text, Text)> = entries.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        tree.find(&entries)
    }

    #[test]
    fn a_value_comes_before_a_pattern_and_a_pattern_before_the_key() {
        let tree = tree(&[
            &[("path", "")],
            &[("path", "/api/*")],
            &[("path", "/api/login")],
            &[("path", "/api/v1/*")],
            &[("path", "/*/login")],
        ]);
        assert_eq!(find(&tree, &[("path", "/api/login")]), Some(2));
        assert_eq!(find(&tree, &[("path", "/api/v1/x")]), Some(3));
        assert_eq!(find(&tree, &[("path", "/api/")]), Some(1));
        assert_eq!(find(&tree, &[("path", "/shop/login")]), Some(4));
        assert_eq!(find(&tree, &[("path", "/else")]), Some(0));
        assert_eq!(find(&tree, &[("path", "")]), Some(0));
        assert_eq!(find(&tree, &[("other", "/api/login")]), None);
    }

    #[test]
    fn a_limit_applies_only_where_the_last_entry_ends_on_it() {
        let tree = tree(&[
            &[("key1", "value1"), ("subkey1", "")],
            &[("key1", "value1"), ("subkey1", "subvalue1")],
            &[("key5", "value5")],
            &[("key5", "value5"), ("subkey5", "subvalue5")],
        ]);
        assert_eq!(find(&tree, &[("key1", "value1")]), None);
        assert_eq!(find(&tree, &[("key1", "value1"), ("subkey1", "x")]), Some(0));
        assert_eq!(find(&tree, &[("key1", "value1"), ("subkey1", "subvalue1")]), Some(1));
        assert_eq!(find(&tree, &[("key1", "value1"), ("subkey1", "subvalue1"), ("more", "x")]), None);
        assert_eq!(find(&tree, &[("key5", "value5")]), Some(2));
        assert_eq!(find(&tree, &[("key5", "value5"), ("subkey5", "subvalue5")]), Some(3));
        assert_eq!(find(&tree, &[("subkey1", "x"), ("key1", "value1")]), None, "order counts");
        assert_eq!(find(&tree, &[]), None);
    }

    #[test]
    fn the_walk_never_turns_back() {
        let tree = tree(&[&[("a", "x"), ("b", "")], &[("a", ""), ("c", "")]]);
        assert_eq!(find(&tree, &[("a", "y"), ("c", "1")]), Some(1));
        assert_eq!(find(&tree, &[("a", "x"), ("c", "1")]), None);
    }

    #[test]
    fn patterns_match_whole_values_in_any_script() {
        for (pattern, value, expected) in [
            ("foo*", "foo", true),
            ("*", "", true),
            ("bar*b", "barb", true),
            ("bar*b", "bar", false),
            ("foo*bar*baz", "foo-bar-bar-baz", true),
            ("foo*bar*baz", "foobaz", false),
            ("a*a", "a", false),
            ("ü*ß", "üßß", true),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, value), expected, "{pattern} {value}");
        }
        let tree = tree(&[&[("k", "ab*")], &[("k", "a*")]]);
        assert_eq!(find(&tree, &[("k", "aü")]), Some(1), "a beginning may end inside of a character");
    }

    #[test]
    fn the_same_descriptor_twice_is_refused() {
        let mut tree = tree(&[&[("a", "x*")], &[("a", "")]]);
        let entry =
            |value: Option<&str>| Entry { key: "a".into(), value: value.map(Into::into), share: true };
        assert_eq!(tree.insert(&[entry(Some("x*"))], 2), Err(0));
        assert_eq!(tree.insert(&[entry(None)], 2), Err(1));
    }
}
