//! Any bytes decode to a request within the documented bounds or to an error that
//! names a reason, never to a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pdp_proto::v1::{CheckRequest, ErrorReason};
use pdp_server::convert;
use prost::Message;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = CheckRequest::decode(bytes) else { return };
    match convert::request(&message) {
        Ok(request) => assert!(!request.questions.is_empty() && request.facts.limit.hits > 0),
        Err(fault) => assert!(fault.reason != ErrorReason::Unspecified && !fault.message.is_empty()),
    }
});
