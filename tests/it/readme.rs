//! The README's start works as it is printed, but for the ports.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::rig::port::free_port;
use crate::world::setup;

const README: &str = include_str!("../../README.md");

/// The shell blocks of the README, in order, as one script.
fn script() -> String {
    let mut script = String::from("set -eu\ntrap 'kill $(jobs -p) || true' EXIT\n");
    for block in README.split("\n```") {
        if let Some(commands) = block.strip_prefix("sh\n") {
            script.push_str(commands);
            script.push('\n');
        }
    }
    script
}

#[test]
fn the_start_in_the_readme_ends_in_a_protected_api() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let envoy = std::fs::read_to_string(root.join("envoy/demo.yaml")).unwrap();
    let mut script = script().replace("target/start", &folder.path().display().to_string());
    let mut envoy = envoy.replace("port_value: 9901", "port_value: 0");
    for port in ["50051", "8100", "9000", "8000"] {
        let free = free_port().unwrap().to_string();
        script = script.replace(port, &free);
        envoy = envoy.replace(port, &free);
    }
    let demo = folder.path().join("envoy.yaml");
    std::fs::write(&demo, envoy).unwrap();
    // What is built already is not built again under another name of the same folder.
    let script =
        script.replace("envoy/demo.yaml", &demo.display().to_string()).replace("make build\n", ":\n");
    let binaries = Path::new(env!("CARGO_BIN_EXE_doorward")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash")
        .args(["-c", &script])
        .current_dir(root)
        .env("PATH", path)
        .env("DOORWARD_LISTEN__ADMIN", "127.0.0.1:0")
        .env("DOORWARD_LISTEN__AUTH", "127.0.0.1:0")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{complained}");
    let statuses: Vec<&str> = said.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(statuses.len(), 3, "{said}");
    assert!(statuses[0].contains("401"), "without a key: {said}");
    assert!(statuses[1].contains("404"), "the upstream has no such page: {said}");
    assert!(statuses[2].contains("401"), "revoked: {said}");
    assert!(said.contains("\"code\":\"missing_credential\""), "{said}");
    // Explained, and tested.
    for line in ["verdict   deny invalid_credential (unknown)", "upstream  sees nothing", " 0 failed"] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
}

#[test]
fn every_policy_in_the_readme_is_valid_and_shows_what_results() {
    let blocks: Vec<&str> = README.split("\n```").filter_map(|block| block.strip_prefix("yaml\n")).collect();
    assert!(!blocks.is_empty(), "no policy is shown");
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let setup = setup(folder.path());
        setup.write(block).unwrap();
        let run = |arguments: &[&str]| {
            let output = setup.run(arguments).unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}\n{block}");
            said
        };
        run(&["validate"]);
        let shown = run(&["config", "show", "--effective", "users/staging"]);
        assert!(shown.contains("mode: \"shadow\"  # override, "), "{shown}");
        assert!(shown.contains("networks: null  # override, "), "{shown}");
    }
}
