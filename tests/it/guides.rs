//! The guides work as they are printed: their `sh` blocks are one script, in a folder of its own, and
//! what their `text` blocks show comes out of it, in that order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::rig::port::free_port;
use crate::rig::tools;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides")
}

/// The blocks of a guide in one language, in order.
pub(crate) fn blocks<'a>(guide: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = guide.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// Whether a line has what is shown of it; `…` stands for anything.
fn shows(line: &str, shown: &str) -> bool {
    let mut rest = line;
    shown.split('…').all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

#[track_caller]
fn check(name: &str) {
    let guide = std::fs::read_to_string(folder().join(name)).unwrap();
    let commands = blocks(&guide, "sh");
    assert!(!commands.is_empty(), "{name} shows no command");
    let mut script = String::from("set -euo pipefail\nexec 2>&1\ntrap 'kill $(jobs -p) || true' EXIT\n");
    script.push_str(&commands.join("\n"));
    // Of a second instance, and of Redis.
    for port in ["8101", "6379"] {
        script = script.replace(port, &free_port().unwrap().to_string());
    }
    // Of logins, where a guide has any.
    let auth = if script.contains("8002") { free_port().unwrap() } else { 0 };
    script = script.replace("8002", &auth.to_string());
    let place = tempfile::tempdir().unwrap();
    let mut path = vec![Path::new(env!("CARGO_BIN_EXE_doorward")).parent().unwrap().to_owned()];
    if script.contains("redis-server ") {
        path.push(tools::program("redis").unwrap().parent().unwrap().to_owned());
    }
    path.extend(std::env::split_paths(&std::env::var("PATH").unwrap()));
    let ran = Command::new("timeout")
        .args(["120", "bash", "-c", &script])
        .current_dir(place.path())
        .env_remove("DOORWARD_CONFIG")
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("DOORWARD_LISTEN__GRPC", "127.0.0.1:0")
        .env("DOORWARD_LISTEN__AUTH", format!("127.0.0.1:{auth}"))
        .env("DOORWARD_LISTEN__ADMIN", "127.0.0.1:0")
        .env("DOORWARD_LISTEN__STATUS", format!("127.0.0.1:{}", free_port().unwrap()))
        .env("DOORWARD_DRAIN_DELAY", "0s")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let log = std::fs::read_to_string(place.path().join("doorward.log")).unwrap_or_default();
    assert!(ran.status.success(), "{name}: {}\n{said}\n{log}", ran.status);
    let mut lines = said.lines();
    for shown in blocks(&guide, "text").join("\n").lines().filter(|line| !line.is_empty()) {
        assert!(lines.any(|line| shows(line, shown)), "{name} shows what does not come: {shown}\n{said}");
    }
}

macro_rules! guides {
    ($($claim:ident: $name:literal,)*) => {
        const GUIDES: &[&str] = &[$($name),*];
        $(#[test] fn $claim() { check($name) })*
    };
}

guides! {
    an_api_is_protected_with_keys: "api-keys.md",
    a_kong_is_moved: "from-kong.md",
    keycloaks_settings_are_valid: "keycloak.md",
    a_web_app_has_visitors_that_log_in: "cookies.md",
    addresses_are_restricted: "addresses.md",
    two_instances_share_a_redis: "several-instances.md",
    secrets_are_rotated: "rotate-secrets.md",
    a_backup_is_restored: "backup.md",
    an_upgrade_keeps_what_is_stored: "upgrade.md",
    faults_say_the_way_out: "trouble.md",
}

#[test]
fn every_guide_is_run() {
    let names = std::fs::read_dir(folder()).unwrap();
    let names: BTreeSet<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, GUIDES.iter().map(ToString::to_string).collect());
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut links = 0;
    for folder in ["", "docs", "docs/guides", "docs/reference"] {
        let folder = root.join(folder);
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
            let text = std::fs::read_to_string(&file).unwrap();
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if link.contains("://") {
                    continue;
                }
                links += 1;
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = if path.is_empty() { file.clone() } else { folder.join(path) };
                assert!(target.exists(), "{}: {link} is not there", file.display());
                if !anchor.is_empty() {
                    let text = std::fs::read_to_string(&target).unwrap();
                    let there = text.lines().any(|line| line.starts_with('#') && anchor_of(line) == anchor);
                    assert!(there, "{}: {link} is no heading there", file.display());
                }
            }
        }
    }
    assert!(links > 50, "{links}");
}

/// What a heading is linked by: its letters in lower case, `-` for blanks, without other marks.
fn anchor_of(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}
