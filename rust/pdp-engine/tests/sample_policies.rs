//! The ready-made policies load with these engines.
#![allow(clippy::panic, reason = "test code: a panic is a failed test")]

use std::path::Path;

use pdp_engine::{LoadOptions, PolicySet};

#[test]
fn ready_made_policies_load_without_a_diagnostic() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    match PolicySet::load(&directory, &LoadOptions::default()) {
        Ok(set) => assert!(set.policies().len() >= 20),
        Err(faults) => {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}
