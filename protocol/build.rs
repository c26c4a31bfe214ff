//! Generates the types of the module `proto` from `proto/*.proto`. No `protoc` needed: protox parses, prost writes.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 4] = ["request_reply.proto", "kafka_egress.proto", "kinesis_egress.proto", "types.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo:rerun-if-changed={}", folder.display());
    let files = FILES.map(|file| folder.join(file));
    let descriptors = protox::compile(files, [folder])?;
    prost_build::Config::new()
        .bytes(["."]) // values are slices of the buffer they were read from
        .enable_type_names()
        .compile_fds(descriptors)?;
    Ok(())
}
