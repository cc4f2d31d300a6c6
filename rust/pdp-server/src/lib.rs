//! The decision service: gRPC, TLS, reload, metrics, and the decider that an
//! embedded engine shares with it.

pub mod config;
pub mod convert;
pub mod decider;
pub mod errors;
pub mod logging;
pub mod metrics;
pub mod reload;
pub mod server;
pub mod state;
pub mod tls;

mod http;
mod runtime;
mod service;
mod watch;

pub use config::{ConfigError, EngineConfig, EvaluationConfig, ServerConfig, StateConfig, TlsConfig};
pub use decider::Decider;
pub use errors::InvalidRequest;
pub use logging::init_logging;
pub use reload::{Reloaded, Reloader};
pub use runtime::listener::BindError;
pub use server::{Addresses, Server, StartError};
pub use state::{State, StateError};
pub use tls::TlsError;
