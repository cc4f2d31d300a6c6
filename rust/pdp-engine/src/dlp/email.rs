//! E-mail addresses: the part of RFC 5321 that is in use.
//!
//! No quoted local parts, address literals or letters beyond ASCII in the local part; the domain may
//! hold them (RFC 6531) before its last label.

use super::ScanError;
use super::bytes::{before, byte};
use super::detector::Detector;
use super::findings::Findings;

/// Longest local part and longest domain, in octets (RFC 5321, section 4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;

/// Last labels that are file types: `icon@2x.png` is an image.
const FILE_TYPES: &[&[u8]] = &[b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js"];

/// Looks at the `@` at `at`; returns where the scan goes on.
pub(super) fn find(content: &[u8], at: usize, findings: &mut Findings) -> Result<usize, ScanError> {
    if let (Some(start), Some(end)) = (local_start(content, at), domain_end(content, at + 1)) {
        findings.push(Detector::Email, start, end, 0.9)?;
    }
    Ok(at + 1)
}

fn local_start(content: &[u8], at: usize) -> Option<usize> {
    let from = at.saturating_sub(MAX_LOCAL + 1);
    let text = content.get(from..at)?;
    let length = text.iter().rev().take_while(|byte| is_local(**byte)).count();
    if length > MAX_LOCAL {
        return None;
    }
    let mut start = at - length;
    // `\nbob@…` in JSON text: the letter belongs to the escape.
    if before(content, start, 1) == b'\\' && matches!(byte(content, start), b'n' | b't' | b'r') {
        start += 1;
    }
    let skipped = content.get(start..at)?.iter().take_while(|byte| matches!(byte, b'.' | b'-')).count();
    let local = content.get(start + skipped..at)?;
    let is_sound = !local.is_empty() && !local.ends_with(b".") && !local.windows(2).any(|pair| pair == b"..");
    is_sound.then_some(start + skipped)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn domain_end(content: &[u8], at: usize) -> Option<usize> {
    let rest = content.get(at..)?;
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-' || byte >= 0x80;
    let length = rest.iter().take(MAX_DOMAIN + 1).take_while(|byte| is_domain(**byte)).count();
    if length > MAX_DOMAIN {
        return None;
    }
    let mut domain = rest.get(..length)?;
    // A sentence may go on after the address: labels are dropped until the last one can be a name's end.
    loop {
        let (labels, last) = split_last(domain)?;
        if let Some(size) = top_level(last)
            && labels.split(|byte| *byte == b'.').all(is_label)
        {
            return Some(at + labels.len() + 1 + size);
        }
        domain = labels;
    }
}

fn split_last(domain: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = domain.iter().rposition(|byte| *byte == b'.')?;
    Some((domain.get(..dot)?, domain.get(dot + 1..)?))
}

fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len()) && !label.starts_with(b"-") && !label.ends_with(b"-")
}

/// Length of the top-level name that `label` starts with.
fn top_level(label: &[u8]) -> Option<usize> {
    if label.starts_with(b"xn--") {
        let size = label.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
        return (6..=63).contains(&size).then_some(size);
    }
    let size = label.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let name = label.get(..size)?;
    let is_clean = label.get(size).is_none_or(|byte| *byte >= 0x80 || *byte == b'-');
    let is_file = FILE_TYPES.iter().any(|file_type| name.eq_ignore_ascii_case(file_type));
    (is_clean && !is_file && (2..=63).contains(&size)).then_some(size)
}
