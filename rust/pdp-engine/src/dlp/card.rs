//! Payment card numbers (ISO/IEC 7812): issuer range, length and Luhn check digit.

use super::bytes::{joins_right, tied_left, tied_right, word_before};
use super::card_brand::BRANDS;
use super::number::{Run, digits};

/// How card numbers are printed in groups, longest first.
const LAYOUTS: &[&[usize]] = &[
    &[4, 4, 4, 4, 3],
    &[6, 13],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4, 1],
    &[4, 4, 4, 4],
    &[8, 8],
    &[6, 10],
    &[4, 12],
    &[4, 6, 5],
    &[4, 4, 4, 3],
    &[4, 6, 4],
    &[4, 4, 4, 2],
    &[4, 4, 5],
    &[4, 4, 4, 1],
    &[4, 4, 4],
];

const WORDS: &[&str] =
    &["card", "cards", "maestro", "debit", "credit", "pan", "karte", "kartennummer", "kreditkarte"];
/// Bytes before a number in which a word makes it likelier.
const WINDOW: usize = 32;

/// End of the card number that `run` starts with.
///
/// The caller has seen that no word goes on into it. The digits stand together or in a printed layout with one separator (space, `-` or `.`). They are
/// not part of a word, of a longer run of digits or of a decimal fraction.
pub(super) fn find(content: &[u8], run: &Run) -> Option<usize> {
    let first = run.groups().first()?;
    let may_start = matches!(first.len(), 4 | 6 | 8 | 12..);
    if !may_start || tied_left(content, first.start, b".") {
        return None;
    }
    if first.len() >= 12 {
        return is_card(content, first.start, first.end).then_some(first.end);
    }
    if run.groups().len() < 2 {
        return None;
    }
    LAYOUTS.iter().find_map(|layout| {
        let end = run.end(layout.len());
        let fits = run.has_shape(layout) && matches!(run.separator(layout.len()), Some(b' ' | b'-' | b'.'));
        (fits && is_card(content, first.start, end)).then_some(end)
    })
}

fn is_card(content: &[u8], start: usize, end: usize) -> bool {
    if joins_right(content, end) || tied_right(content, end, b".") {
        return false;
    }
    let digits = digits(content, start, end);
    luhn(digits.clone()) && has_brand(digits, || word_before(content, start, WINDOW, WORDS))
}

/// Whether the digits are of an issuer range and of a length that it issues.
fn has_brand(digits: impl Iterator<Item = u8> + Clone, named: impl Fn() -> bool) -> bool {
    let length = digits.clone().count();
    let leading = digits.take(8).fold(0_u32, |number, digit| number * 10 + u32::from(digit));
    BRANDS.iter().any(|brand| {
        let shift = 10_u32.pow(8 - brand.prefix_len);
        let prefix = leading / shift;
        brand.lengths.contains(&length)
            && (brand.first..=brand.last).contains(&prefix)
            && (!brand.needs_word || named())
    })
}

/// The Luhn check of ISO/IEC 7812-1, annex B, over digits from left to right.
pub(super) fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let doubled = |digit: u8| if digit > 4 { 2 * digit - 9 } else { 2 * digit };
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| u32::from(if place % 2 == 1 { doubled(digit) } else { digit }))
        .sum();
    sum.is_multiple_of(10)
}
