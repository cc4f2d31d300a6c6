//! Messages and services of the protobuf contract, generated from `protos/`.
//!
//! `scripts/generate_protos.py` writes the code; a test generates it anew and compares.

/// Package `pdp.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/pdp.v1.rs");
}

/// What Envoy's services speak, from `protos/vendor/`: the messages that their methods take and return.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod vendored {
    include!("generated/envoy.rs");
}

pub use vendored::envoy;

/// Encoded descriptors of Envoy's services and their imports, for server reflection.
pub const ENVOY_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/envoy_descriptor_set.bin");

/// Encoded descriptors of the contract and its imports, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptor_set.bin");
