//! Private keys in textual encodings: PEM (RFC 7468, PKCS#1, OpenSSH) and OpenPGP armour (RFC 9580).

use super::ScanError;
use super::bytes::{byte, run_end};
use super::detector::Detector;
use super::findings::Findings;

const DASHES: &[u8] = b"-----";
/// Longest label between `BEGIN ` and the dashes.
const MAX_LABEL: usize = 48;
/// Longest body; the key ends there if it has no end line before.
const MAX_BODY: usize = 64 * 1024;
/// Base64 characters that make a body a key, not an example with dots.
const MIN_BODY: usize = 40;
/// How far from the key the words of a service account may stand.
const ACCOUNT_WINDOW: usize = 4096;

/// Looks at the `-----BEGIN ` from `start` to `end`; returns where the scan goes on.
///
/// Line ends may be real or escaped (`\n` in JSON or source code). A block that is cut off, or ends
/// with another label, is found up to the end of its base64.
pub(super) fn find(
    content: &[u8],
    start: usize,
    end: usize,
    findings: &mut Findings,
) -> Result<usize, ScanError> {
    let is_label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let label_end = run_end(content, end, MAX_LABEL, is_label);
    let label = content.get(end..label_end).unwrap_or_default();
    let is_private = label.ends_with(b"PRIVATE KEY") || label == b"PGP PRIVATE KEY BLOCK";
    if !is_private || !starts_with(content, label_end, DASHES) {
        return Ok(end);
    }
    let body = label_end + DASHES.len();
    let body_end = body_end(content, body);
    let base64 =
        content.get(body..body_end).unwrap_or_default().iter().filter(|byte| is_base64(**byte)).count();
    if base64 < MIN_BODY {
        return Ok(body);
    }
    let close = end_line(content, body_end, label);
    let (key_end, confidence) = close.map_or((body_end, 0.8), |close| (close, 0.99));
    findings.push(Detector::PrivateKey, start, key_end, confidence)?;
    if label == b"PRIVATE KEY" && is_service_account(content, start, key_end) {
        findings.push(Detector::GcpServiceAccount, start, key_end, 0.99)?;
    }
    Ok(key_end)
}

/// End of what a body may hold: text up to five dashes.
fn body_end(content: &[u8], body: usize) -> usize {
    // Stops at the dashes, so that many openings in a row are each looked at once.
    let is_body = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let mut dashes = 0;
    let stop = run_end(content, body, MAX_BODY, |byte| {
        let go_on = is_body(byte) && dashes < DASHES.len();
        dashes = if byte == b'-' { dashes + 1 } else { 0 };
        go_on
    });
    if let Some(end) = stop.checked_sub(DASHES.len())
        && end >= body
        && starts_with(content, end, DASHES)
    {
        return end;
    }
    let is_dense = |byte: u8| is_base64(byte) || byte.is_ascii_whitespace() || byte == b'\\';
    run_end(content, body, MAX_BODY, is_dense)
}

fn end_line(content: &[u8], at: usize, label: &[u8]) -> Option<usize> {
    let parts: [&[u8]; 4] = [DASHES, b"END ", label, DASHES];
    parts.iter().try_fold(at, |at, part| starts_with(content, at, part).then_some(at + part.len()))
}

fn starts_with(content: &[u8], at: usize, part: &[u8]) -> bool {
    content.get(at..at + part.len()) == Some(part)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Whether the words that name Google Cloud service account credentials stand near.
fn is_service_account(content: &[u8], start: usize, end: usize) -> bool {
    let name: &[u8] = b"service_account";
    let from = start.saturating_sub(ACCOUNT_WINDOW);
    let to = content.len().min(end + ACCOUNT_WINDOW);
    let holds = |from: usize, to: usize| {
        let text = content.get(from..to).unwrap_or_default();
        text.windows(name.len()).any(|window| window == name)
    };
    byte(content, start.wrapping_sub(1)) == b'"' && (holds(from, start) || holds(end, to))
}
