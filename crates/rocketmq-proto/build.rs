//! Compiles the description of the wire, without an installed `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["rocketmq.proto"], ["proto"])?;
    let builder = tonic_prost_build::configure().bytes(".apache.rocketmq.v2.Message.body").btree_map(".");
    let builder = builder.boxed(".apache.rocketmq.v2.ReceiveMessageResponse.content.message");
    let with_client = std::env::var_os("CARGO_FEATURE_CLIENT").is_some();
    Ok(builder.build_client(with_client).build_transport(false).compile_fds(files)?)
}
