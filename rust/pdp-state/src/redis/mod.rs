//! The shared store on Redis or Valkey: one server or a Cluster, counted exactly.
//!
//! Requests of one thread that ask at the same time share one call of a script, which decides each
//! request whole or not at all by the server's clock ([`Link`] sends, `count.lua` counts). Keys are keyed
//! hashes ([`Names`]). On a single server one call decides all limits of a request; on a Cluster those of
//! one tenant, and limits that lie apart are given back where a later one refuses.
//!
//! A server that fails is not asked until a probe succeeds; what a limit answers meanwhile is its
//! [`Outage`](pdp_engine::limit::Outage). A call whose answer was lost is sent again only where the
//! script would notice that it has run: under a request id, for a settlement, for a reset.

mod breaker;
mod clock;
mod decode;
mod encode;
mod failure;
mod hub;
mod lane;
#[cfg(test)]
mod laws;
mod link;
mod metrics;
mod name;
mod node;
mod options;
mod outage;
mod plan;
mod presence;
mod script;
mod slots;
mod socket;
mod spread;
mod store;
mod url;

pub use failure::{Executed, Failure, FailureKind};
pub use hub::Hub;
pub use link::Link;
pub use name::{Key, KeyKind, NODES, Names, PREFIX, SALT, Tag};
pub use options::{Address, PrivateKey, RedisOptions, RedisOptionsError, RedisTls, Secret};
pub use socket::{Connection, Purpose};
pub use store::RedisStore;
