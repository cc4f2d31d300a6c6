//! The manifest: one entry per policy, as people write it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::decision::{Question, Tier};
use crate::fact::FactKind;

/// The manifest document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Version of the format; 1.
    pub(crate) version: u32,
    /// Policies, in any order.
    #[serde(default)]
    pub(crate) policies: Vec<Entry>,
}

/// One policy's entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) kind: Question,
    pub(crate) engine: EngineKind,
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) libraries: Vec<String>,
    #[serde(default)]
    pub(crate) data: Vec<String>,
    #[serde(default = "team")]
    pub(crate) tier: Tier,
    #[serde(default)]
    pub(crate) mode: Mode,
    #[serde(default)]
    pub(crate) owner: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default, rename = "match")]
    pub(crate) selectors: SelectorEntry,
    #[serde(default)]
    pub(crate) facts: BTreeMap<FactGroup, FactEntry>,
    #[serde(default)]
    pub(crate) stored_facts: BTreeMap<FactKind, StoredFactEntry>,
    #[serde(default)]
    pub(crate) on_error: OnError,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) cacheable_for: Option<Duration>,
    #[serde(default)]
    pub(crate) budget: BudgetOverride,
    #[serde(default)]
    pub(crate) controls: Vec<String>,
}

/// What evaluates a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Rego.
    Rego,
    /// The CEL policy format.
    Cel,
    /// A list of limits.
    Limits,
}

/// Whether a policy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It decides.
    #[default]
    Enforce,
    /// It is evaluated and reported, and decides nothing.
    Shadow,
    /// It is compiled and never evaluated.
    Off,
}

/// What a failing policy comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnError {
    #[default]
    Deny,
    Allow,
}

/// Groups of facts that a request may supply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FactGroup {
    Device,
    Location,
    Behaviour,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactEntry {
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) max_age: Option<Duration>,
}

/// A stored fact that a policy reads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredFactEntry {
    /// Above which the fact denies.
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) max_age: Option<Duration>,
    /// Whether its absence denies.
    #[serde(default = "yes")]
    pub(crate) required: bool,
}

/// Budgets of a policy's own.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetOverride {
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) time: Option<Duration>,
    pub(crate) instructions: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
}

/// Which requests a policy applies to. Lists are OR, fields AND; empty is any.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SelectorEntry {
    pub(crate) functions: Vec<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) resources: Vec<String>,
    pub(crate) actions: Vec<String>,
    pub(crate) tenants: Vec<String>,
    pub(crate) destinations: Vec<String>,
    pub(crate) environments: Vec<String>,
}

impl EngineKind {
    /// The engine as the manifest spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rego => "rego",
            Self::Cel => "cel",
            Self::Limits => "limits",
        }
    }
}

impl Mode {
    /// The mode as the manifest spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

impl FactGroup {
    /// The group as the manifest spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Location => "location",
            Self::Behaviour => "behaviour",
        }
    }
}

fn yes() -> bool {
    true
}

fn team() -> Tier {
    Tier::Team
}

/// Reads `250ms`, `30s`, `15m`, `12h` or `7d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// Deserialises a duration, naming the accepted forms when it is none.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).ok_or_else(|| {
        de::Error::custom(format!(
            "`{text}` is no duration: write a number and ms, s, m, h or d, as in `30s`"
        ))
    })
}

pub(crate) fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_never_overflow() {
        assert_eq!(parse_duration("15m"), Some(Duration::from_secs(900)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "15", "m", "-1s", "1.5s", "15 m", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn unknown_key_is_refused_by_name_and_place() {
        let text = "version: 1\npolicies:\n  - id: a\n    kind: access\n    engine: rego\n    sauce: x\n";
        let error = serde_norway::from_str::<Manifest>(text).unwrap_err();
        assert!(error.to_string().contains("sauce"), "{error}");
        assert_eq!(error.location().map(|at| at.line()), Some(6));
    }
}
