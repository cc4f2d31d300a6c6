//! Hides findings in a payload.

use std::cmp::Reverse;

use aho_corasick::{AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use super::bytes::{byte, joins_right};
use super::detector::{MaskStyle, mask_style};
use super::{Finding, scan};

/// What is left of a payload that could not be masked.
const ALL: &[u8] = b"[REDACTED]";
/// Masking may join its neighbours into something new; so often is it looked for.
const ROUNDS: usize = 4;
/// Values of this length are looked for in the rest of the payload.
const VALUES: std::ops::RangeInclusive<usize> = 5..=128;

/// Bytes to hide.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    style: MaskStyle,
    detector: &'static str,
}

/// Returns `content` with the findings hidden.
///
/// - `card_number` and `iban`: `*` for each letter and digit but the last four; separators stay. All
///   become `*` where the last four would join a number behind them.
/// - `us_ssn` and `phone`: `*` for each letter and digit.
/// - All others: `[REDACTED:<detector>]`.
///
/// The result does not hold any of the findings' values (of up to 128 bytes), also not where one stood
/// without what made it a finding; and a scan of it finds nothing of the findings' detectors: what a
/// scan still finds is hidden too, and where that does not end, the whole becomes `[REDACTED]`. The
/// length is kept but for the labels. A number that is a bare JSON value does not stay valid JSON.
#[must_use]
pub fn mask<'a>(content: &[u8], findings: impl IntoIterator<Item = &'a Finding>) -> Vec<u8> {
    let mut spans: Vec<Span> = findings.into_iter().filter(|it| it.end <= content.len()).map(span).collect();
    if spans.is_empty() {
        return content.to_vec();
    }
    let detectors: Vec<&'static str> = spans.iter().map(|span| span.detector).collect();
    repeat_values(content, &mut spans);
    let mut masked = render(content, spans);
    for _ in 0..ROUNDS {
        let Ok(left) = scan(&masked) else { return ALL.to_vec() };
        let spans: Vec<Span> = left.iter().filter(|it| detectors.contains(&it.detector)).map(span).collect();
        if spans.is_empty() {
            return masked;
        }
        masked = render(&masked, spans);
    }
    ALL.to_vec()
}

fn span(finding: &Finding) -> Span {
    let style = mask_style(finding.detector);
    Span { start: finding.start, end: finding.end, style, detector: finding.detector }
}

/// Adds the other places where the spans' values stand.
fn repeat_values(content: &[u8], spans: &mut Vec<Span>) {
    let values: Vec<(&[u8], Span)> = spans
        .iter()
        .filter_map(|span| Some((content.get(span.start..span.end)?, *span)))
        .filter(|(value, _)| VALUES.contains(&value.len()))
        .collect();
    // The kind that is quickest to build: it is used once.
    let automaton = AhoCorasickBuilder::new()
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::NoncontiguousNFA))
        .build(values.iter().map(|(value, _)| value));
    let Ok(automaton) = automaton else { return };
    for place in automaton.find_iter(content) {
        let (start, end) = (place.start(), place.end());
        let Some((_, span)) = values.get(place.pattern().as_usize()) else { continue };
        let style = if span.style == MaskStyle::Label { MaskStyle::Label } else { MaskStyle::Stars };
        spans.push(Span { start, end, style, detector: span.detector });
    }
}

/// Writes the content with the spans hidden; those that overlap are hidden together.
fn render(content: &[u8], mut spans: Vec<Span>) -> Vec<u8> {
    spans.sort_by_key(|span| (span.start, Reverse(span.end)));
    let mut masked = Vec::with_capacity(content.len());
    let mut at = 0;
    let mut spans = spans.into_iter().peekable();
    while let Some(mut hidden) = spans.next() {
        while let Some(next) = spans.next_if(|next| next.start < hidden.end) {
            hidden = join(hidden, next);
        }
        masked.extend_from_slice(content.get(at..hidden.start).unwrap_or_default());
        write_hidden(content, hidden, &mut masked);
        at = hidden.end;
    }
    masked.extend_from_slice(content.get(at..).unwrap_or_default());
    masked
}

/// The span over both; the stricter style.
fn join(first: Span, next: Span) -> Span {
    let end = first.end.max(next.end);
    if next.end <= first.end && next.style != MaskStyle::Label {
        return first;
    }
    let label = [first, next].into_iter().find(|span| span.style == MaskStyle::Label);
    match label {
        Some(label) => Span { start: first.start, end, ..label },
        None => Span { start: first.start, end, style: MaskStyle::Stars, detector: first.detector },
    }
}

fn write_hidden(content: &[u8], span: Span, masked: &mut Vec<u8>) {
    if span.style == MaskStyle::Label {
        masked.extend_from_slice(b"[REDACTED:");
        masked.extend_from_slice(span.detector.as_bytes());
        masked.push(b']');
        return;
    }
    let text = content.get(span.start..span.end).unwrap_or_default();
    let characters = text.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    let goes_on = joins_right(content, span.end) || byte(content, span.end + 1).is_ascii_digit();
    let kept = if span.style == MaskStyle::KeepLastFour && !goes_on { 4 } else { 0 };
    let mut hidden = characters.saturating_sub(kept);
    for byte in text {
        let hide = byte.is_ascii_alphanumeric() && hidden > 0;
        hidden -= usize::from(hide);
        masked.push(if hide { b'*' } else { *byte });
    }
}
