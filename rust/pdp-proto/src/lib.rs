//! Messages and services of the protobuf contract, generated from `protos/`.
//!
//! `scripts/generate_protos.py` writes the code; a test generates it anew and compares.

/// Package `pdp.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/pdp.v1.rs");
}

/// Encoded descriptors of the contract and its imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor_set.bin");
