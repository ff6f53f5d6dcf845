//! The policy that results for one deployment, and where each line of it came from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::deployments::{Planned, planned};
use super::directory::Directory;
use super::fault::Source;
use super::load::Loaded;
use super::node::{self, Entry, Node};
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
    /// Who says so: `service`, `version`, `deployment` or `override`; and what.
    said: Option<(&'static str, Written<'l>)>,
}

/// What is written, and where: of what stands under a key the place is the key's.
#[derive(Clone, Copy)]
struct Written<'l> {
    place: Place,
    node: &'l Node,
}

impl<'l> Written<'l> {
    fn get(self, key: &str) -> Option<Self> {
        match self.node.get(key) {
            Some(entry) => Some(Self { place: entry.place, node: &entry.value }),
            // A bare word for a map of one key: `api_key`.
            None => self.node.is_word(key).then_some(self),
        }
    }

    fn item(self, at: usize) -> Option<Self> {
        self.node.item(at).map(|node| Self { place: node.place, node })
    }
}

/// The policy of the deployment called `orders/production` (or `orders` where services are deployed
/// as they are), or with that id.
///
/// # Errors
///
/// There is no such deployment; the text says which there are.
pub fn effective<'l>(loaded: &'l Loaded, name: &str) -> Result<Effective<'l>, String> {
    let config = &loaded.config;
    let names = policy::declare(config, &mut Parts::default(), &mut Vec::new());
    let all = planned(config, &names);
    let id = Uuid::parse_str(name).ok();
    let Some(planned) = all.iter().find(|planned| planned.name() == name || Some(planned.id()) == id) else {
        return Err(unknown(loaded, &all, name));
    };
    let settings = config.settings();
    let root = Written { place: loaded.tree.place, node: &loaded.tree };
    let item = |list: &str, at: usize| Words {
        values: settings.get(list).and_then(|list| list.get(at)).cloned().unwrap_or_default(),
        written: root.get(list).and_then(|list| list.item(at)),
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
    written: Option<Written<'l>>,
}

impl<'l> Words<'l> {
    fn get(&self, key: &str) -> Option<Words<'l>> {
        let values = self.values.get(key)?.clone();
        Some(Words { values, written: self.written.and_then(|written| written.get(key)) })
    }

    fn part(self, key: &'static str, who: &'static str) -> Part<'l> {
        // What an override removes is as it is where nobody says anything.
        let value = if self.values.is_null() { unsaid(key) } else { self.values };
        Part { key, value, said: self.written.map(|written| (who, written)) }
    }
}

/// What holds where nobody says anything.
pub fn unsaid(key: &str) -> Value {
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
    let version = version(planned, service).unwrap_or_default();
    let first_of = |key: &'static str, said: &[(&Words<'l>, &'static str)]| {
        let said = said.iter().find_map(|(words, who)| Some(words.get(key)?.part(key, who)));
        said.unwrap_or_else(|| Part { key, value: unsaid(key), said: None })
    };
    let of_service = |key| first_of(key, &[(service, "service")]);
    let of_deployment = |key| first_of(key, &[(deployment, "deployment"), (service, "service")]);
    let overridden =
        |key| first_of(key, &[(&parts, "override"), (&version, "version"), (service, "service")]);

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

/// What the version that is active there says.
fn version<'l>(planned: &Planned<'_>, service: &Words<'l>) -> Option<Words<'l>> {
    let versions = &planned.service.versions;
    let asked = planned.deployment.and_then(|(_, deployment)| deployment.version.as_ref());
    let at = match asked {
        Some(asked) => versions.iter().position(|version| version.is(planned.service, asked))?,
        None => versions.len().checked_sub(1)?,
    };
    let all = service.get("versions")?;
    let values = all.values.get(at).cloned().unwrap_or_default();
    Words { values, written: all.written.and_then(|written| written.item(at)) }.get("policy")
}

