//! `glob.match` with the patterns all implementations read alike: `*`, `**`, `?`, `\` and literal text.

use regorus::Value;

use super::failed;

enum Part {
    /// Any characters but delimiters.
    Star,
    /// Any characters.
    SuperStar,
    /// One character but a delimiter.
    One,
    Literal(char),
}

/// `glob.match(pattern, delimiters, text)`. No delimiters are `["."]`, null are none.
pub(super) fn matches(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(pattern), delimiters, Value::String(text)] = given else {
        return failed("glob.match takes a text, delimiters and a text");
    };
    let delimiters = match delimiters {
        Value::Null => Vec::new(),
        Value::Array(items) if items.is_empty() => vec!['.'],
        Value::Array(items) => match items.iter().map(single).collect::<Option<Vec<char>>>() {
            Some(delimiters) => delimiters,
            None => return failed("glob.match takes delimiters of one character"),
        },
        _ => return failed("glob.match takes delimiters as an array"),
    };
    Ok(Value::Bool(is_match(&parts(pattern)?, &delimiters, text)))
}

fn single(delimiter: &Value) -> Option<char> {
    let Value::String(text) = delimiter else { return None };
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

fn parts(pattern: &str) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(next) = chars.next() {
        parts.push(match next {
            '*' => {
                let mut stars = 1;
                while chars.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                if stars == 1 { Part::Star } else { Part::SuperStar }
            }
            '?' => Part::One,
            '\\' => match chars.next() {
                Some(escaped) => Part::Literal(escaped),
                None => anyhow::bail!("glob pattern `{pattern}` ends with a backslash"),
            },
            '[' | ']' | '{' | '}' => {
                anyhow::bail!("glob pattern `{pattern}` holds `{next}`, which is not supported")
            }
            literal => Part::Literal(literal),
        });
    }
    Ok(parts)
}

/// Keeps for each part of the pattern whether it can begin here; time is pattern times text.
fn is_match(parts: &[Part], delimiters: &[char], text: &str) -> bool {
    let mut open = vec![false; parts.len() + 1];
    if let Some(first) = open.first_mut() {
        *first = true;
    }
    skip_stars(parts, &mut open);
    for next in text.chars() {
        let is_delimiter = delimiters.contains(&next);
        let mut following = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate() {
            if !open.get(at).copied().unwrap_or(false) {
                continue;
            }
            let (takes, stays) = match part {
                Part::Star => (false, !is_delimiter),
                Part::SuperStar => (false, true),
                Part::One => (!is_delimiter, false),
                Part::Literal(literal) => (*literal == next, false),
            };
            if let Some(slot) = following.get_mut(at) {
                *slot |= stays;
            }
            if let Some(slot) = following.get_mut(at + 1) {
                *slot |= takes;
            }
        }
        skip_stars(parts, &mut following);
        if following.iter().all(|open| !open) {
            return false;
        }
        open = following;
    }
    open.last().copied().unwrap_or(false)
}

fn skip_stars(parts: &[Part], open: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        let is_open = open.get(at).copied().unwrap_or(false);
        let is_star = matches!(part, Part::Star | Part::SuperStar);
        if let Some(next) = open.get_mut(at + 1) {
            *next |= is_open && is_star;
        }
    }
}
