//! A tokenizer for what has to be known of a module before it is parsed.

use crate::diagnostic::Span;

/// A token and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) span: Span,
    /// Whether no space or line break stands before it.
    pub(super) is_adjacent: bool,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    /// `"..."` or a raw string; `$"..."` where the text begins with `$`.
    Text,
    Symbol,
}

/// Splits `text` into tokens, leaving comments out. Never fails: what is no token becomes a symbol.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut reader = Reader { text, at: 0, row: 1, column: 1 };
    let mut tokens = Vec::new();
    loop {
        let before = reader.at;
        reader.skip_blank();
        let is_adjacent = before == reader.at;
        let span = Span { row: reader.row, column: reader.column };
        let start = reader.at;
        let Some(kind) = reader.token() else { return tokens };
        let text = text.get(start..reader.at).unwrap_or_default();
        tokens.push(Token { kind, text, span, is_adjacent });
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    row: u32,
    column: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn step(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        if next == '\n' {
            self.row += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(next)
    }

    fn step_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&keep) {
            self.step();
        }
    }

    fn skip_blank(&mut self) {
        loop {
            self.step_while(char::is_whitespace);
            if self.peek() != Some('#') {
                return;
            }
            self.step_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Option<Kind> {
        let first = self.step()?;
        Some(match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                self.step_while(|c| c.is_ascii_alphanumeric() || c == '_');
                Kind::Name
            }
            '0'..='9' => {
                self.step_while(|c| c.is_ascii_alphanumeric() || c == '.');
                Kind::Number
            }
            '"' => self.quoted(),
            '`' => self.raw(),
            '$' if self.peek() == Some('"') => {
                self.step();
                self.quoted()
            }
            '$' if self.peek() == Some('`') => {
                self.step();
                self.raw()
            }
            ':' | '=' | '!' | '<' | '>' => {
                if self.peek() == Some('=') {
                    self.step();
                }
                Kind::Symbol
            }
            _ => Kind::Symbol,
        })
    }

    fn quoted(&mut self) -> Kind {
        while let Some(next) = self.step() {
            match next {
                '\\' => {
                    self.step();
                }
                '"' | '\n' => break,
                _ => {}
            }
        }
        Kind::Text
    }

    fn raw(&mut self) -> Kind {
        while let Some(next) = self.step() {
            if next == '`' {
                break;
            }
        }
        Kind::Text
    }
}
