//! International bank account numbers (ISO 13616): country, length, mod 97 check digits (ISO 7064).

use super::bytes::{before, byte, joins_left, joins_right};
use super::iban_country::LENGTHS;

/// Span of the IBAN whose check digits start at `at`.
///
/// The characters stand together, in either case, or in capitals in groups of four with one separator
/// (space or `-`).
pub(super) fn find(content: &[u8], at: usize) -> Option<(usize, usize)> {
    let country = [before(content, at, 2), before(content, at, 1)];
    if !country.iter().all(u8::is_ascii_alphabetic) || !byte(content, at + 1).is_ascii_digit() {
        return None;
    }
    let start = at - 2;
    let length = length_of(country)?;
    if joins_left(content, start) {
        return None;
    }
    let separator = byte(content, start + 4);
    let end = if matches!(separator, b' ' | b'-') {
        let end = start + length + (length - 1) / 4;
        let grouped = content.get(start..end)?.chunks(5).all(|chunk| is_group(chunk, separator));
        grouped.then_some(end)?
    } else {
        let end = start + length;
        content.get(start..end)?.iter().all(u8::is_ascii_alphanumeric).then_some(end)?
    };
    let characters = content.get(start..end)?.iter().copied().filter(u8::is_ascii_alphanumeric);
    (!joins_right(content, end) && is_valid(characters)).then_some((start, end))
}

/// Up to four capitals or digits, and the separator after a full four.
fn is_group(chunk: &[u8], separator: u8) -> bool {
    let (group, rest) = chunk.split_at(chunk.len().min(4));
    group.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && rest.iter().all(|byte| *byte == separator)
}

fn length_of(country: [u8; 2]) -> Option<usize> {
    let upper = country.map(|letter| letter.to_ascii_uppercase());
    let row = LENGTHS.binary_search_by_key(&upper, |(country, _)| **country).ok()?;
    LENGTHS.get(row).map(|(_, length)| *length)
}

/// Whether the letters and digits, the first four moved to the end, are 1 modulo 97.
pub(super) fn is_valid(characters: impl Iterator<Item = u8> + Clone) -> bool {
    let moved = characters.clone().skip(4).chain(characters.clone().take(4));
    let check = characters.skip(2).take(2).fold(0, |number, digit| number * 10 + value(digit));
    (2..=98).contains(&check) && moved.fold(0, append) == 1
}

/// Appends a character's digits to a number modulo 97: `0`-`9` as they are, `A` is 10, `Z` is 35.
fn append(remainder: u32, character: u8) -> u32 {
    let shift = if character.is_ascii_digit() { 10 } else { 100 };
    (remainder * shift + value(character)) % 97
}

fn value(character: u8) -> u32 {
    (character as char).to_digit(36).unwrap_or(0)
}
