//! A limit list as people write it.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::terms::{AlgorithmName, CountingName, Terms};
use crate::limit::{Outage, Period, Scope};
use crate::policy_set::manifest::optional_duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) domain: Option<String>,
    pub(super) limits: Vec<LimitEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitEntry {
    pub(super) name: String,
    pub(super) algorithm: Option<AlgorithmName>,
    pub(super) limit: Option<u64>,
    pub(super) burst: Option<u64>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(super) window: Option<Duration>,
    pub(super) per: Option<Period>,
    pub(super) zone: Option<String>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(super) hold: Option<Duration>,
    pub(super) key: Option<String>,
    pub(super) when: Option<String>,
    pub(super) cost: Option<String>,
    #[serde(default)]
    pub(super) scope: Scope,
    #[serde(default)]
    pub(super) counting: CountingName,
    pub(super) lease: Option<u64>,
    #[serde(default)]
    pub(super) on_outage: Outage,
    #[serde(default)]
    pub(super) overrides: Overrides,
    pub(super) descriptor: Option<Vec<DescriptorEntry>>,
    #[serde(default)]
    pub(super) shadow: bool,
    #[serde(default)]
    pub(super) unlimited: bool,
    #[serde(default)]
    pub(super) replaces: Vec<String>,
    #[serde(default)]
    pub(super) detailed_metric: bool,
    #[serde(default)]
    pub(super) share_threshold: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DescriptorEntry {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) share_threshold: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideEntry {
    pub(super) limit: u64,
    pub(super) burst: Option<u64>,
}

/// Overrides by tenant, in the order of the file; no tenant stands twice.
#[derive(Debug, Default)]
pub(super) struct Overrides(pub(super) Vec<(String, OverrideEntry)>);

impl LimitEntry {
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms {
            name: &self.name,
            algorithm: self.algorithm,
            limit: self.limit,
            burst: self.burst,
            window: self.window,
            per: self.per,
            zone: self.zone.as_deref(),
            hold: self.hold,
            scope: self.scope,
            counting: self.counting,
            lease: self.lease,
            on_outage: self.on_outage,
        }
    }
}

impl<'de> Deserialize<'de> for Overrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadOverrides)
    }
}

struct ReadOverrides;

impl<'de> Visitor<'de> for ReadOverrides {
    type Value = Overrides;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map from tenants to `{limit: …, burst: …}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Overrides, A::Error> {
        let mut overrides: Vec<(String, OverrideEntry)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some((tenant, entry)) = map.next_entry::<String, OverrideEntry>()? {
            if tenant.is_empty() {
                return Err(de::Error::custom("a tenant's name is empty"));
            }
            if !seen.insert(tenant.clone()) {
                return Err(de::Error::custom(format!("tenant `{tenant}` stands twice")));
            }
            overrides.push((tenant, entry));
        }
        Ok(Overrides(overrides))
    }
}
