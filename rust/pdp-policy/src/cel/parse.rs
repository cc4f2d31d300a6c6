//! From text to a syntax tree, with size and depth bounded before the parser sees the text.

use std::panic::catch_unwind;

use cel::parser::pratt_parser::{Lexer, TokenKind};
use cel::parser::{Expression, PrattParser};

use crate::diagnostic::DiagnosticCode;

/// Longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 8_192;
/// Most tokens an expression may have.
const MAX_TOKENS: usize = 2_000;
/// Deepest nesting of brackets, conditionals and signs.
const MAX_NESTING: usize = 24;
/// Deepest recursion of the parser, which counts several levels a bracket.
const MAX_RECURSION: u16 = 96;

/// A fault in an expression, at a byte offset of its text.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) code: DiagnosticCode,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(at: usize, code: DiagnosticCode, message: impl Into<String>) -> Self {
        Self { at, code, message: message.into() }
    }
}

/// Parses `text`, expanding the standard macros. A parser that panics has refused the text.
pub(super) fn parse(text: &str) -> Result<Expression, Vec<Fault>> {
    catch_unwind(|| parse_bounded(text)).unwrap_or_else(|_| {
        Err(vec![Fault::new(0, DiagnosticCode::CelSyntax, "the expression cannot be parsed")])
    })
}

fn parse_bounded(text: &str) -> Result<Expression, Vec<Fault>> {
    bound(text).map_err(|fault| vec![fault])?;
    let parser = PrattParser::new()
        .max_recursion_depth(MAX_RECURSION)
        .error_reporting_limit(8)
        .enable_optional_syntax(true);
    parser.parse(text).map_err(|errors| {
        errors
            .errors
            .iter()
            .map(|error| {
                let at = offset(text, error.pos);
                let mut message = error.msg.trim().to_lowercase();
                if message == "reserved identifier: function" {
                    message.push_str(", write `workload`");
                }
                Fault::new(at, DiagnosticCode::CelSyntax, message)
            })
            .collect()
    })
}

/// Refuses what would make the parser slow or deep.
fn bound(text: &str) -> Result<(), Fault> {
    let too_large = |at, message: String| Err(Fault::new(at, DiagnosticCode::TooLarge, message));
    if text.len() > MAX_EXPRESSION_BYTES {
        return too_large(0, format!("the expression is longer than {MAX_EXPRESSION_BYTES} bytes"));
    }
    let mut lexer = Lexer::new(text);
    let (mut tokens, mut brackets, mut questions, mut signs) = (0, 0_usize, 0, 0);
    loop {
        let token = lexer.lex();
        match token.kind {
            TokenKind::TokEnd => return Ok(()),
            TokenKind::TokWhitespace | TokenKind::TokComment => continue,
            TokenKind::TokLeftBracket | TokenKind::TokLeftBrace | TokenKind::TokLeftParen => brackets += 1,
            TokenKind::TokRightBracket | TokenKind::TokRightBrace | TokenKind::TokRightParen => {
                brackets = brackets.saturating_sub(1);
            }
            TokenKind::TokQuestion => questions += 1,
            _ => {}
        }
        signs = match token.kind {
            TokenKind::TokExclamation | TokenKind::TokMinus => signs + 1,
            _ => 0,
        };
        tokens += 1;
        if tokens > MAX_TOKENS {
            return too_large(token.start, format!("the expression has more than {MAX_TOKENS} tokens"));
        }
        if brackets > MAX_NESTING || signs > MAX_NESTING || questions > MAX_NESTING {
            return too_large(token.start, format!("the expression is nested more than {MAX_NESTING} deep"));
        }
        if token.kind == TokenKind::TokError {
            // The parser reports it with its place.
            return Ok(());
        }
    }
}

/// Byte offset of the parser's one-based row and column.
fn offset(text: &str, (row, column): (isize, isize)) -> usize {
    let row = usize::try_from(row).unwrap_or(1).max(1);
    let column = usize::try_from(column).unwrap_or(1).max(1);
    let before: usize = text.split_inclusive('\n').take(row - 1).map(str::len).sum();
    let mut at = (before + column - 1).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Where an identifier stands as a name (`field` false), or after a dot (`field` true).
pub(super) fn locate(text: &str, name: &str, field: bool) -> usize {
    let mut lexer = Lexer::new(text);
    let mut after_dot = false;
    loop {
        let token = lexer.lex();
        match token.kind {
            TokenKind::TokEnd | TokenKind::TokError => return 0,
            TokenKind::TokWhitespace | TokenKind::TokComment => continue,
            TokenKind::TokIdent if after_dot == field && text.get(token.start..token.end) == Some(name) => {
                return token.start;
            }
            _ => after_dot = token.kind == TokenKind::TokDot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_nesting_is_refused_at_once() {
        let hostile = [
            "(".repeat(125),
            "[".repeat(125),
            "{".repeat(125),
            "[[".repeat(60) + &"]]".repeat(60),
            "!".repeat(124) + "a",
            "-".repeat(124) + "1",
            "a?".repeat(60),
            "a?b:".repeat(31) + "c",
            "a(".repeat(60),
            "a[".repeat(60),
            "{1:".repeat(40),
            "((((((((((((((((((((((((((((((".to_owned(),
            "\u{0}".repeat(125),
            "\"".repeat(125),
        ];
        for text in hostile {
            let started = std::time::Instant::now();
            assert!(parse(&text).is_err(), "{text}");
            assert!(started.elapsed().as_millis() < 50, "{text}");
        }
    }

    #[test]
    fn oversized_expression_is_refused_before_parsing() {
        let text = format!("'{}' == a", "x".repeat(MAX_EXPRESSION_BYTES));
        assert_eq!(parse(&text).unwrap_err()[0].code, DiagnosticCode::TooLarge);
    }

    #[test]
    fn syntax_error_has_its_offset() {
        let faults = parse("a &&\n  == b").unwrap_err();
        assert_eq!((faults[0].code, faults[0].at), (DiagnosticCode::CelSyntax, 7));
    }

    #[test]
    fn name_is_located_apart_from_a_field_of_the_same_name() {
        assert_eq!(locate("a.roles + roles", "roles", true), 2);
        assert_eq!(locate("a.roles + roles", "roles", false), 10);
    }
}
