//! Settings from outside the file: the environment, and flags of the command line.

use super::fault::Fault;
use super::node::{Entry, Node, Value};
use super::place::Place;

/// What every variable of ours begins with.
const PREFIX: &str = "DOORWARD_";

/// Variables that are ours but no settings.
const PROCESS: [&str; 2] = ["DOORWARD_ADMIN_KEY", "DOORWARD_CONFIG"];

/// More levels than any setting outside lists has; trees are walked and dropped by recursion.
const DEEPEST: usize = 8;

/// One setting from outside the file. Later ones win over earlier ones, all win over the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// `["listen", "grpc"]`.
    pub path: Vec<String>,
    /// As written; read by the setting's own rules.
    pub value: String,
    /// Who is to blame for a bad value: `DOORWARD_LISTEN__GRPC`, `--listen`.
    pub origin: String,
}

impl Overlay {
    /// A flag of the command line; `path` is dotted: `listen.grpc`.
    pub fn flag(flag: &str, path: &str, value: impl Into<String>) -> Self {
        Self {
            path: path.split('.').map(str::to_owned).collect(),
            value: value.into(),
            origin: flag.to_owned(),
        }
    }

    /// A variable of the environment, where it is meant for the settings.
    pub(super) fn variable(name: &str, value: &str) -> Option<Self> {
        let setting = name.strip_prefix(PREFIX)?;
        if PROCESS.contains(&name) || is_service_link(setting) {
            return None;
        }
        Some(Self {
            path: setting.to_lowercase().split("__").map(str::to_owned).collect(),
            value: value.to_owned(),
            origin: name.to_owned(),
        })
    }

    /// The origin with `meant` in the place of the segment `found`.
    pub(super) fn corrected(&self, found: &str, meant: &str) -> String {
        if !self.origin.starts_with(PREFIX) {
            return meant.to_owned();
        }
        let path: Vec<&str> =
            self.path.iter().map(|segment| if segment == found { meant } else { segment }).collect();
        format!("{PREFIX}{}", path.join("__").to_uppercase())
    }

    /// Puts the setting into the tree, in the place of what the file says.
    pub(super) fn apply(&self, index: u32, root: &mut Node) -> Result<(), Fault> {
        let place = Place::Overlay(index);
        if self.path.len() > DEEPEST {
            return Err(Fault::new(place, format!("no setting lies more than {DEEPEST} levels deep")));
        }
        let mut node = root;
        for segment in &self.path {
            if matches!(node.value, Value::Nothing | Value::Null) {
                *node = Node { place, value: Value::Map(Vec::new()) };
            }
            let entries = match &mut node.value {
                Value::Map(entries) => entries,
                Value::List(_) => return Err(Fault::new(place, "settings inside lists are set in the file")),
                // The file's own mistake, which reading it will name.
                _ if !matches!(node.place, Place::Overlay(_)) => return Ok(()),
                _ => return Err(Fault::new(place, "a part of a setting that is also set as a whole")),
            };
            let at = match entries.iter().position(|entry| entry.key == *segment) {
                Some(at) => at,
                None => {
                    let value = Node { place, value: Value::Nothing };
                    entries.push(Entry { place, key: segment.clone(), value });
                    entries.len() - 1
                }
            };
            node = &mut entries[at].value;
        }
        *node = Node { place, value: Value::Given(self.value.clone()) };
        Ok(())
    }
}

/// Whether Kubernetes made the variable: for a Service called `doorward` it gives every pod beside
/// it `DOORWARD_SERVICE_HOST`, `DOORWARD_PORT_50051_TCP_ADDR` and others of that kind
/// (`enableServiceLinks`). None of our settings has such a name.
fn is_service_link(setting: &str) -> bool {
    let setting = format!("_{setting}");
    setting.ends_with("_SERVICE_HOST")
        || setting.ends_with("_SERVICE_PORT")
        || setting.contains("_SERVICE_PORT_")
        || setting.ends_with("_PORT")
        || ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
            let of_port = |rest: &str| rest.is_empty() || ["_PROTO", "_PORT", "_ADDR"].contains(&rest);
            setting.contains("_PORT_") && setting.rsplit_once(protocol).is_some_and(|(_, rest)| of_port(rest))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_meant_for_the_settings_are_taken() {
        let path = |name| Overlay::variable(name, "x").map(|overlay| overlay.path.join("."));
        assert_eq!(path("DOORWARD_LISTEN__GRPC").as_deref(), Some("listen.grpc"));
        assert_eq!(path("DOORWARD_SECRET_FILE").as_deref(), Some("secret_file"));
        assert_eq!(path("DOORWARD_LISTN").as_deref(), Some("listn"));
        for other in [
            "HOME",
            "DOORWARD_CONFIG",
            "DOORWARD_ADMIN_KEY",
            "DOORWARD_SERVICE_HOST",
            "DOORWARD_SERVICE_PORT",
            "DOORWARD_SERVICE_PORT_GRPC",
            "DOORWARD_PORT",
            "DOORWARD_PORT_50051_TCP",
            "DOORWARD_PORT_50051_TCP_PROTO",
            "DOORWARD_STATUS_PORT_8100_TCP_ADDR",
        ] {
            assert_eq!(path(other), None, "{other}");
        }
    }
}
