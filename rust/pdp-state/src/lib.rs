//! Counters behind one trait: memory, the embedded default of one node, and Redis or Valkey for many.
//! Beside them, who talks most.

pub mod memory;
pub mod redis;
mod store;
pub mod talkers;

pub use memory::{MemoryStats, MemoryStore, MemoryStoreOptions};
pub use store::{Grant, Health, Metric, MetricKind, StateStore};
