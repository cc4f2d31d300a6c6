//! Rego on the regorus interpreter, checked at load so that it answers as OPA 1.22 does or not at all.
//!
//! Only the interpreter of regorus is used: its register machine reads an undefined assignment as success.
//! What the interpreter lacks or answers differently is refused when a package is compiled ([`check`]).
//!
//! # Errors and undefined
//! As in OPA's default, a builtin that fails makes its expression undefined; a conflict between rules is an
//! error. Arithmetic on operands that are not numbers is undefined in OPA and an error here, so that the
//! policy denies with its own code instead of answering otherwise than OPA would; so are set operations on
//! other types, and iterating over a scalar. `tests/rego_probes` holds every such case.
//!
//! # Known differences
//! * OPA's type checker refuses some policies that are evaluated here; the ill-typed expression is undefined.
//! * Sums and products of decimal fractions that come from the input or the data may differ from OPA in the
//!   last of their 15 digits, as OPA computes them exactly. Fractions written in a policy are refused.
//! * Whole numbers beyond 64 bits in an answer are an error.
//!
//! # Budgets
//! * Time: the interpreter reads the clock every [`TICKS_PER_CLOCK_READ`] expressions. One call of a builtin is
//!   not interrupted, so builtins whose answer may be far larger than their arguments are bounded by number of
//!   elements.
//! * Instructions: the interpreter does not count them. Each instruction is charged as
//!   [`NANOSECONDS_PER_INSTRUCTION`] of wall time, a multiple of what one takes, and the smaller of both limits
//!   ends the evaluation.
//! * Memory: the interpreter has no hook without replacing the process' allocator. Bounded are the input, the
//!   answer, the elements a builtin may make, and through the time budget what can be built in between.

mod check;
mod convert;
mod evaluator;
mod extension;
mod fault;
mod guard;
mod load;
mod query;
mod test_runner;

use crate::diagnostic::{Diagnostic, DiagnosticCode};
use crate::program::{Program, Source};
use crate::value::Value;

pub use query::{QueryFault, QueryOptions, query};
pub use test_runner::{FileCoverage, TestReport, run_tests};

/// How many expressions the interpreter evaluates between two looks at the clock.
pub const TICKS_PER_CLOCK_READ: u32 = 64;

/// Wall time one instruction of the budget stands for.
pub const NANOSECONDS_PER_INSTRUCTION: u64 = 1_000;

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
/// The program answers with a map that holds each defined rule, which is empty where none is defined.
/// Sets become sorted lists.
///
/// # Errors
/// Every fault found: syntax, missing builtins and constructs the engine would answer differently from OPA.
pub fn compile(source: &RegoSource<'_>) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
    guard::compiling(|| compile_guarded(source))
}

fn compile_guarded(source: &RegoSource<'_>) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
    let mut loaded = load::load(source.modules, source.data)?;
    let known = check::Guarantees { input: source.guaranteed, input_is_object: true };
    let checked = check::modules(&mut loaded.engine, source.data, &known);
    if !checked.faults.is_empty() {
        return Err(checked.faults);
    }
    let rules = entry_rules(source, &checked)?;
    evaluator::program(loaded, source, &rules, checked.is_pure)
}

/// The rules of the entrypoint that the package defines.
fn entry_rules<'a>(
    source: &RegoSource<'a>,
    checked: &check::Checked,
) -> Result<Vec<&'a str>, Vec<Diagnostic>> {
    let fault = |message: String| {
        let file = source.modules.first().map(|module| module.path.clone()).unwrap_or_default();
        vec![Diagnostic { file, span: None, code: DiagnosticCode::RegoEntrypoint, message }]
    };
    let Some(defined) = checked.rules_of(source.package) else {
        return Err(fault(format!("no module declares `package {}`", source.package)));
    };
    if let Some(rule) = source.rules.iter().find(|rule| checked.is_in_parts(source.package, rule)) {
        return Err(fault(format!(
            "rule `{rule}` is declared only in parts, such as `{rule}.x`: give it one name"
        )));
    }
    let rules: Vec<&str> = source.rules.iter().copied().filter(|rule| defined.contains(*rule)).collect();
    if rules.is_empty() {
        let wanted = source.rules.join("`, `");
        return Err(fault(format!("package `{}` defines none of `{wanted}`", source.package)));
    }
    Ok(rules)
}
