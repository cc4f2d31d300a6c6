//! `semver.compare` and `semver.is_valid` (<https://semver.org>, version 2.0.0) with OPA's leading `v`.

use std::cmp::Ordering;

use regorus::Value;

use super::failed;

/// `semver.compare(a, b)`: -1, 0 or 1.
pub(super) fn compare(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(a), Value::String(b)] = given else { return failed("semver.compare takes two texts") };
    let (Some(a), Some(b)) = (Version::parse(a), Version::parse(b)) else { return failed("not a version") };
    Ok(Value::from(match a.order(&b) {
        Ordering::Less => -1_i64,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

/// `semver.is_valid(text)`; anything but text is not.
pub(super) fn is_valid(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(Version::parse(text).is_some()))
}

struct Version<'a> {
    core: [&'a str; 3],
    pre_release: Vec<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, pre_release) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let core: [&str; 3] = core.split('.').collect::<Vec<_>>().try_into().ok()?;
        let pre_release: Vec<&str> = pre_release.map(|pre| pre.split('.').collect()).unwrap_or_default();
        let is_number = |part: &&str| is_numeric(part) && (*part == "0" || !part.starts_with('0'));
        let is_name = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let is_valid = core.iter().all(is_number)
            && pre_release.iter().all(|part| is_name(part) && (!is_numeric(part) || is_number(part)))
            && build.is_none_or(|build| build.split('.').all(|part| is_name(&part)));
        is_valid.then_some(Self { core, pre_release })
    }

    fn order(&self, other: &Self) -> Ordering {
        let core = self.core.iter().zip(&other.core).map(|(a, b)| numeric_order(a, b));
        core.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| {
            // A release comes after its pre-releases.
            match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
                (false, false) => self.pre_release_order(other),
                (own_is_release, other_is_release) => own_is_release.cmp(&other_is_release),
            }
        })
    }

    fn pre_release_order(&self, other: &Self) -> Ordering {
        let parts = self.pre_release.iter().zip(&other.pre_release).map(|(a, b)| part_order(a, b));
        let unequal = parts.into_iter().find(|order| order.is_ne());
        unequal.unwrap_or_else(|| self.pre_release.len().cmp(&other.pre_release.len()))
    }
}

fn is_numeric(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Numbers without leading zeros, of any size.
fn numeric_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn part_order(a: &str, b: &str) -> Ordering {
    match (is_numeric(a), is_numeric(b)) {
        (true, true) => numeric_order(a, b),
        (a_is_number, b_is_number) if a_is_number != b_is_number => b_is_number.cmp(&a_is_number),
        _ => a.cmp(b),
    }
}
