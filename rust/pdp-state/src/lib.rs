//! Counters behind one trait: memory, the embedded default of one node.

pub mod memory;
mod store;

pub use memory::{MemoryStats, MemoryStore, MemoryStoreOptions};
pub use store::{Grant, Health, Metric, MetricKind, StateStore};
