//! The load generator, run from Python.

use pdp_load::LoadConfig;
use pyo3::prelude::*;

use crate::errors::{ConfigError, internal};
use crate::guard::released;

/// Runs one load to its end and returns its report, as JSON.
#[pyfunction]
pub(crate) fn run_load(py: Python<'_>, config: &str) -> PyResult<String> {
    let config: LoadConfig =
        serde_json::from_str(config).map_err(|fault| ConfigError::new_err(("load", fault.to_string())))?;
    let report = released(py, || pdp_load::run_blocking(&config))?;
    let report = report.map_err(|fault| internal(fault.to_string()))?;
    serde_json::to_string(&report).map_err(|fault| internal(fault.to_string()))
}
