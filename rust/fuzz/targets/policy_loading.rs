//! Loading any text as a manifest, a Rego module, a CEL policy or a limit list ends
//! with a policy set or with diagnostics, never with a panic.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pdp_engine::{LoadOptions, PolicySet};

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("pdp-fuzz-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory to load from");
    directory
});

fn entry(kind: &str, engine: &str, source: &str) -> String {
    format!("version: 1\npolicies:\n  - {{id: p, kind: {kind}, engine: {engine}, source: {source}}}\n")
}

fuzz_target!(|input: &[u8]| {
    let Some((form, text)) = input.split_first() else { return };
    let (manifest, source) = match form % 4 {
        0 => (String::from_utf8_lossy(text).into_owned(), "policy.rego"),
        1 => (entry("access", "rego", "policy.rego"), "policy.rego"),
        2 => (entry("access", "cel", "policy.yaml"), "policy.yaml"),
        _ => (entry("rate_limit", "limits", "policy.yaml"), "policy.yaml"),
    };
    fs::write(DIRECTORY.join("manifest.yaml"), manifest).expect("a manifest");
    fs::write(DIRECTORY.join(source), text).expect("a source");
    if let Err(faults) = PolicySet::load(&DIRECTORY, &LoadOptions::default()) {
        assert!(!faults.is_empty());
    }
});
