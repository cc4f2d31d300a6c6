//! Headers that tell a caller how much is left (draft-polli-ratelimit-headers-03, as Envoy writes them).

use std::fmt::Write as _;

use pdp_engine::LimitStatus;
use pdp_engine::limit::Algorithm;
use pdp_proto::envoy::config::core::v3::HeaderValue;

use super::answer::{seconds, tightness, wait};

/// Headers of the tightest limit that enforces, and when to come back where one refused.
pub(super) fn of(limits: &[LimitStatus]) -> Vec<HeaderValue> {
    let enforced = limits.iter().filter(|status| !status.unlimited && !status.shadow);
    let Some(tightest) = enforced.min_by_key(|status| tightness(status)) else { return Vec::new() };
    let mut headers = vec![
        header("x-ratelimit-limit", quota(tightest)),
        header("x-ratelimit-remaining", tightest.outcome.remaining.to_string()),
        header("x-ratelimit-reset", seconds(tightest.outcome.reset_after).to_string()),
    ];
    if let Some(wait) = wait(limits) {
        headers.push(header("retry-after", seconds(wait).to_string()));
    }
    headers
}

/// The limit, and its policy with the window in seconds where that is a whole number of them.
fn quota(status: &LimitStatus) -> String {
    let mut text = status.limit.to_string();
    let whole = status.window.subsec_nanos() == 0 && status.algorithm != Algorithm::Concurrency;
    if whole {
        let _ = write!(text, ", {};w={}", status.limit, status.window.as_secs());
    }
    text
}

fn header(key: &str, value: String) -> HeaderValue {
    HeaderValue { key: key.to_owned(), value, raw_value: Vec::new() }
}
