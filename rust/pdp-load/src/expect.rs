//! Checks answers without decoding them: a walk over protobuf's wire format
//! (<https://protobuf.dev/programming-guides/encoding/>), or a search in text.

use serde::{Deserialize, Serialize};

/// What an answer must be; every check holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expectation(pub Vec<Check>);

/// One property of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// A varint or text field of a protobuf message. Where the path crosses
    /// repeated fields every occurrence must hold, and there must be one.
    Field {
        /// Field numbers from the outermost message on.
        path: Vec<u32>,
        /// The value of a varint field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
        /// The value of a text field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// A text the answer holds somewhere.
    Contains {
        /// The text.
        text: String,
    },
}

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire<'a> {
    /// Varint.
    Number(u64),
    /// Length-delimited: text, bytes or a message.
    Bytes(&'a [u8]),
    /// 32 or 64 bits; skipped by all checks.
    Fixed,
}

/// Reads a message's fields. `None` from [`Self::next_field`] is the end or a malformed rest; see [`Self::is_whole`].
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    whole: bool,
}

impl Expectation {
    /// Holds `answer` against each check.
    ///
    /// # Errors
    /// What was expected and not found.
    pub(crate) fn verify(&self, answer: &[u8]) -> Result<(), String> {
        match self.0.iter().find(|check| !check.holds(answer)) {
            None => Ok(()),
            Some(check) => Err(format!("expected {check:?} in {}", excerpt(answer))),
        }
    }
}

impl Check {
    fn holds(&self, answer: &[u8]) -> bool {
        match self {
            Self::Contains { text } => contains(answer, text.as_bytes()),
            Self::Field { path, number, text } => {
                let mut seen = 0_usize;
                let all = walk(answer, path, &mut |wire| {
                    seen += 1;
                    match wire {
                        Wire::Number(value) => text.is_none() && number.is_none_or(|wanted| wanted == value),
                        Wire::Bytes(value) => {
                            number.is_none() && text.as_ref().is_none_or(|wanted| wanted.as_bytes() == value)
                        }
                        Wire::Fixed => number.is_none() && text.is_none(),
                    }
                });
                all && seen > 0
            }
        }
    }
}

/// Visits every occurrence of the field at `path`; false where the message is malformed or a visit is false.
fn walk<'a>(message: &'a [u8], path: &[u32], visit: &mut impl FnMut(Wire<'a>) -> bool) -> bool {
    let Some((wanted, rest)) = path.split_first() else { return false };
    let mut fields = Fields::new(message);
    while let Some((number, wire)) = fields.next_field() {
        if number != *wanted {
            continue;
        }
        let held = match wire {
            _ if rest.is_empty() => visit(wire),
            Wire::Bytes(inner) => walk(inner, rest, visit),
            Wire::Number(_) | Wire::Fixed => false,
        };
        if !held {
            return false;
        }
    }
    fields.is_whole()
}

/// The first occurrence of the length-delimited field at `path`.
pub(crate) fn first_bytes<'a>(message: &'a [u8], path: &[u32]) -> Option<&'a [u8]> {
    let mut found = None;
    walk(message, path, &mut |wire| match wire {
        Wire::Bytes(bytes) if found.is_none() => {
            found = Some(bytes);
            true
        }
        _ => true,
    });
    found
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, whole: true }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(crate) fn next_field(&mut self) -> Option<(u32, Wire<'a>)> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        self.whole = field.is_some();
        field
    }

    fn read(&mut self) -> Option<(u32, Wire<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok()?;
        let wire = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return None,
        };
        Some((number, wire))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

/// The start of an answer, readable where it is text.
fn excerpt(answer: &[u8]) -> String {
    let start = answer.get(..400).unwrap_or(answer);
    format!("{} bytes `{}`", answer.len(), start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Field 2 { field 1: 1 }, twice.
    const TWO: &[u8] = &[0x12, 2, 0x08, 1, 0x12, 2, 0x08, 1];

    fn field(path: &[u32], number: Option<u64>, text: Option<&str>) -> Expectation {
        Expectation(vec![Check::Field { path: path.to_vec(), number, text: text.map(str::to_owned) }])
    }

    #[test]
    fn nested_number_matches() {
        assert_eq!(field(&[2, 1], Some(1), None).verify(TWO), Ok(()));
    }

    #[test]
    fn one_differing_occurrence_fails() {
        let one_denied = [0x12, 2, 0x08, 1, 0x12, 2, 0x08, 2];
        assert!(field(&[2, 1], Some(1), None).verify(&one_denied).is_err());
    }

    #[test]
    fn absent_field_fails() {
        assert!(field(&[3], None, None).verify(TWO).is_err());
        assert!(field(&[2, 1], Some(0), None).verify(&[]).is_err());
    }

    #[test]
    fn text_is_compared_whole() {
        let answer = [0x0a, 3, b'a', b'b', b'c'];
        assert_eq!(field(&[1], None, Some("abc")).verify(&answer), Ok(()));
        assert!(field(&[1], None, Some("ab")).verify(&answer).is_err());
        assert_eq!(first_bytes(&answer, &[1]), Some(&b"abc"[..]));
    }

    #[test]
    fn truncated_answer_fails() {
        assert!(field(&[2, 1], Some(1), None).verify(&TWO[..7]).is_err());
    }

    #[test]
    fn overlong_varint_fails() {
        assert!(field(&[1], None, None).verify(&[0xff; 12]).is_err());
    }

    #[test]
    fn text_is_found_anywhere() {
        let expectation = Expectation(vec![Check::Contains { text: "\"result\":true".to_owned() }]);
        assert_eq!(expectation.verify(b"{\"decision_id\":\"x\",\"result\":true}"), Ok(()));
        assert!(expectation.verify(b"{\"result\":false}").is_err());
    }
}
