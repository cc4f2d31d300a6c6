//! What stored facts mean for a decision, stated as properties over small policy sets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::{
    Decision, Device, Effect, FactDocument, FactKind, FactReading, Facts, LoadOptions, PolicySet, Question,
    ReasonCode, Request, Resource, Subject, Worker, WorkerOptions,
};
use pdp_policy::{Map, Value};
use uuid::Uuid;

#[path = "support/scripted.rs"]
mod scripted;

use self::scripted::Scripted;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// Builds a set of one file and one entry each; the errors where it does not build.
fn load(policies: &[(&str, &str, &str)]) -> Result<Worker, String> {
    let directory = tempfile::tempdir().unwrap();
    let mut manifest = "version: 1\npolicies:\n".to_owned();
    for (id, entry, text) in policies {
        let (suffix, kind, engine, text) = match text.split_once(char::is_whitespace) {
            Some(("cel", rest)) => ("yaml", "access", "cel", rest.to_owned()),
            Some(("limits", rest)) => ("yaml", "rate_limit", "limits", rest.to_owned()),
            _ => ("rego", "access", "rego", format!("package {id}\n\nimport rego.v1\n\n{text}\n")),
        };
        let file = format!("{id}.{suffix}");
        fs::write(directory.path().join(&file), text).unwrap();
        manifest += &format!(
            "  - id: {id}\n    kind: {kind}\n    engine: {engine}\n    source: {file}\n    {entry}\n"
        );
    }
    fs::write(directory.path().join("manifest.yaml"), manifest).unwrap();
    let set = PolicySet::load(directory.path(), &LoadOptions::default())
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    Ok(Worker::new(Arc::new(set), &WorkerOptions::default()))
}

fn request() -> Request {
    let attributes = Map::default;
    Request {
        questions: vec![Question::Access],
        facts: Facts {
            tenant: Some("shop".into()),
            action: Some("read".into()),
            subject: Some(Subject {
                id: "alice".into(),
                kind: None,
                roles: Vec::new(),
                groups: Vec::new(),
                authentication: None,
                attributes: attributes(),
            }),
            resource: Some(Resource {
                id: "/r/1".into(),
                kind: None,
                owner: None,
                labels: Vec::new(),
                attributes: attributes(),
            }),
            device: Some(Device { id: Some("laptop".into()), ..Device::default() }),
            ..Facts::default()
        },
        ..Request::default()
    }
}

fn document(flag: &'static str, age: Duration) -> FactReading {
    FactReading::Found(Arc::new(FactDocument {
        value: Map::from_entries(vec![(flag.into(), Value::Bool(true))]),
        version: 7,
        source: "mdm".into(),
        observed_at: now() - age,
    }))
}

fn with(kind: FactKind, reading: FactReading) -> Request {
    let mut request = request();
    request.stored.put(kind, reading);
    request
}

fn decide(worker: &mut Worker, request: &Request) -> Decision {
    worker.decide(request, now(), Uuid::nil(), &Scripted::default()).unwrap()
}

fn code(decision: &Decision) -> ReasonCode {
    decision.verdicts[0].reasons[0].code
}

const MANAGED: &str = "allow if input.facts.device.value.managed == true";
const DEVICE: &str = "stored_facts: {device: {max_age: 15m}}";

#[test]
fn only_what_policies_that_apply_name_is_asked_of_a_store() {
    let worker = load(&[
        ("a", "stored_facts: {device: {}, function: {}}", MANAGED),
        ("b", "stored_facts: {subject: {}}\n    match: {actions: [write]}", "allow if true"),
    ])
    .unwrap();
    let request = request();
    let names: Vec<_> = worker.fact_names(&request).iter().map(|n| (n.tenant, n.kind, n.id)).collect();
    assert_eq!(names, [(Some("shop"), FactKind::Device, "laptop")]);
    let plain = load(&[("a", "tier: team", "allow if true")]).unwrap();
    assert!(plain.fact_names(&request).is_empty());
}

#[test]
fn a_policy_reads_value_age_version_and_source() {
    let body = "allow if {\n\tinput.facts.device.value.managed\n\tinput.facts.device.age_seconds == 60\n\t\
                input.facts.device.version == 7\n\tinput.facts.device.source == \"mdm\"\n}";
    let mut rego = load(&[("p", DEVICE, body)]).unwrap();
    let request = with(FactKind::Device, document("managed", Duration::from_millis(59_001)));
    let decision = decide(&mut rego, &request);
    assert_eq!(decision.effect, Effect::Allow, "{:?}", decision.verdicts);
    let used = &decision.facts[1];
    assert_eq!((used.name, used.age), ("facts.device", Duration::from_millis(59_001)));
    assert_eq!(used.stored, Some((7, "mdm".into())));

    let cel = "cel name: p\nrule:\n  match:\n    - condition: >-\n        facts.device.value.managed == true && \
               facts.device.age_seconds <= 60 && facts.device.version == 7 && facts.device.source == 'mdm'\n      \
               output: 'true'\n";
    let mut cel = load(&[("p", DEVICE, cel)]).unwrap();
    let decision = decide(&mut cel, &request);
    assert_eq!(decision.effect, Effect::Allow, "{:?}", decision.verdicts);
}

