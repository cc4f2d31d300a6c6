//! A decision point without sockets.

use std::path::PathBuf;
use std::sync::Arc;

use pdp_engine::{LoadOptions, PolicySet};
use pdp_policy::Diagnostic;
use pdp_proto::v1::ErrorDetail;
use pdp_server::config::EngineConfig;
use pdp_server::{Decider, state};
use prost::Message;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::{Value as Json, json};

use crate::errors;
use crate::guard::released;

/// Decides requests in this process, from any thread.
#[pyclass(frozen, module = "pdp._core")]
pub(crate) struct Engine {
    decider: Decider,
    directory: PathBuf,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let config = EngineConfig::from_json(config).map_err(|fault| errors::config(&fault))?;
        let directory = config.policies.clone();
        let set = load(py, &directory)?;
        let state = released(py, || state::open(&config.state))?.map_err(|fault| errors::state(&fault))?;
        Ok(Self { decider: Decider::new(set, config.worker_options(), state), directory })
    }

    /// Answers an encoded `CheckRequest` with an encoded `CheckResponse`.
    fn check<'py>(&self, py: Python<'py>, request: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let answer = released(py, || Ok(self.decider.check_encoded(request, None)?.encode_to_vec()))?;
        bytes(py, answer)
    }

    /// Answers an encoded `CheckBatchRequest` with an encoded `CheckBatchResponse`.
    fn check_batch<'py>(&self, py: Python<'py>, request: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let answer = released(py, || Ok(self.decider.check_batch_encoded(request)?.encode_to_vec()))?;
        bytes(py, answer)
    }

    /// Answers an encoded `ReportUsageRequest` with an encoded `ReportUsageResponse`.
    fn report_usage<'py>(&self, py: Python<'py>, request: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let answer = released(py, || Ok(self.decider.report_usage_encoded(request)?.encode_to_vec()))?;
        bytes(py, answer)
    }

    /// Answers an encoded `PutFactsRequest` with an encoded `PutFactsResponse`.
    fn put_facts<'py>(&self, py: Python<'py>, request: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let answer = released(py, || Ok(self.decider.put_facts_encoded(request)?.encode_to_vec()))?;
        bytes(py, answer)
    }

    /// Revision of the active policy set.
    #[getter]
    fn revision(&self) -> String {
        self.decider.active().set.revision().to_string()
    }

    /// Each policy of the active set, as JSON.
    fn policies(&self) -> String {
        policies_json(&self.decider.active().set).to_string()
    }

    /// Builds the policy set anew, swaps it in and returns its revision.
    fn reload(&self, py: Python<'_>) -> PyResult<String> {
        let set = load(py, &self.directory)?;
        let revision = set.revision().to_string();
        self.decider.swap(Arc::new(set));
        Ok(revision)
    }
}

fn load(py: Python<'_>, directory: &std::path::Path) -> PyResult<PolicySet> {
    let built: Result<PolicySet, Vec<Diagnostic>> =
        released(py, || PolicySet::load(directory, &LoadOptions::default()))?;
    built.map_err(|faults| errors::policy_set(&faults))
}

fn bytes<'py>(py: Python<'py>, answer: Result<Vec<u8>, ErrorDetail>) -> PyResult<Bound<'py, PyBytes>> {
    match answer {
        Ok(answer) => Ok(PyBytes::new(py, &answer)),
        Err(detail) => Err(errors::request(py, &detail)),
    }
}

/// What people may know of the policies of a set.
pub(crate) fn policies_json(set: &PolicySet) -> Json {
    let rows = set.policies().map(|policy| {
        json!({
            "id": policy.id.to_string(),
            "kind": policy.kind.name(),
            "engine": policy.engine.name(),
            "tier": policy.tier.name(),
            "mode": policy.mode.name(),
        })
    });
    Json::Array(rows.collect())
}
