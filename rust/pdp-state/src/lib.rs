//! Counters behind one trait: memory, the embedded default of one node, Redis or Valkey for many, and leases on
//! those. Beside them, who talks most.

pub mod facts;
pub mod lease;
pub mod memory;
pub mod redis;
mod store;
pub mod talkers;

pub use facts::{FactOptions, FactRegistry, MemoryFacts};
pub use lease::{LeaseOptions, LeasedStore};
pub use memory::{MemoryStats, MemoryStore, MemoryStoreOptions};
pub use store::{Grant, Health, Metric, MetricKind, StateStore};
