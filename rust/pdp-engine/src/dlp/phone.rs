//! Telephone numbers: international (E.164), North American, or national beside a word.

use super::bytes::{before, byte, joins_left, joins_right, run_end, tied_left, tied_right, word_before};
use super::calling_code;
use super::number::{Run, digits};

const WORDS: &[&str] = &[
    "phone",
    "phones",
    "telephone",
    "tel",
    "telefon",
    "mobile",
    "mobil",
    "cell",
    "cellphone",
    "fax",
    "call",
    "whatsapp",
    "sms",
    "hotline",
];
/// Bytes before a number in which a word makes it likelier.
const WINDOW: usize = 32;

/// Span and confidence of the telephone number whose first digits are those of `run`.
///
/// The caller has seen that no word goes on into it.
pub(super) fn find(content: &[u8], run: &Run) -> Option<(usize, usize, f64)> {
    let at = run.groups().first()?.start;
    match before(content, at, 1) {
        b'+' => international(content, at),
        b'(' => bracketed(content, at),
        _ => plain(content, run),
    }
}

/// `+` and 8 to 15 digits of an assigned calling code.
fn international(content: &[u8], at: usize) -> Option<(usize, usize, f64)> {
    let start = at - 1;
    if joins_left(content, start) || before(content, start, 1) == b'+' {
        return None;
    }
    let first = byte(content, at).wrapping_sub(b'0');
    let most = if first == 1 { 11 } else { 15 };
    let end = groups_end(content, at, most);
    let mut leading = digits(content, at, end);
    let code = [leading.next()?, leading.next()?, leading.next()?];
    let count = digits(content, at, end).count();
    let fits = (8..=15).contains(&count) && (first != 1 || count == 11);
    let extended = with_extension(content, end);
    let is_free = extended > end || !joins_right(content, end);
    (fits && calling_code::is_assigned(code) && is_free).then_some((start, extended, 0.9))
}

/// End of groups of digits from `at`, tied by up to two of ` -./()`, with at most `most` digits.
fn groups_end(content: &[u8], at: usize, most: usize) -> usize {
    let (mut end, mut count) = (at, 0);
    let mut next = at;
    loop {
        let group_end = run_end(content, next, most + 1, |byte| byte.is_ascii_digit());
        count += group_end - next;
        if group_end == next || count > most {
            return end;
        }
        end = group_end;
        let tied = run_end(content, end, 2, |byte| b" -./()".contains(&byte));
        if tied == end {
            return end;
        }
        next = tied;
    }
}

/// `(NXX) NXX-XXXX`, or any national form in brackets beside a word.
fn bracketed(content: &[u8], at: usize) -> Option<(usize, usize, f64)> {
    let start = at - 1;
    if joins_left(content, start) {
        return None;
    }
    let exchange = at + if matches!(byte(content, at + 4), b' ' | b'-' | b'.') { 5 } else { 4 };
    let end = exchange + 8;
    let is_tied = byte(content, at + 3) == b')' && matches!(byte(content, exchange + 3), b'-' | b'.' | b' ');
    let all_digits = [at..at + 3, exchange..exchange + 3, exchange + 4..end]
        .into_iter()
        .all(|part| content.get(part).is_some_and(|part| part.iter().all(u8::is_ascii_digit)));
    if is_tied && all_digits && is_nanp(content, at) && is_nanp(content, exchange) && is_free(content, end) {
        return Some((start, with_extension(content, end), 0.85));
    }
    named(content, start, at)
}

/// A national number of any form from `at`, beside a word before `start`.
fn named(content: &[u8], start: usize, at: usize) -> Option<(usize, usize, f64)> {
    let end = groups_end(content, at, 15);
    let fits = (7..=15).contains(&digits(content, at, end).count()) && is_free(content, end);
    (fits && word_before(content, start, WINDOW, WORDS)).then(|| (start, with_extension(content, end), 0.6))
}

/// Whether nothing ties the number that ends at `at` to what follows, but for an extension.
fn is_free(content: &[u8], at: usize) -> bool {
    with_extension(content, at) > at || !(joins_right(content, at) || tied_right(content, at, b"-./"))
}

/// End of the extension at `at`, as in `x123`, or `at`.
fn with_extension(content: &[u8], at: usize) -> usize {
    let end = run_end(content, at + 1, 7, |byte| byte.is_ascii_digit());
    let is_extension = matches!(byte(content, at), b'x' | b'X') && (2..=6).contains(&(end - at - 1));
    if is_extension && !joins_right(content, end) { end } else { at }
}

/// Area code and exchange are `NXX`, with `N` 2 to 9 and not `N11`.
fn is_nanp(content: &[u8], at: usize) -> bool {
    matches!(byte(content, at), b'2'..=b'9') && content.get(at + 1..at + 3) != Some(b"11")
}

/// `NXX-NXX-XXXX` with an optional `1-`, or any national form beside a word.
fn plain(content: &[u8], run: &Run) -> Option<(usize, usize, f64)> {
    let groups = run.groups();
    let start = groups.first()?.start;
    if tied_left(content, start, b"-./") || run.digits() < 7 {
        return None;
    }
    let area = if run.has_shape(&[1, 3, 3, 4]) && byte(content, start) == b'1' { 1 } else { 0 };
    let is_shaped = area == 1 || run.has_shape(&[3, 3, 4]);
    let count = area + 3;
    if is_shaped
        && let (Some(code), Some(exchange)) = (groups.get(area), groups.get(area + 1))
        && is_nanp(content, code.start)
        && is_nanp(content, exchange.start)
        && is_free(content, run.end(count))
    {
        let dashed = matches!(run.separator(count), Some(b'-' | b'.'));
        let named = word_before(content, start, WINDOW, WORDS);
        if dashed || named {
            let end = with_extension(content, run.end(count));
            return Some((start, end, if named { 0.9 } else { 0.75 }));
        }
    }
    if is_date(content, run) { None } else { named(content, start, start) }
}

/// `2026-01-31` and `31.01.2026`, also with what follows.
fn is_date(content: &[u8], run: &Run) -> bool {
    let number = |index: usize| {
        let group = run.groups().get(index).copied().unwrap_or_default();
        digits(content, group.start, group.end).fold(0_u32, |number, digit| number * 10 + u32::from(digit))
    };
    let year = if run.has_shape(&[4, 2, 2]) {
        number(0)
    } else if run.has_shape(&[2, 2, 4]) {
        number(2)
    } else {
        return false;
    };
    matches!(run.separator(3), Some(b'-' | b'.' | b'/')) && (1900..=2100).contains(&year)
}