impl Effective<'_> {
    /// As YAML, with its origin beside each line: `# service, doorward.yaml:12`, `# default`.
    pub fn to_yaml(&self) -> String {
        let mut out = format!("# {}\n", self.name);
        for part in &self.parts {
            let (who, written) = part.said.unzip();
            let lines = Lines { who: who.unwrap_or_default(), source: self.source };
            lines.write(&mut out, 0, &format!("{}:", part.key), &part.value, written);
        }
        out
    }

    /// `{"deployment", "policy", "origins"}`; lists count as one, and what has no origin is default.
    pub fn to_json(&self) -> Value {
        let policy: Map<String, Value> =
            self.parts.iter().map(|part| (part.key.to_owned(), part.value.clone())).collect();
        let mut origins = BTreeMap::new();
        for Part { key, said, .. } in &self.parts {
            if let Some((who, written)) = said {
                Lines { who, source: self.source }.collect(key, *written, &mut origins);
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
    fn write(&self, out: &mut String, depth: usize, head: &str, value: &Value, written: Option<Written<'_>>) {
        let indent = "  ".repeat(depth);
        let origin = self.origin(written);
        match value {
            Value::Object(map) if !map.is_empty() => {
                if head != "-" {
                    out.push_str(&format!("{indent}{head}  # {origin}\n"));
                }
                let inside = out.len();
                for (key, value) in map {
                    let below = written.and_then(|written| written.get(key));
                    self.write(out, depth + 1, &format!("{key}:"), value, below);
                }
                if head == "-" {
                    // The first line of an item begins with its dash.
                    let dash = inside + indent.len();
                    out.replace_range(dash..=dash, "-");
                }
            }
            Value::Array(items) if !items.is_empty() && !on_one_line(items, written) => {
                out.push_str(&format!("{indent}{head}  # {origin}\n"));
                for (at, item) in items.iter().enumerate() {
                    self.write(out, depth + 1, "-", item, written.and_then(|written| written.item(at)));
                }
            }
            plain => out.push_str(&format!("{indent}{head} {}  # {origin}\n", flow(plain))),
        }
    }

    fn origin(&self, written: Option<Written<'_>>) -> String {
        match (line(written), &self.source.file) {
            (None, _) => "default".to_owned(),
            (Some(line), Some(file)) => format!("{}, {file}:{line}", self.who),
            (Some(line), None) => format!("{}, line {line}", self.who),
        }
    }

    fn collect(&self, path: &str, written: Written<'_>, origins: &mut BTreeMap<String, String>) {
        match &written.node.value {
            node::Value::Map(entries) => {
                for Entry { place, key, value } in entries {
                    let below = Written { place: *place, node: value };
                    self.collect(&format!("{path}.{key}"), below, origins);
                }
            }
            _ => _ = origins.insert(path.to_owned(), self.origin(Some(written))),
        }
    }
}

fn line(written: Option<Written<'_>>) -> Option<u32> {
    match written?.place {
        Place::File { line, .. } => Some(line),
        Place::Default | Place::Overlay(_) | Place::Object { .. } => None,
    }
}

/// Whether a list of plain values stands on one line, or nowhere.
fn on_one_line(items: &[Value], written: Option<Written<'_>>) -> bool {
    let plain = |item: &Value| !item.is_object() && !item.is_array();
    let beside = |list: Written<'_>| (0..items.len()).all(|at| line(list.item(at)) == line(Some(list)));
    items.iter().all(plain) && written.is_none_or(beside)
}

fn unknown(loaded: &Loaded, all: &[Planned<'_>], name: &str) -> String {
    let list = if loaded.config.deployments.is_some() { "deployments" } else { "services" };
    let mut known = Directory::new("deployment", list);
    for planned in all {
        let id = At::assumed(planned.id());
        known.declare(Some(&At::assumed(planned.name())), id, &mut Vec::new());
    }
    loaded.config.source.report(known.dangling(&At::assumed(name.to_owned()))).message
}
