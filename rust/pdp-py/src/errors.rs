//! The one mapping from the core's errors to the exceptions of `pdp.errors`.

use pdp_policy::Diagnostic;
use pdp_proto::v1::{ErrorDetail, ErrorReason};
use pdp_server::{StartError, StateError, config};
use pyo3::prelude::*;

pyo3::import_exception!(pdp.errors, ConfigError);
pyo3::import_exception!(pdp.errors, ListenError);
pyo3::import_exception!(pdp.errors, PolicySetError);
pyo3::import_exception!(pdp.errors, ServerError);

/// The error of a request that got no decision; its class belongs to its reason.
pub(crate) fn request(py: Python<'_>, detail: &ErrorDetail) -> PyErr {
    let reason = ErrorReason::try_from(detail.reason).unwrap_or_default().as_str_name();
    let reason = reason.strip_prefix("ERROR_REASON_").unwrap_or(reason);
    let made = py
        .import("pdp.errors")
        .and_then(|module| module.getattr("from_reason"))
        .and_then(|make| make.call1((reason, detail.field.as_str(), detail.message.as_str())));
    made.map_or_else(|fault| fault, PyErr::from_value)
}

/// The error of a setting that cannot be used.
pub(crate) fn config(fault: &config::ConfigError) -> PyErr {
    match fault {
        config::ConfigError::Document(message) => ConfigError::new_err(("config", message.clone())),
        config::ConfigError::Value { key, value, fix } => {
            ConfigError::new_err((*key, format!("`{value}` cannot be used: {fix}")))
        }
    }
}

/// The error of a server that did not start.
pub(crate) fn start(fault: &StartError) -> PyErr {
    match fault {
        StartError::Config(fault) => config(fault),
        StartError::Policies(faults) => policy_set(faults),
        StartError::State(fault) => state(fault),
        StartError::Tls(fault) => ConfigError::new_err(("tls", fault.to_string())),
        StartError::Bind(fault) => ListenError::new_err(fault.to_string()),
        StartError::Thread(_) | StartError::Reflection(_) => internal(fault.to_string()),
    }
}

/// The error of state that cannot be opened.
pub(crate) fn state(fault: &StateError) -> PyErr {
    match fault {
        StateError::Config(fault) => config(fault),
        StateError::Store(message) => ConfigError::new_err(("state.redis_url", message.clone())),
        StateError::Random => internal(fault.to_string()),
    }
}

/// The error of a policy set that does not build.
pub(crate) fn policy_set(diagnostics: &[Diagnostic]) -> PyErr {
    let rows: Vec<_> = diagnostics.iter().map(fields).collect();
    PolicySetError::new_err((rows,))
}

/// The error of a fault of the core itself.
pub(crate) fn internal(message: String) -> PyErr {
    ServerError::new_err(("INTERNAL", "", message))
}

/// A diagnostic's fields in the order of `pdp.errors.Diagnostic`.
fn fields(diagnostic: &Diagnostic) -> (String, u32, u32, &'static str, String) {
    let (row, column) = diagnostic.span.map_or((0, 0), |span| (span.row, span.column));
    (diagnostic.file.clone(), row, column, diagnostic.code.as_str(), diagnostic.message.clone())
}
