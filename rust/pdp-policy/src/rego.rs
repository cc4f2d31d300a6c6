//! Rego on the regorus interpreter.

use crate::diagnostic::Diagnostic;
use crate::program::{Program, Source};
use crate::value::Value;

/// What to compile: modules and data, and which rules of which package to answer with.
pub struct RegoSource<'a> {
    /// Modules: the policy and every library it imports.
    pub modules: &'a [Source],
    /// The `data` document.
    pub data: &'a Value,
    /// Package of the policy, without `data.`, such as `access.payments`.
    pub package: &'a str,
    /// Rules to answer with, such as `allow`, `deny`, `obligations`; those the package lacks stay undefined.
    pub rules: &'a [&'a str],
    /// Input paths that always exist, such as `input.subject.id`.
    pub guaranteed: &'a [&'a str],
}

/// Compiles a package.
///
/// # Errors
/// Every fault found: syntax, missing builtins and constructs the engine
/// would answer differently from OPA.
pub fn compile(_source: &RegoSource<'_>) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
    Err(Vec::new())
}
