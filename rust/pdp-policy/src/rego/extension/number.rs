//! `numbers.range` with a bound and `to_number` with OPA's reading of text.

use regorus::Value;

use super::{MAX_ELEMENTS, TOO_MANY_ELEMENTS, failed};

/// `numbers.range(a, b)`: all whole numbers from a to b, downwards where b is smaller.
pub(super) fn range(given: &[Value]) -> anyhow::Result<Value> {
    let [from, to] = given else { return failed("numbers.range takes two numbers") };
    let (Ok(from), Ok(to)) = (from.as_i64(), to.as_i64()) else {
        return failed("numbers.range takes whole numbers");
    };
    if from.abs_diff(to) >= MAX_ELEMENTS {
        anyhow::bail!("numbers.range {TOO_MANY_ELEMENTS} of {MAX_ELEMENTS}");
    }
    let items: Vec<Value> = if from <= to {
        (from..=to).map(Value::from).collect()
    } else {
        (to..=from).rev().map(Value::from).collect()
    };
    Ok(Value::from(items))
}

/// `to_number(x)`: text has to be a JSON number. Spellings beyond it that OPA happens to accept are errors.
pub(super) fn to_number(given: &[Value]) -> anyhow::Result<Value> {
    match given {
        [Value::Null] => Ok(Value::from(0_i64)),
        [Value::Bool(value)] => Ok(Value::from(i64::from(*value))),
        [Value::Number(number)] => Ok(Value::Number(number.clone())),
        [Value::String(text)] => {
            let is_json = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
                && text.ends_with(|last: char| last.is_ascii_digit());
            if is_json && let Ok(number) = Value::from_json_str(text) {
                return Ok(number);
            }
            if text.bytes().any(|byte| byte.is_ascii_digit()) && is_number_like(text) {
                anyhow::bail!("to_number: `{text}` is a number only in some engines");
            }
            failed("to_number: not a number")
        }
        _ => failed("to_number takes a number, a text, a boolean or null"),
    }
}

/// Whether a lenient reader, with its signs, underscores and hexadecimal digits, might read a number.
fn is_number_like(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_hexdigit() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'x' | b'X' | b'p' | b'P')
    })
}
