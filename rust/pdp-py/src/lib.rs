//! The Python boundary: bytes or one document in, bytes or frozen objects out.
//!
//! The interpreter is released around everything that decides, builds or waits;
//! a panic becomes an exception of `pdp.errors` and never ends the process.

mod authoring;
mod engine;
mod errors;
mod events;
mod expression;
mod facts;
mod guard;
mod load;
mod server;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Version of the core.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The extension module.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::authoring::{cel_evaluate, cel_tests, rego_query, rego_tests, validate};
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::events::{collect_events, take_events};
    #[pymodule_export]
    use super::expression::cel_expression;
    #[pymodule_export]
    use super::facts::{fact_key, fact_layout, read_key_secret};
    #[pymodule_export]
    use super::load::run_load;
    #[pymodule_export]
    use super::server::Server;
    #[pymodule_export]
    use super::version;
}
