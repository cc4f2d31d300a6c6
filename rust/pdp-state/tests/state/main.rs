//! What every store does, and what the shared one does when things go wrong; on real servers.

// Modules of one binary share their items.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod behaviours;
mod cluster;
mod faults;
mod leases;
mod nodes;
mod proxy;
mod question;
mod tls;
#[path = "../support/valkey.rs"]
mod valkey;
