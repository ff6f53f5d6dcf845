//! The APIs that Doorward protects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::authentication::{Authentication, Surroundings};
use super::fault::{Fault, quoted};
use super::grants::{Grants, OnService};
use super::groups::Groups;
use super::id::{Id, given_or_derived};
use super::lists::read_all;
use super::names::{Names, check_word};
use super::networks::Networks;
use super::place::At;
use super::rules::{self, Rule};
use super::versions::Version;
use crate::domain;
use crate::domain::catalog::canonical_host;
use crate::domain::deployment;

/// An API that Doorward protects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Letters, digits, `_`, `.`, `~` and `-`.
    pub name: At<String>,
    /// Absent: derived from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    /// `api.example.com`, `*.example.com`. Absent: any host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<At<Vec<At<String>>>>,
    /// Prefixes by whole segments: `/orders`. Absent: every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<At<Vec<At<String>>>>,
    /// How callers prove who they are; `none` makes the service public. Required.
    pub authentication: At<Authentication>,
    /// From where requests may come. Absent: from anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<At<Networks>>,
    /// Who may pass by their groups. Absent: whoever has proven who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<At<Groups>>,
    /// Parts that ask for more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<At<Rule>>,
    /// Whether a denial is carried out, or only told. Default: `enforce`.
    #[serde(default)]
    pub mode: At<Mode>,
    /// What becomes of a path that can be read in more than one way. Default: `strict`.
    #[serde(default)]
    pub path: At<PathReading>,
    /// Switched off, it denies everybody. Default: true.
    #[serde(default = "enabled")]
    pub enabled: At<bool>,
    /// Policies that were set when the service was designed, the latest last. A deployment activates
    /// one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<At<Version>>,
    /// What groups may do with it in the admin API.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants<OnService>,
}

fn enabled() -> At<bool> {
    At::assumed(true)
}

/// Whether a denial is carried out or only told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Enforce,
    /// What would be denied is logged, and passes.
    Shadow,
}

/// What becomes of a path that can be read in more than one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathReading {
    /// It is refused.
    #[default]
    Strict,
    /// It is resolved, and must pass as it is written and as it resolves.
    Resolve,
}

impl Service {
    pub fn id(&self) -> Uuid {
        given_or_derived(self.id.as_ref(), "service", &self.name)
    }

    pub(super) fn declare(&self, names: &mut Names, faults: &mut Vec<Fault>) {
        let place = self.id.as_ref().map_or(self.name.place, |id| id.place);
        names.services.declare(Some(&self.name), At { value: self.id(), place }, faults);
        check_word("service", &self.name, faults);
        self.versions.iter().for_each(|version| version.declare(self, names, faults));
    }

    pub(super) fn policy(&self, around: &mut Surroundings<'_>) -> deployment::Policy {
        let networks = self.networks.as_ref();
        let groups = self.groups.as_ref();
        deployment::Policy {
            authentication: self.authentication.resolve(around).into(),
            networks: networks
                .map(|networks| networks.resolve(networks.place, around.faults, around.warnings))
                .unwrap_or_default()
                .into(),
            groups: groups
                .map(|groups| groups.resolve(groups.place, around.names, around.faults))
                .unwrap_or_default()
                .into(),
            rules: rules::resolve(&self.rules, around),
            mode: self.mode.value.into(),
        }
    }
}

impl From<Mode> for deployment::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enforce => Self::Enforce,
            Mode::Shadow => Self::Shadow,
        }
    }
}

impl From<PathReading> for deployment::Reading {
    fn from(reading: PathReading) -> Self {
        match reading {
            PathReading::Strict => Self::Strict,
            PathReading::Resolve => Self::Resolve,
        }
    }
}

/// In lower case. `all`: what holds where the list is left out.
pub(super) fn hosts(list: Option<&At<Vec<At<String>>>>, all: &str, faults: &mut Vec<Fault>) -> Vec<String> {
    read_all(list, ("hosts", all), host, faults)
}

/// Without a final `/`. `all`: what holds where the list is left out.
pub(super) fn paths(list: Option<&At<Vec<At<String>>>>, all: &str, faults: &mut Vec<Fault>) -> Vec<String> {
    read_all(list, ("paths", all), path, faults)
}

/// `api.example.com` or `*.example.com`, in lower case.
fn host(text: &str) -> Result<String, String> {
    if text == "*" {
        return Err("`*` is no host; leave `hosts` out for any host".to_owned());
    }
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    let labels = |name: &str| name.split('.').all(|label| !label.is_empty() && label.len() <= 63);
    match canonical_host(name.as_bytes()) {
        Some(canonical) if canonical.len() + 1 < name.trim_end_matches('.').len() => Err(format!(
            "the host {} has a port; write `{wildcard}{canonical}`, which is compared without the port",
            quoted(text)
        )),
        Some(canonical) if canonical.starts_with('[') && wildcard.is_empty() => Ok(canonical.into_owned()),
        Some(canonical) if labels(&canonical) && !canonical.starts_with('[') => {
            Ok(format!("{wildcard}{canonical}"))
        }
        _ => Err(format!(
            "{} is no host, expected a form such as `api.example.com` or `*.example.com`",
            quoted(text)
        )),
    }
}

/// A prefix in the canonical form in which requests are compared, without a final `/`.
pub(super) fn path(text: &str) -> Result<String, String> {
    let refuse = |why: &str| {
        Err(format!("{} is no path: {why}; expected a form such as `/orders/admin`", quoted(text)))
    };
    let target = match domain::path::parse(text.as_bytes()) {
        Ok(target) => target,
        Err(denial) => return refuse(denial.why().unwrap_or("it cannot be understood")),
    };
    if target.query.is_some() {
        return refuse("it has a query");
    }
    // Meant as a wildcard, it would never match; prefixes need none.
    if target.path.contains(&b'*') {
        return refuse("it holds a `*`, and every path is a prefix already");
    }
    let path = String::from_utf8_lossy(&target.path);
    Ok(match path.strip_suffix('/') {
        Some("") | None => path.into_owned(),
        Some(path) => path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn hosts_are_names_in_lower_case() {
        let read = |text| host(text).ok();
        assert_eq!(read("API.Example.com").as_deref(),   Some("api.example.com"));
        assert_eq!(read("*.Example.com").as_deref(),     Some("*.example.com"));
        assert_eq!(read("api.example.com.").as_deref(),  Some("api.example.com"));
        assert_eq!(read("localhost").as_deref(),         Some("localhost"));
        assert_eq!(read("192.0.2.1").as_deref(),         Some("192.0.2.1"));
        assert_eq!(read("[2001:DB8::1]").as_deref(),     Some("[2001:db8::1]"));
        for text in [
            "", "*", "*.", "a.*.b", "*example.com", "**.example.com", "a..b", ".a", "https://a.b", "a.b/c",
            "a.b:80", "[::1]:80", "*.[::1]", "ü.example", "a b", "a,b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn paths_are_canonical_prefixes() {
        let read = |text| path(text).ok();
        assert_eq!(read("/").as_deref(),             Some("/"));
        assert_eq!(read("/orders").as_deref(),       Some("/orders"));
        assert_eq!(read("/orders/").as_deref(),      Some("/orders"));
        assert_eq!(read("/Orders/v1.0/a:b@c").as_deref(), Some("/Orders/v1.0/a:b@c"));
        assert_eq!(read("/%61%c3%a9").as_deref(),    Some("/a%C3%A9"));
        for text in ["", "orders", "//", "/a//b", "/./a", "/a/..", "/a;b", "/a?b", "/a#b", "/%2e", "/%3", "/a b", "/ü", "/a\\b", "/a/*"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
