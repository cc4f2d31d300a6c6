//! Where the shared store is, and how long to wait for it.

use std::fmt;
use std::time::Duration;

use super::url;

/// Why a [`RedisOptions`] cannot be used. One line: the key, what is wrong, and what to write instead.
/// Never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct RedisOptionsError {
    /// The setting at fault.
    pub key: &'static str,
    /// What is wrong with it, and the fix.
    pub message: String,
}

impl RedisOptionsError {
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(out, "[{}]:{}", self.host, self.port),
            false => write!(out, "{}:{}", self.host, self.port),
        }
    }
}

/// A value that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<hidden>")
    }
}

/// TLS to the server, 1.2 or later. The server's name is always verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Certificates of the authority, PEM. `None` takes those of the system.
    pub ca: Option<Vec<u8>>,
    /// Certificate chain to present, PEM; with `key`.
    pub certificate: Option<Vec<u8>>,
    /// Its private key, PEM.
    pub key: Option<PrivateKey>,
}

/// A private key in PEM that no output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(pub Vec<u8>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<hidden>")
    }
}

/// A shared store on Redis or Valkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    /// The server; on a Cluster, servers to learn the others from.
    pub addresses: Vec<Address>,
    /// Whether the servers form a Cluster.
    pub cluster: bool,
    /// TLS, where it is spoken.
    pub tls: Option<RedisTls>,
    /// ACL user; `None` is `default`.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Database; 0 on a Cluster.
    pub db: i64,
    /// How long a decision waits for the store at most. Default 100 ms.
    pub timeout: Duration,
    /// How long opening a connection may take. Default 500 ms.
    pub connect_timeout: Duration,
    /// How long a request id is remembered. Default 60 s.
    pub replay_window: Duration,
    /// What key names are hashed with, 16 bytes at least; the same on every node. `None` lets the nodes
    /// agree on random bytes in the store.
    pub key_secret: Option<Secret>,
    /// Counters that this node holds by itself at most while the store cannot be asked. Default 100,000.
    pub max_local_keys: usize,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            addresses: vec![Address { host: "127.0.0.1".to_owned(), port: 6379 }],
            cluster: false,
            tls: None,
            username: None,
            password: None,
            db: 0,
            timeout: Duration::from_millis(100),
            connect_timeout: Duration::from_millis(500),
            replay_window: Duration::from_secs(60),
            key_secret: None,
            max_local_keys: 100_000,
        }
    }
}

impl RedisOptions {
    /// Reads `redis://user:password@host:port/db`, `rediss://...` for TLS, and
    /// `redis+cluster://host:port,host:port` or `rediss+cluster://...` for a Cluster. User and password
    /// may be percent-encoded.
    ///
    /// # Errors
    /// [`RedisOptionsError`] naming the part at fault; it never repeats the password.
    pub fn from_url(url: &str) -> Result<Self, RedisOptionsError> {
        url::parse(url)
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`RedisOptionsError`] for the first setting at fault.
    pub fn validate(&self) -> Result<(), RedisOptionsError> {
        let wrong = |key, message: &str| Err(RedisOptionsError::new(key, message));
        if self.addresses.is_empty() {
            return wrong("url", "names no server; write `redis://host:6379`");
        }
        if !self.cluster && self.addresses.len() > 1 {
            return wrong(
                "url",
                "names several servers; write `redis+cluster://` for a Cluster, else one server",
            );
        }
        if self.cluster && self.db != 0 {
            return wrong("url", "names a database, and a Cluster has only 0; leave it out");
        }
        if self.db < 0 {
            return wrong("url", "names a database below 0; write 0 or more");
        }
        if self.username.is_some() && self.password.is_none() {
            return wrong("url", "names a user without a password; write `redis://user:password@host`");
        }
        bounded("timeout_ms", self.timeout, Duration::from_millis(1), Duration::from_secs(10))?;
        bounded(
            "connect_timeout_ms",
            self.connect_timeout,
            Duration::from_millis(1),
            Duration::from_secs(30),
        )?;
        bounded("replay_window", self.replay_window, Duration::ZERO, Duration::from_secs(86_400))?;
        if self.key_secret.as_ref().is_some_and(|secret| secret.reveal().len() < 16) {
            return wrong("key_secret", "is shorter than 16 bytes; write 32 random characters");
        }
        match &self.tls {
            Some(RedisTls { certificate: Some(_), key: None, .. }) => {
                wrong("tls.certificate", "has no `tls.key`; give both or neither")
            }
            Some(RedisTls { certificate: None, key: Some(_), .. }) => {
                wrong("tls.key", "has no `tls.certificate`; give both or neither")
            }
            _ => Ok(()),
        }
    }
}

fn bounded(
    key: &'static str,
    value: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), RedisOptionsError> {
    if value < least || value > most {
        let message = format!("is {value:?}; write {least:?} to {most:?}");
        return Err(RedisOptionsError::new(key, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_shows_a_secret() {
        let mut options = RedisOptions::from_url("redis://app:opensesame@host/0").unwrap();
        options.key_secret = Some(Secret::new("opensesame"));
        options.tls = Some(RedisTls { key: Some(PrivateKey(b"opensesame".to_vec())), ..RedisTls::default() });
        assert!(!format!("{options:?}").contains("opensesame"));
    }

    #[test]
    fn settings_out_of_bounds_name_themselves_and_the_fix() {
        let wrong = |change: fn(&mut RedisOptions)| {
            let mut options = RedisOptions::default();
            change(&mut options);
            options.validate().unwrap_err().to_string()
        };
        assert!(wrong(|it| it.timeout = Duration::ZERO).starts_with("`timeout_ms`: is 0ns; write 1ms to"));
        assert!(wrong(|it| it.key_secret = Some(Secret::new("short"))).contains("`key_secret`"));
        assert!(wrong(|it| it.addresses.clear()).contains("names no server"));
        assert!(wrong(|it| it.username = Some("app".into())).contains("without a password"));
        assert_eq!(RedisOptions::default().validate(), Ok(()));
    }
}
