//! Keys of cloud providers: AWS, Google Cloud, Azure.

use super::ScanError;
use super::bytes::{before, byte, joins_left, joins_right, run_end};
use super::detector::Detector;
use super::findings::Findings;

/// Length of an access key id and of a secret access key.
const AWS_ID: usize = 20;
const AWS_SECRET: usize = 40;
/// How far behind its id a secret may stand without its name.
const PAIR_WINDOW: usize = 64;

/// Looks at `AKIA` or `ASIA`: 20 characters of base 32. A secret that follows soon is found with it.
pub(super) fn find_aws_id(content: &[u8], start: usize, findings: &mut Findings) -> Result<(), ScanError> {
    let end =
        run_end(content, start, AWS_ID, |byte| byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'));
    if end - start != AWS_ID || joins_left(content, start) || joins_right(content, end) {
        return Ok(());
    }
    findings.push(Detector::AwsAccessKey, start, end, 0.95)?;
    let mut at = end;
    while at < end + PAIR_WINDOW && at < content.len() {
        let token_end = run_end(content, at, AWS_SECRET + 1, is_base64);
        if is_aws_secret(content, at, token_end) {
            return findings.push(Detector::AwsSecretKey, at, token_end, 0.8);
        }
        at = token_end.max(at) + 1;
    }
    Ok(())
}

/// Looks behind the name of a secret access key that ends at `end`.
pub(super) fn find_aws_secret(content: &[u8], end: usize, findings: &mut Findings) -> Result<(), ScanError> {
    let Some(start) = value_start(content, end) else { return Ok(()) };
    let value_end = run_end(content, start, AWS_SECRET + 1, is_base64);
    if is_aws_secret(content, start, value_end) {
        findings.push(Detector::AwsSecretKey, start, value_end, 0.95)?;
    }
    Ok(())
}

/// 40 characters of base 64 with small letters, capitals and digits.
fn is_aws_secret(content: &[u8], start: usize, end: usize) -> bool {
    let Some(text) = content.get(start..end).filter(|text| text.len() == AWS_SECRET) else { return false };
    !is_base64(before(content, start, 1))
        && text.iter().any(u8::is_ascii_lowercase)
        && text.iter().any(u8::is_ascii_uppercase)
        && text.iter().any(|byte| byte.is_ascii_digit() || matches!(byte, b'/' | b'+'))
}

/// Looks at `AIza`: 39 characters of base 64 for URLs.
pub(super) fn find_gcp(content: &[u8], start: usize, findings: &mut Findings) -> Result<(), ScanError> {
    let end = run_end(content, start, 40, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if end - start == 39 && !joins_left(content, start) {
        findings.push(Detector::GcpApiKey, start, end, 0.95)?;
    }
    Ok(())
}

/// Looks behind `AccountKey` (64 bytes in base 64) or `SharedAccessKey` (32 bytes).
pub(super) fn find_azure(content: &[u8], end: usize, findings: &mut Findings) -> Result<(), ScanError> {
    let Some(start) = value_start(content, end) else { return Ok(()) };
    let text_end = run_end(content, start, 90, is_base64);
    let value_end = run_end(content, text_end, 2, |byte| byte == b'=');
    let padding = value_end - text_end;
    if matches!((text_end - start, padding), (86, 2) | (43, 1)) {
        findings.push(Detector::AzureStorageKey, start, value_end, 0.95)?;
    }
    Ok(())
}

/// Start of the value behind a name that goes on at `at`: `name = "value"`, `"name": "value"`, `name=value`.
fn value_start(content: &[u8], at: usize) -> Option<usize> {
    let name_end =
        run_end(content, at, 32, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let is_gap = |byte: u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\' | b':' | b'=' | b'>' | b',');
    let gap_end = run_end(content, name_end, 12, is_gap);
    let gap = content.get(name_end..gap_end)?;
    let is_assigned = gap.iter().any(|byte| matches!(byte, b':' | b'=' | b',' | b' '));
    (is_assigned && byte(content, gap_end) != 0).then_some(gap_end)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}
