//! What ARCHITECTURE.md promises, held against the source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who may know whom. A new arrow is a decision: draw it here and in ARCHITECTURE.md.
///
/// `server`, `reload` and `cli` put the rooms together and may know all of them.
const MAY_USE: &[(&str, &[&str])] = &[
    ("clock", &["domain"]),
    ("domain", &[]),
    ("config", &["domain", "passwords"]),
    ("passwords", &["clock", "domain", "priority"]),
    ("priority", &[]),
    ("telemetry", &["clock", "domain", "priority", "trust"]),
    ("trust", &[]),
    ("store", &["domain", "trust"]),
    ("replica", &["clock", "domain", "store"]),
    ("compile", &["config", "domain", "replica", "store"]),
    ("cases", &["check", "clock", "config", "domain", "explain", "replica", "telemetry"]),
    ("doctor", &["config"]),
    ("issuers", &["clock", "domain", "telemetry", "trust"]),
    ("check", &["clock", "domain", "issuers", "passwords", "replica", "telemetry"]),
    ("explain", &["check", "domain", "telemetry"]),
    ("issue", &["clock", "compile", "config", "domain", "passwords", "replica", "store", "telemetry"]),
    ("grpc", &["check", "clock", "domain", "telemetry"]),
    ("http", &["check", "clock", "compile", "config", "domain", "explain", "issue", "store", "telemetry"]),
    ("reload", &EVERYBODY),
    ("server", &EVERYBODY),
    ("cli", &EVERYBODY),
];

const EVERYBODY: [&str; 21] = [
    "cases",
    "check",
    "cli",
    "clock",
    "compile",
    "config",
    "doctor",
    "domain",
    "explain",
    "grpc",
    "http",
    "issue",
    "issuers",
    "passwords",
    "priority",
    "reload",
    "replica",
    "server",
    "store",
    "telemetry",
    "trust",
];

/// Words that may stand in one room alone.
const ALONE: &[(&str, &[&str], &str)] = &[
    ("envoy_types::", &["grpc"], "names Envoy's types"),
    ("prometheus::", &["telemetry"], "names metrics"),
    ("opentelemetry::", &["telemetry"], "names OpenTelemetry"),
    ("opentelemetry_sdk::", &["telemetry"], "names OpenTelemetry"),
    ("opentelemetry_otlp::", &["telemetry"], "names OpenTelemetry"),
    ("SystemTime::now(", &["clock"], "asks the time"),
    ("Instant::now(", &["clock"], "asks the time"),
    ("use redb::", &["store"], "names the embedded store"),
    ("redb::Database", &["store"], "names the embedded store"),
];

/// What the domain never does: wait, ask the time, name a wire or a store.
const NOT_IN_DOMAIN: &[&str] =
    &["async ", ".await", "::now()", "envoy_types", "tokio", "tonic", "redis", "std::fs", "std::net::Tcp"];

#[test]
fn modules_know_only_whom_they_may() {
    let mut wrong = Vec::new();
    for (room, files) in rooms() {
        let allowed = MAY_USE.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let Some(allowed) = allowed else {
            wrong.push(format!("`{room}` has no line in MAY_USE: decide whom it may know"));
            continue;
        };
        for (file, source) in files {
            for used in used(&source) {
                if used != room && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("`{room}` may not use `{used}` ({file})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_never_waits_and_never_asks_the_time() {
    for (file, source) in &rooms()["domain"] {
        for banned in NOT_IN_DOMAIN {
            assert!(!source.contains(banned), "`domain` mentions `{banned}` ({file})");
        }
    }
}

#[test]
fn some_things_are_named_in_one_room_alone() {
    for (room, files) in rooms() {
        for (file, source) in files {
            for (word, owners, what) in ALONE {
                let found = source.match_indices(word).any(|(at, _)| starts_a_path(&source, at));
                assert!(owners.contains(&room.as_str()) || !found, "`{room}` {what} by `{word}` ({file})");
            }
        }
    }
}

#[test]
fn no_room_is_called_by_nothing() {
    let banned = ["utils", "util", "common", "helpers", "helper", "types", "manager", "misc"];
    for file in files(&root().join("src")) {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!banned.contains(&name.as_str()), "{}: a file is one noun or one verb", file.display());
    }
}

/// Whether a path begins here: `redb::` in `crate::store::redb::` is a room of ours.
fn starts_a_path(source: &str, at: usize) -> bool {
    !source[..at].ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | ':'))
}

/// The rooms that a source names by `crate::…`, also within `use crate::{a::b, c}`.
fn used(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in source.match_indices("crate::") {
        if !starts_a_path(source, at) {
            continue;
        }
        let rest = &source[at + word.len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(heads(list)),
            None => found.push(word_at(rest)),
        }
    }
    // `crate::Thing` is what lib.rs exports, and no room.
    found.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    found
}

/// The first words of a list in braces, as far as the brace that closes it.
fn heads(list: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut fresh = true;
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ if fresh && letter.is_alphabetic() => {
                heads.push(word_at(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn word_at(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Every room's files, without comments and without their tests: tests may put things together.
fn rooms() -> BTreeMap<String, Vec<(String, String)>> {
    let source = root().join("src");
    let mut rooms: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for path in files(&source) {
        let inside = path.strip_prefix(&source).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let room = first.trim_end_matches(".rs").to_owned();
        let is_test = inside.iter().any(|part| part == "tests" || part == "tests.rs");
        if room == "lib" || room == "main" || is_test {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code: Vec<&str> = product.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        rooms.entry(room).or_default().push((inside.display().to_string(), code.join("\n")));
    }
    rooms
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
