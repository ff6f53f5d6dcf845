//! The policy that results for one deployment, and where each line of it came from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::deployments::{Planned, planned};
use super::directory::Directory;
use super::fault::Source;
use super::id::derived;
use super::load::Loaded;
use super::node::{self, Node};
use super::place::{At, Place};
use super::policy;
use super::show::flow;
use crate::domain::catalog::Parts;

/// The policy that results for one deployment.
pub struct Effective<'l> {
    name: String,
    /// In the order in which they are shown.
    parts: Vec<Part<'l>>,
    source: &'l Source,
}

/// One top-level key.
struct Part<'l> {
    key: &'static str,
    value: Value,
    /// Who says so: `service`, `deployment` or `override`; and what is written there.
    said: Option<(&'static str, &'l Node)>,
}

/// The policy of the deployment called `orders/production`, or `orders` where services are deployed
/// as they are.
///
/// # Errors
///
/// There is no such deployment; the text says which there are.
pub fn effective<'l>(loaded: &'l Loaded, name: &str) -> Result<Effective<'l>, String> {
    let config = &loaded.config;
    let names = policy::declare(config, &mut Parts::default(), &mut Vec::new());
    let all = planned(config, &names);
    let Some(planned) = all.iter().find(|planned| planned.name() == name) else {
        return Err(unknown(loaded, &all, name));
    };
    let settings = config.settings();
    let item = |list: &str, at: usize| Words {
        values: settings.get(list).and_then(|list| list.get(at)).cloned().unwrap_or_default(),
        node: loaded.tree.get(list).and_then(|list| list.item(at)),
    };
    let service = item("services", planned.at);
    let deployment = planned.deployment.map(|(at, _)| item("deployments", at)).unwrap_or_default();
    let parts = parts(planned, &service, &deployment);
    Ok(Effective { name: planned.name(), parts, source: &config.source })
}

/// What a map of the file says, as it was understood and as it was written.
#[derive(Default)]
struct Words<'l> {
    values: Value,
    node: Option<&'l Node>,
}

impl<'l> Words<'l> {
    fn get(&self, key: &str) -> Option<Words<'l>> {
        let node = self.node.and_then(|node| node.get(key));
        let value = self.values.get(key)?.clone();
        Some(Words { values: value, node })
    }

    fn part(self, key: &'static str, who: &'static str) -> Part<'l> {
        // What an override removes is as it is where nobody says anything.
        let value = if self.values.is_null() { unsaid(key) } else { self.values };
        Part { key, value, said: self.node.map(|node| (who, node)) }
    }
}

/// What holds where nobody says anything.
fn unsaid(key: &str) -> Value {
    match key {
        "enabled" => json!(true),
        "mode" => json!("enforce"),
        "path" => json!("strict"),
        "rules" => json!([]),
        _ => Value::Null,
    }
}

fn parts<'l>(planned: &Planned<'_>, service: &Words<'l>, deployment: &Words<'l>) -> Vec<Part<'l>> {
    let parts = deployment.get("override").unwrap_or_default();
    let first_of = |key: &'static str, said: [(&Words<'l>, &'static str); 2]| {
        let said = said.into_iter().find_map(|(words, who)| Some(words.get(key)?.part(key, who)));
        said.unwrap_or_else(|| Part { key, value: unsaid(key), said: None })
    };
    let of_service = |key| first_of(key, [(service, "service"); 2]);
    let of_deployment = |key| first_of(key, [(deployment, "deployment"), (service, "service")]);
    let overridden = |key| first_of(key, [(&parts, "override"), (service, "service")]);

    let mut all =
        vec![Part { key: "service", ..service.get("name").unwrap_or_default().part("service", "service") }];
    if let Some((_, name)) = planned.infrastructure {
        let written = deployment.get("infrastructure").unwrap_or_default();
        all.push(Part { value: json!(name), ..written.part("infrastructure", "deployment") });
    }
    // A service that is switched off is off everywhere.
    all.push(if planned.service.enabled.value { of_deployment("enabled") } else { of_service("enabled") });
    all.extend(["hosts", "paths"].map(of_deployment));
    all.push(of_service("path"));
    all.extend(["authentication", "networks", "groups", "rules", "mode"].map(overridden));
    all
}

