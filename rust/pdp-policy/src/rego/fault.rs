//! Errors of the engine as diagnostics and evaluation errors.

use crate::diagnostic::{Diagnostic, DiagnosticCode, Span};
use crate::program::EvalError;

/// An error of the engine taken apart: where it happened and what it says.
pub(super) struct Fault {
    file: Option<String>,
    span: Option<Span>,
    message: String,
}

impl Fault {
    /// Reads `--> file:row:column` and `error: message` out of the engine's rendering.
    pub(super) fn parse(error: &anyhow::Error) -> Self {
        let text = format!("{error}");
        let place = text.lines().find_map(|line| line.trim_start().strip_prefix("--> ")).and_then(|place| {
            let mut parts = place.rsplitn(3, ':');
            let column = parts.next()?.trim().parse().ok()?;
            let row = parts.next()?.parse().ok()?;
            Some((parts.next()?.to_owned(), Span { row, column }))
        });
        let message = text.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(text.trim());
        let message = message.trim_end_matches('.').to_owned();
        match place {
            Some((file, span)) => Self { file: Some(file), span: Some(span), message },
            None => Self { file: None, span: None, message },
        }
    }

    /// As a fault of a source; `file` where the error names none.
    pub(super) fn into_diagnostic(self, file: &str, code: DiagnosticCode) -> Diagnostic {
        Diagnostic {
            file: self.file.unwrap_or_else(|| file.to_owned()),
            span: self.span,
            code,
            message: self.message,
        }
    }

    /// On one line, place first.
    pub(super) fn into_message(self) -> String {
        match (self.file, self.span) {
            (Some(file), Some(span)) => format!("{file}:{}:{}: {}", span.row, span.column, self.message),
            _ => self.message,
        }
    }
}

/// What an error met while evaluating means. The time limit may reach us as text because the interpreter
/// renders errors that pass through functions.
pub(super) fn evaluation(error: &anyhow::Error) -> EvalError {
    let limit = error.downcast_ref::<regorus::LimitError>();
    let text = format!("{error}");
    if matches!(limit, Some(regorus::LimitError::TimeLimitExceeded { .. }))
        || text.contains("execution exceeded time limit")
    {
        return EvalError::Timeout;
    }
    if text.contains(super::extension::TOO_MANY_ELEMENTS) {
        return EvalError::Memory;
    }
    EvalError::Policy { message: Fault::parse(error).into_message() }
}
