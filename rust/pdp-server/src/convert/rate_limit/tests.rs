//! What Envoy's rate limit service is told, field by field.

use std::time::Duration;

use pdp_engine::limit::{Algorithm, Calendar, Limit, LimitOutcome, NEVER, Period};
use pdp_engine::{Decision, Effect, LimitSpend, LimitStatus, Request};
use pdp_proto::envoy::service::ratelimit::v3::RateLimitResponse;
use pdp_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use pdp_proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use uuid::Uuid;

use super::answer;

fn status(name: &str, algorithm: Algorithm, window: Duration, remaining: u64) -> LimitStatus {
    let limit = Limit::new(name, algorithm, 10, window);
    let reset_after = Duration::from_millis(1_500);
    let outcome = LimitOutcome { admitted: true, remaining, reset_after, ..LimitOutcome::default() };
    LimitStatus { descriptor: Some(0), ..LimitStatus::new("p".into(), &limit, outcome) }
}

fn refused(name: &str, wait: Duration) -> LimitStatus {
    let status = status(name, Algorithm::FixedWindow, Duration::from_secs(60), 0);
    let outcome = LimitOutcome { admitted: false, retry_after: Some(wait), ..status.outcome };
    LimitStatus { outcome, ..status }
}

fn told(limits: Vec<LimitStatus>, effect: Effect) -> RateLimitResponse {
    let set = vec![("k".into(), "v".into())];
    let mut request = Request::default();
    request.facts.limit = LimitSpend { descriptor_sets: vec![set; 2], ..LimitSpend::default() };
    let decision = Decision {
        effect,
        decision_id: Uuid::nil(),
        policy_revision: "r".into(),
        verdicts: Vec::new(),
        obligations: Vec::new(),
        limits,
        findings: Vec::new(),
        masked_payload: None,
        facts: Vec::new(),
        cacheable_for: None,
        shadow: Vec::new(),
        memoised: false,
        usage: Vec::new(),
    };
    answer(&request, &decision)
}

fn header<'a>(response: &'a RateLimitResponse, key: &str) -> Option<&'a str> {
    response.response_headers_to_add.iter().find(|header| header.key == key).map(|header| &*header.value)
}

#[test]
fn only_a_window_that_is_a_unit_is_called_one() {
    let month = Calendar { period: Period::Month, zone: chrono_tz::UTC };
    let seconds = Duration::from_secs;
    for (algorithm, window, unit) in [
        (Algorithm::FixedWindow, seconds(1), Unit::Second),
        (Algorithm::SlidingWindow, seconds(60), Unit::Minute),
        (Algorithm::Gcra { burst: 1 }, seconds(3_600), Unit::Hour),
        (Algorithm::FixedWindow, seconds(86_400), Unit::Day),
        (Algorithm::FixedWindow, seconds(7 * 86_400), Unit::Week),
        (Algorithm::FixedWindow, seconds(30 * 86_400), Unit::Month),
        (Algorithm::FixedWindow, seconds(365 * 86_400), Unit::Year),
        (Algorithm::Quota(month), seconds(31 * 86_400), Unit::Month),
        (Algorithm::FixedWindow, seconds(300), Unit::Unknown),
        (Algorithm::FixedWindow, Duration::from_millis(1_500), Unit::Unknown),
        (Algorithm::Concurrency, seconds(60), Unit::Unknown),
    ] {
        let response = told(vec![status("l", algorithm, window, 9)], Effect::Allow);
        let limit = response.statuses[0].current_limit.clone().unwrap();
        assert_eq!((limit.unit(), limit.requests_per_unit), (unit, 10), "{algorithm:?} {window:?}");
    }
}

#[test]
fn window_is_in_the_header_where_it_is_whole_seconds() {
    let of = |algorithm, window| {
        let response = told(vec![status("l", algorithm, window, 9)], Effect::Allow);
        header(&response, "x-ratelimit-limit").unwrap().to_owned()
    };
    assert_eq!(of(Algorithm::FixedWindow, Duration::from_secs(300)), "10, 10;w=300");
    assert_eq!(of(Algorithm::FixedWindow, Duration::from_millis(1_500)), "10");
    assert_eq!(of(Algorithm::Concurrency, Duration::from_secs(30)), "10");
}

#[test]
fn tightest_limit_that_enforces_is_in_the_headers_and_the_longest_wait() {
    let near = status("near", Algorithm::FixedWindow, Duration::from_secs(60), 1);
    let shadow = LimitStatus { shadow: true, ..status("shadow", Algorithm::FixedWindow, NEVER, 0) };
    let unlimited = LimitStatus { unlimited: true, ..near.clone() };
    let response = told(vec![shadow.clone(), near.clone(), unlimited], Effect::Allow);
    assert_eq!(header(&response, "x-ratelimit-remaining"), Some("1"));
    assert_eq!(header(&response, "x-ratelimit-reset"), Some("2"), "upwards");
    assert_eq!(header(&response, "retry-after"), None);
    let waits = [refused("a", Duration::from_millis(1)), near, refused("b", Duration::from_millis(2_001))];
    let response = told(waits.to_vec(), Effect::Deny);
    assert_eq!(header(&response, "x-ratelimit-remaining"), Some("0"));
    assert_eq!(header(&response, "retry-after"), Some("3"));
    assert!(told(vec![shadow], Effect::Allow).response_headers_to_add.is_empty());
}

#[test]
fn wait_that_does_not_help_is_not_asked_for() {
    let response = told(vec![refused("a", NEVER), refused("b", Duration::from_secs(1))], Effect::Deny);
    assert_eq!(header(&response, "retry-after"), None);
}

#[test]
fn tightest_of_several_limits_of_a_descriptor_is_its_status() {
    let near = status("near", Algorithm::FixedWindow, Duration::from_secs(60), 1);
    let far = status("far", Algorithm::FixedWindow, Duration::from_secs(60), 8);
    let response = told(vec![far, near, refused("over", Duration::from_secs(1))], Effect::Deny);
    let [first, second] = response.statuses.as_slice() else { panic!("one each") };
    assert_eq!((first.code(), &*first.current_limit.as_ref().unwrap().name), (Code::OverLimit, "over"));
    assert_eq!((second.code(), second.current_limit.as_ref()), (Code::Ok, None));
}

#[test]
fn numbers_above_the_protocols_are_its_largest() {
    let mut status = status("l", Algorithm::FixedWindow, Duration::from_secs(60), 1 << 40);
    status.limit = 1 << 40;
    let response = told(vec![status], Effect::Allow);
    assert_eq!(response.statuses[0].limit_remaining, u32::MAX);
    assert_eq!(response.statuses[0].current_limit.as_ref().unwrap().requests_per_unit, u32::MAX);
}
