//! Tokens of services: GitHub, Slack, Stripe.

use super::ScanError;
use super::bytes::{joins_left, run_end};
use super::detector::Detector;
use super::findings::Findings;

/// Characters of a classic GitHub token: prefix, random part, check.
const GITHUB_PREFIX: usize = 4;
const GITHUB_RANDOM: usize = 30;
const GITHUB_CHECK: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Looks at `ghp_` and its kin: 30 random characters and their CRC-32 in base 62.
pub(super) fn find_github(content: &[u8], start: usize, findings: &mut Findings) -> Result<(), ScanError> {
    let body = start + GITHUB_PREFIX;
    let end = run_end(content, body, GITHUB_RANDOM + GITHUB_CHECK + 1, |byte| byte.is_ascii_alphanumeric());
    let check_start = body + GITHUB_RANDOM;
    if end != check_start + GITHUB_CHECK || joins_left(content, start) {
        return Ok(());
    }
    let random = content.get(body..check_start).unwrap_or_default();
    if content.get(check_start..end) == Some(&github_check(random)) {
        findings.push(Detector::GithubToken, start, end, 0.99)?;
    }
    Ok(())
}

/// CRC-32 (IEEE 802.3) of the random part, in six digits of base 62.
pub(super) fn github_check(random: &[u8]) -> [u8; GITHUB_CHECK] {
    let mut rest = crc32(random);
    let mut check = [b'0'; GITHUB_CHECK];
    for digit in check.iter_mut().rev() {
        *digit = usize::try_from(rest % 62).ok().and_then(|value| BASE62.get(value)).copied().unwrap_or(b'0');
        rest /= 62;
    }
    check
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Looks at `github_pat_`: 22 characters, `_`, 59 characters.
pub(super) fn find_github_fine_grained(
    content: &[u8],
    start: usize,
    findings: &mut Findings,
) -> Result<(), ScanError> {
    let body = start + "github_pat_".len();
    let middle = run_end(content, body, 23, |byte| byte.is_ascii_alphanumeric());
    let end = run_end(content, middle + 1, 60, |byte| byte.is_ascii_alphanumeric());
    let fits = middle - body == 22 && content.get(middle) == Some(&b'_') && end - middle == 60;
    if fits && !joins_left(content, start) {
        findings.push(Detector::GithubToken, start, end, 0.95)?;
    }
    Ok(())
}

/// Looks at `xoxb-`, `xapp-` and their kin: parts tied by `-`, of 20 to 250 characters, one a long number.
pub(super) fn find_slack(content: &[u8], start: usize, findings: &mut Findings) -> Result<(), ScanError> {
    let end =
        run_end(content, start, 256, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let text = content.get(start..end).unwrap_or_default();
    let text = text.strip_suffix(b".").unwrap_or(text);
    let is_number = |part: &[u8]| part.len() >= 8 && part.iter().any(u8::is_ascii_digit);
    let has_number = text.split(|byte| *byte == b'-').skip(1).any(is_number);
    if (25..=255).contains(&text.len()) && has_number && !joins_left(content, start) {
        findings.push(Detector::SlackToken, start, start + text.len(), 0.9)?;
    }
    Ok(())
}

/// Looks at a webhook's address, whose path is the secret: `T…/B…/…`.
pub(super) fn find_slack_hook(
    content: &[u8],
    start: usize,
    path: usize,
    findings: &mut Findings,
) -> Result<(), ScanError> {
    let end = run_end(content, path, 80, |byte| byte.is_ascii_alphanumeric() || byte == b'/');
    let mut parts = content.get(path..end).unwrap_or_default().split(|byte| *byte == b'/');
    let long = |part: Option<&[u8]>, first: &[u8], least: usize| {
        part.is_some_and(|part| part.len() >= least && part.starts_with(first))
    };
    if long(parts.next(), b"T", 8) && long(parts.next(), b"B", 8) && long(parts.next(), b"", 20) {
        findings.push(Detector::SlackToken, start, end, 0.95)?;
    }
    Ok(())
}

/// Looks at `sk_live_` and its kin, whose secret of 16 to 247 characters starts at `body`.
pub(super) fn find_stripe(
    content: &[u8],
    start: usize,
    body: usize,
    findings: &mut Findings,
) -> Result<(), ScanError> {
    let is_secret = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_');
    let end = run_end(content, body, 248, is_secret);
    let secret = content.get(body..end).unwrap_or_default();
    let is_test = content.get(start..body).is_some_and(|prefix| prefix.ends_with(b"_test_"));
    let is_mixed = secret.iter().any(u8::is_ascii_digit) && secret.iter().any(u8::is_ascii_alphabetic);
    if (16..=247).contains(&secret.len()) && is_mixed && !joins_left(content, start) {
        findings.push(Detector::StripeKey, start, end, if is_test { 0.6 } else { 0.95 })?;
    }
    Ok(())
}
