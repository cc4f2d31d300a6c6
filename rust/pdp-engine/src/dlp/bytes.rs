//! Looking at bytes: neighbours, runs and words before a place.

/// The byte at `at`; 0 past the end.
pub(super) fn byte(content: &[u8], at: usize) -> u8 {
    content.get(at).copied().unwrap_or(0)
}

/// The byte `back` before `at`; 0 before the start.
pub(super) fn before(content: &[u8], at: usize, back: usize) -> u8 {
    at.checked_sub(back).map_or(0, |at| byte(content, at))
}

/// Whether a word goes on across `at` from the left. The letter of a JSON escape, as in `\n`, ends none.
pub(super) fn joins_left(content: &[u8], at: usize) -> bool {
    let left = before(content, at, 1);
    let is_escape = matches!(left, b'n' | b't' | b'r' | b'b' | b'f') && before(content, at, 2) == b'\\';
    left.is_ascii_alphanumeric() && !is_escape
}

/// Whether a word goes on at `at`.
pub(super) fn joins_right(content: &[u8], at: usize) -> bool {
    byte(content, at).is_ascii_alphanumeric()
}

/// Whether one of `separators` ties the number that starts at `at` to a digit on its left.
pub(super) fn tied_left(content: &[u8], at: usize, separators: &[u8]) -> bool {
    separators.contains(&before(content, at, 1)) && before(content, at, 2).is_ascii_digit()
}

/// Whether one of `separators` ties the number that ends at `at` to a digit on its right.
pub(super) fn tied_right(content: &[u8], at: usize, separators: &[u8]) -> bool {
    separators.contains(&byte(content, at)) && byte(content, at + 1).is_ascii_digit()
}

/// End of the run of bytes from `at` that `belongs`, at most `most` of them.
pub(super) fn run_end(content: &[u8], at: usize, most: usize, mut belongs: impl FnMut(u8) -> bool) -> usize {
    let rest = content.get(at..).unwrap_or_default();
    at + rest.iter().take(most).take_while(|byte| belongs(**byte)).count()
}

/// Whether one of `words` (lower case) stands in the `window` bytes before `at`.
///
/// A word begins at a non-letter or at a capital after a small letter (`userSsn`). A word of less than
/// six letters also ends so.
pub(super) fn word_before(content: &[u8], at: usize, window: usize, words: &[&str]) -> bool {
    (at.saturating_sub(window)..at).any(|from| {
        byte(content, from).is_ascii_alphabetic() && begins_word(content, from) && {
            let text = content.get(from..at).unwrap_or_default();
            words.iter().any(|word| starts_with_word(content, from, text, word))
        }
    })
}

fn starts_with_word(content: &[u8], from: usize, text: &[u8], word: &str) -> bool {
    text.get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        && (word.len() >= 6 || ends_word(content, from + word.len()))
}

fn begins_word(content: &[u8], at: usize) -> bool {
    let left = before(content, at, 1);
    !left.is_ascii_alphabetic() || (left.is_ascii_lowercase() && byte(content, at).is_ascii_uppercase())
}

fn ends_word(content: &[u8], at: usize) -> bool {
    let right = byte(content, at);
    !right.is_ascii_alphabetic()
        || (right.is_ascii_uppercase() && before(content, at, 1).is_ascii_lowercase())
}
