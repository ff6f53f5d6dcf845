//! What a configuration says, from outside: files in, settings or complaints out.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use proptest::prelude::*;

use super::*;

const SAMPLE: &str = include_str!("../../doorward.yaml");

/// The pepper of a ring with one key.
fn peppers() -> Peppers {
    Peppers::new(vec![crate::domain::verifier::Pepper::new(&[7; 32])])
}

/// Loads `yaml` as `doorward.yaml` of a folder of its own, where the file `bob.key` holds a key.
fn load_with(
    yaml: &[u8],
    env: &[(&str, &str)],
    overlay: &[Overlay],
) -> (tempfile::TempDir, Result<Loaded, Faults>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bob.key"), "bob's-key-is-a-long-one\n".replace('\'', "-")).unwrap();
    let file = folder.path().join("doorward.yaml");
    std::fs::write(&file, yaml).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = load(Some(&file), env, overlay);
    (folder, loaded)
}

fn load_text(yaml: &str) -> Result<Loaded, Faults> {
    load_with(yaml.as_bytes(), &[], &[]).1
}

/// Why a file is refused, as the terminal shows it, but for its folder.
fn complaint(yaml: &str, env: &[(&str, &str)]) -> String {
    let (folder, loaded) = load_with(yaml.as_bytes(), env, &[]);
    let text = match loaded {
        Ok(_) => "accepted".to_owned(),
        Err(faults) => faults.to_string(),
    };
    text.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn no_file_means_defaults_and_no_service() {
    // The tests' own folder is the crate's root, where the sample is: another must be named.
    let loaded = load_text("").ok().unwrap();
    assert!(loaded.config.services.is_empty());
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.config.catalog(&peppers()).ok().unwrap().deployments().len(), 0);
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let missing = Path::new("/nonexistent/doorward.yaml");
    let Err(faults) = load(Some(missing), std::iter::empty(), &[]) else { panic!("loaded nothing") };
    assert_eq!(
        faults.to_string(),
        "/nonexistent/doorward.yaml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn probe() {
    let (_folder, loaded) = load_with(SAMPLE.as_bytes(), &[], &[]);
    match loaded {
        Ok(loaded) => println!("{}", show_yaml(&loaded)),
        Err(faults) => println!("{faults}"),
    }
    println!("{}", serde_json::to_string_pretty(&schema()).unwrap());
    for yaml in [
        "services:\n  - name: a\n    hostss: [x]\n    authentication: none\n",
        "a: 1\na: 2\n",
        "a: [1\n",
        "a: *x\n",
        "listen: {grpc: 5}\n",
        "log: {level: loud}\n",
        "services:\n  - name: a\n",
        "services: [{name: 42, authentication: none}]\n",
        "services: [{name: a, authentication: nope}]\n",
        "services: [{name: a, authentication: {any: [api_kee]}}]\n",
        "services: [{name: a, authentication: {any: [api_key: {in: [heder]}]}}]\n",
        "services: [{name: a, authentication: {any: [], anonymous: bob}}]\n",
        "consumers: [{username: a, keys: [{from_env: NOPE}]}]\n",
        "consumers: [{username: a, keys: [abcdefghijkl]}]\n",
        "consumers: [{username: a, keys: [{from_env: abcdefghijkl}]}]\n",
        "---\na: 1\n---\nb: 1\n",
        "[1, 2]\n",
        "? {a: 1}\n: 2\n",
        "services:\n",
        "log:\n",
        "log: {level: *x}\n",
        "x: &x [*x]\n",
    ] {
        println!("-----\n{yaml}=>\n{}", complaint(yaml, &[]));
    }
}
