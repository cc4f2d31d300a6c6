//! The rate-limit stage: which counters a request comes to, and what becomes of the store's answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

mod descriptors;
mod lists;
mod rego;
mod support;
mod usage;
