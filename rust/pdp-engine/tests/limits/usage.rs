//! What a report may correct.

use pdp_engine::limit::{LimitOutcome, encode_key};
use pdp_engine::{Decision, Reply, Request, UsageFault};
use uuid::Uuid;

use crate::support::*;

#[test]
fn usage_names_what_a_report_may_correct_and_what_is_held() {
    let set = limits(FOUR);
    let names = |decision: &Decision| -> Vec<String> {
        decision.usage.iter().map(|it| it.limit.to_string()).collect()
    };
    assert_eq!(names(&decide(&set, &request(), &Store::default())), ["held"]);
    let mut later = Request { report_later: true, ..request() };
    later.facts.limit.hits = 5;
    let decision = decide(&set, &later, &Store::default());
    // What an expression costs is no estimate of the request's.
    assert_eq!(names(&decision), ["tenant", "subject", "held"]);
    let row = &decision.usage[0];
    assert_eq!((row.hits, row.spent_at, row.holder, row.held), (5, now(), ID, false));
    assert_eq!((row.tenant.as_deref(), &*row.key), (Some("acme"), encode_key(["acme"]).unwrap().as_str()));

    let denied = decide(&set, &later, &Store::answering("bytes", refused()));
    assert!(denied.usage.is_empty(), "none is spent when one is over");
    let first = Uuid::from_u128(1);
    let repeated = LimitOutcome { admitted: true, spent_by: Some(first), ..LimitOutcome::default() };
    let decision = decide(&set, &request(), &Store::answering("held", repeated));
    assert_eq!(decision.usage[0].holder, first, "a repeated request settles what the first one spent");
}

#[test]
fn a_report_settles_against_the_set_that_is_active_now() {
    let later = Request { report_later: true, ..request() };
    let usage = decide(&limits(FOUR), &later, &Store::default()).usage;
    let now_active = limits(
        "limits:
  - {name: subject, algorithm: gcra, limit: 77, window: 1s, key: subject.id}
  - {name: held, algorithm: gcra, limit: 3, window: 30s, key: tenant}
",
    );
    let settling = now_active.settling(&usage);
    let skipped: Vec<_> = settling.skipped().iter().map(|(row, fault)| (&*row.limit, *fault)).collect();
    assert_eq!(skipped, [("tenant", UsageFault::LimitGone), ("held", UsageFault::LimitGone)]);
    let store = Store::default();
    let outcomes: Vec<_> =
        settling.settle(Some(9), &store, now()).into_iter().flat_map(Reply::wait).collect();
    assert_eq!(*store.settles.lock().unwrap(), [(ID, vec![("subject".to_owned(), 1, 9)])]);
    let statuses = settling.statuses(&outcomes);
    assert_eq!((statuses[0].limit, statuses[0].outcome.remaining), (77, 9));

    let same = limits(FOUR);
    let store = Store::default();
    let settling = same.settling(&usage);
    let _ = settling.settle(None, &store, now());
    let rows = [("tenant", 1, 1), ("subject", 1, 1), ("held", 1, 0)].map(|it| (it.0.to_owned(), it.1, it.2));
    assert_eq!(*store.settles.lock().unwrap(), [(ID, rows.to_vec())]);
    let gone = set(&[("other", "limits", "", FOUR)]);
    assert_eq!(gone.settling(&usage).skipped()[0].1, UsageFault::PolicyGone);
}
