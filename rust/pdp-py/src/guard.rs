//! Work done with the interpreter released; a panic inside becomes an exception.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

use crate::errors;

/// Runs `work` while other Python threads may run.
///
/// # Errors
/// `ServerError` when `work` panics; the core's state is only shared through
/// snapshots and locks that a panic does not poison.
pub(crate) fn released<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work))).map_err(|panic| errors::internal(message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the core failed: {}", text.unwrap_or("unknown"))
}
