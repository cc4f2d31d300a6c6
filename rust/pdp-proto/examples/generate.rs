//! Generates the Rust code from a descriptor set: `generate <descriptor set> <directory>`.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(descriptors), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: generate <descriptor set> <directory>".into());
    };
    let descriptors = prost_types::FileDescriptorSet::decode(std::fs::read(descriptors)?.as_slice())?;
    tonic_prost_build::configure()
        .out_dir(out)
        .bytes(".pdp.v1.Payload.content")
        .bytes(".pdp.v1.Decision.masked_payload")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
