//! What a decision means, stated as properties over small policy sets.
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
    Decision, Destination, Device, Effect, Facts, FindingAction, Function, LoadOptions, Payload, PolicySet,
    Question, ReasonCode, Request, RequestFault, Resource, Subject, Worker, WorkerOptions,
};
use pdp_policy::Map;
use uuid::Uuid;

#[path = "support/scripted.rs"]
mod scripted;

use self::scripted::Scripted;

/// A policy set written for one test.
struct Set {
    directory: tempfile::TempDir,
    entries: String,
}

impl Set {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), entries: String::new() }
    }

    fn file(self, path: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(path), text).unwrap();
        self
    }

    /// Adds a Rego policy; `more` holds further lines of its entry.
    fn rego(self, id: &str, kind: &str, more: &str, body: &str) -> Self {
        let file = format!("{id}.rego");
        let text = format!("package {id}\n\nimport rego.v1\n\n{body}\n");
        self.entry(id, kind, "rego", &file, more).file(&file, &text)
    }

    fn entry(mut self, id: &str, kind: &str, engine: &str, source: &str, more: &str) -> Self {
        self.entries +=
            &format!("  - id: {id}\n    kind: {kind}\n    engine: {engine}\n    source: {source}\n");
        for line in more.lines() {
            self.entries += &format!("    {line}\n");
        }
        self
    }

    fn load(self) -> Arc<PolicySet> {
        let manifest = if self.entries.is_empty() {
            "version: 1\npolicies: []\n".to_owned()
        } else {
            format!("version: 1\npolicies:\n{}", self.entries)
        };
        let set = self.file("manifest.yaml", &manifest);
        match PolicySet::load(set.directory.path(), &LoadOptions::default()) {
            Ok(set) => Arc::new(set),
            Err(faults) => {
                panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn subject(roles: &[&str]) -> Subject {
    Subject {
        id: "alice".into(),
        kind: None,
        roles: roles.iter().map(|role| (*role).into()).collect(),
        groups: Vec::new(),
        authentication: None,
        attributes: Map::default(),
    }
}

fn access(roles: &[&str]) -> Request {
    let resource = Resource {
        id: "/r/1".into(),
        kind: None,
        owner: None,
        labels: Vec::new(),
        attributes: Map::default(),
    };
    Request {
        questions: vec![Question::Access],
        facts: Facts {
            subject: Some(subject(roles)),
            action: Some("read".into()),
            resource: Some(resource),
            ..Facts::default()
        },
        ..Request::default()
    }
}

fn egress(content: &str) -> Request {
    let attributes = Map::default;
    Request {
        questions: vec![Question::Egress],
        facts: Facts {
            function: Some(Function {
                id: "f".into(),
                labels: Vec::new(),
                roles: Vec::new(),
                environment: None,
                version: None,
                attributes: attributes(),
            }),
            destination: Some(Destination {
                id: "d".into(),
                kind: None,
                host: None,
                port: None,
                labels: Vec::new(),
                attributes: attributes(),
            }),
            payload: Some(Payload { content: content.as_bytes().into(), content_type: None }),
            ..Facts::default()
        },
        ..Request::default()
    }
}

fn worker(set: Set) -> Worker {
    Worker::new(set.load(), &WorkerOptions::default())
}

fn decide(worker: &mut Worker, request: &Request) -> Decision {
    worker.decide(request, now(), Uuid::nil(), &Scripted::default()).unwrap()
}

fn codes(decision: &Decision) -> Vec<ReasonCode> {
    decision.verdicts.iter().flat_map(|verdict| &verdict.reasons).map(|reason| reason.code).collect()
}

const ALLOW_READERS: &str = "default allow := false\n\nallow if \"reader\" in input.subject.roles";

#[test]
fn no_policy_denies_by_default() {
    let decision = decide(&mut worker(Set::new()), &access(&["reader"]));
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(codes(&decision), [ReasonCode::DefaultDeny]);
}

#[test]
fn undefined_is_not_allow() {
    let mut worker = worker(Set::new().rego("p", "access", "", "allow if input.context.nope == 1"));
    let decision = decide(&mut worker, &access(&[]));
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(codes(&decision), [ReasonCode::NotAllowed]);
}

#[test]
fn a_policy_allows_and_the_reason_names_it() {
    let mut worker = worker(Set::new().rego("p", "access", "", ALLOW_READERS));
    let decision = decide(&mut worker, &access(&["reader"]));
    assert_eq!(decision.effect, Effect::Allow);
    let reason = &decision.verdicts[0].reasons[0];
    assert_eq!((reason.code, reason.policy_id.as_deref()), (ReasonCode::PolicyAllow, Some("p")));
}

#[test]
fn a_denial_overrides_every_allow_and_keeps_its_code_and_message() {
    let deny =
        "deny contains {\"code\": \"frozen\", \"message\": \"frozen today\"} if input.action == \"read\"";
    let set = Set::new().rego("p", "access", "", ALLOW_READERS).rego("q", "access", "", deny);
    let decision = decide(&mut worker(set), &access(&["reader"]));
    assert_eq!(decision.effect, Effect::Deny);
    let reason = &decision.verdicts[0].reasons[0];
    assert_eq!(reason.detail_code.as_deref(), Some("frozen"));
    assert_eq!(&*reason.message, "frozen today");
}

#[test]
fn team_cannot_widen_what_the_organisation_grants() {
    let set = Set::new()
        .rego(
            "org",
            "access",
            "tier: organisation",
            "default allow := false\nallow if \"staff\" in input.subject.roles",
        )
        .rego("team", "access", "", "allow := true");
    let mut worker = worker(set);
    assert_eq!(decide(&mut worker, &access(&["guest"])).effect, Effect::Deny);
    assert_eq!(decide(&mut worker, &access(&["staff"])).effect, Effect::Allow);
}

#[test]
fn a_failing_policy_denies_even_where_its_rule_would_deny() {
    // Two complete values conflict: an evaluation error.
    let conflict =
        "deny contains {\"code\": x, \"message\": \"m\"} if x := f(1)\n\nf(_) := \"a\"\n\nf(_) := \"b\"";
    let set = Set::new().rego("p", "access", "", ALLOW_READERS).rego("q", "access", "", conflict);
    let decision = decide(&mut worker(set), &access(&["reader"]));
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(codes(&decision), [ReasonCode::PolicyError]);
}

#[test]
fn failing_open_is_named_in_the_reason() {
    let conflict = "allow := f(1)\n\nf(_) := true\n\nf(_) := false";
    let set = Set::new().rego("p", "access", "on_error: allow", conflict);
    let decision = decide(&mut worker(set), &access(&[]));
    assert_eq!(decision.effect, Effect::Allow);
    assert_eq!(codes(&decision), [ReasonCode::FailOpen]);
}

#[test]
fn an_allow_that_is_no_boolean_is_an_error() {
    let decision = decide(&mut worker(Set::new().rego("p", "access", "", "allow := \"yes\"")), &access(&[]));
    assert_eq!((decision.effect, codes(&decision)), (Effect::Deny, vec![ReasonCode::PolicyOutputInvalid]));
}

#[test]
fn shadow_policy_reports_and_decides_nothing() {
    let deny = "deny contains {\"code\": \"x\", \"message\": \"m\"} if input.action == \"read\"";
    let set = Set::new().rego("p", "access", "", ALLOW_READERS).rego("q", "access", "mode: shadow", deny);
    let decision = decide(&mut worker(set), &access(&["reader"]));
    assert_eq!(decision.effect, Effect::Allow);
    let shadow = &decision.shadow[0];
    assert_eq!((&*shadow.policy_id, shadow.effect, shadow.would_change), ("q", Effect::Deny, true));
}

#[test]
fn policy_that_is_off_says_nothing() {
    let set = Set::new().rego("p", "access", "mode: off", "allow := true");
    let decision = decide(&mut worker(set), &access(&[]));
    assert_eq!(codes(&decision), [ReasonCode::DefaultDeny]);
    assert!(decision.shadow.is_empty());
}

#[test]
fn missing_fact_denies_and_an_old_one_too() {
    let set = || Set::new().rego("p", "access", "facts: {device: {max_age: 10m}}", "allow := true");
    let mut worker = worker(set());
    let mut request = access(&[]);
    assert_eq!(codes(&decide(&mut worker, &request)), [ReasonCode::FactMissing]);
    request.facts.device = Some(Device::default());
    assert_eq!(decide(&mut worker, &request).effect, Effect::Allow);
    request.observed.device = Some(now() - Duration::from_secs(601));
    assert_eq!(codes(&decide(&mut worker, &request)), [ReasonCode::FactTooOld]);
    request.observed.device = Some(now() + Duration::from_secs(3600));
    assert_eq!(codes(&decide(&mut worker, &request)), [ReasonCode::FactTooOld]);
}

#[test]
fn memoised_answer_equals_the_first_but_for_saying_so() {
    let mut worker = worker(Set::new().rego("p", "access", "", ALLOW_READERS));
    let first = decide(&mut worker, &access(&["reader"]));
    let second = decide(&mut worker, &access(&["reader"]));
    assert!(!first.memoised && second.memoised);
    assert_eq!(first.verdicts, second.verdicts);
    assert_eq!(decide(&mut worker, &access(&["writer"])).effect, Effect::Deny);
}

#[test]
fn failure_is_never_memoised() {
    let set = Set::new().rego("p", "access", "", "allow := f(1)\n\nf(_) := true\n\nf(_) := false");
    let mut worker = worker(set);
    for _ in 0..2 {
        assert!(!decide(&mut worker, &access(&[])).memoised);
    }
}

#[test]
fn selectors_choose_and_prefixes_match() {
    let set = Set::new()
        .rego("p", "access", "match: {resources: [\"/r/*\"], actions: [read]}", "allow := true")
        .rego("q", "access", "match: {functions: [other]}", "deny contains {\"code\": \"q\"} if true");
    let mut worker = worker(set);
    assert_eq!(decide(&mut worker, &access(&[])).effect, Effect::Allow);
    let mut other = access(&[]);
    other.facts.action = Some("write".into());
    assert_eq!(codes(&decide(&mut worker, &other)), [ReasonCode::DefaultDeny]);
}

#[test]
fn earlier_denial_leaves_later_questions_unevaluated() {
    let mut request = access(&[]);
    request.questions = vec![Question::RateLimit, Question::Access];
    let decision = decide(&mut worker(Set::new().rego("p", "access", "", "allow := true")), &request);
    assert_eq!(codes(&decision), [ReasonCode::DefaultDeny, ReasonCode::NotEvaluated]);
    assert!(!decision.verdicts[1].evaluated);
}

#[test]
fn required_policy_that_does_not_apply_denies() {
    let set = Set::new().rego("p", "access", "", "allow := true").rego(
        "q",
        "access",
        "match: {actions: [write]}",
        "allow := true",
    );
    let mut worker = worker(set);
    let mut request = access(&[]);
    request.required_policies = vec!["q".into()];
    assert_eq!(codes(&decide(&mut worker, &request)), [ReasonCode::RequiredPolicyNotApplied]);
    request.required_policies = vec!["p".into()];
    assert_eq!(decide(&mut worker, &request).effect, Effect::Allow);
    request.required_policies = vec!["p".into(), "nope".into()];
    let fault = worker.decide(&request, now(), Uuid::nil(), &Scripted::default()).unwrap_err();
    assert_eq!(fault, RequestFault::PolicyUnknown { index: 1 });
}

#[test]
fn another_revision_is_refused() {
    let mut worker = worker(Set::new());
    let request = Request { policy_revision: Some("0000".into()), ..access(&[]) };
    let fault = worker.decide(&request, now(), Uuid::nil(), &Scripted::default()).unwrap_err();
    assert!(matches!(fault, RequestFault::RevisionNotActive { .. }));
}

fn limits(mode: &str, text: &str) -> Set {
    Set::new().entry("l", "rate_limit", "limits", "l.yaml", mode).file("l.yaml", text)
}

const PER_SUBJECT: &str = "limits:
  - {name: a, algorithm: gcra, limit: 10, window: 1s, key: '[\"s\", subject.id]'}
  - {name: b, algorithm: fixed_window, limit: 10, window: 1s, key: subject.id, when: 'action == \"write\"'}
";

fn limited() -> Request {
    Request { questions: vec![Question::RateLimit], ..access(&[]) }
}

#[test]
fn limits_apply_by_condition_and_a_used_up_one_denies() {
    let mut worker = worker(limits("", PER_SUBJECT));
    let store = Scripted { refuse: vec!["b"], ..Scripted::default() };
    let decision = worker.decide(&limited(), now(), Uuid::nil(), &store).unwrap();
    assert_eq!(codes(&decision), [ReasonCode::WithinLimit]);
    assert_eq!(decision.limits.len(), 1);
    let mut write = limited();
    write.facts.action = Some("write".into());
    let decision = worker.decide(&write, now(), Uuid::nil(), &store).unwrap();
    assert_eq!(codes(&decision), [ReasonCode::RateLimited]);
    assert_eq!(decision.verdicts[0].reasons[0].detail_code.as_deref(), Some("b"));
}

#[test]
fn shadow_limit_counts_on_its_own_and_takes_nothing_from_what_decides() {
    let text = "limits:\n  - {name: c, algorithm: gcra, limit: 1, window: 1s, key: subject.id}\n";
    let set = limits("", PER_SUBJECT)
        .entry("m", "rate_limit", "limits", "m.yaml", "mode: shadow")
        .file("m.yaml", text);
    let mut worker = worker(set);
    let store = Scripted { refuse: vec!["c"], ..Scripted::default() };
    let decision = worker.decide(&limited(), now(), Uuid::nil(), &store).unwrap();
    assert_eq!(codes(&decision), [ReasonCode::WithinLimit]);
    let shadow = &decision.shadow[0];
    assert_eq!((shadow.effect, shadow.would_change), (Effect::Deny, true));
    let calls = store.calls.lock().unwrap();
    assert_eq!(*calls, [vec!["a"], vec!["c"]], "each group is a call of its own");
    assert!(store.seen.lock().unwrap().borrow().iter().all(|(_, _, peek)| !peek));
}

#[test]
fn shadow_limit_that_nothing_else_stands_beside_would_change_the_default_denial() {
    let mut worker = worker(limits("mode: shadow", PER_SUBJECT));
    let decision = worker.decide(&limited(), now(), Uuid::nil(), &Scripted::default()).unwrap();
    assert_eq!(codes(&decision), [ReasonCode::DefaultDeny]);
    assert_eq!((decision.shadow[0].effect, decision.shadow[0].would_change), (Effect::Allow, true));
}

#[test]
fn limit_whose_key_cannot_be_computed_denies_and_spends_nothing() {
    let mut worker = worker(limits("", PER_SUBJECT));
    let mut request = limited();
    request.facts.subject = None;
    let store = Scripted::default();
    let decision = worker.decide(&request, now(), Uuid::nil(), &store).unwrap();
    assert_eq!(codes(&decision), [ReasonCode::LimitKeyMissing]);
    assert!(store.seen.lock().unwrap().borrow().iter().all(|(_, _, peek)| *peek));
}

const MASK_CARDS: &str = "allow := true

obligations contains {\"type\": \"mask\", \"detectors\": [\"card_number\"]}";

#[test]
fn masked_payload_hides_what_the_policy_names_and_nothing_else() {
    let mut worker = worker(Set::new().rego("p", "egress", "", MASK_CARDS));
    let decision = decide(&mut worker, &egress("card 4111 1111 1111 1111 of a@example.org"));
    let masked = String::from_utf8(decision.masked_payload.unwrap()).unwrap();
    assert!(!masked.contains("4111 1111 1111") && masked.contains("a@example.org"), "{masked}");
    let actions: Vec<_> = decision.findings.iter().map(|f| (f.finding.detector, f.action)).collect();
    assert_eq!(actions, [("card_number", FindingAction::Mask), ("email", FindingAction::None)]);
}

#[test]
fn mask_that_finds_nothing_obliges_to_nothing() {
    let decision = decide(&mut worker(Set::new().rego("p", "egress", "", MASK_CARDS)), &egress("hello"));
    assert_eq!(decision.effect, Effect::Allow);
    assert!(decision.obligations.is_empty() && decision.masked_payload.is_none());
}

#[test]
fn misspelt_detector_in_a_mask_denies() {
    let body = MASK_CARDS.replace("card_number", "card_nunber");
    let decision = decide(&mut worker(Set::new().rego("p", "egress", "", &body)), &egress("hello"));
    assert_eq!(codes(&decision), [ReasonCode::PolicyOutputInvalid]);
}

#[test]
fn denied_payload_is_reported_as_blocked_and_not_returned() {
    let deny = "deny contains {\"code\": \"card\", \"message\": \"no cards\"} if {
	some finding in input.payload.findings
	finding.detector == \"card_number\"
}";
    let set = Set::new().rego("p", "egress", "", MASK_CARDS).rego("q", "egress", "", deny);
    let decision = decide(&mut worker(set), &egress("card 4111 1111 1111 1111"));
    assert_eq!(codes(&decision), [ReasonCode::DataBlocked]);
    assert_eq!(decision.findings[0].action, FindingAction::Block);
    assert!(decision.masked_payload.is_none() && decision.obligations.is_empty());
}

#[test]
fn cel_policy_allows_denies_and_explains() {
    let policy = "name: p
rule:
  match:
    - condition: '\"admin\" in subject.roles'
      output: 'true'
    - condition: 'action == \"read\"'
      output: '{\"effect\": \"deny\", \"code\": \"readers\", \"message\": \"not for readers\"}'
";
    let set = Set::new().entry("p", "access", "cel", "p.yaml", "").file("p.yaml", policy);
    let mut worker = worker(set);
    assert_eq!(decide(&mut worker, &access(&["admin"])).effect, Effect::Allow);
    let decision = decide(&mut worker, &access(&[]));
    assert_eq!(decision.verdicts[0].reasons[0].detail_code.as_deref(), Some("readers"));
}

#[test]
fn set_with_a_fault_does_not_load_and_names_file_row_and_column() {
    let set = Set::new().rego("p", "access", "", "allow if {");
    fs::write(set.directory.path().join("manifest.yaml"), format!("version: 1\npolicies:\n{}", set.entries))
        .unwrap();
    let faults = PolicySet::load(set.directory.path(), &LoadOptions::default()).err().unwrap();
    let text = faults[0].to_string();
    assert!(text.starts_with("p.rego:") && text.matches(':').count() >= 3, "{text}");
}

#[test]
fn source_outside_of_the_directory_is_refused() {
    for path in ["../x.rego", "/etc/passwd", "a/../../x.rego"] {
        let set = Set::new().entry("p", "access", "rego", path, "");
        fs::write(
            set.directory.path().join("manifest.yaml"),
            format!("version: 1\npolicies:\n{}", set.entries),
        )
        .unwrap();
        let faults = PolicySet::load(set.directory.path(), &LoadOptions::default()).err().unwrap();
        assert!(faults[0].to_string().contains("not a path below"), "{}", faults[0]);
    }
}
