//! JSON Web Tokens (RFC 7519) in compact serialisation (RFC 7515).

use super::ScanError;
use super::bytes::{before, byte, run_end};
use super::detector::Detector;
use super::findings::Findings;

/// Longest header, in characters.
const MAX_HEADER: usize = 2048;

/// Looks at `eyJ`: header, payload and signature in base 64 for URLs, tied by dots.
///
/// The header must decode to a JSON object with `alg`; the payload must start like a JSON object; the
/// signature may be empty (`alg` `none`).
pub(super) fn find(content: &[u8], start: usize, findings: &mut Findings) -> Result<(), ScanError> {
    // A token starts where its run of characters does: each run is looked at once.
    let left = before(content, start, 1);
    let is_escape = matches!(left, b'n' | b't' | b'r') && before(content, start, 2) == b'\\';
    if (is_base64url(left) || left == b'.') && !is_escape {
        return Ok(());
    }
    let header_end = run_end(content, start, MAX_HEADER, is_base64url);
    if byte(content, header_end) != b'.' || content.get(header_end + 1..header_end + 3) != Some(b"ey") {
        return Ok(());
    }
    let payload_end = run_end(content, header_end + 1, usize::MAX, is_base64url);
    if byte(content, payload_end) != b'.' {
        return Ok(());
    }
    let end = run_end(content, payload_end + 1, usize::MAX, is_base64url);
    if content.get(start..header_end).is_some_and(is_header) {
        findings.push(Detector::Jwt, start, end, 0.95)?;
    }
    Ok(())
}

fn is_header(text: &[u8]) -> bool {
    let json = decode(text);
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&json)
        .is_ok_and(|header| header.get("alg").is_some_and(serde_json::Value::is_string))
}

/// Base 64 for URLs without padding (RFC 4648, section 5); `text` holds its characters alone.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for value in text.iter().filter_map(|byte| sextet(*byte)) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xFF) as u8);
        }
    }
    bytes
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

fn is_base64url(byte: u8) -> bool {
    sextet(byte).is_some()
}
