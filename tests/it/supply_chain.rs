//! What Doorward is made of: listed, licensed, and nothing below its floor.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::rig::tools;
use crate::world::said;

const LOCK: &str = include_str!("../../Cargo.lock");
const DENY: &str = include_str!("../../deny.toml");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn deny(config: &Path) -> Output {
    Command::new(tools::program("cargo-deny").unwrap())
        .args(["--workspace", "--locked", "--config"])
        .arg(config)
        .args(["check", "--hide-inclusion-graph", "-A", "duplicate", "bans", "licenses", "sources"])
        .current_dir(root())
        .output()
        .unwrap()
}

/// Name and version of everything in Cargo.lock.
fn locked() -> BTreeSet<(&'static str, &'static str)> {
    let value =
        |line: &'static str, name: &str| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"');
    let packages = LOCK.split("[[package]]\n").skip(1);
    packages
        .filter_map(|package| {
            let mut lines = package.lines();
            Some((value(lines.next()?, "name")?, value(lines.next()?, "version")?))
        })
        .collect()
}

#[test]
fn what_we_depend_on_is_licensed_and_above_its_floor() {
    let passed = deny(&root().join("deny.toml"));
    assert!(passed.status.success(), "{}", said(&passed));

    // And with floors that nothing is above, each of them is one that is kept.
    let floors: BTreeSet<&str> =
        DENY.split("crate = \"").filter_map(|entry| entry.split_once(":<")).map(|(name, _)| name).collect();
    let names: BTreeSet<&str> = locked().iter().map(|(name, _)| *name).collect();
    let used: Vec<&str> = floors.into_iter().filter(|name| names.contains(name)).collect();
    assert!(used.len() >= 8, "{used:?}");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("deny.toml");
    let raised = DENY.split(":<").enumerate().map(|(at, part)| match at {
        0 => part.to_owned(),
        _ => format!(":<9999{}", &part[part.find('"').unwrap()..]),
    });
    std::fs::write(&config, raised.collect::<String>()).unwrap();
    let refused = deny(&config);
    assert!(!refused.status.success());
    for name in used {
        assert!(
            said(&refused).contains(&format!("crate '{name} = ")),
            "no floor for {name}: {}",
            said(&refused)
        );
    }
}

#[test]
fn the_list_of_parts_is_whole_and_a_cyclonedx_document() {
    let made =
        Command::new("python3").arg(root().join("deploy/sbom.py")).current_dir(root()).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.cdx.json");
    std::fs::write(&file, &made.stdout).unwrap();
    let checked = Command::new(tools::program("cyclonedx").unwrap()).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", said(&checked));

    let bom: Value = serde_json::from_slice(&made.stdout).unwrap();
    let text = |part: &Value, name: &str| part[name].as_str().unwrap().to_owned();
    let parts: BTreeSet<(String, String)> = bom["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| {
            let name = text(part, "name");
            assert!(
                part["licenses"][0]["expression"].is_string() && part["hashes"][0]["content"].is_string(),
                "{name}"
            );
            (name, text(part, "version"))
        })
        .collect();
    let locked: BTreeSet<(String, String)> =
        locked().iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect();
    assert!(parts.is_subset(&locked), "{:?}", parts.difference(&locked));
    let has = |name: &str| parts.iter().any(|(part, _)| part == name);
    for linked in ["aws-lc-sys", "redb", "redis", "rustls", "tokio"] {
        assert!(has(linked), "{linked}");
    }
    for other in ["proptest", "criterion", "protox", "serde_derive", "windows-sys"] {
        assert!(!has(other), "{other} is not in the program");
    }
}
