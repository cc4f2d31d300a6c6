//! The core's configuration: one JSON document, parsed and checked once at start.

mod state;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pdp_engine::{BudgetOptions, WorkerOptions};
use serde::Deserialize;

pub use state::{Secret, StateConfig};

/// Memoised policy results per thread.
const MEMO_ENTRIES: usize = 65_536;

/// A setting that cannot be used. One line: key, value, fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The document is not JSON, or has an unknown or ill-typed key.
    #[error("configuration: {0}")]
    Document(String),
    /// A value outside of its range or form.
    #[error("`{key}` is `{value}`: {fix}")]
    Value {
        /// Path of the key.
        key: &'static str,
        /// The value.
        value: String,
        /// What to write instead.
        fix: String,
    },
}

/// Configuration of a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Policy set directory; required.
    pub policies: PathBuf,
    /// Address of the decision service; port 0 lets the system choose.
    pub listen: String,
    /// Loopback address of the admin service; null for none.
    pub admin_listen: Option<String>,
    /// Address of `/metrics`, `/livez` and `/readyz`; null for none.
    pub http_listen: Option<String>,
    /// Request threads, at most 1,024; 0 is one per core.
    pub threads: usize,
    /// TLS of the decision service; null for plaintext.
    pub tls: Option<TlsConfig>,
    /// Permits plaintext on addresses other than loopback.
    pub allow_plaintext: bool,
    /// Whether to reload when the policy directory changes.
    pub watch: bool,
    /// Interval between looks at the policy directory, 10 ms to 1 h.
    pub watch_interval_ms: u64,
    /// Largest message accepted, 1 KiB to 64 MiB.
    pub max_message_bytes: usize,
    /// Largest header list accepted, 1 KiB to 1 MiB.
    pub max_header_bytes: u32,
    /// Calls open at once on one connection, 1 to 100,000.
    pub max_concurrent_streams: u32,
    /// Connections open at once, 1 to 1,000,000.
    pub max_connections: usize,
    /// Requests of one `CheckStream` answered before the transport takes the answers, 1 to 10,000.
    pub stream_in_flight: usize,
    /// Calls in progress at once over all connections, 1 to 1,000,000.
    pub max_in_flight: usize,
    /// Idle time before a connection is probed, at least 1,000 ms.
    pub keep_alive_interval_ms: u64,
    /// Time a probe may take, at least 100 ms.
    pub keep_alive_timeout_ms: u64,
    /// Time that calls in progress get when draining.
    pub drain_timeout_ms: u64,
    /// What one policy evaluation may use.
    pub evaluation: EvaluationConfig,
    /// Memoised policy results per thread; 0 turns memoising off.
    pub memo_entries: usize,
    /// Where counters and facts are kept.
    pub state: StateConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            policies: PathBuf::new(),
            listen: "127.0.0.1:7070".to_owned(),
            admin_listen: Some("127.0.0.1:7071".to_owned()),
            http_listen: Some("127.0.0.1:7072".to_owned()),
            threads: 0,
            tls: None,
            allow_plaintext: false,
            watch: true,
            watch_interval_ms: 500,
            max_message_bytes: 5 << 20,
            max_header_bytes: 16 << 10,
            max_concurrent_streams: 256,
            max_connections: 1_024,
            stream_in_flight: 64,
            max_in_flight: 4_096,
            keep_alive_interval_ms: 30_000,
            keep_alive_timeout_ms: 10_000,
            drain_timeout_ms: 10_000,
            evaluation: EvaluationConfig::default(),
            memo_entries: MEMO_ENTRIES,
            state: StateConfig::default(),
        }
    }
}

/// Configuration of an engine that is embedded in a process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Policy set directory; required.
    pub policies: PathBuf,
    /// What one policy evaluation may use.
    pub evaluation: EvaluationConfig,
    /// Memoised policy results per thread; 0 turns memoising off.
    pub memo_entries: usize,
    /// Where counters and facts are kept.
    pub state: StateConfig,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            policies: PathBuf::new(),
            evaluation: EvaluationConfig::default(),
            memo_entries: MEMO_ENTRIES,
            state: StateConfig::default(),
        }
    }
}

