//! Counters behind one trait: memory, the embedded default of one node, and Redis or Valkey for many.

pub mod facts;
pub mod memory;
pub mod redis;
mod store;

pub use facts::{FactOptions, FactRegistry, MemoryFacts};
pub use memory::{MemoryStats, MemoryStore, MemoryStoreOptions};
pub use store::{Grant, Health, Metric, MetricKind, StateStore};
