//! `base64.decode` and `base64url.decode` (RFC 4648), where line breaks are skipped as Go does.

use regorus::Value;

use super::failed;

/// `base64.decode(text)`: standard alphabet with padding.
pub(super) fn base64_decode(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return failed("base64.decode takes a text") };
    answer(decode(text, *b"+/", Padding::Required))
}

/// `base64url.decode(text)`: URL alphabet, with or without padding.
pub(super) fn base64url_decode(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return failed("base64url.decode takes a text") };
    answer(decode(text, *b"-_", Padding::Optional))
}

#[derive(PartialEq, Eq)]
enum Padding {
    Required,
    Optional,
}

fn answer(bytes: Option<Vec<u8>>) -> anyhow::Result<Value> {
    match bytes {
        Some(bytes) => Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned())),
        None => failed("not base64"),
    }
}

fn decode(text: &str, last_two: [u8; 2], padding: Padding) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let unpadded = digits.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let pads = digits.len() - unpadded;
    let is_complete = digits.len().is_multiple_of(4) && pads <= 2;
    if !is_complete && (padding == Padding::Required || pads > 0) || unpadded % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for group in digits.get(..unpadded)?.chunks(4) {
        let mut bits = 0_u32;
        for at in 0..4 {
            bits = bits << 6 | group.get(at).map_or(Some(0), |digit| value_of(*digit, last_two))?;
        }
        let [_, three @ ..] = bits.to_be_bytes();
        bytes.extend(three.get(..group.len() - 1)?);
    }
    Some(bytes)
}

fn value_of(digit: u8, [plus, slash]: [u8; 2]) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        _ if digit == plus => 62,
        _ if digit == slash => 63,
        _ => return None,
    }))
}
