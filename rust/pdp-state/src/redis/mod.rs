//! The shared store on Redis or Valkey: one server or a Cluster.

mod breaker;
mod failure;
mod hub;
mod link;
mod name;
mod node;
mod options;
mod script;
mod slots;
mod socket;
mod url;

pub use failure::{Executed, Failure, FailureKind};
pub use hub::Hub;
pub use link::Link;
pub use name::{Key, KeyKind, NODES, Names, PREFIX, SALT, Tag};
pub use options::{Address, PrivateKey, RedisOptions, RedisOptionsError, RedisTls, Secret};
pub use socket::{Connection, Purpose};
