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
mod overload;
mod questions;
mod rate_limit;
mod reload;
mod shared;
mod slow_store;
mod stream;
mod support;
mod top;
#[path = "../../../pdp-state/tests/support/valkey.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the store's own tests, which use all of it")]
mod valkey;
mod waiting;
