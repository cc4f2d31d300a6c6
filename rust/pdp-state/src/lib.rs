//! Counters behind one trait: memory, the embedded default of one node, and leases on a shared store.

pub mod lease;
pub mod memory;
mod store;

pub use lease::{LeaseOptions, LeasedStore};
pub use memory::{MemoryStats, MemoryStore, MemoryStoreOptions};
pub use store::{Grant, Health, Metric, MetricKind, StateStore};
