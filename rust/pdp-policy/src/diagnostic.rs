//! What is wrong with a policy source, where, and how to mend it.

use std::fmt;

/// A fault in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// File as given in [`crate::Source::path`].
    pub file: String,
    /// Where in the file; `None` where the fault has no place.
    pub span: Option<Span>,
    /// Stable code.
    pub code: DiagnosticCode,
    /// What is wrong and how to fix it, lower case, no final stop.
    pub message: String,
}

/// A place in a source, both from 1. Columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Row.
    pub row: u32,
    /// Column.
    pub column: u32,
}

/// Stable codes of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiagnosticCode {
    /// Rego that does not parse or compile.
    RegoSyntax,
    /// A builtin that the engine lacks.
    RegoBuiltinMissing,
    /// A construct that the engine lacks.
    RegoConstructUnsupported,
    /// A construct that the engine answers differently from OPA.
    RegoConstructDiffers,
    /// The package or the entrypoint does not exist.
    RegoEntrypoint,
    /// CEL that does not parse.
    CelSyntax,
    /// A name that is not declared.
    CelUndeclared,
    /// A function that the engine lacks.
    CelFunctionMissing,
    /// A construct that the engine lacks or answers differently from the specification.
    CelConstructUnsupported,
    /// A source or an expression past its bounds.
    TooLarge,
    /// A policy document or manifest of the wrong shape.
    Document,
    /// A file that cannot be read.
    Unreadable,
}

impl DiagnosticCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RegoSyntax => "rego_syntax",
            Self::RegoBuiltinMissing => "rego_builtin_missing",
            Self::RegoConstructUnsupported => "rego_construct_unsupported",
            Self::RegoConstructDiffers => "rego_construct_differs",
            Self::RegoEntrypoint => "rego_entrypoint",
            Self::CelSyntax => "cel_syntax",
            Self::CelUndeclared => "cel_undeclared",
            Self::CelFunctionMissing => "cel_function_missing",
            Self::CelConstructUnsupported => "cel_construct_unsupported",
            Self::TooLarge => "too_large",
            Self::Document => "document",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(span) = self.span {
            write!(f, ":{}:{}", span.row, span.column)?;
        }
        write!(f, ": {}: {}", self.code.as_str(), self.message)
    }
}
