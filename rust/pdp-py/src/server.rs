//! A decision point that listens; its threads are the core's own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pdp_server::{ServerConfig, StartError};
use pyo3::prelude::*;

use crate::errors;
use crate::guard::released;

/// Serves from `start` to `drain`, once.
#[pyclass(frozen, module = "pdp._core")]
pub(crate) struct Server {
    config: ServerConfig,
    running: Mutex<Option<Arc<pdp_server::Server>>>,
}

#[pymethods]
impl Server {
    #[new]
    fn new(config: &str) -> PyResult<Self> {
        let config = ServerConfig::from_json(config).map_err(|fault| errors::config(&fault))?;
        Ok(Self { config, running: Mutex::new(None) })
    }

    /// Builds the policy set and starts to listen; returns the bound addresses by setting.
    fn start(&self, py: Python<'_>) -> PyResult<BTreeMap<&'static str, String>> {
        let started = released(py, || {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.is_some() {
                return Ok(None);
            }
            let server = pdp_server::Server::start(&self.config)?;
            let addresses = server.addresses();
            *running = Some(Arc::new(server));
            Ok::<_, StartError>(Some(addresses))
        })?;
        let addresses = started.map_err(|fault| errors::start(&fault))?;
        let addresses =
            addresses.ok_or_else(|| errors::internal("the server was started before".to_owned()))?;
        let mut bound = BTreeMap::from([("listen", addresses.decision.to_string())]);
        bound.extend(addresses.admin.map(|address| ("admin_listen", address.to_string())));
        bound.extend(addresses.http.map(|address| ("http_listen", address.to_string())));
        Ok(bound)
    }

    /// Waits at most `timeout` seconds for the end; whether it has come.
    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = Duration::try_from_secs_f64(timeout.clamp(0.0, 3600.0)).unwrap_or_default();
        released(py, || self.running().is_none_or(|server| server.wait(Some(timeout))))
    }

    /// Ends within the configured time; whether every call in progress was answered.
    fn drain(&self, py: Python<'_>) -> PyResult<bool> {
        let timeout = Duration::from_millis(self.config.drain_timeout_ms);
        released(py, || self.running().is_none_or(|server| server.drain(timeout)))
    }

    /// Builds the policy set anew, swaps it in and returns its revision.
    fn reload(&self, py: Python<'_>) -> PyResult<String> {
        let server =
            self.running().ok_or_else(|| errors::internal("the server was not started".to_owned()))?;
        let reloaded = released(py, || server.reload())?;
        reloaded.map(|done| done.revision.to_string()).map_err(|faults| errors::policy_set(&faults))
    }

    /// Revision of the set that serves; empty before the start.
    #[getter]
    fn revision(&self) -> String {
        self.running()
            .map(|server| server.reloader().decider().active().set.revision().to_string())
            .unwrap_or_default()
    }
}

impl Server {
    fn running(&self) -> Option<Arc<pdp_server::Server>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
