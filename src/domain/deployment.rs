//! A service where it is deployed, with the policy that holds there: what a check resolves to.

use std::sync::Arc;

use uuid::Uuid;

use super::authentication::Authentication;
use super::network::Networks;
use super::permission::PermissionId;
use super::role::RoleDemand;

pub type ServiceId = Uuid;
pub type InfrastructureId = Uuid;
pub type DeploymentId = Uuid;

/// A service on an infrastructure, or a service as it is where no infrastructure is named.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub id: DeploymentId,
    pub service: ServiceId,
    pub service_name: String,
    pub infrastructure: Option<(InfrastructureId, String)>,
    /// Exact (`api.example.com`) or by suffix (`*.example.com`), lower case; empty: any host.
    pub hosts: Vec<String>,
    /// Canonical prefixes, compared by whole segments; empty: every path.
    pub paths: Vec<String>,
    /// Switched off, it denies everyone.
    pub enabled: bool,
    pub reading: Reading,
    /// Whether the store has a part in it, so that it is only as good as what is known of the store.
    pub stored: bool,
    pub policy: Policy,
}

impl Deployment {
    /// `orders/production`, or the service's name where there is no infrastructure.
    pub fn name(&self) -> String {
        match &self.infrastructure {
            Some((_, infrastructure)) => format!("{}/{infrastructure}", self.service_name),
            None => self.service_name.clone(),
        }
    }

    /// Whether it is on the infrastructure of that name; every one is where none is named.
    pub fn is_on(&self, infrastructure: Option<&[u8]>) -> bool {
        infrastructure.is_none_or(|wanted| {
            self.infrastructure.as_ref().is_some_and(|(_, name)| name.as_bytes() == wanted)
        })
    }
}

/// What becomes of a path that can be read in more than one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// It is refused.
    #[default]
    Strict,
    /// It is resolved, and must pass as it is written and as it resolves.
    Resolve,
}

/// What a deployment demands.
///
/// Where thousands of deployments demand the same, it stands once for all of them: then it is in the
/// processor's cache whichever of them is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub authentication: Arc<Authentication>,
    pub networks: Arc<Networks>,
    pub groups: Arc<Groups>,
    pub rules: Vec<Rule>,
    pub mode: Mode,
}

/// Whether a denial is carried out or only told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Enforce,
    Shadow,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// Kong's `acl`: who may pass by their groups. Names compare by case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Groups {
    #[default]
    Any,
    /// Whoever is in one of them.
    Allow(Vec<String>),
    /// Whoever is in none of them.
    Deny(Vec<String>),
}

/// A part of a service that asks for more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Upper case; empty: all. `GET` includes HEAD.
    pub methods: Vec<String>,
    /// Absolute prefixes, compared by whole segments; empty: every path.
    pub paths: Vec<String>,
    /// All of them.
    pub permissions: Vec<PermissionId>,
    /// Any of them; empty: none asked for.
    pub groups: Vec<String>,
    /// Any of them; empty: none asked for.
    pub roles: Vec<RoleDemand>,
}

impl Rule {
    /// The length of the longest of its prefixes that covers `path`, where the rule is about this
    /// method and path at all.
    pub fn covers(&self, method: &[u8], path: &[u8]) -> Option<usize> {
        let asked: &[u8] = if method == b"HEAD" { b"GET" } else { method };
        let names = |name: &String| name.as_bytes() == method || name.as_bytes() == asked;
        if !self.methods.is_empty() && !self.methods.iter().any(names) {
            return None;
        }
        longest_cover(&self.paths, path)
    }
}

/// The length of the longest prefix that covers `path` by whole segments: `/a` covers `/a` and
/// `/a/b`, not `/ab`. No prefix at all covers everything, with length 0.
pub fn longest_cover(prefixes: &[String], path: &[u8]) -> Option<usize> {
    let covers = |prefix: &String| {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let rest = path.strip_prefix(prefix.as_bytes())?;
        (rest.is_empty() || rest[0] == b'/').then_some(prefix.len())
    };
    if prefixes.is_empty() { Some(0) } else { prefixes.iter().filter_map(covers).max() }
}

/// Whether one of these hosts and paths lies within one of those, or around it: then a request may be for
/// either.
pub fn meet((hosts, paths): (&[String], &[String]), (others, other_paths): (&[String], &[String])) -> bool {
    let common = |one: &String, other: &String| one == other || narrows(one, other) || narrows(other, one);
    let either = |one: &String, other: &String| covers(one, other) || covers(other, one);
    any_pair(hosts, others, common) && any_pair(paths, other_paths, either)
}

