//! The `state` section: where counters and facts are kept.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{ConfigError, within};

/// Bytes of a key secret, at least.
const MIN_SECRET_BYTES: usize = 16;
/// Bytes of a file that holds a secret, at most.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// What an error shows in place of a value that may hold a secret.
const NOT_SHOWN: &str = "(not shown)";

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(NOT_SHOWN)
    }
}

/// Where counters and facts are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// Redis or Valkey server, or servers of a Cluster; null keeps state in this process alone.
    pub redis_url: Option<Secret>,
    /// ACL user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// Authorities of the server's certificate, PEM; null is the system's.
    pub tls_ca: Option<PathBuf>,
    /// This node's certificate, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Wait for one answer of the shared store, 1 to 10,000 ms.
    pub timeout_ms: u64,
    /// Wait for a connection, 1 to 30,000 ms.
    pub connect_timeout_ms: u64,
    /// How long a request id spends once, 1 s to 1 h.
    pub replay_window_ms: u64,
    /// File with a secret of at least 16 bytes, in hex or base64: keys and tokens are made with it.
    pub key_secret_file: Option<PathBuf>,
    /// Counters held in memory, 1,000 to 100,000,000.
    pub max_keys: usize,
    /// Stored facts held by this node, at most 16 GiB.
    pub facts_cache_bytes: u64,
    /// How old a cached fact may be while the shared store cannot be asked, at most 60,000 ms.
    pub facts_max_stale_ms: u64,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            redis_url: None,
            username: None,
            password: None,
            password_file: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            timeout_ms: 100,
            connect_timeout_ms: 1_000,
            replay_window_ms: 60_000,
            key_secret_file: None,
            max_keys: 1_000_000,
            facts_cache_bytes: 64 << 20,
            facts_max_stale_ms: 1_000,
        }
    }
}

impl StateConfig {
    /// Refuses what no store can work with.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("state.timeout_ms", self.timeout_ms, 1..=10_000)?;
        within("state.connect_timeout_ms", self.connect_timeout_ms, 1..=30_000)?;
        within("state.replay_window_ms", self.replay_window_ms, 1_000..=3_600_000)?;
        within("state.max_keys", self.max_keys as u64, 1_000..=100_000_000)?;
        within("state.facts_cache_bytes", self.facts_cache_bytes, 0..=16 << 30)?;
        within("state.facts_max_stale_ms", self.facts_max_stale_ms, 0..=60_000)?;
        if self.password.is_some() && self.password_file.is_some() {
            let fix = "write either `state.password` or `state.password_file`";
            return Err(value("state.password", NOT_SHOWN, fix));
        }
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            let fix = "`state.tls_certificate` and `state.tls_key` belong together; write both or neither";
            return Err(value("state.tls_certificate", &shown(self.tls_certificate.as_deref()), fix));
        }
        let Some(url) = &self.redis_url else { return self.check_memory() };
        let scheme = url.expose().split_once("://").map(|(scheme, _)| scheme);
        let server = scheme.map(|scheme| scheme.strip_suffix("+cluster").unwrap_or(scheme));
        if !matches!(server, Some("redis" | "rediss" | "valkey" | "valkeys")) {
            let fix = "write `redis://host:6379`, `rediss://` for TLS, `redis+cluster://` for a Cluster";
            return Err(value("state.redis_url", NOT_SHOWN, fix));
        }
        Ok(())
    }

    /// Refuses settings of a shared store where there is none: they would do nothing.
    fn check_memory(&self) -> Result<(), ConfigError> {
        let fix = "it belongs to a shared store; write `state.redis_url` too, or remove it";
        if let Some(username) = &self.username {
            return Err(value("state.username", username, fix));
        }
        if self.password.is_some() {
            return Err(value("state.password", NOT_SHOWN, fix));
        }
        for (key, path) in [
            ("state.password_file", &self.password_file),
            ("state.tls_ca", &self.tls_ca),
            ("state.tls_certificate", &self.tls_certificate),
        ] {
            if let Some(path) = path {
                return Err(value(key, &path.display().to_string(), fix));
            }
        }
        Ok(())
    }

    /// The password, from where it is.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read.
    pub fn password(&self) -> Result<Option<Secret>, ConfigError> {
        match &self.password_file {
            None => Ok(self.password.clone()),
            Some(path) => Ok(Some(Secret(read("state.password_file", path)?))),
        }
    }

    /// The secret that keys and tokens are made with.
    ///
    /// # Errors
    /// [`ConfigError`] for a file that cannot be read, or whose text is no secret of enough bytes.
    pub fn key_secret(&self) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(path) = &self.key_secret_file else { return Ok(None) };
        let text = read("state.key_secret_file", path)?;
        let bytes = hex(&text).or_else(|| STANDARD.decode(&text).ok());
        let enough = bytes.filter(|bytes| bytes.len() >= MIN_SECRET_BYTES);
        enough.map(Some).ok_or_else(|| {
            let fix = "write a file with at least 16 random bytes in hex or base64, \
                       as `openssl rand -hex 32` prints";
            value("state.key_secret_file", &path.display().to_string(), fix)
        })
    }
}

