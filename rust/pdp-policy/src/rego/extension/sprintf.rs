//! `sprintf` as Go formats OPA's values: `%s`, `%d`, `%v` and `%%`; other verbs are errors.

use regorus::Value;

use super::failed;

/// `sprintf(format, values)`.
pub(super) fn sprintf(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(format), Value::Array(values)] = given else {
        return failed("sprintf takes a text and an array");
    };
    let mut values = values.iter();
    let mut out = String::with_capacity(format.len());
    let mut chars = format.chars();
    while let Some(next) = chars.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        match chars.next() {
            Some('%') => out.push('%'),
            Some(verb @ ('s' | 'd' | 'v')) => match values.next() {
                Some(value) => out.push_str(&formatted(verb, value)?),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
            _ => anyhow::bail!("sprintf: only `%s`, `%d`, `%v` and `%%` are supported"),
        }
    }
    let mut extra = Vec::new();
    for value in values {
        let (kind, text) = plain(value)?;
        extra.push(format!("{kind}={text}"));
    }
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(Value::from(out))
}

fn formatted(verb: char, value: &Value) -> anyhow::Result<String> {
    let (kind, text) = plain(value)?;
    let fits = matches!((verb, kind), ('v', _) | ('s', "string") | ('d', "int"));
    if fits {
        return Ok(text);
    }
    // Go names the type of the argument where the verb does not fit it.
    let kind = if kind == "int" { "int64" } else { kind };
    Ok(format!("%!{verb}({kind}={text})"))
}

/// The Go type a value is formatted as, and its text.
fn plain(value: &Value) -> anyhow::Result<(&'static str, String)> {
    Ok(match value {
        Value::String(text) => ("string", text.to_string()),
        Value::Number(_) => match value.as_i64() {
            Ok(whole) => ("int", whole.to_string()),
            Err(_) => ("float64", float(value)?),
        },
        other => {
            let mut text = String::new();
            term(other, &mut text)?;
            ("string", text)
        }
    })
}

/// A float as Go's `%v` writes it: the shortest digits, with an exponent below 1e-4 and from 1e21 on.
fn float(value: &Value) -> anyhow::Result<String> {
    let Ok(number) = value.as_f64() else { anyhow::bail!("sprintf: a number is too large to be written") };
    let exponential = format!("{number:e}");
    let Some((digits, exponent)) = exponential.split_once('e') else { return Ok(exponential) };
    let exponent: i32 = exponent.parse()?;
    if (-4..SHORTEST_EXPONENT).contains(&exponent) {
        return Ok(format!("{number}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Ok(format!("{digits}e{sign}{:02}", exponent.abs()))
}

/// Decimal exponent from which Go's shortest form is exponential.
const SHORTEST_EXPONENT: i32 = 6;

/// A value as OPA writes it into messages.
fn term(value: &Value, out: &mut String) -> anyhow::Result<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(_) => out.push_str(&value.to_json_str()?),
        Value::String(text) => quoted(text, out)?,
        Value::Array(items) => sequence("[", items.iter(), "]", out)?,
        Value::Set(items) if items.is_empty() => out.push_str("set()"),
        Value::Set(items) => sequence("{", super::super::convert::in_order(items).into_iter(), "}", out)?,
        Value::Object(entries) => {
            out.push('{');
            for (at, (key, item)) in entries.iter_sorted().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                term(key, out)?;
                out.push_str(": ");
                term(item, out)?;
            }
            out.push('}');
        }
        Value::Undefined => {}
    }
    Ok(())
}

fn sequence<'a>(
    open: &str,
    items: impl Iterator<Item = &'a Value>,
    close: &str,
    out: &mut String,
) -> anyhow::Result<()> {
    out.push_str(open);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        term(item, out)?;
    }
    out.push_str(close);
    Ok(())
}

/// Quoted as Go quotes; characters that only Go's tables know to be printable are errors.
fn quoted(text: &str, out: &mut String) -> anyhow::Result<()> {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_ascii() || c.is_alphanumeric() || c.escape_debug().len() == 1 => out.push(c),
            c => anyhow::bail!(
                "sprintf: character U+{:04X} is not supported inside a collection",
                u32::from(c)
            ),
        }
    }
    out.push('"');
    Ok(())
}
