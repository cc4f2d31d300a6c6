//! Data loss prevention: finds sensitive data in a payload and masks it.
//!
//! The scan works on any bytes and takes linear time: one pass over digits and `@` for numbers and
//! addresses, one over the literals that credentials start with. Spans are byte offsets; they begin
//! and end at ASCII characters, so in UTF-8 they lie on character boundaries.
//!
//! Overlaps: findings of different detectors may overlap and are all reported, so that a policy which
//! masks one detector never misses data because another claimed it. Guesses from shape alone
//! (`us_ssn`, `phone`) are dropped where they lie within another finding.
//!
//! Not yet: characters written as JSON or percent escapes (`\u0034…`, `%34`), compressed or nested
//! encodings, digits beyond ASCII.

mod bytes;
mod calling_code;
mod card;
mod card_brand;
mod cloud_key;
mod detector;
mod email;
mod findings;
mod iban;
mod iban_country;
mod jwt;
mod mask;
mod number;
mod phone;
mod private_key;
mod secret;
mod ssn;
mod token;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod samples;

pub use detector::DetectorInfo;
pub use mask::mask;

/// Most findings of one scan.
pub const MAX_FINDINGS: usize = 1_000;
/// Longest content that is scanned, in bytes.
pub const MAX_CONTENT: usize = 16 * 1024 * 1024;
/// Bytes looked at together where nothing of interest stands.
const CHUNK: usize = 32;

/// Bytes looked at one by one first.
const NEAR: usize = 8;

/// A piece of sensitive data. Holds where it is, never what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Detector, such as `card_number`.
    pub detector: &'static str,
    /// `financial`, `personal`, `credential` or `health`.
    pub category: &'static str,
    /// First byte of the span.
    pub start: usize,
    /// First byte after the span.
    pub end: usize,
    /// 0 to 1.
    pub confidence: f64,
}

/// Why a payload could not be scanned; it must then be treated as one that may not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// More than [`MAX_FINDINGS`].
    #[error("payload holds more than {MAX_FINDINGS} findings")]
    TooManyFindings,
    /// Longer than [`MAX_CONTENT`].
    #[error("payload of {size} bytes is longer than {MAX_CONTENT} bytes")]
    TooLarge {
        /// Length of the content in bytes.
        size: usize,
    },
    /// The literals could not be compiled; never with the built-in ones.
    #[error("scanner is unavailable")]
    Unavailable,
}

/// The detectors, in a fixed order.
#[must_use]
pub fn detectors() -> &'static [DetectorInfo] {
    &detector::DETECTORS
}

/// Finds sensitive data, ordered by start, the longer first.
///
/// # Errors
/// When the content is too long or holds too many findings.
pub fn scan(content: &[u8]) -> Result<Vec<Finding>, ScanError> {
    if content.len() > MAX_CONTENT {
        return Err(ScanError::TooLarge { size: content.len() });
    }
    let mut findings = findings::Findings::default();
    let mut at = 0;
    while let Some(place) = next_trigger(content, at) {
        at = match bytes::byte(content, place) {
            b'@' => email::find(content, place, &mut findings)?,
            _ => number::find(content, place, &mut findings)?,
        };
    }
    secret::find_all(content, &mut findings)?;
    Ok(findings.finish())
}

/// The next digit or `@` from `at` on.
fn next_trigger(content: &[u8], at: usize) -> Option<usize> {
    let is_trigger = |byte: u8| byte.is_ascii_digit() || byte == b'@';
    let rest = content.get(at..)?;
    // Where they are dense, the next is near.
    let (near, far) = rest.split_at(rest.len().min(NEAR));
    if let Some(offset) = near.iter().position(|byte| is_trigger(*byte)) {
        return Some(at + offset);
    }
    let mut base = at + near.len();
    for chunk in far.chunks(CHUNK) {
        // Without an early exit, so that it compiles to vector instructions.
        if chunk.iter().fold(false, |any, byte| any | is_trigger(*byte)) {
            return chunk.iter().position(|byte| is_trigger(*byte)).map(|offset| base + offset);
        }
        base += chunk.len();
    }
    None
}
