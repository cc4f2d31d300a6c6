//! Numbers in text: groups of digits with single separators, offered to each detector of numbers.

use super::bytes::{byte, joins_left, run_end};
use super::detector::Detector;
use super::findings::Findings;
use super::{ScanError, card, iban, phone, ssn};

/// Longest group that can be part of a finding.
const MAX_GROUP: usize = 19;
/// Groups looked at together; bounds the look-ahead, so the scan stays linear.
const MAX_GROUPS: usize = 6;

/// Digits without a separator.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Up to [`MAX_GROUPS`] groups from one place, each one separator after the last.
#[derive(Debug, Default)]
pub(super) struct Run {
    groups: [Group; MAX_GROUPS],
    separators: [u8; MAX_GROUPS],
    len: usize,
}

impl Group {
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

impl Run {
    pub(super) fn groups(&self) -> &[Group] {
        self.groups.get(..self.len).unwrap_or_default()
    }

    /// Digits in all groups.
    pub(super) fn digits(&self) -> usize {
        self.groups().iter().map(|group| group.len()).sum()
    }

    /// Whether the first groups have these lengths.
    pub(super) fn has_shape(&self, lengths: &[usize]) -> bool {
        lengths.len() <= self.len
            && self.groups().iter().zip(lengths).all(|(group, length)| group.len() == *length)
    }

    /// The separator between the first `groups` groups, if it is one and the same.
    pub(super) fn separator(&self, groups: usize) -> Option<u8> {
        let separators = self.separators.get(..groups.checked_sub(1)?)?;
        let first = *separators.first()?;
        separators.iter().all(|separator| *separator == first).then_some(first)
    }

    /// End of the first `groups` groups.
    pub(super) fn end(&self, groups: usize) -> usize {
        groups.checked_sub(1).and_then(|last| self.groups.get(last)).map_or(0, |group| group.end)
    }

    fn read(content: &[u8], at: usize) -> Self {
        let mut run = Self::default();
        let mut start = at;
        for slot in 0..MAX_GROUPS {
            let end = run_end(content, start, MAX_GROUP + 1, |byte| byte.is_ascii_digit());
            let (Some(group), Some(separator)) = (run.groups.get_mut(slot), run.separators.get_mut(slot))
            else {
                break;
            };
            if end == start || end - start > MAX_GROUP {
                break;
            }
            *group = Group { start, end };
            *separator = byte(content, end);
            run.len = slot + 1;
            if !matches!(*separator, b' ' | b'-' | b'.' | b'/') {
                break;
            }
            start = end + 1;
        }
        run
    }
}

/// Digits of `content` from `start` to `end`, without separators, as values 0 to 9.
pub(super) fn digits(
    content: &[u8],
    start: usize,
    end: usize,
) -> impl DoubleEndedIterator<Item = u8> + Clone {
    let span = content.get(start..end).unwrap_or_default();
    span.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0')
}

/// Looks at the number that starts at `at`; returns where the scan goes on.
pub(super) fn find(content: &[u8], at: usize, findings: &mut Findings) -> Result<usize, ScanError> {
    if let Some((start, end)) = iban::find(content, at) {
        findings.push(Detector::Iban, start, end, 0.99)?;
        return Ok(end);
    }
    // No other number starts inside a word: identifiers and hexadecimal digests are passed over.
    if joins_left(content, at) {
        return Ok(run_end(content, at, usize::MAX, |byte| byte.is_ascii_digit()));
    }
    let run = Run::read(content, at);
    if run.groups().is_empty() {
        return Ok(run_end(content, at, usize::MAX, |byte| byte.is_ascii_digit()));
    }
    if let Some(end) = card::find(content, &run) {
        findings.push(Detector::CardNumber, at, end, 0.95)?;
        return Ok(end);
    }
    if let Some((end, confidence)) = ssn::find(content, &run) {
        findings.push(Detector::UsSsn, at, end, confidence)?;
        return Ok(end);
    }
    if let Some((start, end, confidence)) = phone::find(content, &run) {
        findings.push(Detector::Phone, start, end, confidence)?;
        return Ok(end);
    }
    Ok(run.end(1))
}
