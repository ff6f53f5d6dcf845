//! The effective configuration, without secrets, and where each setting came from.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::fault::Source;
use super::load::Loaded;
use super::node::{self, Node};
use super::place::Place;

/// Who wrote each setting; lists count as one.
pub(super) fn origins(tree: &Node, source: &Source) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(tree, String::new(), source, &mut found);
    found
}

fn collect(node: &Node, path: String, source: &Source, found: &mut BTreeMap<String, String>) {
    match &node.value {
        node::Value::Map(entries) => {
            for entry in entries {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&entry.value, format!("{path}{dot}{}", entry.key), source, found);
            }
        }
        node::Value::Nothing | node::Value::Null => {}
        _ => {
            let origin = match node.place {
                Place::Default | Place::Object { .. } => return,
                Place::File { line, .. } => {
                    format!("{}:{line}", source.file.as_deref().unwrap_or_default())
                }
                Place::Overlay(index) => {
                    source.overlays.get(index as usize).map(|it| it.origin.clone()).unwrap_or_default()
                }
            };
            found.insert(path, origin);
        }
    }
}

/// `{"file", "settings", "origins"}`; a setting without an origin is the default.
pub fn show_json(loaded: &Loaded) -> Value {
    json!({
        "file": loaded.file,
        "settings": settings(loaded),
        "origins": loaded.origins,
    })
}

/// YAML that can be loaded again, with each setting's origin beside it.
pub fn show_yaml(loaded: &Loaded) -> String {
    let mut out = String::new();
    if let Value::Object(settings) = settings(loaded) {
        for (key, value) in &settings {
            entry(&mut out, 0, key, value, key, loaded);
        }
    }
    out
}

/// Keys stand there as `from_env` and `from_file`; their texts are not part of it.
fn settings(loaded: &Loaded) -> Value {
    Value::Object(loaded.config.settings())
}

fn entry(out: &mut String, depth: usize, key: &str, value: &Value, path: &str, loaded: &Loaded) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push_str(&format!("{indent}{key}:\n"));
            for (name, value) in map {
                entry(out, depth + 1, name, value, &format!("{path}.{name}"), loaded);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let origin = origin(path, loaded);
            out.push_str(&format!("{indent}{key}:  # {origin}\n"));
            for item in items {
                out.push_str(&format!("{indent}  - {}\n", flow(item)));
            }
        }
        plain => {
            let origin = origin(path, loaded);
            out.push_str(&format!("{indent}{key}: {}  # {origin}\n", flow(plain)));
        }
    }
}

/// A value on one line: JSON, which is YAML too once everything is escaped that is not printable
/// there (YAML 1.2 section 5.1) or could disguise the line.
pub fn flow(value: &Value) -> String {
    let mut line = String::new();
    for letter in value.to_string().chars() {
        // What is not ASCII stands in strings alone, and there an escape says the same.
        if letter.is_ascii_graphic() || letter == ' ' || letter.is_alphanumeric() {
            line.push(letter);
        } else {
            _ = write!(line, "\\U{:08x}", u32::from(letter));
        }
    }
    line
}

fn origin<'l>(path: &str, loaded: &'l Loaded) -> &'l str {
    loaded.origins.get(path).map_or("default", String::as_str)
}
