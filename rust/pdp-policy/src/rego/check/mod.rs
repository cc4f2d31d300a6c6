//! What is refused at load because the engine lacks it or would answer differently from OPA 1.22.

pub(super) mod paths;

use std::collections::{BTreeMap, BTreeSet};

use regorus::Engine;

use crate::diagnostic::Diagnostic;
use crate::program::Source;
use crate::value::Value;

/// What is known of the input before any request.
pub(super) struct Guarantees<'a> {
    /// Paths that always exist, such as `input.subject.id`.
    pub(super) input: &'a [&'a str],
    /// Whether `input` itself is always defined and an object.
    pub(super) input_is_object: bool,
}

/// What checking found.
#[derive(Default)]
pub(super) struct Checked {
    /// Every fault.
    pub(super) faults: Vec<Diagnostic>,
    /// Whether no module calls a builtin that depends on anything but its arguments.
    pub(super) is_pure: bool,
    rules: BTreeMap<String, BTreeSet<String>>,
}

impl Checked {
    /// Names of the rules that `package` defines; `None` where no module declares it.
    pub(super) fn rules_of(&self, package: &str) -> Option<&BTreeSet<String>> {
        self.rules.get(package)
    }
}

/// Checks a module's text before it is parsed.
pub(super) fn source_text(_module: &Source) -> Vec<Diagnostic> {
    Vec::new()
}

/// Checks parsed modules.
pub(super) fn modules(engine: &mut Engine, _data: &Value, _known: &Guarantees<'_>) -> Checked {
    let mut checked = Checked { is_pure: true, ..Checked::default() };
    for module in engine.get_modules() {
        let Some(package) = paths::components(&module.package.refr) else { continue };
        let rules = checked.rules.entry(package.join(".")).or_default();
        rules.extend(module.policy.iter().filter_map(|rule| paths::rule_name(rule)));
    }
    checked
}

/// Checks a free query.
pub(super) fn query(_query: &str, _data: &Value) -> Vec<Diagnostic> {
    Vec::new()
}