/// Whether requests for those hosts and paths go to these instead, as a catalog orders them: a host below a
/// suffix goes whole, whatever its paths; on the same hosts, a path within a path does.
///
/// Of a host that is named beside those that are not, [`names_beside`] tells.
pub fn takes((hosts, paths): (&[String], &[String]), (others, other_paths): (&[String], &[String])) -> bool {
    let any =
        |is: &dyn Fn(&String, &String) -> bool| hosts.iter().any(|host| others.iter().any(|it| is(host, it)));
    let same = hosts.is_empty() && others.is_empty() || any(&|host, other| host == other);
    let within =
        other_paths.is_empty() || paths.iter().any(|path| other_paths.iter().any(|it| covers(it, path)));
    any(&|host, other| narrows(host, other)) || same && within
}

/// Whether these hosts are named where the others take any: then requests for them are no longer the others'.
pub fn names_beside(hosts: &[String], others: &[String]) -> bool {
    !hosts.is_empty() && others.is_empty()
}

fn narrows(host: &str, suffix: &str) -> bool {
    host != suffix && suffix.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
}

fn covers(prefix: &String, path: &str) -> bool {
    longest_cover(std::slice::from_ref(prefix), path.as_bytes()).is_some()
}

/// Whether there is such a pair; an empty list stands for everything.
fn any_pair(these: &[String], those: &[String], is: impl Fn(&String, &String) -> bool) -> bool {
    let everything = these.is_empty() || those.is_empty();
    everything || these.iter().any(|this| those.iter().any(|that| is(this, that)))
}

/// What a key may open: a service wherever it is deployed, or one deployment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opens {
    pub service: ServiceId,
    pub infrastructure: Option<InfrastructureId>,
}

impl Opens {
    pub fn includes(&self, deployment: &Deployment) -> bool {
        self.service == deployment.service
            && match self.infrastructure {
                None => true,
                Some(wanted) => deployment.infrastructure.as_ref().is_some_and(|(id, _)| *id == wanted),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn places_meet_where_one_lies_within_the_other() {
        let list = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let check = |hosts: &str, paths: &str, others: &str, other_paths: &str, expected: bool| {
            let (one, other) = ((list(hosts), list(paths)), (list(others), list(other_paths)));
            let of = |place: &(Vec<String>, Vec<String>), with: &(Vec<String>, Vec<String>)| {
                meet((&place.0, &place.1), (&with.0, &with.1))
            };
            assert_eq!((of(&one, &other), of(&other, &one)), (expected, expected), "{one:?} {other:?}");
        };
        check("",          "",        "",            "/a",     true);
        check("a.b",       "/a",      "",            "/a/b",   true);
        check("a.b",       "/a",      "a.b",         "/ab",    false);
        check("a.b",       "/a /c/d", "a.b",         "/c",     true);
        check("a.b",       "/a",      "c.b",         "/a",     false);
        check("a.b",       "/a",      "*.b",         "/a",     true);
        check("b",         "/a",      "*.b",         "/a",     false);
        check("*.a.b",     "/a",      "*.b",         "/a",     true);
        check("*.ab",      "/a",      "*.b",         "/a",     false);
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_narrower_host_or_a_path_within_takes_requests_and_a_wider_one_does_not() {
        let list = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let check = |hosts: &str, paths: &str, others: &str, other_paths: &str, expected: bool| {
            let found = takes((&list(hosts), &list(paths)), (&list(others), &list(other_paths)));
            assert_eq!(found, expected, "{hosts} {paths} from {others} {other_paths}");
        };
        check("",          "/a",      "",            "",       true);
        check("",          "",        "",            "/a",     false);
        check("",          "/a/b",    "",            "/a",     true);
        check("",          "/a",      "",            "/a/b",   false);
        check("a.b",       "/a/b",    "a.b",         "/c /a",  true);
        check("a.b",       "/d /a/b", "c.b a.b",     "/a",     true);
        check("a.b",       "/a",      "a.b",         "/ab",    false);
        check("a.b",       "/a/b",    "c.b",         "/a",     false);
        check("a.b",       "/c",      "*.b",         "/a",     true);
        check("*.a.b",     "",        "*.b",         "",       true);
        check("*.b",       "/a/b",    "*.b",         "/a",     true);
        check("*.b",       "/c",      "*.b",         "/a",     false);
        check("*.b",       "/a/b",    "a.b",         "/a",     false);
        check("*.b",       "/a/b",    "*.a.b",       "/a",     false);
        check("",          "/a/b",    "a.b",         "/a",     false);
        check("a.b",       "/a/b",    "",            "/a",     false);
    }
}
