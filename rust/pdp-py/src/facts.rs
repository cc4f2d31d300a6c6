//! What the control plane needs to keep facts in Redis by itself: names of keys, and the scripts.

use std::path::PathBuf;

use pdp_engine::fact::{FactKind, FactName};
use pdp_server::StateConfig;
use pdp_server::state::name_secret;
use pdp_state::facts;
use pdp_state::redis::Names;
use pyo3::prelude::*;
use serde_json::json;

use crate::errors::{self, ConfigError};

/// The key of a document, hashed with `secret`.
#[pyfunction]
pub(crate) fn fact_key(secret: &[u8], tenant: &str, kind: &str, name: &str) -> PyResult<String> {
    let Some(kind) = FactKind::ALL.into_iter().find(|it| it.name() == kind) else {
        let message = format!("`{kind}` is no kind of fact: write subject, device, function or destination");
        return Err(ConfigError::new_err(("kind", message)));
    };
    let tenant = Some(tenant).filter(|tenant| !tenant.is_empty());
    let key = facts::key(&Names::new(secret), &FactName { tenant, kind, id: name });
    Ok(String::from_utf8_lossy(key.as_bytes()).into_owned())
}

/// What names are hashed with, from a file as the configuration's `state.key_secret_file`.
#[pyfunction]
pub(crate) fn read_key_secret(path: &str) -> PyResult<Vec<u8>> {
    let config = StateConfig { key_secret_file: Some(PathBuf::from(path)), ..StateConfig::default() };
    let secret = config.key_secret().map_err(|fault| errors::config(&fault))?.unwrap_or_default();
    Ok(name_secret(&secret).into_bytes())
}

/// The scripts that store and delete documents, the channel of changes and other constants, as JSON.
#[pyfunction]
pub(crate) fn fact_layout() -> String {
    json!({
        "put": facts::PUT,
        "delete": facts::DELETE,
        "channel": facts::CHANNEL,
        "salt": pdp_state::redis::SALT,
        "tombstone_ms": u64::try_from(facts::TOMBSTONE.as_millis()).unwrap_or(u64::MAX),
        "max_batch": facts::MAX_BATCH,
        "max_id_bytes": facts::MAX_ID_BYTES,
        "max_value_bytes": facts::MAX_VALUE_BYTES,
        "max_version": facts::MAX_VERSION,
    })
    .to_string()
}
