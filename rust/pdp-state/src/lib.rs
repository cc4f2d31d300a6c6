//! Counters behind one trait: memory, the embedded default of one node. Beside them, who talks most.

pub mod memory;
mod store;
pub mod talkers;

pub use memory::{MemoryStats, MemoryStore, MemoryStoreOptions};
pub use store::{Grant, Health, Metric, MetricKind, StateStore};
