//! What is refused by a module's text alone: constructs the parser lacks, and shapes that would exhaust its stack.

use super::token::{Kind, Token, tokens};
use crate::diagnostic::{Diagnostic, DiagnosticCode, Span};
use crate::program::Source;

/// Deepest nesting of brackets.
const MAX_BRACKETS: usize = 48;

/// Operators one expression may chain: the parser's trees lean left and are walked recursively.
const MAX_OPERATORS: usize = 256;

const KEYWORDS: [&str; 16] = [
    "and", "as", "contains", "default", "else", "every", "false", "if", "import", "in", "not", "null", "or",
    "package", "some", "with",
];

/// Checks a module's text.
pub(in crate::rego) fn check(module: &Source) -> Vec<Diagnostic> {
    let tokens = tokens(&module.text);
    let mut checker = Checker { file: &module.path, faults: Vec::new() };
    checker.shape(&tokens);
    checker.words(&tokens);
    checker.faults
}

struct Checker<'a> {
    file: &'a str,
    faults: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn refuse(&mut self, span: Span, code: DiagnosticCode, message: impl Into<String>) {
        self.faults.push(Diagnostic {
            file: self.file.to_owned(),
            span: Some(span),
            code,
            message: message.into(),
        });
    }

    fn shape(&mut self, tokens: &[Token<'_>]) {
        let mut brackets = 0_usize;
        let mut operators = 0_usize;
        let mut last: Option<Token<'_>> = None;
        for token in tokens {
            match token.text {
                "(" | "[" | "{" => brackets += 1,
                ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            if brackets > MAX_BRACKETS {
                let message = format!("brackets are nested deeper than {MAX_BRACKETS} levels");
                return self.refuse(token.span, DiagnosticCode::TooLarge, message);
            }
            let follows_operator = last.is_some_and(|last| is_operator(last.text));
            let is_new_line = last.is_none_or(|last| last.span.row != token.span.row);
            if is_operator(token.text) {
                operators += 1;
            } else if (is_new_line && !follows_operator) || token.text == ";" {
                operators = 0;
            }
            if operators > MAX_OPERATORS {
                let message = format!("an expression chains more than {MAX_OPERATORS} operators");
                return self.refuse(token.span, DiagnosticCode::TooLarge, message);
            }
            last = Some(*token);
        }
    }

    fn words(&mut self, tokens: &[Token<'_>]) {
        let mut skip_until = 0;
        for (at, token) in tokens.iter().enumerate() {
            if at < skip_until {
                continue;
            }
            let previous = at.checked_sub(1).and_then(|at| tokens.get(at));
            let is_path = previous.is_some_and(|token| token.text == ".") && token.is_adjacent;
            if token.kind == Kind::Text && token.text.starts_with('$') {
                self.refuse(
                    token.span,
                    DiagnosticCode::RegoConstructUnsupported,
                    "string interpolation is not supported: use `sprintf` or `concat`",
                );
            } else if token.text == "import" && !is_path {
                skip_until = at + self.import(tokens.get(at..).unwrap_or_default());
            } else if is_path && token.kind == Kind::Name && KEYWORDS.contains(&token.text) {
                let message = format!(
                    "keyword `{word}` in a reference is not supported: write `[\"{word}\"]`",
                    word = token.text
                );
                self.refuse(token.span, DiagnosticCode::RegoConstructUnsupported, message);
            }
        }
    }

    /// Checks an import and returns how many tokens it takes.
    fn import(&mut self, tokens: &[Token<'_>]) -> usize {
        let path = |length: usize| -> Vec<&str> {
            tokens.get(1..=length).unwrap_or_default().iter().map(|token| token.text).collect()
        };
        let Some(span) = tokens.first().map(|token| token.span) else { return 1 };
        if path(3) == ["rego", ".", "v2"] {
            self.refuse(
                span,
                DiagnosticCode::RegoConstructUnsupported,
                "`import rego.v2` is not supported: write the module for Rego v1",
            );
            return 4;
        }
        if path(3) != ["future", ".", "keywords"] {
            return 1;
        }
        let keyword = tokens.get(4).filter(|dot| dot.text == "." && dot.is_adjacent).and(tokens.get(5));
        match keyword.map(|token| token.text) {
            Some(word @ ("not" | "and" | "or")) => self.refuse(
                span,
                DiagnosticCode::RegoConstructUnsupported,
                format!("`import future.keywords.{word}` is not supported: remove it and write the rule in Rego v1"),
            ),
            None => self.refuse(
                span,
                DiagnosticCode::RegoConstructUnsupported,
                "`import future.keywords` brings in `not`, `and` and `or` with a meaning that is not supported: remove it, Rego v1 needs no import",
            ),
            Some(_) => {}
        }
        6
    }
}

fn is_operator(text: &str) -> bool {
    matches!(
        text,
        "+" | "-"
            | "*"
            | "/"
            | "%"
            | "&"
            | "|"
            | "="
            | ":="
            | "=="
            | "!="
            | "<"
            | "<="
            | ">"
            | ">="
            | "in"
            | "not"
    )
}