impl Effective<'_> {
    /// As YAML, with its origin beside each line: `# service, doorward.yaml:12`, `# default`.
    pub fn to_yaml(&self) -> String {
        let mut out = format!("# {}\n", self.name);
        for part in &self.parts {
            let who = part.said.map_or("", |(who, _)| who);
            let lines = Lines { who, source: self.source };
            lines.write(&mut out, 0, &format!("{}:", part.key), &part.value, part.said.map(|(_, node)| node));
        }
        out
    }

    /// `{"deployment", "policy", "origins"}`; lists count as one, and what has no origin is default.
    pub fn to_json(&self) -> Value {
        let policy: Map<String, Value> =
            self.parts.iter().map(|part| (part.key.to_owned(), part.value.clone())).collect();
        let mut origins = BTreeMap::new();
        for Part { key, said, .. } in &self.parts {
            if let Some((who, node)) = said {
                Lines { who, source: self.source }.collect(key, node, &mut origins);
            }
        }
        json!({ "deployment": self.name, "policy": policy, "origins": origins })
    }
}

/// Writes what one speaker says.
struct Lines<'l> {
    who: &'static str,
    source: &'l Source,
}

impl Lines<'_> {
    /// `head` is a key with its colon, or the dash of an item.
    fn write(&self, out: &mut String, depth: usize, head: &str, value: &Value, node: Option<&Node>) {
        let indent = "  ".repeat(depth);
        let origin = self.origin(node);
        match value {
            Value::Object(map) if !map.is_empty() => {
                if head != "-" {
                    out.push_str(&format!("{indent}{head}  # {origin}\n"));
                }
                let inside = out.len();
                for (key, value) in map {
                    let below =
                        node.and_then(|node| node.get(key).or_else(|| node.is_word(key).then_some(node)));
                    self.write(out, depth + 1, &format!("{key}:"), value, below);
                }
                if head == "-" {
                    // The first line of an item begins with its dash.
                    let dash = inside + indent.len();
                    out.replace_range(dash..=dash, "-");
                }
            }
            Value::Array(items) if !items.is_empty() && !on_one_line(items, node) => {
                out.push_str(&format!("{indent}{head}  # {origin}\n"));
                for (at, item) in items.iter().enumerate() {
                    self.write(out, depth + 1, "-", item, node.and_then(|node| node.item(at)));
                }
            }
            plain => out.push_str(&format!("{indent}{head} {}  # {origin}\n", flow(plain))),
        }
    }

    fn origin(&self, node: Option<&Node>) -> String {
        match node.map(|node| node.place) {
            Some(Place::File { line, .. }) => {
                let file = self.source.file.as_deref().unwrap_or("line");
                format!("{}, {file}:{line}", self.who)
            }
            _ => "default".to_owned(),
        }
    }

    fn collect(&self, path: &str, node: &Node, origins: &mut BTreeMap<String, String>) {
        match &node.value {
            node::Value::Map(entries) => {
                for entry in entries {
                    self.collect(&format!("{path}.{}", entry.key), &entry.value, origins);
                }
            }
            _ => {
                origins.insert(path.to_owned(), self.origin(Some(node)));
            }
        }
    }
}

/// Whether a list of plain values stands on one line, or nowhere.
fn on_one_line(items: &[Value], node: Option<&Node>) -> bool {
    let line = |node: &Node| match node.place {
        Place::File { line, .. } => line,
        _ => 0,
    };
    items.iter().all(|item| !item.is_object() && !item.is_array())
        && node.is_none_or(|list| {
            (0..items.len()).all(|at| list.item(at).is_none_or(|item| line(item) == line(list)))
        })
}

fn unknown(loaded: &Loaded, all: &[Planned<'_>], name: &str) -> String {
    let list = if loaded.config.deployments.is_some() { "deployments" } else { "services" };
    let mut known = Directory::of_names("deployment", list);
    for planned in all {
        let id = At::assumed(derived("deployment", &planned.name()));
        known.declare(Some(&At::assumed(planned.name())), id, &mut Vec::new());
    }
    loaded.config.source.report(known.dangling(&At::assumed(name.to_owned()))).message
}
