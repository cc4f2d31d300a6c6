//! The trait every engine stands behind: compile, instantiate, evaluate.

use std::any::Any;
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::value::Value;

/// A policy source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path relative to the policy directory, for diagnostics.
    pub path: String,
    /// Text.
    pub text: Arc<str>,
}

/// Something that can be evaluated; shared by all workers.
pub trait Program: Send + Sync {
    /// Makes an evaluator for one worker, prepared so that evaluating compiles nothing.
    fn instantiate(&self) -> Box<dyn Evaluator>;

    /// Whether equal input always gives an equal answer: no time, no randomness, no environment.
    fn is_pure(&self) -> bool;

    /// Whether the program has a rule of this name. A program that is not made of
    /// rules answers as a whole and has every rule.
    fn defines(&self, _rule: &str) -> bool {
        true
    }
}

/// A program made ready for one worker.
pub trait Evaluator {
    /// Evaluates against `input`.
    ///
    /// `Ok(None)` is undefined. For a Rego package the value is a map that holds
    /// each of the program's rules that is defined.
    ///
    /// # Errors
    /// An [`EvalError`] when the policy fails or passes its budget; never to be read as false.
    fn evaluate(&mut self, input: &Input, budget: &Budget) -> Result<Option<Value>, EvalError>;
}

/// What one evaluation may use.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Wall time.
    pub time: Duration,
    /// Steps: statements in Rego, expression nodes in CEL.
    pub instructions: u64,
    /// Bytes of memory an evaluation may hold in values it makes.
    pub memory_bytes: u64,
    /// What the policy sees as the time of the request.
    pub now: SystemTime,
}

/// Why an evaluation gave no answer. An error is never false and never undefined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The policy itself failed: a conflict, a type error, a failing builtin.
    #[error("{message}")]
    Policy {
        /// What failed, with place where the engine knows it.
        message: String,
    },
    /// The time budget was passed.
    #[error("evaluation passed its time budget")]
    Timeout,
    /// The instruction budget was passed.
    #[error("evaluation passed its instruction budget")]
    Instructions,
    /// The memory budget was passed.
    #[error("evaluation passed its memory budget")]
    Memory,
}

/// An input document, shared by the evaluations of one request. Each engine
/// converts it at most once.
pub struct Input {
    document: Value,
    rego: OnceCell<Box<dyn Any>>,
}

impl Input {
    /// Wraps `document`, a map for every question this product asks.
    #[must_use]
    pub fn new(document: Value) -> Self {
        Self { document, rego: OnceCell::new() }
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The document as the Rego engine holds it, converted by `convert` on first use.
    pub(crate) fn rego<T: 'static>(&self, convert: impl FnOnce(&Value) -> T) -> Option<&T> {
        self.rego.get_or_init(|| Box::new(convert(&self.document))).downcast_ref()
    }
}
