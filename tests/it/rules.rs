//! Each rule of `security-rules.md` 3.1 to 3.3, and of `peers.md`, has a test or a case that is named for it:
//! `fn i4_…`, `{case: A12 …}`. What each says, they say.
//!
//! Void is R23, for there is one tenant: what a caller's objects may name is a matter of rights (rights.rs).

use std::collections::BTreeSet;
use std::path::Path;

fn rules() -> impl Iterator<Item = String> {
    let of =
        |letter: char, numbers: std::ops::RangeInclusive<u8>| numbers.map(move |n| format!("{letter}{n}"));
    of('A', 1..=14)
        .chain(of('I', 1..=9))
        .chain(of('J', 1..=20))
        .chain(of('R', 1..=22))
        .chain(of('R', 24..=33))
}

/// The words at the beginning of a test's or case's name that have the form of a rule, in capitals.
fn named(name: &str, between: char) -> impl Iterator<Item = String> {
    let is_rule = |word: &String| {
        word.strip_prefix(['A', 'I', 'J', 'R'])
            .is_some_and(|number| !number.is_empty() && number.parse::<u8>().is_ok())
    };
    name.split(between).map(str::to_uppercase).take_while(is_rule)
}

fn found(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            self::found(&entry, found);
            continue;
        }
        let extension = entry.extension().unwrap_or_default().to_string_lossy().into_owned();
        let text = || std::fs::read_to_string(&entry).unwrap();
        let (start, end, between) = match extension.as_str() {
            "rs" => ("fn ", '(', '_'),
            "yaml" => ("{case: ", ',', ' '),
            _ => continue,
        };
        for line in text().lines() {
            let Some((_, rest)) = line.split_once(start) else { continue };
            found.extend(named(rest.split(end).next().unwrap_or_default(), between));
        }
    }
}

#[test]
fn each_rule_has_a_test_named_for_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = BTreeSet::new();
    for folder in ["src", "tests/it", "tests/cases"] {
        found(&root.join(folder), &mut all);
    }
    let without: Vec<String> = rules().filter(|rule| !all.contains(rule)).collect();
    assert!(without.is_empty(), "no test is named for {without:?}");
}
