//! Patterns in RE2 syntax, as CEL has them, for an engine whose syntax differs in places.

/// Most bytes a compiled pattern may take.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Compiles `pattern` with RE2's meaning.
///
/// # Errors
/// What is wrong, or which construct means something else in RE2.
pub(super) fn compile(pattern: &str) -> Result<regex::Regex, String> {
    let translated = translate(pattern)?;
    regex::RegexBuilder::new(&translated).size_limit(MAX_COMPILED_BYTES).build().map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        format!("not a pattern: {}", last.trim_start_matches("error: "))
    })
}

/// Rewrites what the two syntaxes read differently: in RE2 the Perl classes are ASCII,
/// and a bracket, `&&`, `--` or `~~` in a class is plain text.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let (taken, written) = match c {
            '\\' => escape(rest, in_class),
            '[' if in_class => bracket(rest),
            '[' => {
                in_class = true;
                class_start(rest)
            }
            ']' if in_class => {
                in_class = false;
                (1, "]".to_owned())
            }
            '&' | '~' if in_class => (1, format!("\\{c}")),
            '-' if in_class && rest.starts_with("--") => (1, "\\-".to_owned()),
            '(' if !in_class => {
                group(rest)?;
                (1, "(".to_owned())
            }
            '{' if !in_class && rest.starts_with("{,") => {
                return Err("`{,n}` is not a repetition in RE2, write `{0,n}`".to_owned());
            }
            other => (other.len_utf8(), other.to_string()),
        };
        out.push_str(&written);
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(out)
}

fn escape(rest: &str, in_class: bool) -> (usize, String) {
    let Some(c) = rest.chars().nth(1) else { return (1, "\\".to_owned()) };
    let written = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' if !in_class => r"(?-u:\b)",
        'B' if !in_class => r"(?-u:\B)",
        '<' => "<",
        '>' => ">",
        _ => return (1 + c.len_utf8(), format!("\\{c}")),
    };
    (2, written.to_owned())
}

/// A class's opening, with a `]` that stands first and so is plain text.
fn class_start(rest: &str) -> (usize, String) {
    if rest.starts_with("[^]") {
        (3, r"[^\]".to_owned())
    } else if rest.starts_with("[]") {
        (2, r"[\]".to_owned())
    } else if rest.starts_with("[^") {
        (2, "[^".to_owned())
    } else {
        (1, "[".to_owned())
    }
}

/// A bracket inside a class: a POSIX class or plain text.
fn bracket(rest: &str) -> (usize, String) {
    let posix = rest.strip_prefix("[:").and_then(|inner| inner.find(":]"));
    match posix.and_then(|end| rest.get(..end + 4)) {
        Some(class) => (class.len(), class.to_owned()),
        None => (1, r"\[".to_owned()),
    }
}

/// Refuses flags that RE2 lacks.
fn group(rest: &str) -> Result<(), String> {
    let Some(flags) = rest.strip_prefix("(?") else { return Ok(()) };
    let flags: String = flags.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
    if flags.starts_with('P') || flags.chars().all(|c| "imsU-".contains(c)) {
        return Ok(());
    }
    Err(format!("the flags `{flags}` do not exist in RE2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        compile(pattern).unwrap().is_match(text)
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert!(matches(r"^\d+$", "42") && !matches(r"^\d+$", "٤٢"));
        assert!(matches(r"^\w+$", "ab_1") && !matches(r"^\w+$", "é"));
        assert!(matches(r"^[\d\-]+$", "4-2"));
        assert!(matches(r"\bcat\b", "a cat sat"));
        assert!(matches(r"^\S\D\W$", "éé "));
    }

    #[test]
    fn class_operators_are_plain_text() {
        assert!(matches(r"^[a&&b]+$", "a&b"));
        assert!(matches(r"^[a[b]+$", "a[b"));
        assert!(matches(r"^[[:alpha:]1]+$", "ab1"));
        assert!(matches(r"^[]a]+$", "]a"));
        assert!(matches(r"^[a~~b]+$", "~"));
    }

    #[test]
    fn what_re2_lacks_is_refused() {
        for pattern in ["(?x) a b", "(a", r"(a)\1", "(?=a)", "a{,3}", "a{1000}{1000}{1000}", "(?u)a"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn groups_and_flags_of_re2_are_kept() {
        assert!(matches("(?i)^abc$", "ABC") && matches("(?P<x>a)(?:b)", "ab") && matches("(?i:A)b", "ab"));
    }
}
