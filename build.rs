//! Compiles `proto/` without protoc, and writes down what builds this.

use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["doorward/store/v1/records.proto"], ["proto"])?;
    prost_build::Config::new().compile_fds(files)?;
    descriptors()?;

    let compiler = line_of(Command::new(std::env::var("RUSTC")?).arg("--version"));
    println!("cargo::rustc-env=BUILT_BY_RUSTC={}", compiler.ok_or("rustc does not tell its version")?);
    revision();
    Ok(())
}

/// What reflection tells of the service that Envoy calls.
fn descriptors() -> Result<(), Box<dyn std::error::Error>> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file("envoy/service/auth/v3/external_auth.proto")?;
    let path = std::path::Path::new(&std::env::var("OUT_DIR")?).join("external_auth.bin");
    Ok(std::fs::write(path, compiler.encode_file_descriptor_set())?)
}

/// The commit, for releases built from a checkout. A developer's build does without: it would be
/// compiled again after every commit. `BUILT_FROM_REVISION` in the environment says it where there
/// is no checkout.
fn revision() {
    println!("cargo::rerun-if-env-changed=BUILT_FROM_REVISION");
    if std::env::var_os("BUILT_FROM_REVISION").is_some()
        || std::env::var("PROFILE").as_deref() != Ok("release")
    {
        return;
    }
    let git = |arguments: &[&str]| line_of(Command::new("git").args(arguments));
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    println!("cargo::rustc-env=BUILT_FROM_REVISION={commit}");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// The first line of what a command prints, if it ends well.
fn line_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.lines().next()?.to_owned())
}
