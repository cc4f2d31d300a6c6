//! Generates the Rust code from descriptor sets: `generate <contract> <vendored contracts> <directory>`.
//!
//! Of the vendored contracts only what their services speak is generated; the rest of their files
//! describes the configuration of other programs.

use std::collections::HashSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [contract, vendored, out] = arguments.as_slice() else {
        return Err("usage: generate <contract> <vendored contracts> <directory>".into());
    };
    tonic_prost_build::configure()
        .out_dir(out)
        .bytes(".pdp.v1.Payload.content")
        .bytes(".pdp.v1.Decision.masked_payload")
        .emit_rerun_if_changed(false)
        .compile_fds(read(contract)?)?;
    let mut vendored = read(vendored)?;
    prune(&mut vendored);
    tonic_prost_build::configure()
        .out_dir(out)
        .include_file("envoy.rs")
        .build_client(false)
        .build_server(false)
        .emit_rerun_if_changed(false)
        .compile_fds(vendored)?;
    Ok(())
}

fn read(path: &Path) -> Result<FileDescriptorSet, Box<dyn Error>> {
    Ok(FileDescriptorSet::decode(std::fs::read(path)?.as_slice())?)
}

/// Removes all that no method of a service takes, returns or holds in a field.
fn prune(set: &mut FileDescriptorSet) {
    let fields = fields(set);
    let methods = set.file.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
    let mut open: Vec<String> =
        methods.flat_map(|one| [one.input_type().to_owned(), one.output_type().to_owned()]).collect();
    let mut needed: HashSet<String> = HashSet::new();
    while let Some(name) = open.pop() {
        let holds = fields.iter().filter(|(holder, _)| *holder == name).map(|(_, held)| held.clone());
        let holds: Vec<String> = holds.collect();
        // A nested type is written inside of the one around it, which must then be there too.
        let around = name.rsplit_once('.').map(|(around, _)| around.to_owned());
        if needed.insert(name) {
            open.extend(holds);
            open.extend(around.filter(|around| fields.iter().any(|(holder, _)| holder == around)));
        }
    }
    // The well-known types stay: they are looked up, and come from `prost-types`.
    for file in set.file.iter_mut().filter(|file| file.package() != "google.protobuf") {
        let package = format!(".{}", file.package());
        keep(&mut file.message_type, &mut file.enum_type, &package, &needed);
    }
    set.file.retain(|file| !file.message_type.is_empty() || !file.enum_type.is_empty());
}

fn keep(
    messages: &mut Vec<DescriptorProto>,
    enums: &mut Vec<EnumDescriptorProto>,
    scope: &str,
    needed: &HashSet<String>,
) {
    messages.retain(|one| needed.contains(&format!("{scope}.{}", one.name())));
    enums.retain(|one| needed.contains(&format!("{scope}.{}", one.name())));
    for message in messages {
        let inner = format!("{scope}.{}", message.name());
        keep(&mut message.nested_type, &mut message.enum_type, &inner, needed);
    }
}

/// Pairs of a message and a type that one of its fields has; an own name where it has none.
fn fields(set: &FileDescriptorSet) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in &set.file {
        for message in &file.message_type {
            collect(message, &format!(".{}", file.package()), &mut found);
        }
    }
    found
}

fn collect(message: &DescriptorProto, scope: &str, found: &mut Vec<(String, String)>) {
    let name = format!("{scope}.{}", message.name());
    found.push((name.clone(), name.clone()));
    let typed = message.field.iter().filter(|field| field.type_name.is_some());
    found.extend(typed.map(|field| (name.clone(), field.type_name().to_owned())));
    for nested in &message.nested_type {
        collect(nested, &name, found);
    }
}
