//! Panics of the engine below become errors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::diagnostic::{Diagnostic, DiagnosticCode};

/// Runs `work`; a panic becomes a fault of the source.
pub(super) fn compiling<T>(work: impl FnOnce() -> Result<T, Vec<Diagnostic>>) -> Result<T, Vec<Diagnostic>> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(vec![Diagnostic {
            file: String::new(),
            span: None,
            code: DiagnosticCode::RegoConstructUnsupported,
            message: format!("the engine failed on this policy: {}", text_of(panic.as_ref())),
        }])
    })
}

/// Runs `work`; `None` on a panic, after which nothing `work` touched may be used again.
pub(super) fn evaluating<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text_of(panic.as_ref()))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
        .to_owned()
}
