//! What limit lists refuse, and where they say that it stands.

use std::time::Duration;

use pdp_policy::Source;

use super::*;
use crate::limit::{Algorithm, Counting, Outage, Scope};

fn compiled(text: &str) -> LimitList {
    match compile(&Source { path: "l.yaml".to_owned(), text: text.into() }) {
        Ok(list) => list,
        Err(faults) => panic!("{faults:?}"),
    }
}

/// Every fault of a list, as people read it.
fn faults(text: &str) -> String {
    let found = compile(&Source { path: "l.yaml".to_owned(), text: text.into() }).err().unwrap();
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A list with one limit, of which `lines` are all but the name.
fn one(lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("limits:\n  - name: a\n{}", lines.concat())
}

const PLAIN: &str = "algorithm: gcra\nlimit: 10\nwindow: 1s\nkey: subject.id\n";

#[test]
fn each_key_is_read() {
    let list = compiled(&one("algorithm: quota\nlimit: 500\nper: month\nzone: Europe/Berlin\nkey: tenant\n\
         counting: leased\nlease: 7\non_outage: local\noverrides: {big: {limit: 9000}, small: {limit: 3}}\n\
         cost: payload.size\nwhen: 'true'"));
    let rule = &list.rules[0];
    assert!(
        matches!(rule.limit.algorithm, Algorithm::Quota(calendar) if calendar.zone.name() == "Europe/Berlin")
    );
    assert_eq!((rule.limit.limit, rule.limit.outage), (500, Outage::Local));
    assert_eq!((rule.limit.counting, rule.limit.scope), (Counting::Leased { most: 7 }, Scope::Tenant));
    assert_eq!(rule.limit_of(Some("big")).limit, 9_000);
    assert_eq!(rule.limit_of(Some("small")).counting, Counting::Leased { most: 3 }, "no more than the limit");
    assert_eq!((rule.limit_of(None).limit, rule.limit_of(Some("else")).limit), (500, 500));
    assert!(rule.cost.is_some() && rule.when.is_some());

    let list = compiled(&one("algorithm: concurrency\nlimit: 5\nhold: 30s\nkey: tenant\nscope: estate"));
    let limit = &list.rules[0].limit;
    assert_eq!((limit.algorithm, limit.window), (Algorithm::Concurrency, Duration::from_secs(30)));
    assert_eq!((limit.scope, limit.counting), (Scope::Estate, Counting::Exact));
}

#[test]
fn a_lease_is_a_twentieth_by_default_and_at_least_one() {
    for (most, lease) in [(1, 1), (19, 1), (100, 5)] {
        let list = compiled(&one(&format!(
            "algorithm: fixed_window\nlimit: {most}\nwindow: 1s\nkey: tenant\ncounting: leased\n\
             overrides: {{t: {{limit: 1000}}}}"
        )));
        assert_eq!(list.rules[0].limit.counting, Counting::Leased { most: lease });
        assert_eq!(list.rules[0].limit_of(Some("t")).counting, Counting::Leased { most: 50 });
    }
}

#[test]
fn an_override_changes_burst_only_where_it_says_so() {
    let gcra = |lines: &str| compiled(&one(&format!("{PLAIN}{lines}")));
    let burst = |list: &LimitList| list.rules[0].limit_of(Some("t")).algorithm;
    assert_eq!(burst(&gcra("overrides: {t: {limit: 99}}")), Algorithm::Gcra { burst: 99 });
    assert_eq!(burst(&gcra("burst: 3\noverrides: {t: {limit: 99}}")), Algorithm::Gcra { burst: 3 });
    assert_eq!(burst(&gcra("burst: 3\noverrides: {t: {limit: 99, burst: 4}}")), Algorithm::Gcra { burst: 4 });
}

#[test]
fn what_makes_no_limit_is_refused_by_name_and_place() {
    for (lines, expected) in [
        ("algorithm: gcra\nlimit: 0\nwindow: 1s\nkey: tenant", "l.yaml:2:11: "),
        ("algorithm: gcra\nlimit: 0\nwindow: 1s\nkey: tenant", "limit `a`: `limit` is 0: must be 1 to"),
        (
            "algorithm: gcra\nlimit: -1\nwindow: 1s\nkey: tenant",
            "l.yaml:4:12: document: limits[0].limit: invalid type: integer `-1`",
        ),
        ("algorithm: gcra\nlimit: 1.5\nwindow: 1s\nkey: tenant", "1.5"),
        ("algorithm: gcra\nlimit: 99999999999999999999\nwindow: 1s\nkey: tenant", "99999999999999999999"),
        ("algorithm: gcra\nlimit: 9999999999999\nwindow: 1s\nkey: tenant", "must be 1 to 1000000000000"),
        ("algorithm: gcra\nlimit: 5\nwindow: 0s\nkey: tenant", "`window` is 0ns: must be 1ms to 366 days"),
        ("algorithm: gcra\nlimit: 5\nwindow: 9999d\nkey: tenant", "must be 1ms to 366 days"),
        ("algorithm: gcra\nlimit: 5\nwindow: 99999999999999999999d\nkey: tenant", "is no duration"),
        (
            "algorithm: gcra\nlimit: 5\nwindow: soon\nkey: tenant",
            "l.yaml:2:5: document: limits[0]: `soon` is no duration",
        ),
        ("algorithm: gcra\nlimit: 5\nkey: tenant", "`window` is missing"),
        ("limit: 5\nwindow: 1s\nkey: tenant", "`algorithm` is missing"),
        ("algorithm: gcra\nwindow: 1s\nkey: tenant", "`limit` is missing"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s", "`key` is missing"),
        ("algorithm: leaky\nlimit: 5\nwindow: 1s\nkey: tenant", "unknown variant `leaky`"),
        ("algorithm: fixed_window\nlimit: 5\nwindow: 1s\nburst: 1\nkey: tenant", "`burst` goes with"),
        ("algorithm: quota\nlimit: 5\nkey: tenant", "`per` is missing"),
        ("algorithm: quota\nlimit: 5\nper: week\nkey: tenant", "unknown variant `week`"),
        ("algorithm: quota\nlimit: 5\nper: day\nwindow: 1s\nkey: tenant", "instead of `window`"),
        ("algorithm: quota\nlimit: 5\nper: day\nzone: Mars/Base\nkey: tenant", "`zone` is `Mars/Base`"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\nzone: UTC\nkey: tenant", "`per` and `zone` go with"),
        ("algorithm: concurrency\nlimit: 5\nkey: tenant", "`hold` is missing"),
        ("algorithm: concurrency\nlimit: 5\nwindow: 1s\nkey: tenant", "takes `hold` instead of `window`"),
        ("algorithm: concurrency\nlimit: 100001\nhold: 1s\nkey: tenant", "must be 1 to 100000"),
        ("algorithm: concurrency\nlimit: 5\nhold: 9999d\nkey: tenant", "`hold` is"),
        (
            "algorithm: concurrency\nlimit: 5\nhold: 1s\ncounting: leased\nkey: tenant",
            "always counted exactly",
        ),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\nlease: 2\nkey: tenant", "`lease` goes with"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\ncounting: leased\nlease: 0\nkey: tenant", "`lease` is 0"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\ncounting: leased\nlease: 6\nkey: tenant", "`lease` is 6"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\nscope: planet\nkey: tenant", "unknown variant `planet`"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\nkey: tenant\nsauce: x", "unknown field `sauce`"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\nkey: tenant\nlimit: 6", "duplicate field `limit`"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\nkey: subject.nope", "l.yaml:6:"),
        ("algorithm: gcra\nlimit: 5\nwindow: 1s\nkey: tenant\ncost: payload.", "l.yaml:7:"),
        ("unlimited: true\nlimit: 5\nkey: tenant", "`unlimited` never counts"),
        ("unlimited: true\nshadow: true\nkey: tenant", "`unlimited` never counts"),
    ] {
        let found = faults(&one(lines));
        assert!(found.contains(expected), "{lines}\n{found}");
    }
}

#[test]
fn overrides_are_checked_like_the_limit_itself() {
    for (overrides, expected) in [
        ("{t: {limit: 0}}", "`overrides` of tenant `t`: `limit` is 0"),
        ("{t: {limit: 5, burst: 0}}", "`overrides` of tenant `t`: `burst` is 0"),
        ("{t: {limit: 5, window: 1s}}", "unknown field `window`"),
        ("{t: {limit: 5}, t: {limit: 6}}", "tenant `t` stands twice"),
        ("{'': {limit: 5}}", "a tenant's name is empty"),
        ("[t]", "a map from tenants to"),
        ("{t: {burst: 5}}", "missing field `limit`"),
    ] {
        let found = faults(&one(&format!("{PLAIN}overrides: {overrides}")));
        assert!(found.contains(expected), "{overrides}\n{found}");
    }
    let fixed = "algorithm: fixed_window\nlimit: 5\nwindow: 1s\nkey: tenant\n";
    let found = faults(&one(&format!("{fixed}overrides: {{t: {{limit: 5, burst: 5}}}}")));
    assert!(found.contains("`burst` goes with"), "{found}");
    let found = faults(&one(&format!("{fixed}scope: estate\noverrides: {{t: {{limit: 5}}}}")));
    assert!(found.contains("`overrides` go with `scope: tenant` only"), "{found}");
}

fn list(domain: &str, entries: &[&str]) -> String {
    let entries: Vec<String> = entries.iter().map(|entry| format!("  - {{{entry}}}\n")).collect();
    format!("{domain}limits:\n{}", entries.concat())
}

const RATE: &str = "algorithm: fixed_window, limit: 5, window: 60s";

#[test]
fn names_are_checked_across_the_list() {
    let named = |name: &str, more: &str| format!("name: {name}, {RATE}, key: tenant{more}");
    let found = faults(&list("", &[&named("a", ""), &named("b", ""), &named("a", "")]));
    assert!(found.contains("l.yaml:4:12: document: limit `a`: stands twice"), "{found}");
    let found = faults(&list("", &[&named("a", ", replaces: [nope]"), &named("ab", "")]));
    assert!(found.starts_with("l.yaml:2:12: ") && found.contains("`replaces` names `nope`"), "{found}");
    let found = faults(&list("", &[&named("ab", ""), &named("a", ", replaces: [a]")]));
    assert!(found.starts_with("l.yaml:3:12: ") && found.contains("names the limit itself"), "{found}");
    let found = faults(&list("", &[&named("'a\nb'", "").replace('\n', "\\n").replace('\'', "\"")]));
    assert!(found.contains("`name` must have 1 to 128 bytes and no control characters"), "{found}");
    let found = faults(&list("", &[&named(&"n".repeat(129), "")]));
    assert!(found.contains("`name` must have 1 to 128 bytes"), "{found}");
    assert!(faults("limits: []\n").contains("`limits` is empty"));
    assert!(faults("limit: []\n").contains("unknown field `limit`"));
}

#[test]
fn descriptors_and_domains_go_together() {
    let named = |more: &str| format!("name: a, {RATE}{more}");
    for (domain, more, expected) in [
        ("domain: edge\n", ", key: tenant", "`descriptor` is missing"),
        ("domain: ''\n", ", descriptor: [{key: a}]", "`domain` must have 1 to 1,024 bytes"),
        ("", ", descriptor: [{key: a}]", "`descriptor` needs the list to have a `domain`"),
        ("", ", key: tenant, share_threshold: true", "go with `descriptor` only"),
        ("domain: edge\n", ", key: tenant, descriptor: [{key: a}]", "exclude each other"),
        ("domain: edge\n", ", descriptor: []", "must have 1 to 16 entries"),
        ("domain: edge\n", ", descriptor: [{key: ''}]", "must have 1 to 1,024 bytes"),
        ("domain: edge\n", ", descriptor: [{key: a, value: ''}]", "leave it out for any"),
        ("domain: edge\n", ", descriptor: [{key: a, worth: b}]", "unknown field `worth`"),
        (
            "domain: edge\n",
            ", descriptor: [{key: a, value: b}], share_threshold: true",
            "needs a `value` with `*`",
        ),
        ("domain: edge\n", ", descriptor: [{key: a, share_threshold: true}]", "needs a `value` with `*`"),
    ] {
        let found = faults(&list(domain, &[&named(more)]));
        assert!(found.contains(expected), "{more}\n{found}");
    }
    let twice = |name: &str| format!("name: {name}, {RATE}, descriptor: [{{key: a}}, {{key: b, value: c}}]");
    let found = faults(&list("domain: edge\n", &[&twice("x"), &twice("y")]));
    assert!(found.contains("limit `y`: has the same `descriptor` as limit `x`"), "{found}");
}

#[test]
fn a_threshold_is_shared_by_the_whole_descriptor_or_entry_by_entry() {
    let entry = format!(
        "name: a, {RATE}, share_threshold: true, descriptor: [{{key: a, value: 'x*'}}, \
         {{key: b, value: 'y*', share_threshold: false}}, {{key: c}}]"
    );
    let list = compiled(&list("domain: edge\n", &[&entry]));
    let shares: Vec<bool> = list.rules[0].descriptor.iter().map(|entry| entry.share).collect();
    assert_eq!(shares, [true, false, false]);
}
