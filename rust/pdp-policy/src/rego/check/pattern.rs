//! Which regular expressions and globs mean the same in the engine and in OPA.
//!
//! OPA uses RE2 as Go has it (<https://github.com/google/re2/wiki/Syntax>), where classes such as `\d` are ASCII;
//! the engine's are Unicode and know more syntax.

/// Largest count of a repetition in RE2.
const MAX_REPEAT: u32 = 1_000;

/// Why `pattern` may not match as in OPA, and what to write; `None` where it does.
pub(super) fn regex_fault(pattern: &str) -> Option<String> {
    let mut reader = Reader { rest: pattern };
    while let Some(next) = reader.next() {
        let fault = match next {
            '\\' => reader.escape(),
            '[' => reader.class(),
            '(' => reader.group(),
            '{' => reader.repetition(),
            _ => None,
        };
        if fault.is_some() {
            return fault;
        }
    }
    None
}

/// Whether the pattern matches the empty text.
pub(super) fn matches_nothing(pattern: &str) -> bool {
    regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(""))
}

/// Whether the glob uses nothing but `*`, `**`, `?`, escapes and literal text.
pub(super) fn is_plain_glob(pattern: &str) -> bool {
    !pattern.contains(['{', '}', '[', ']'])
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
        Some(next)
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let after = self.rest.strip_prefix(prefix);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn escape(&mut self) -> Option<String> {
        let escaped = self.next()?;
        let instead = match escaped {
            'd' => "write `[0-9]`",
            'D' => "write `[^0-9]`",
            'w' => "write `[0-9A-Za-z_]`",
            'W' => "write `[^0-9A-Za-z_]`",
            's' => "write `[\\t\\n\\f\\r ]`",
            'S' => "write `[^\\t\\n\\f\\r ]`",
            'b' | 'B' => "write out the characters around the word, such as `(^|[^0-9A-Za-z_])`",
            'n' | 't' | 'r' | 'f' | 'v' | 'A' | 'z' => return None,
            '<' | '>' => "write the character without the backslash",
            other if other.is_ascii_punctuation() => return None,
            _ => "write out the characters it stands for",
        };
        Some(format!("`\\{escaped}` matches differently from OPA: {instead}"))
    }

    fn class(&mut self) -> Option<String> {
        self.skip("^");
        // A bracket in the first place is literal.
        self.skip("]");
        loop {
            for operator in ["&&", "--", "~~"] {
                if self.rest.starts_with(operator) {
                    return Some(format!("`{operator}` in a class means something else in OPA: escape it"));
                }
            }
            match self.next()? {
                ']' => return None,
                '\\' => {
                    if let Some(fault) = self.escape() {
                        return Some(fault);
                    }
                }
                '[' if self.rest.starts_with(':') => {
                    let (_, after) = self.rest.split_once(":]")?;
                    self.rest = after;
                }
                '[' => return Some("`[` in a class means something else in OPA: write `\\[`".to_owned()),
                _ => {}
            }
        }
    }

    fn group(&mut self) -> Option<String> {
        if !self.skip("?") || self.skip("P<") {
            return None;
        }
        let flags: String = self.rest.chars().take_while(|c| matches!(c, 'i' | 'm' | 's' | '-')).collect();
        self.skip(&flags);
        if self.skip(":") || self.skip(")") {
            return None;
        }
        Some("only groups `(?P<name>`, `(?:` and the flags `i`, `m` and `s` are supported".to_owned())
    }

    fn repetition(&mut self) -> Option<String> {
        let inside = self.rest.split_once('}').map(|(inside, _)| inside);
        let counts = inside.map(|inside| inside.split(',').collect::<Vec<_>>()).unwrap_or_default();
        let is_count = |text: &&str| text.parse::<u32>().is_ok_and(|count| count <= MAX_REPEAT);
        let is_valid = match counts.as_slice() {
            [exact] => is_count(exact),
            [least, most] => is_count(least) && (most.is_empty() || is_count(most)),
            _ => false,
        };
        let fault = || {
            format!("`{{` that begins no count up to {MAX_REPEAT} is read differently by OPA: write `\\{{`")
        };
        (!is_valid).then(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_patterns_are_accepted() {
        let patterns =
            ["^a.c$", "(?i)abc", "[a-z_-]+\\.[^/]{1,3}", "(?P<x>b)|c*?", "[[:alpha:]]", "[]a]", "a{2,}"];
        for pattern in patterns {
            assert_eq!(regex_fault(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn patterns_with_another_meaning_are_refused() {
        let patterns = [
            "\\d", "[\\w]", "\\bx", "a{", "a{1001}", "[a&&b]", "[[a]]", "(?x)a", "(?<n>a)", "\\<", "\\pL",
            "\\Qa\\E",
        ];
        for pattern in patterns {
            assert!(regex_fault(pattern).is_some(), "{pattern}");
        }
    }
}