fn value(key: &'static str, value: &str, fix: &str) -> ConfigError {
    ConfigError::Value { key, value: value.to_owned(), fix: fix.to_owned() }
}

fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

/// The text of a file that holds a secret, without the line's end.
fn read(key: &'static str, path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::metadata(path).and_then(|found| {
        if found.len() > MAX_FILE_BYTES {
            return Err(std::io::Error::other("it is larger than 64 KiB"));
        }
        std::fs::read_to_string(path)
    });
    let text = text.map_err(|error| value(key, &path.display().to_string(), &error.to_string()))?;
    Ok(text.trim().to_owned())
}

/// Bytes of a text of hex digits.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    let byte = |pair: &[u32]| u8::try_from(pair.iter().fold(0, |sum, digit| sum * 16 + digit)).ok();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(json: serde_json::Value) -> Result<StateConfig, String> {
        let config: StateConfig = serde_json::from_value(json).map_err(|error| error.to_string())?;
        config.check().map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn secrets_are_never_printed() {
        let json = serde_json::json!({"redis_url": "redis://u:hush@h", "password": "hush"});
        assert!(!format!("{:?}", checked(json).unwrap()).contains("hush"));
        for scheme in ["redis", "valkeys", "rediss+cluster"] {
            checked(serde_json::json!({"redis_url": format!("{scheme}://h")})).unwrap();
        }
        let json = serde_json::json!({"redis_url": "http://u:hush@h"});
        let error = checked(json).unwrap_err();
        assert!(error.starts_with("`state.redis_url` is `(not shown)`: write `redis://"), "{error}");
        let error = checked(serde_json::json!({"password": "hush"})).unwrap_err();
        assert!(error.contains("state.redis_url") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (json, key) in [
            (serde_json::json!({"timeout_ms": 0}), "state.timeout_ms"),
            (serde_json::json!({"username": "ada"}), "state.username"),
            (
                serde_json::json!({"redis_url": "redis://h", "password": "a", "password_file": "b"}),
                "state.password",
            ),
            (serde_json::json!({"redis_url": "redis://h", "tls_key": "k"}), "state.tls_certificate"),
            (serde_json::json!({"redis": "x"}), "`redis`"),
        ] {
            let error = checked(json).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn key_secret_is_hex_or_base64_of_enough_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let secret = |text: &str| {
            std::fs::write(&path, text).unwrap();
            StateConfig { key_secret_file: Some(path.clone()), ..StateConfig::default() }.key_secret()
        };
        assert_eq!(secret(&"0f".repeat(16)).unwrap().unwrap(), [15; 16]);
        assert_eq!(secret("/////////////////////w==\n").unwrap().unwrap(), [255; 16]);
        for text in ["", "0f0f", "not a key", "AAAA"] {
            let error = secret(text).unwrap_err().to_string();
            assert!(error.contains("openssl rand") && !error.contains("not a key"), "{error}");
        }
        let missing = StateConfig { key_secret_file: Some("/nowhere/key".into()), ..StateConfig::default() };
        assert!(missing.key_secret().is_err());
    }
}
