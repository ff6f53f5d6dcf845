//! The reference (docs/reference/) is what the code says of itself: `make reference` writes it anew.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::root;
use crate::monitoring::{metrics, talkative};
use crate::rig::wait::eventually;

/// Holds a page of the reference against what it should be, or writes it where that is asked for.
#[track_caller]
fn check(name: &str, wanted: &str) {
    let file = root().join("docs/reference").join(name);
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        std::fs::write(&file, wanted).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    let differing = there.lines().zip(wanted.lines()).find(|(there, wanted)| there != wanted);
    assert!(
        there == wanted,
        "docs/reference/{name} is not what the code says; run `make reference`: {differing:?}"
    );
}

/// What every command takes; told once, with `doorward` itself.
const COMMON: [&str; 6] = ["--config", "--url", "--ca", "--identity", "--output", "--help"];

fn help(words: &[String]) -> String {
    // Neither the width of a terminal nor what its user has set.
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(words)
        .arg("-h")
        .env_remove("COLUMNS")
        .env_remove("DOORWARD_CONFIG")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Without the options that every command takes.
fn own(help: &str) -> String {
    let mut skips = false;
    let kept = help.lines().filter(|line| {
        if line.trim().is_empty() {
            skips = false;
        } else if line.trim_start().starts_with('-') {
            let option = line.split_whitespace().find(|word| word.starts_with("--")).unwrap_or_default();
            skips = COMMON.contains(&option);
        }
        !skips
    });
    let kept = kept.collect::<Vec<_>>().join("\n");
    kept.replace("\nOptions:\n\n", "\n").trim_end().trim_end_matches("Options:").trim_end().to_owned()
}

fn commands(words: &mut Vec<String>, page: &mut String) {
    let help = help(words);
    let shown = if words.is_empty() { help.trim_end().to_owned() } else { own(&help) };
    let name = [&["doorward".to_owned()], &words[..]].concat().join(" ");
    page.push_str(&format!("\n## `{name}`\n\n```text\n{shown}\n```\n"));
    let list = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    for line in list.lines().take_while(|line| !line.is_empty()) {
        // What goes on in the next line is indented further.
        if let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) {
            words.push(name.split_whitespace().next().unwrap().to_owned());
            commands(words, page);
            words.pop();
        }
    }
}

#[test]
fn commands_are_those_of_the_program() {
    let mut page = String::from(
        "# Commands\n\nWritten by `make reference`, from the program's own help. What every command takes is told once, here at the first.\n",
    );
    commands(&mut Vec::new(), &mut page);
    assert!(page.matches("\n## ").count() > 50, "{page}");
    check("commands.md", &page);
}

/// One line of a table or of a list.
fn line(text: &Value) -> String {
    let words: Vec<&str> = text.as_str().unwrap_or_default().split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// What may be written, in words.
fn kind(node: &Value) -> String {
    if let Some(name) = node["$ref"].as_str().and_then(|place| place.strip_prefix("#/$defs/")) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let all = |list: &Value| -> Vec<String> {
        let mut kinds: Vec<String> = list.as_array().into_iter().flatten().map(kind).collect();
        kinds.retain(|kind| !kind.is_empty());
        kinds.dedup();
        kinds
    };
    for several in ["oneOf", "anyOf", "allOf"] {
        if node[several].is_array() {
            return all(&node[several]).join(" or ");
        }
    }
    if !node["const"].is_null() {
        return format!("`{}`", node["const"].as_str().unwrap_or(&node["const"].to_string()));
    }
    if let Some(values) = node["enum"].as_array() {
        return values
            .iter()
            .map(|value| format!("`{}`", value.as_str().unwrap()))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let Some(properties) = node["properties"].as_object() {
        let one = |(name, node): (&String, &Value)| format!("`{name}:` {}", kind(node));
        return properties.iter().map(one).collect::<Vec<_>>().join(", ");
    }
    match node["type"].as_str() {
        Some("array") => format!("list of {}", kind(&node["items"])),
        Some("object") => format!("map to {}", kind(&node["additionalProperties"])),
        Some(name) => name.to_owned(),
        None => String::new(),
    }
}

/// A table of an object's keys, or the list of what there is to choose from.
fn section(node: &Value) -> String {
    let mut out = format!("{}\n\n", line(&node["description"]).replace("\\|", "|"));
    if let Some(properties) = node["properties"].as_object() {
        out.push_str("| key | is | |\n|---|---|---|\n");
        for (name, node) in properties {
            out.push_str(&format!("| `{name}` | {} | {} |\n", kind(node), line(&node["description"])));
        }
        return out;
    }
    let choices =
        node["oneOf"].as_array().filter(|list| list.iter().all(|one| !one["description"].is_null()));
    match choices {
        Some(list) => {
            for one in list {
                out.push_str(&format!("- {}: {}\n", kind(one), line(&one["description"])));
            }
        }
        None => out.push_str(&format!("{}\n", kind(node))),
    }
    out
}

#[test]
fn settings_are_those_of_the_schema() {
    let schema = doorward::config::schema();
    let mut page = String::from(
        "# Settings\n\nWritten by `make reference`, from `doorward config schema`. [`doorward.yaml`](../../doorward.yaml) shows them at work.\n\n",
    );
    page.push_str(&section(&schema));
    for (name, node) in schema["$defs"].as_object().unwrap() {
        page.push_str(&format!("\n## {name}\n\n{}", section(node)));
    }
    let missing = page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    for anchor in missing {
        assert!(page.to_lowercase().contains(&format!("\n## {anchor}\n")), "{anchor}");
    }
    check("settings.md", &page);
}

/// Name, kind and help of every metric.
fn told(text: &str) -> BTreeMap<String, (String, String)> {
    let of = |prefix: &'static str| {
        text.lines().filter_map(move |line| line.strip_prefix(prefix)?.split_once(' '))
    };
    let kinds: BTreeMap<&str, &str> = of("# TYPE ").collect();
    of("# HELP ").map(|(name, help)| (name.to_owned(), (kinds[name].to_owned(), help.to_owned()))).collect()
}

#[test]
fn metrics_are_those_of_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = talkative(folder.path());
    let page = || {
        let mut page = String::from(
            "# Metrics\n\nWritten by `make reference`, from `/metrics` of a server with something to tell under every name. What to watch, and what to do about it:\n\
             [monitoring.md](../monitoring.md).\n\n| metric | kind | |\n|---|---|---|\n",
        );
        for (name, (kind, help)) in told(&metrics(&doorward)) {
            page.push_str(&format!("| `{name}` | {kind} | {} |\n", help.replace('|', "\\|")));
        }
        page
    };
    // Issuers are fetched in the background: a metric of theirs may be there a moment later.
    let complete = |page: &str| {
        page.contains("doorward_issuer_keys`") && page.contains("doorward_issuer_fetches_total`")
    };
    eventually("issuers were fetched", || complete(&page()).then_some(()));
    check("metrics.md", &page());
}
