//! Limits that Rego policies return.

use pdp_engine::limit::{Algorithm, Outage, Scope, encode_key};
use pdp_engine::{Effect, ReasonCode};

use crate::support::*;

const REGO: &str = r#"limits contains {
	"name": "per-subject", "algorithm": "gcra", "limit": 10, "window": "1s", "burst": 3,
	"key": ["s", input.subject.id, 4], "hits": 2, "scope": "estate", "on_outage": "allow",
} if input.subject.id != "mallory"

limits contains {"name": "held", "algorithm": "concurrency", "limit": 3, "hold": "5s", "key": input.tenant}

deny contains {"code": "mallory", "message": "not you"} if input.subject.id == "mallory"
"#;

#[test]
fn rego_returns_limits_and_denials() {
    let set = set(&[("r", "rego", "", REGO)]);
    let store = Store::default();
    let decision = decide(&set, &request(), &store);
    assert_eq!(decision.effect, Effect::Allow);
    let seen = store.seen().concat();
    let gcra = seen.iter().find(|it| &*it.limit.name == "per-subject").unwrap();
    assert_eq!((gcra.hits, gcra.limit.scope, gcra.limit.outage), (2, Scope::Estate, Outage::Allow));
    assert_eq!(gcra.key, encode_key(["s", "alice", "4"]).unwrap());
    assert_eq!(gcra.limit.algorithm, Algorithm::Gcra { burst: 3 });

    let mut mallory = request();
    mallory.facts.subject.as_mut().unwrap().id = "mallory".into();
    let store = Store::default();
    let decision = decide(&set, &mallory, &store);
    assert_eq!(codes(&decision), [ReasonCode::PolicyDeny]);
    assert!(store.seen().concat().iter().all(|it| it.peek));

    // What Rego made, only Rego knows: the usage carries it.
    let decision = decide(&set, &request(), &Store::default());
    let usage = &decision.usage[0];
    assert!(usage.held && usage.definition.is_some());
    assert_eq!(set.settling(&decision.usage).rows().len(), 1);
}

#[test]
fn rego_limits_of_the_wrong_shape_deny_and_count_nothing() {
    let good = r#""name": "a", "algorithm": "gcra", "limit": 10, "window": "1s", "key": "k""#;
    for (body, expected) in [
        (r#"limits := "many""#, "`limits` is not a set"),
        (r#"limits contains "a""#, "not a map"),
        (r#"limits contains {"name": "a", "algorithm": "gcra", "limit": 10, "window": "1s"}"#, "no `key`"),
        (&format!("limits contains {{{good}, \"sauce\": 1}}"), "unknown field `sauce`"),
        (&format!("limits contains {{{good}, \"hits\": 0}}"), "`hits` is 0"),
        (&format!("limits contains {{{good}, \"hits\": -1}}"), "`hits` is -1"),
        (&format!("limits contains {{{good}, \"hits\": 1.5}}"), "1.5"),
        (&format!("limits contains {{{good}, \"counting\": \"leased\", \"lease\": 99}}"), "`lease` is 99"),
        (
            &good
                .replace("\"1s\"", "\"999999d\"")
                .replace("\"name\"", "limits contains {\"name\"")
                .replace("\"k\"", "\"k\"}"),
            "must be 1ms to 366 days",
        ),
        (
            &good
                .replace("10", "-10")
                .replace("\"name\"", "limits contains {\"name\"")
                .replace("\"k\"", "\"k\"}"),
            "-10",
        ),
        (
            &good
                .replace("\"k\"", "true")
                .replace("\"name\"", "limits contains {\"name\"")
                .replace("true", "true}"),
            "neither text nor a list",
        ),
        (
            &format!("limits contains {{{good}}}\n\nlimits contains {{{}}}", good.replace("10", "11")),
            "stands twice",
        ),
        (
            "limits contains {\"name\": sprintf(\"n%d\", [i]), \"algorithm\": \"gcra\", \"limit\": 1, \"window\": \"1s\", \"key\": \"k\"} if some i in numbers.range(1, 33)",
            "has 33 elements",
        ),
    ] {
        let set = set(&[("r", "rego", "", body), ("l", "limits", "", FOUR)]);
        let store = Store::default();
        let decision = decide(&set, &request(), &store);
        assert_eq!(codes(&decision), [ReasonCode::PolicyOutputInvalid], "{body}");
        let message = &decision.verdicts[0].reasons[0].message;
        assert!(message.contains(expected), "{body}\n{message}");
        assert!(store.seen().concat().iter().all(|it| it.peek), "{body}");
    }
}
