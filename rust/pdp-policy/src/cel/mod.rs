//! CEL on the `cel` crate: policies in the CEL policy YAML format, single expressions, tests.
//!
//! # A policy document
//!
//! ```yaml
//! name: sensitive_resources              # required
//! description: who may read what         # optional, any text
//! rule:
//!   id: read                             # optional
//!   description: optional, any text
//!   variables:                           # evaluated when first read, at most once
//!     - name: own
//!       expression: subject.id == resource.owner
//!   match:                               # the first that holds gives the answer
//!     - condition: variables.own         # absent: always holds
//!       output: "true"
//!     - condition: device.managed
//!       output: '{"effect": "deny", "code": "not_owner", "message": "only owners"}'
//!       explanation: "'asked by ' + subject.id"
//!     - condition: action == 'read'
//!       rule: {match: [{output: "false"}]}   # a nested rule, with variables of its own
//! ```
//!
//! A program made from it answers undefined where no match holds, and otherwise a map of
//! `output`, any value, and `explanation`, text, where the match has one. What an output
//! means is its reader's: this product reads `true` as allow, `false` as deny, and a map
//! with `effect` (`allow` or `deny`), `code`, `message` and `obligations`. A nested rule
//! whose matches all fail makes the answer undefined where it stands under a condition;
//! without one, the matches after it are tried. Its variables may hide those around it.
//!
//! # Names
//!
//! An expression reads the names its [`Schema`] declares and `variables.x`. Of a declared
//! message only the documented fields can be read. A message or map that the document
//! lacks reads as empty, so `has(device.managed)` is false; to read a field that is not
//! there is an error, never false.
//!
//! # What differs from the specification
//!
//! Refused at load, with the place: optional values, built messages, macros of two
//! variables, patterns that are no literals, formats that are no literals, unknown names
//! and functions, wrong numbers of arguments, `has` of a variable, and operations whose
//! types are known to make them fail or compare what is never equal.
//!
//! Put right, because the engine below reads them otherwise: patterns have RE2's syntax,
//! where `\d`, `\w`, `\s` and `\b` are ASCII; timestamps are RFC 3339 and nothing else;
//! `getMilliseconds` of a duration is the part below a second.
//!
//! Kept apart: whole numbers are `int` and others `double`, also below open maps, where
//! protobuf has only `double`. `ip` refuses IPv4-mapped addresses in every spelling, since
//! they would slip past the networks they belong to. `NaN` has no order, which is an error.
//!
//! # Bounds
//!
//! Checked before parsing: the length of an expression ([`MAX_EXPRESSION_BYTES`]), its
//! tokens and the nesting of its brackets. Checked before evaluating: the depth of the
//! tree with the variables it uses, the number of loops and their nesting, three. Metered
//! while evaluating: every pass of a loop spends its nodes and looks at the clock, and every
//! copy spends memory, so a budget is passed by no more than one pass of an innermost loop.
//! A budget once passed is the evaluation's error, whatever `||` made of it.

mod call;
mod convert;
mod document;
mod expression;
mod function;
mod loops;
mod lower;
mod meter;
mod metered;
mod net;
mod network;
mod parse;
mod pattern;
mod plan;
mod test_file;
mod types;
mod yaml;

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, DiagnosticCode, Span};
use crate::program::{Program, Source};
use crate::schema::Schema;
pub use expression::{Evaluation, evaluate_expression};
pub use function::{FUNCTIONS, METHODS};
use lower::{Pool, Variable};
use parse::Fault;
pub use parse::MAX_EXPRESSION_BYTES;
use plan::{CelProgram, Entry, Placed, Plan};
pub use test_file::run_tests;

/// Compiles a policy in the CEL policy YAML format.
///
/// # Errors
/// Every fault found, with its place in the YAML file.
pub fn compile_policy(source: &Source, schema: &Schema) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
    let plan = document::compile(source, *schema)?;
    Ok(Box::new(program(plan)?))
}

/// Compiles one expression, such as a limit's key; the program answers its value.
/// `source.text` is the expression, `source.path` the file it stands in and `at` its place there.
///
/// # Errors
/// Every fault found, with its place in the file.
pub fn compile_expression(
    source: &Source,
    at: Span,
    schema: &Schema,
) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
    let mut pool = Pool::default();
    let unit = unit(&source.text, *schema, &[], &mut pool)
        .map_err(|faults| faults.into_iter().map(|fault| place(source, at, fault)).collect::<Vec<_>>())?;
    let units = vec![Placed { unit, span: at, role: "expression".to_owned() }];
    let entry = Entry::Expression(0);
    let plan = Plan { file: source.path.clone(), units, variables: Vec::new(), pool, entry };
    Ok(Box::new(program(plan)?))
}

fn unit(
    text: &str,
    schema: Schema,
    variables: &[Variable],
    pool: &mut Pool,
) -> Result<lower::Unit, Vec<Fault>> {
    lower::lower(text, parse::parse(text)?, schema, variables, pool)
}

fn program(plan: Plan) -> Result<CelProgram, Vec<Diagnostic>> {
    match &*function::ENVIRONMENT {
        Ok(environment) => Ok(CelProgram { plan: Arc::new(plan), environment: Arc::clone(environment) }),
        Err(error) => Err(vec![Diagnostic {
            file: plan.file,
            span: None,
            code: DiagnosticCode::CelConstructUnsupported,
            message: format!("the function library cannot be built: {error}"),
        }]),
    }
}

/// The diagnostic of a fault in an expression that begins at `at`.
fn place(source: &Source, at: Span, fault: Fault) -> Diagnostic {
    let before = source.text.get(..fault.at).unwrap_or_default();
    let rows = u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX);
    let line = before.rsplit('\n').next().unwrap_or_default();
    let columns = u32::try_from(line.chars().count()).unwrap_or(u32::MAX);
    let column = if rows == 0 { at.column.saturating_add(columns) } else { columns.saturating_add(1) };
    let span = Some(Span { row: at.row.saturating_add(rows), column });
    Diagnostic { file: source.path.clone(), span, code: fault.code, message: fault.message }
}
