//! Envoy's rate limit service: its requests as questions, decisions as its answers.

mod answer;
mod headers;

#[cfg(test)]
mod tests;

use std::time::Duration;

use pdp_engine::{Facts, LimitSpend, Question, Request, SpendLimit, Text};
use pdp_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use pdp_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use pdp_proto::envoy::service::ratelimit::v3::RateLimitRequest;
use pdp_proto::envoy::r#type::v3::RateLimitUnit;
use pdp_proto::v1::ErrorReason;

use super::bounds::{count, invalid, required, size};
use crate::errors::InvalidRequest;

pub(crate) use self::answer::answer;

/// Descriptors of a request.
const MAX_DESCRIPTORS: usize = 64;
/// Entries of a descriptor.
const MAX_ENTRIES: usize = 32;
/// Bytes of an entry's key and of its value.
const MAX_TEXT: usize = 4_096;
/// Bytes of a domain.
const MAX_DOMAIN: usize = 256;
/// Hits that a request, or one of its descriptors, may spend.
const MAX_HITS: u64 = 1_000_000_000;

/// Checks every bound and converts; the request asks one question, whose limits are spent together.
///
/// # Errors
/// The first fault found, with the path of its field.
pub(crate) fn request(from: &RateLimitRequest, request_id: Option<Text>) -> Result<Request, InvalidRequest> {
    let domain = required("domain", &from.domain, MAX_DOMAIN)?;
    if from.descriptors.is_empty() {
        return Err(invalid(ErrorReason::FieldRequired, "descriptors", "send at least one descriptor"));
    }
    count("descriptors", from.descriptors.len(), MAX_DESCRIPTORS)?;
    let hits = u64::from(from.hits_addend);
    bounded("hits_addend", hits)?;
    let descriptors = || from.descriptors.iter().enumerate();
    let limit = LimitSpend {
        // Unset is 0, which the service defines as 1.
        hits: hits.max(1),
        domain: Some(domain),
        descriptor_sets: descriptors().map(|(at, one)| entries(at, one)).collect::<Result<_, _>>()?,
        descriptor_hits: descriptors().map(|(at, one)| own_hits(at, one)).collect::<Result<_, _>>()?,
        descriptor_limits: descriptors().map(|(at, one)| own_limit(at, one)).collect::<Result<_, _>>()?,
        ..LimitSpend::default()
    };
    let facts = Facts { limit, ..Facts::default() };
    Ok(Request { request_id, questions: vec![Question::RateLimit], facts, ..Request::default() })
}

fn entries(at: usize, from: &RateLimitDescriptor) -> Result<Vec<(Text, Text)>, InvalidRequest> {
    let field = format!("descriptors[{at}].entries");
    if from.entries.is_empty() {
        return Err(invalid(ErrorReason::FieldRequired, field, "send at least one entry"));
    }
    count(&field, from.entries.len(), MAX_ENTRIES)?;
    let entry = |(index, entry): (usize, &Entry)| {
        let key = required(&format!("{field}[{index}].key"), &entry.key, MAX_TEXT)?;
        size(&format!("{field}[{index}].value"), entry.value.len(), MAX_TEXT)?;
        Ok((key, Text::from(entry.value.as_str())))
    };
    from.entries.iter().enumerate().map(entry).collect()
}

/// Hits of one descriptor, which stand above the request's; 0 only reads.
fn own_hits(at: usize, from: &RateLimitDescriptor) -> Result<Option<u64>, InvalidRequest> {
    if from.is_negative_hits {
        let message = "hits are spent and never given back this way; send them without it";
        let field = format!("descriptors[{at}].is_negative_hits");
        return Err(invalid(ErrorReason::FieldOutOfRange, field, message));
    }
    let Some(hits) = from.hits_addend else { return Ok(None) };
    bounded(&format!("descriptors[{at}].hits_addend"), hits)?;
    Ok(Some(hits))
}

/// The limit that a descriptor brings along in place of the configured one.
fn own_limit(at: usize, from: &RateLimitDescriptor) -> Result<Option<SpendLimit>, InvalidRequest> {
    const DAY: u64 = 86_400;
    let Some(own) = &from.limit else { return Ok(None) };
    let seconds = match RateLimitUnit::try_from(own.unit) {
        Ok(RateLimitUnit::Second) => 1,
        Ok(RateLimitUnit::Minute) => 60,
        Ok(RateLimitUnit::Hour) => 3_600,
        Ok(RateLimitUnit::Day) => DAY,
        Ok(RateLimitUnit::Month) => 30 * DAY,
        Ok(RateLimitUnit::Year) => 365 * DAY,
        Ok(RateLimitUnit::Unknown) | Err(_) => {
            let message = format!("`{}` is no unit; SECOND, MINUTE, HOUR, DAY, MONTH and YEAR are", own.unit);
            return Err(invalid(ErrorReason::EnumUnknown, format!("descriptors[{at}].limit.unit"), message));
        }
    };
    Ok(Some(SpendLimit { limit: own.requests_per_unit.into(), window: Duration::from_secs(seconds) }))
}

fn bounded(field: &str, hits: u64) -> Result<(), InvalidRequest> {
    if hits <= MAX_HITS {
        return Ok(());
    }
    let message = format!("is {hits}; at most {MAX_HITS} hits are spent at once");
    Err(invalid(ErrorReason::FieldOutOfRange, field, message))
}
