//! United States social security numbers by the rules of the Social Security Administration.

use super::bytes::{byte, joins_right, tied_left, tied_right, word_before};
use super::number::{Run, digits};

const WORDS: &[&str] =
    &["ssn", "ssns", "social security", "social_security", "social-security", "socialsecurity"];
/// Bytes before a number in which a word makes it likelier.
const WINDOW: usize = 40;

/// Numbers that were printed in advertisements or by mistake, and are not anyone's.
const VOID: [u32; 3] = [78_051_120, 219_099_999, 457_555_462];

/// End and confidence of the number that `run` starts with: `AAA-GG-SSSS`, `AAA GG SSSS`, or nine
/// digits beside a word such as `ssn`. The caller has seen that no word goes on into it.
pub(super) fn find(content: &[u8], run: &Run) -> Option<(usize, f64)> {
    let first = run.groups().first()?;
    let separator = if run.has_shape(&[3, 2, 4]) { run.separator(3) } else { None };
    let end = match separator {
        Some(b'-' | b' ') => run.end(3),
        _ if first.len() == 9 => first.end,
        _ => return None,
    };
    let joined = joins_right(content, end)
        || byte(content, end) == b'_'
        || tied_left(content, first.start, b"-.")
        || tied_right(content, end, b"-.");
    if joined || !is_issued(digits(content, first.start, end)) {
        return None;
    }
    let named = word_before(content, first.start, WINDOW, WORDS);
    let among_numbers = tied_left(content, first.start, b" ") || tied_right(content, end, b" ");
    match separator {
        _ if named => Some((end, 0.95)),
        Some(b'-') => Some((end, 0.85)),
        Some(b' ') if !among_numbers => Some((end, 0.5)),
        _ => None,
    }
}

/// Areas 000, 666 and 900 up, group 00 and serial 0000 were never issued.
fn is_issued(digits: impl Iterator<Item = u8>) -> bool {
    let number = digits.fold(0_u32, |number, digit| number * 10 + u32::from(digit));
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0 && !VOID.contains(&number)
}