#[test]
fn absent_old_and_unreadable_facts_deny_each_with_its_own_code() {
    let mut worker = load(&[("p", DEVICE, MANAGED)]).unwrap();
    let minutes = |minutes: u64| document("managed", Duration::from_secs(60 * minutes));
    for (reading, expected) in [
        (minutes(15), ReasonCode::PolicyAllow),
        (minutes(16), ReasonCode::FactTooOld),
        (FactReading::Absent, ReasonCode::FactMissing),
        (FactReading::Unavailable, ReasonCode::FactUnavailable),
    ] {
        let decision = decide(&mut worker, &with(FactKind::Device, reading));
        assert_eq!(code(&decision), expected);
        assert_eq!(decision.effect == Effect::Allow, expected == ReasonCode::PolicyAllow);
    }
    // Nobody asked a store: that is no absence.
    assert_eq!(code(&decide(&mut worker, &request())), ReasonCode::FactUnavailable);
    let mut nameless = request();
    nameless.facts.device = None;
    assert_eq!(code(&decide(&mut worker, &nameless)), ReasonCode::FactMissing);
}

#[test]
fn an_observation_from_the_future_is_believed_within_clock_skew_only() {
    let mut worker = load(&[("p", "stored_facts: {device: {}}", MANAGED)]).unwrap();
    for (ahead, expected) in [(30, ReasonCode::PolicyAllow), (90, ReasonCode::FactTooOld)] {
        let FactReading::Found(found) = document("managed", Duration::ZERO) else { panic!() };
        let observed_at = now() + Duration::from_secs(ahead);
        let reading = FactReading::Found(Arc::new(FactDocument { observed_at, ..(*found).clone() }));
        assert_eq!(code(&decide(&mut worker, &with(FactKind::Device, reading))), expected);
    }
}

#[test]
fn an_optional_fact_may_be_absent_but_not_old_and_not_unreadable() {
    let body = "allow if true\n\ndeny contains {\"code\": \"q\", \"message\": \"quarantined\"} if \
                input.facts.device.value.quarantined";
    let mut worker = load(&[("p", "stored_facts: {device: {max_age: 1m, required: false}}", body)]).unwrap();
    let cases = [
        (FactReading::Absent, ReasonCode::PolicyAllow),
        (document("quarantined", Duration::ZERO), ReasonCode::PolicyDeny),
        (document("other", Duration::from_secs(61)), ReasonCode::FactTooOld),
        (FactReading::Unavailable, ReasonCode::FactUnavailable),
    ];
    for (reading, expected) in cases {
        assert_eq!(code(&decide(&mut worker, &with(FactKind::Device, reading))), expected);
    }
}

#[test]
fn failing_open_covers_a_fact_that_cannot_be_read() {
    let entry = "stored_facts: {device: {}}\n    on_error: allow";
    let mut worker = load(&[("p", entry, MANAGED)]).unwrap();
    let decision = decide(&mut worker, &with(FactKind::Device, FactReading::Unavailable));
    assert_eq!((decision.effect, code(&decision)), (Effect::Allow, ReasonCode::FailOpen));
}

#[test]
fn a_policy_sees_the_facts_it_names_whatever_stands_beside_it() {
    // `b` may not see the device, which only `a` names; it hides its read from the check at load.
    let hidden =
        "allow if true\n\nkey := \"facts\"\n\ndeny contains {\"code\": \"leak\"} if input[key].device";
    let mut worker = load(&[("a", DEVICE, MANAGED), ("b", "tier: team", hidden)]).unwrap();
    let decision = decide(&mut worker, &with(FactKind::Device, document("managed", Duration::ZERO)));
    assert_eq!(decision.effect, Effect::Allow, "{:?}", decision.verdicts);
}

#[test]
fn a_changed_fact_is_never_answered_from_the_memo() {
    let mut worker = load(&[("p", DEVICE, MANAGED)]).unwrap();
    for (flag, expected) in [("managed", Effect::Allow), ("lost", Effect::Deny), ("managed", Effect::Allow)] {
        let decision = decide(&mut worker, &with(FactKind::Device, document(flag, Duration::ZERO)));
        assert_eq!((decision.effect, decision.memoised), (expected, false));
    }
}

#[test]
fn limits_may_be_chosen_and_keyed_by_stored_facts() {
    let list = "limits limits:\n  - name: gold\n    algorithm: fixed_window\n    limit: 5\n    window: 1s\n    \
                when: facts.subject.value.gold == true\n    key: facts.subject.source\n";
    let mut worker = load(&[("p", "stored_facts: {subject: {}}", list)]).unwrap();
    for (flag, limits) in [("gold", 1), ("silver", 0)] {
        let mut request = with(FactKind::Subject, document(flag, Duration::ZERO));
        request.questions = vec![Question::RateLimit];
        let decision = decide(&mut worker, &request);
        // `silver` has no `gold` to compare: that is an error, and denies.
        assert_eq!((decision.limits.len(), decision.effect == Effect::Allow), (limits, limits == 1));
    }
}

#[test]
fn a_read_that_the_entry_does_not_name_is_refused_at_load() {
    let error = load(&[("p", "tier: team", MANAGED)]).err().unwrap();
    assert!(error.contains("p.rego:5:10") && error.contains("stored_facts: {device: {}}"), "{error}");
    let error = load(&[("p", "stored_facts: {laptop: {}}", MANAGED)]).err().unwrap();
    assert!(error.contains("laptop"), "{error}");
    let error = load(&[("p", "stored_facts: {device: {}}\n    cacheable_for: 5s", MANAGED)]).err().unwrap();
    assert!(error.contains("cacheable_for"), "{error}");
}

#[test]
fn what_a_required_fact_guarantees_may_be_negated() {
    let body = "allow if not input.facts.device.age_seconds > 5";
    assert!(load(&[("p", "stored_facts: {device: {}}", body)]).is_ok());
    assert!(load(&[("p", "stored_facts: {device: {required: false}}", body)]).is_err());
}
