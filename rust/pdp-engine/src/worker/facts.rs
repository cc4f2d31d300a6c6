//! Facts, supplied and stored: how old they are, and whether a policy may use them.

use std::time::{Duration, SystemTime};

use crate::decision::{FactUse, ReasonCode};
use crate::fact::{Age, FactKind, FactName, FactReading};
use crate::policy_set::{FactGroup, Policy, PolicySet, StoredRequirement};
use crate::request::Request;

/// Why a policy may not be evaluated.
type Refusal = (ReasonCode, String);

/// The documents that policies which apply to the request name, where the request says whose they are.
pub(crate) fn names<'a>(set: &PolicySet, request: &'a Request) -> Vec<FactName<'a>> {
    let tenant = request.facts.tenant.as_deref();
    let name = |kind: FactKind| Some(FactName { tenant, kind, id: kind.id(&request.facts)? });
    set.stored_kinds(&request.questions, &request.facts).iter().filter_map(name).collect()
}

/// The facts that the request supplies and those read for it, with their ages.
pub(crate) fn uses(request: &Request, now: SystemTime) -> Vec<FactUse> {
    let groups = [FactGroup::Device, FactGroup::Location, FactGroup::Behaviour];
    let supplied = groups.into_iter().filter_map(|group| match age(request, group, now) {
        Age::Known(age) => Some(FactUse { name: group.name(), age, stored: None }),
        Age::Missing | Age::Unbelievable => None,
    });
    let stored = request.stored.found().filter_map(|(kind, document)| {
        let stored = Some((document.version, document.source.clone()));
        match Age::of(document.observed_at, now) {
            Age::Known(age) => Some(FactUse { name: kind.path(), age, stored }),
            Age::Missing | Age::Unbelievable => None,
        }
    });
    supplied.chain(stored).collect()
}

/// Why `policy` may not be evaluated on the request's facts, where it may not.
pub(crate) fn refusal(policy: &Policy, request: &Request, now: SystemTime) -> Option<Refusal> {
    let supplied = policy.facts.iter().find_map(|requirement| {
        let name = requirement.group.name();
        aged(&format_args!("facts of the {name}"), age(request, requirement.group, now), requirement.max_age)
    });
    supplied.or_else(|| policy.stored.iter().find_map(|it| stored_refusal(it, request, now)))
}

/// Why a stored fact keeps its policy from being evaluated, where it does.
fn stored_refusal(requirement: &StoredRequirement, request: &Request, now: SystemTime) -> Option<Refusal> {
    let name = requirement.kind.name();
    let age = match (requirement.kind.id(&request.facts), request.stored.get(requirement.kind)) {
        (None, _) | (Some(_), Some(FactReading::Absent)) if !requirement.required => return None,
        (None, _) => {
            let message =
                format!("the policy requires a stored fact of the {name}, and the request names none");
            return Some((ReasonCode::FactMissing, message));
        }
        (Some(_), Some(FactReading::Absent)) => Age::Missing,
        (Some(_), Some(FactReading::Found(document))) => Age::of(document.observed_at, now),
        (Some(_), Some(FactReading::Unavailable) | None) => {
            let message = format!("the stored fact of the {name} could not be read, or not freshly enough");
            return Some((ReasonCode::FactUnavailable, message));
        }
    };
    aged(&format_args!("a stored fact of the {name}"), age, requirement.max_age)
}

/// Why a fact of this age is refused, where it is.
fn aged(what: &std::fmt::Arguments<'_>, age: Age, max_age: Option<Duration>) -> Option<Refusal> {
    match (age, max_age) {
        (Age::Missing, _) => Some((ReasonCode::FactMissing, format!("the policy requires {what}"))),
        (Age::Unbelievable, _) => Some((ReasonCode::FactTooOld, format!("{what}: observed in the future"))),
        (Age::Known(age), Some(max_age)) if age > max_age => Some((
            ReasonCode::FactTooOld,
            format!("{what}: {} s old, over {} s", age.as_secs(), max_age.as_secs()),
        )),
        (Age::Known(_), _) => None,
    }
}

/// How long the facts that `policy` requires stay young enough, where it bounds their age.
///
/// Stored facts do not come in here: a policy that names some is not cacheable.
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
        (true, Some(at)) => Age::of(at, now),
    }
}
