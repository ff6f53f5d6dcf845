//! What was seen on the way to a verdict, for whoever asks why.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use uuid::Uuid;

/// One thing that a decision looked at, in order. Holds no secret: credentials stand by their ids.
///
/// Shown as one line for people, without its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The path that was decided about, and its other readings where there are several.
    Path { canonical: String, as_written: Option<String>, between: Vec<String> },
    /// No deployment is found by the name that the route gives, or else by the host and the path.
    Nowhere { service: Option<String>, infrastructure: Option<String>, host: String },
    /// The deployment, and what led to it: `context_extensions`, `exact_host`, `host_suffix`, `any_host`.
    Deployment { name: String, found_by: &'static str, enabled: bool, mode: &'static str },
    /// Whose address counts as the client's, and which hop named it.
    Client { address: Option<IpAddr>, hop: String },
    /// A list of networks in force: `deployment`, `consumer` or `key`.
    Networks { of: &'static str, outcome: Outcome },
    /// What callers must prove: `none`, `any` or `all`, by which methods; those that are not asked
    /// of this request are left out.
    Authentication { demands: &'static str, methods: Vec<&'static str>, anonymous: Option<Uuid> },
    /// A place where a credential was looked for.
    Looked { method: &'static str, name: String, place: &'static str, found: &'static str },
    /// What was presented, and whether it proves anything.
    Credential {
        method: &'static str,
        key: Option<Uuid>,
        consumer: Option<Uuid>,
        username: Option<String>,
        outcome: Outcome,
    },
    /// Nothing was proven, and the anonymous consumer stands in.
    Anonymous { consumer: Uuid, username: Option<String> },
    /// Whether the key opens this deployment.
    Service { key: Uuid, outcome: Outcome },
    /// The deployment's list of groups, and what the caller is in.
    Groups { list: &'static str, of: Vec<String>, caller: Vec<String>, outcome: Outcome },
    /// A rule that applies, by its place in the policy, counted from 0, and what it is about.
    Rule { index: usize, methods: Vec<String>, paths: Vec<String>, outcome: Outcome },
    /// No rule applies: the policy alone decides.
    NoRule,
}

/// Whether a door was open; where not, the reason's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Open,
    Shut(&'static str),
}

/// Whoever wants to know the steps. The closure is called only if somebody does.
pub trait Witness {
    fn saw(&mut self, step: impl FnOnce() -> Step);
}

/// Nobody asked: the way of every check.
pub struct Unwatched;

impl Witness for Unwatched {
    #[inline]
    fn saw(&mut self, _step: impl FnOnce() -> Step) {}
}

impl Witness for Vec<Step> {
    fn saw(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { canonical, as_written: None, .. } => write!(f, "path `{canonical}`"),
            Self::Path { canonical, as_written: Some(written), between } => {
                write!(
                    f,
                    "path `{canonical}` as it resolves and `{written}` as it is written: every reading must pass"
                )?;
                match between.len() {
                    0 => Ok(()),
                    _ => write!(f, ", and what lies between: `{}`", between.join("`, `")),
                }
            }
            Self::Nowhere { service, infrastructure, host } => {
                nowhere(f, service.as_deref(), infrastructure.as_deref(), host)
            }
            Self::Deployment { name, found_by, enabled, mode } => {
                let state = if *enabled { "" } else { "; it is switched off" };
                let mode = if *mode == "shadow" {
                    "; in shadow mode: denials are told, not carried out"
                } else {
                    ""
                };
                write!(f, "deployment {name}, found by {}{state}{mode}", way(found_by))
            }
            Self::Client { address: Some(address), hop } => write!(f, "client {address}, by {hop}"),
            Self::Client { address: None, hop } => write!(f, "client unknown: {hop}"),
            Self::Networks { of, outcome } => write!(f, "networks of the {of}: {outcome}"),
            Self::Authentication { demands, methods, anonymous } => {
                demanded(f, demands, methods, anonymous.is_some())
            }
            Self::Looked { method, name, place, found } => {
                write!(f, "{method}: looked for `{name}` in the {place}: {found}")
            }
            Self::Credential { method, key, consumer, username, outcome } => {
                write!(f, "{method}: ")?;
                match (key, *method) {
                    (Some(key), "token") => write!(f, "token {key}")?,
                    (Some(key), "cookie") => write!(f, "session {key}")?,
                    (Some(key), _) => write!(f, "key {key}")?,
                    (None, "token") => f.write_str("a token that is not known")?,
                    (None, "cookie") => f.write_str("a session that is not known")?,
                    (None, "jwt") => f.write_str("a token")?,
                    (None, _) => f.write_str("a key that is not known")?,
                }
                if let Some(consumer) = consumer {
                    write!(f, " of {} ({consumer})", username.as_deref().unwrap_or("a consumer"))?;
                }
                match outcome {
                    Outcome::Open => f.write_str(": proven"),
                    shut => write!(f, ": {shut}"),
                }
            }
            Self::Anonymous { consumer, username } => {
                let name = username.as_deref().unwrap_or_default();
                write!(f, "nothing was proven: the anonymous consumer {name} ({consumer}) stands in")
            }
            Self::Service { key, outcome } => write!(f, "services of the key {key}: {outcome}"),
            Self::Groups { list, of, caller, outcome } => {
                write!(f, "groups: {list} {}; the caller is in {}: {outcome}", listed(of), listed(caller))
            }
            Self::Rule { index, methods, paths, outcome } => {
                let (methods, paths) = (some_or(methods, "every method"), some_or(paths, "every path"));
                write!(f, "rule {} ({methods} on {paths}): {outcome}", index + 1)
            }
            Self::NoRule => f.write_str("no rule applies"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Shut(why) => write!(f, "SHUT: {why}"),
        }
    }
}

fn nowhere(
    f: &mut fmt::Formatter<'_>,
    service: Option<&str>,
    infrastructure: Option<&str>,
    host: &str,
) -> fmt::Result {
    match (service, infrastructure) {
        (None, _) if host.is_empty() => {
            f.write_str("the request has no host, and its route names no service")
        }
        (None, Some(on)) => write!(
            f,
            "no deployment on `{}`, which the route names, answers to the host `{}` and the path",
            on.escape_debug(),
            host.escape_debug()
        ),
        (None, None) => write!(f, "no deployment answers to the host `{}` and the path", host.escape_debug()),
        (Some(service), None) => {
            write!(f, "the route names the service `{}`: no deployment, or several", service.escape_debug())
        }
        (Some(service), Some(on)) => {
            write!(f, "the route names `{}/{}`: no deployment", service.escape_debug(), on.escape_debug())
        }
    }
}

fn way(found_by: &str) -> &str {
    match found_by {
        "context_extensions" => "the name that its route gives",
        "exact_host" => "its host",
        "host_suffix" => "the end of its host",
        "any_host" => "its path, on any host",
        other => other,
    }
}

fn demanded(f: &mut fmt::Formatter<'_>, demands: &str, methods: &[&str], anonymous: bool) -> fmt::Result {
    match (demands, methods) {
        ("none", _) => return f.write_str("authentication: none, nobody is asked"),
        (_, []) => return f.write_str("authentication: no method is asked of a preflight"),
        (_, [only]) => write!(f, "authentication: {only}")?,
        (_, several) => write!(f, "authentication: {demands} of {}", several.join(", "))?,
    }
    if anonymous { f.write_str(", else the anonymous consumer") } else { Ok(()) }
}

fn listed(names: &[String]) -> String {
    some_or(names, "none")
}

fn some_or(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}
