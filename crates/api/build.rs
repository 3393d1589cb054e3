//! Compiles the `.proto` files without `protoc` and generates the messages, servers and clients.

use std::{env, error::Error, fs, path::PathBuf};

use prost_reflect::DescriptorPool;

#[allow(
    clippy::disallowed_methods,
    reason = "Cargo tells a build script where to write through the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let root = "proto";
    let files = [
        "octelium/api/main/meta/v1/meta.proto",
        "octelium/api/main/core/v1/core.proto",
        "octelium/api/main/auth/v1/auth.proto",
        "octelium/api/main/user/v1/user.proto",
        "octelium/api/client/config/v1/config.proto",
        "octelium/platform/v1/platform.proto",
    ];
    println!("cargo::rerun-if-changed={root}");

    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(false);
    compiler.open_files(files)?;
    let encoded = compiler.encode_file_descriptor_set();
    // Fail the build instead of the first request.
    DescriptorPool::decode(encoded.as_slice())?;
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"),
        &encoded,
    )?;

    let mut messages = prost_build::Config::new();
    messages
        .btree_map(["."])
        .enable_type_names()
        // Few Sessions set this field, but every Session would reserve the space for it.
        .boxed("octelium.api.main.core.v1.Session.Status.Authentication.Info.IdentityProvider.saml")
        .boxed("octelium.api.main.core.v1.Session.Status.Authentication.Info.IdentityProvider.oidc");
    tonic_prost_build::configure()
        .codec_path("crate::codec::StrictCodec")
        .include_file("packages.rs")
        .compile_fds_with_config(compiler.file_descriptor_set(), messages)?;
    Ok(())
}
