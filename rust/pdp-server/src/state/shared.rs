//! The shared store's options, from the settings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pdp_state::redis::{Hub, PrivateKey, RedisOptions, RedisOptionsError, RedisStore, RedisTls, Secret};
use pdp_state::{LeaseOptions, LeasedStore};

use super::StateError;
use crate::config::{self, ConfigError, StateConfig};

/// Opens the store at `url`, with leases in front, and tells what others may share of it. One that does
/// not answer now is asked again.
pub(super) fn open(
    url: &config::Secret,
    config: &StateConfig,
    key_secret: Option<&[u8]>,
) -> Result<(Arc<LeasedStore<RedisStore>>, Arc<Hub>), StateError> {
    let options = options(url, config, key_secret)?;
    let leases = LeaseOptions { replay_window: options.replay_window, ..LeaseOptions::default() };
    let store = RedisStore::connect(options).map_err(refused)?;
    let hub = store.hub();
    Ok((Arc::new(LeasedStore::new(store, leases)), hub))
}

fn options(
    url: &config::Secret,
    config: &StateConfig,
    key_secret: Option<&[u8]>,
) -> Result<RedisOptions, StateError> {
    let mut options = RedisOptions::from_url(url.expose()).map_err(refused)?;
    options.timeout = Duration::from_millis(config.timeout_ms);
    options.connect_timeout = Duration::from_millis(config.connect_timeout_ms);
    options.replay_window = Duration::from_millis(config.replay_window_ms);
    options.key_secret = key_secret.map(|bytes| Secret::new(name_secret(bytes)));
    if let Some(username) = &config.username {
        options.username = Some(username.clone());
    }
    if let Some(password) = config.password()? {
        options.password = Some(Secret::new(password.expose()));
    }
    options.tls = tls(options.tls, config)?;
    Ok(options)
}

fn tls(tls: Option<RedisTls>, config: &StateConfig) -> Result<Option<RedisTls>, StateError> {
    let Some(tls) = tls else {
        return match config.tls_ca.as_ref().or(config.tls_certificate.as_ref()) {
            None => Ok(None),
            Some(_) => {
                let message = "speaks no TLS, and `tls_ca` or `tls_certificate` is set; write `rediss://`";
                Err(StateError::Store(message.to_owned()))
            }
        };
    };
    Ok(Some(RedisTls {
        ca: file("state.tls_ca", config.tls_ca.as_deref())?.or(tls.ca),
        certificate: file("state.tls_certificate", config.tls_certificate.as_deref())?.or(tls.certificate),
        key: file("state.tls_key", config.tls_key.as_deref())?.map(PrivateKey).or(tls.key),
    }))
}

fn file(key: &'static str, path: Option<&Path>) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    let read = std::fs::read(path).map(Some);
    read.map_err(|error| {
        let fix = format!("cannot be read: {error}; name a PEM file");
        ConfigError::Value { key, value: path.display().to_string(), fix }
    })
}

/// What names of keys are hashed with, given the configured secret.
#[must_use]
pub fn name_secret(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The store's own words hold no secret.
fn refused(error: RedisOptionsError) -> StateError {
    StateError::Store(match error.key {
        "url" => error.message,
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options_of(json: serde_json::Value) -> Result<RedisOptions, String> {
        let config: StateConfig = serde_json::from_value(json).unwrap();
        let url = config.redis_url.clone().unwrap();
        options(&url, &config, Some(&[0xab; 16])).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_reach_the_store_and_stand_over_the_url() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).unwrap();
            directory.path().join(name)
        };
        let found = options_of(serde_json::json!({
            "redis_url": "rediss://ada:url@cache:6380/2", "username": "pdp",
            "password_file": file("password", "filed\n"), "tls_ca": file("ca", "PEM"),
            "timeout_ms": 7, "connect_timeout_ms": 8, "replay_window_ms": 9_000,
        }))
        .unwrap();
        let wanted = RedisOptions {
            username: Some("pdp".to_owned()),
            password: Some(Secret::new("filed")),
            tls: Some(RedisTls { ca: Some(b"PEM".to_vec()), ..RedisTls::default() }),
            timeout: Duration::from_millis(7),
            connect_timeout: Duration::from_millis(8),
            replay_window: Duration::from_secs(9),
            key_secret: Some(Secret::new("ab".repeat(16))),
            ..RedisOptions::from_url("rediss://ada:url@cache:6380/2").unwrap()
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_cannot_be_used_is_named_without_a_secret() {
        for (json, words) in [
            (serde_json::json!({"redis_url": "redis://ada:hush@h:x"}), "has a port"),
            (serde_json::json!({"redis_url": "redis://h", "tls_ca": "ca"}), "rediss://"),
            (serde_json::json!({"redis_url": "rediss://h", "tls_ca": "/nowhere"}), "`state.tls_ca`"),
            (
                serde_json::json!({"redis_url": "redis://h", "password_file": "/nowhere"}),
                "`state.password_file`",
            ),
        ] {
            let error = options_of(json).unwrap_err();
            assert!(error.contains(words) && !error.contains("hush"), "{error}");
        }
    }
}
