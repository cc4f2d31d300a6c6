//! Limits that a Rego policy returns, read strictly: one of the wrong shape is an error, and nothing is spent.

use std::time::Duration;

use pdp_policy::{Map, Value};
use serde::Deserialize;

use super::demand::{MAX_COST, key_of};
use crate::decision::Reason;
use crate::limit::{Limit, Outage, Period, Scope};
use crate::outcome;
use crate::policy_set::{AlgorithmName, CountingName, Policy, Terms, optional_duration};

/// Most limits that one policy returns.
const MAX_LIMITS: usize = 32;

/// What a Rego policy says of a rate-limit question.
pub(super) struct Returned {
    pub(super) denials: Vec<Reason>,
    pub(super) demands: Vec<DynamicDemand>,
}

/// A limit with its key.
pub(super) struct DynamicDemand {
    pub(super) limit: Limit,
    pub(super) key: String,
    /// `None` is the request's own.
    pub(super) hits: Option<u64>,
}

/// An element of `limits`, without its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    name: String,
    algorithm: AlgorithmName,
    limit: u64,
    burst: Option<u64>,
    #[serde(default, deserialize_with = "optional_duration")]
    window: Option<Duration>,
    per: Option<Period>,
    zone: Option<String>,
    #[serde(default, deserialize_with = "optional_duration")]
    hold: Option<Duration>,
    hits: Option<i64>,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    counting: CountingName,
    lease: Option<u64>,
    #[serde(default)]
    on_outage: Outage,
}

/// Reads `deny` and `limits` of a Rego package.
pub(super) fn read(policy: &Policy, value: Option<&Value>) -> Result<Returned, String> {
    let empty = Map::default();
    let rules = match value {
        None => &empty,
        Some(Value::Map(rules)) => rules,
        Some(_) => return Err("the package did not answer with a map".to_owned()),
    };
    let denials = outcome::denials(policy, rules.get("deny"))?;
    let limits = match rules.get("limits") {
        None => &[][..],
        Some(Value::List(limits)) => limits.as_ref(),
        Some(_) => return Err("`limits` is not a set: write `limits contains {\"name\": …}`".to_owned()),
    };
    if limits.len() > MAX_LIMITS {
        return Err(format!("`limits` has {} elements, over {MAX_LIMITS}", limits.len()));
    }
    let mut demands: Vec<DynamicDemand> = Vec::with_capacity(limits.len());
    for element in limits {
        let demand = demand(element)?;
        if demands.iter().any(|other| other.limit.name == demand.limit.name && other.key == demand.key) {
            return Err(format!("limit `{}` stands twice with one key", demand.limit.name));
        }
        demands.push(demand);
    }
    Ok(Returned { denials, demands })
}

fn demand(element: &Value) -> Result<DynamicDemand, String> {
    let map = element.as_map().ok_or("an element of `limits` is not a map with `name`, `limit` and `key`")?;
    let key = map.get("key").ok_or("an element of `limits` has no `key`")?;
    let key = key_of(key).map_err(|fault| format!("an element of `limits`: {}", fault.message))?;
    let others = map.iter().filter(|(name, _)| name.as_str() != "key").cloned().collect();
    let json = serde_json::Value::from(&Value::Map(others));
    let read: Element =
        serde_json::from_value(json).map_err(|error| format!("an element of `limits`: {error}"))?;
    let hits = match read.hits {
        None => None,
        Some(hits) if (1..=MAX_COST).contains(&hits) => Some(hits.unsigned_abs()),
        Some(hits) => {
            return Err(format!("limit `{}`: `hits` is {hits}: must be 1 to 1,000,000,000", read.name));
        }
    };
    let terms = Terms {
        name: &read.name,
        algorithm: Some(read.algorithm),
        limit: Some(read.limit),
        burst: read.burst,
        window: read.window,
        per: read.per,
        zone: read.zone.as_deref(),
        hold: read.hold,
        scope: read.scope,
        counting: read.counting,
        lease: read.lease,
        on_outage: read.on_outage,
    };
    let limit = terms.limit().map_err(|error| format!("limit `{}`: {error}", read.name.escape_debug()))?;
    Ok(DynamicDemand { limit, key, hits })
}
