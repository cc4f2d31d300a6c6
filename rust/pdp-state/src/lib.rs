//! Counters behind one trait: memory, the embedded default of one node.

pub mod memory;

pub use memory::{MemoryStats, MemoryStore, MemoryStoreOptions};
