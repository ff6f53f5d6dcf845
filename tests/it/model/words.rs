//! A policy and a request, in the plainest words there are.

use std::collections::BTreeSet;

pub type Set = BTreeSet<String>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub deployments: Vec<Deployment>,
    pub consumers: Vec<Consumer>,
    pub keys: Vec<Key>,
    pub proxies: Vec<Network>,
    /// Of each pair the first role implies the second; never in a circle.
    pub implies: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment {
    pub service: String,
    /// Empty: none.
    pub infrastructure: String,
    pub hosts: Set,
    pub paths: Set,
    pub enabled: bool,
    pub resolve: bool,
    pub shadow: bool,
    /// None: public.
    pub methods: Vec<Method>,
    /// Whether every method must prove.
    pub all: bool,
    pub anonymous: Option<String>,
    pub networks: Networks,
    pub allow_groups: Option<Set>,
    pub deny_groups: Option<Set>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Method {
    /// `static_token` instead of `api_key`.
    pub is_static: bool,
    /// Each place in order, and the name there.
    pub places: Vec<(&'static str, String)>,
    pub preflight: bool,
}

/// From the first address to the last; IPv4 as `::ffff:…`.
pub type Network = (u128, u128);

/// Whoever is at the other end of a Unix socket: an address that no text of ours has.
pub const UNIX: u128 = u128::MAX;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    pub allow: Option<Vec<Network>>,
    pub deny: Vec<Network>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub methods: Set,
    pub paths: Set,
    pub permissions: Set,
    pub groups: Set,
    /// A role and a project, or none: in any.
    pub roles: BTreeSet<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    pub name: String,
    pub enabled: bool,
    pub groups: Set,
    pub permissions: Set,
    /// A role and a project.
    pub roles: BTreeSet<(String, String)>,
    pub networks: Networks,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    pub text: String,
    /// Whose it is; perhaps nobody's.
    pub owner: String,
    pub enabled: bool,
    /// Seconds: from the first, and before the second.
    pub from: i64,
    pub until: i64,
    /// Services and deployments.
    pub opens: Option<Set>,
    pub permissions: Option<Set>,
    pub networks: Networks,
}

/// What is asked, and how it is spelled where it may be spelled in several ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: Path,
    pub written_path: String,
    /// `None`: what is written is no host.
    pub host: Option<String>,
    pub written_host: String,
    pub presented: Vec<Presented>,
    /// Headers that decide nothing.
    pub aside: Vec<(String, String)>,
    pub source: Option<u128>,
    /// `x-forwarded-for`, from left to right; `None` is no address.
    pub hops: Vec<Option<u128>>,
    pub service: Option<String>,
    pub infrastructure: Option<String>,
    pub now: i64,
}

/// How the written path can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    Malformed,
    /// In more ways than are told, such as an escape of an escape.
    Anyhow,
    /// In one way, or in each of several.
    Read(Set),
}

/// What stands under a name in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// `header`, `query`, `cookie`, or `bearer`: in `authorization`.
    pub place: &'static str,
    pub name: String,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    /// A parameter without `=`.
    Bare,
    /// Two lines or parameters, equal or not.
    Twice(String, String),
    /// In one header line, as Envoy joins two.
    Joined(String, String),
}

impl Default for Path {
    fn default() -> Self {
        Self::Read(Set::from(["/".to_owned()]))
    }
}

/// Why not, as `interface.md` 4 names it.
pub type Code = &'static str;

/// Somebody, and by which key; none: an anonymous consumer.
pub type Caller<'a> = (&'a Consumer, Option<&'a Key>);

/// What is decided about.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub policy: &'a Policy,
    pub request: &'a Request,
}