/// Files of the TLS identity, PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Authorities of client certificates; when set, a client must present one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// What one policy evaluation may use; a manifest entry may lower it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    /// Wall time, 1 to 60,000 ms.
    pub time_ms: u64,
    /// Steps, at least 100.
    pub instructions: u64,
    /// Bytes, at least 64 KiB.
    pub memory_bytes: u64,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self { time_ms: 50, instructions: 1_000_000, memory_bytes: 64 << 20 }
    }
}

/// The addresses of a checked configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// Of the decision service.
    pub decision: SocketAddr,
    /// Of the admin service.
    pub admin: Option<SocketAddr>,
    /// Of metrics and probes.
    pub http: Option<SocketAddr>,
}

/// Parses `text` and names what is wrong with it.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ConfigError> {
    serde_json::from_str(text).map_err(|error| ConfigError::Document(error.to_string()))
}

/// Refuses `value` outside of `range`.
fn within(key: &'static str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let fix = format!("write a number from {} to {}", range.start(), range.end());
    Err(ConfigError::Value { key, value: value.to_string(), fix })
}

fn directory(policies: &Path) -> Result<(), ConfigError> {
    if !policies.as_os_str().is_empty() {
        return Ok(());
    }
    let fix = "write the directory of the policy set, which holds `manifest.yaml`".to_owned();
    Err(ConfigError::Value { key: "policies", value: String::new(), fix })
}

fn address(key: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().map_err(|_| ConfigError::Value {
        key,
        value: text.to_owned(),
        fix: "write an address and a port, as in `127.0.0.1:7070` or `[::1]:7070`".to_owned(),
    })
}

impl EvaluationConfig {
    fn check(&self) -> Result<(), ConfigError> {
        within("evaluation.time_ms", self.time_ms, 1..=60_000)?;
        within("evaluation.instructions", self.instructions, 100..=1_000_000_000_000)?;
        within("evaluation.memory_bytes", self.memory_bytes, 65_536..=1 << 40)
    }

    fn worker(&self, memo_entries: usize) -> WorkerOptions {
        let budget = BudgetOptions {
            time: Duration::from_millis(self.time_ms),
            instructions: self.instructions,
            memory_bytes: self.memory_bytes,
        };
        WorkerOptions { memo_entries, budget }
    }
}

impl EngineConfig {
    /// Parses and checks the document.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first key at fault.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = parse(text)?;
        directory(&config.policies)?;
        config.evaluation.check()?;
        config.state.check()?;
        within("memo_entries", config.memo_entries as u64, 0..=100_000_000)?;
        Ok(config)
    }

    /// Options of each thread's worker.
    #[must_use]
    pub fn worker_options(&self) -> WorkerOptions {
        self.evaluation.worker(self.memo_entries)
    }
}

