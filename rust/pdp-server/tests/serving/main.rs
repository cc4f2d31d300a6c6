//! The server from outside: real ports, a real client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

mod bad_input;
mod batch;
mod drain;
mod embedded;
mod encryption;
mod facts;
mod limits;
mod operation;
mod questions;
mod reload;
mod slow_store;
mod stream;
mod support;
mod waiting;
