//! Fact groups: which a request supplies, how old they are, and whether a policy may use them.

use std::time::{Duration, SystemTime};

use crate::decision::{FactUse, ReasonCode};
use crate::policy_set::{FactGroup, Policy};
use crate::request::Request;

/// How far in the future an observation may lie before it is not believed.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Age of a supplied fact group.
enum Age {
    Missing,
    Known(Duration),
    /// Observed further in the future than clocks differ.
    Unbelievable,
}

/// The fact groups that the request supplies, with their ages.
pub(crate) fn uses(request: &Request, now: SystemTime) -> Vec<FactUse> {
    [FactGroup::Device, FactGroup::Location, FactGroup::Behaviour]
        .into_iter()
        .filter_map(|group| match age(request, group, now) {
            Age::Known(age) => Some(FactUse { name: group.name(), age, stored: None }),
            Age::Missing | Age::Unbelievable => None,
        })
        .collect()
}

/// Why `policy` may not be evaluated on the request's facts, where it may not.
pub(crate) fn refusal(policy: &Policy, request: &Request, now: SystemTime) -> Option<(ReasonCode, String)> {
    policy.facts.iter().find_map(|requirement| {
        let name = requirement.group.name();
        match (age(request, requirement.group, now), requirement.max_age) {
            (Age::Missing, _) => {
                Some((ReasonCode::FactMissing, format!("the policy requires facts of the {name}")))
            }
            (Age::Unbelievable, _) => {
                Some((ReasonCode::FactTooOld, format!("the {name} was observed in the future")))
            }
            (Age::Known(age), Some(max_age)) if age > max_age => Some((
                ReasonCode::FactTooOld,
                format!("facts of the {name} are {} s old, over {} s", age.as_secs(), max_age.as_secs()),
            )),
            (Age::Known(_), _) => None,
        }
    })
}

/// How long the facts that `policy` requires stay young enough, where it bounds their age.
pub(crate) fn valid_for(policy: &Policy, request: &Request, now: SystemTime) -> Option<Duration> {
    let left = policy.facts.iter().filter_map(|requirement| match age(request, requirement.group, now) {
        Age::Known(age) => Some(requirement.max_age?.saturating_sub(age)),
        Age::Missing | Age::Unbelievable => None,
    });
    left.min()
}

fn age(request: &Request, group: FactGroup, now: SystemTime) -> Age {
    let (supplied, observed) = match group {
        FactGroup::Device => (request.facts.device.is_some(), request.observed.device),
        FactGroup::Location => (request.facts.location.is_some(), request.observed.location),
        FactGroup::Behaviour => (request.facts.behaviour.is_some(), request.observed.behaviour),
    };
    match (supplied, observed) {
        (false, _) => Age::Missing,
        (true, None) => Age::Known(Duration::ZERO),
        (true, Some(at)) => match now.duration_since(at) {
            Ok(age) => Age::Known(age),
            Err(ahead) if ahead.duration() <= CLOCK_SKEW => Age::Known(Duration::ZERO),
            Err(_) => Age::Unbelievable,
        },
    }
}
