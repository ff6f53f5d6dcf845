//! What was seen on the way to a verdict, for whoever asks why.

use std::net::IpAddr;

use serde::Serialize;
use uuid::Uuid;

/// One thing that a decision looked at, in order. Holds no secret: credentials stand by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The path that was decided about, and the other reading where there are two.
    Path { canonical: String, as_written: Option<String> },
    /// The deployment, and what led to it: `context_extensions`, `exact_host`, `host_suffix`, `any_host`.
    Deployment { name: String, found_by: &'static str, enabled: bool, mode: &'static str },
    /// Whose address counts as the client's, and which hop named it.
    Client { address: Option<IpAddr>, hop: String },
    /// A list of networks in force: `deployment`, `consumer` or `key`.
    Networks { of: &'static str, outcome: Outcome },
    /// A place where a credential was looked for.
    Looked { method: &'static str, name: String, place: &'static str, found: &'static str },
    /// What was presented, and whether it proves anything.
    Credential { method: &'static str, key: Option<Uuid>, consumer: Option<Uuid>, outcome: Outcome },
    /// Nothing was proven, and the anonymous consumer stands in.
    Anonymous { consumer: Uuid, username: Option<String> },
    /// Whether the key opens this deployment.
    Service { key: Uuid, outcome: Outcome },
    /// The deployment's list of groups, and what the caller is in.
    Groups { list: &'static str, of: Vec<String>, caller: Vec<String>, outcome: Outcome },
    /// A rule that applies, by its place in the policy, counted from 0.
    Rule { index: usize, outcome: Outcome },
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
