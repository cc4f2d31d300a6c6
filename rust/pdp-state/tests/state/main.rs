//! What every store does, and what the shared one does when things go wrong; on real servers.

// Modules of one binary share their items.
#![allow(unreachable_pub)]

mod behaviours;
mod cluster;
mod faults;
mod nodes;
mod proxy;
mod question;
mod tls;
#[path = "../support/valkey.rs"]
mod valkey;
