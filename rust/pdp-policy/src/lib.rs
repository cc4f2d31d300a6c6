//! Policy languages behind one trait: sources are compiled to a [`Program`],
//! a worker instantiates it, an [`Evaluator`] answers.
//!
//! Nothing outside of this crate sees a type of an engine it stands on, so an
//! engine can be replaced without its users noticing.

pub mod cel;
pub mod diagnostic;
pub mod program;
pub mod rego;
pub mod schema;
pub mod test_result;
pub mod value;

pub use diagnostic::{Diagnostic, DiagnosticCode, Span};
pub use program::{Budget, EvalError, Evaluator, Input, Program, Source};
pub use schema::{Field, Schema, Shape};
pub use test_result::{TestOutcome, TestResult};
pub use value::{Float, Key, Map, Value};
