//! How the parts of a key become the text that a counter is named by.

use std::fmt::Write as _;

/// Bytes of a key, above which it is refused.
pub const MAX_KEY_BYTES: usize = 4096;

/// Why parts make no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no part.
    #[error("the key has no part")]
    Empty,
    /// The text is longer than [`MAX_KEY_BYTES`].
    #[error("the key is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
}

/// The key of `parts`: each with its length before it, so that no two lists share a key whatever they hold.
/// A limit whose `key` is a text has one part; a whole number is written in decimal.
///
/// # Errors
/// [`KeyError`] where there is no part, or too much.
pub fn encode_key<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<String, KeyError> {
    let mut key = String::with_capacity(64);
    for part in parts {
        push_part(&mut key, part)?;
    }
    if key.is_empty() { Err(KeyError::Empty) } else { Ok(key) }
}

/// Adds one part to a key.
pub(crate) fn push_part(key: &mut String, part: &str) -> Result<(), KeyError> {
    if key.len() + part.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong);
    }
    let _ = write!(key, "{}:{part};", part.len());
    if key.len() > MAX_KEY_BYTES { Err(KeyError::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn too_much_and_nothing_are_refused() {
        assert_eq!(encode_key([]), Err(KeyError::Empty));
        assert_eq!(encode_key([""]), Ok("0:;".to_owned()));
        assert_eq!(encode_key(["x".repeat(64 << 10).as_str()]), Err(KeyError::TooLong));
        let many = vec!["part"; 2_000];
        assert_eq!(encode_key(many), Err(KeyError::TooLong));
    }

    proptest! {
        #[test]
        fn different_parts_have_different_keys(
            a in prop::collection::vec("[0-9:;{}\n]{0,4}", 1..4),
            b in prop::collection::vec("[0-9:;{}\n]{0,4}", 1..4),
        ) {
            let key = |parts: &[String]| encode_key(parts.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }
    }
}
