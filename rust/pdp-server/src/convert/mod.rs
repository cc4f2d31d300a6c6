//! Where protobuf types stop: requests in, decisions out.

pub(crate) mod bounds;
mod decision;
mod message;
pub(crate) mod rate_limit;
mod request;
pub(crate) mod stored;
mod wire;

pub(crate) use decision::limit;
pub use decision::{decision, structure};
pub use request::request;
pub(crate) use request::{batch_size, request_id};
pub(crate) use wire::{RawBatch, RawStreamItem, decode};

#[cfg(test)]
mod tests;
