//! A load generator for decision services and their peers.
//!
//! Requests are encoded ahead of time, every answer is checked while it is
//! measured, and one failed or wrongly answered request voids the run.

mod config;
mod drive;
pub mod empty;
mod error;
mod expect;
mod grpc;
mod http1;
mod record;
mod report;
mod run;
mod stream;
mod tally;

pub use config::{InlineRequest, Load, LoadConfig, Protocol, Requests, Target};
pub use error::LoadError;
pub use expect::{Check, Expectation};
pub use report::{Latency, LoadReport};
pub use run::run_blocking;