impl ServerConfig {
    /// Parses and checks the document.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first key at fault.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let config: Self = parse(text)?;
        directory(&config.policies)?;
        config.listeners()?;
        config.evaluation.check()?;
        config.state.check()?;
        within("threads", config.threads as u64, 0..=1024)?;
        within("watch_interval_ms", config.watch_interval_ms, 10..=3_600_000)?;
        within("max_message_bytes", config.max_message_bytes as u64, 1024..=64 << 20)?;
        within("max_header_bytes", config.max_header_bytes.into(), 1024..=1 << 20)?;
        within("max_concurrent_streams", config.max_concurrent_streams.into(), 1..=100_000)?;
        within("max_connections", config.max_connections as u64, 1..=1_000_000)?;
        within("stream_in_flight", config.stream_in_flight as u64, 1..=10_000)?;
        within("max_in_flight", config.max_in_flight as u64, 1..=1_000_000)?;
        within("keep_alive_interval_ms", config.keep_alive_interval_ms, 1000..=86_400_000)?;
        within("keep_alive_timeout_ms", config.keep_alive_timeout_ms, 100..=3_600_000)?;
        within("drain_timeout_ms", config.drain_timeout_ms, 0..=3_600_000)?;
        within("memo_entries", config.memo_entries as u64, 0..=100_000_000)?;
        Ok(config)
    }

    /// The addresses, once they are known to be permitted.
    ///
    /// # Errors
    /// [`ConfigError`] for a text that is no address, an admin address off
    /// loopback, or plaintext off loopback without `allow_plaintext`.
    pub fn listeners(&self) -> Result<Listeners, ConfigError> {
        let admin = self.admin_listen.as_deref().map(|text| address("admin_listen", text)).transpose()?;
        if let Some(exposed) = admin.filter(|address| !address.ip().is_loopback()) {
            let fix = "the admin service is served on loopback only, as in `127.0.0.1:7071`".to_owned();
            return Err(ConfigError::Value { key: "admin_listen", value: exposed.to_string(), fix });
        }
        let decision = address("listen", &self.listen)?;
        let http = self.http_listen.as_deref().map(|text| address("http_listen", text)).transpose()?;
        let listeners = Listeners { decision, admin, http };
        if let (false, Some((key, exposed))) = (self.allow_plaintext, self.exposed_in(&listeners).next()) {
            let fix = match key {
                "listen" => "plaintext off loopback needs `tls`, or `allow_plaintext: true`",
                _ => "plaintext off loopback needs `allow_plaintext: true`, or a loopback address",
            };
            return Err(ConfigError::Value { key, value: exposed.to_string(), fix: fix.to_owned() });
        }
        Ok(listeners)
    }

    /// Keys and addresses that are reachable from outside in plaintext.
    pub(crate) fn exposed_in(
        &self,
        listeners: &Listeners,
    ) -> impl Iterator<Item = (&'static str, SocketAddr)> + use<> {
        let decision = Some(listeners.decision).filter(|_| self.tls.is_none());
        [("listen", decision), ("http_listen", listeners.http)]
            .into_iter()
            .filter_map(|(key, address)| Some((key, address?)))
            .filter(|(_, address)| !address.ip().is_loopback())
    }

    /// Request threads: as configured, or one per core.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    /// Options of each thread's worker.
    #[must_use]
    pub fn worker_options(&self) -> WorkerOptions {
        self.evaluation.worker(self.memo_entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        ServerConfig::from_json(json).expect_err("must be refused").to_string()
    }

    #[test]
    fn defaults_are_accepted() {
        let config = ServerConfig::from_json(r#"{"policies": "policies"}"#).expect("defaults");
        assert_eq!(config.listeners().expect("addresses").decision.port(), 7070);
        assert!(config.thread_count() >= 1);
    }

    #[test]
    fn policies_are_required() {
        assert!(error("{}").starts_with("`policies` is ``: write the directory"));
        assert!(EngineConfig::from_json("{}").is_err());
    }

    #[test]
    fn unknown_key_is_refused_by_name() {
        assert!(error(r#"{"policies": "p", "lissten": "x"}"#).contains("`lissten`"));
        assert!(
            error(r#"{"policies": "p", "tls": {"certificate": "c", "key": "k", "ca": "x"}}"#)
                .contains("`ca`")
        );
    }

    #[test]
    fn plaintext_off_loopback_needs_consent() {
        let text = error(r#"{"policies": "p", "listen": "0.0.0.0:7070"}"#);
        assert!(text.contains("`listen` is `0.0.0.0:7070`") && text.contains("allow_plaintext"), "{text}");
        let text = error(r#"{"policies": "p", "http_listen": "[::]:7072"}"#);
        assert!(text.contains("http_listen"), "{text}");
        let json = r#"{"policies": "p", "listen": "0.0.0.0:7070", "allow_plaintext": true}"#;
        assert!(ServerConfig::from_json(json).is_ok());
        let tls = r#""tls": {"certificate": "c", "key": "k", "client_ca": null}"#;
        assert!(
            ServerConfig::from_json(&format!(r#"{{"policies": "p", "listen": "0.0.0.0:1", {tls}}}"#)).is_ok()
        );
    }

    #[test]
    fn admin_never_leaves_loopback() {
        let text = error(r#"{"policies": "p", "admin_listen": "0.0.0.0:7071", "allow_plaintext": true}"#);
        assert!(text.contains("`admin_listen` is `0.0.0.0:7071`"), "{text}");
    }

    #[test]
    fn out_of_range_number_names_key_value_and_fix() {
        let text = error(r#"{"policies": "p", "watch_interval_ms": 1}"#);
        assert_eq!(text, "`watch_interval_ms` is `1`: write a number from 10 to 3600000");
        assert!(error(r#"{"policies": "p", "evaluation": {"time_ms": 0}}"#).contains("evaluation.time_ms"));
    }
}
