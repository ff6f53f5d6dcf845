//! The model's words in the product's types, and the product's answer in the model's words.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use doorward::check::{Decision, Outcome};
use doorward::domain;
use doorward::domain::authentication::{ApiKey, Authentication, Combine, KeyName, Place, StaticToken};
use doorward::domain::catalog::{Catalog, Clash, Parts};
use doorward::domain::client::TrustedProxies;
use doorward::domain::consumer::Given;
use doorward::domain::deployment::{Groups, Mode, Opens, Reading};
use doorward::domain::key::KeyFacts;
use doorward::domain::permission::Permission;
use doorward::domain::request::{Header, Route};
use doorward::domain::role::{RoleDemand, RoleGrant, Roles};
use doorward::domain::time::Timestamp;
use doorward::domain::verifier::{Pepper, Peppers, Verifier};
use uuid::Uuid;

use super::words::{
    Consumer, Deployment, Key, Method, Network, Networks, Policy, Presented, Request, Rule, Set, UNIX, Value,
};

pub const PERMISSIONS: [&str; 3] = ["read", "write", "delete"];

pub fn peppers() -> Peppers {
    Peppers::new(vec![Pepper::new(&[1; 32]), Pepper::new(&[2; 32])])
}

/// The verifier of a key's text; some are made with the older pepper.
pub fn verifier(key: &Key) -> Verifier {
    peppers().verifiers(key.text.as_bytes()).nth(key.text.len() % 2).unwrap()
}

/// One id for one name of a kind.
pub fn id(kind: &str, name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{kind}:{name}").as_bytes())
}

/// Everything, consumers and keys too, as a file declares it.
pub fn catalog(policy: &Policy) -> Result<Catalog, Clash> {
    let mut implied: HashMap<String, Vec<String>> = HashMap::new();
    for (role, lesser) in &policy.implies {
        implied.entry(role.clone()).or_default().push(lesser.clone());
        implied.entry(lesser.clone()).or_default();
    }
    let unix = policy.proxies.contains(&(UNIX, UNIX)).then(|| "unix".to_owned());
    let proxies = policy.proxies.iter().filter(|network| network.0 != UNIX).map(network_text).chain(unix);
    let permission = |name: &&str| Permission {
        id: id("permission", name),
        name: (*name).to_owned(),
        description: String::new(),
    };
    Catalog::new(Parts {
        deployments: policy.deployments.iter().map(deployment).collect(),
        permissions: PERMISSIONS.iter().map(permission).collect(),
        consumers: policy
            .consumers
            .iter()
            .map(|it| (id("consumer", &it.name), Arc::new(consumer(it))))
            .collect(),
        keys: policy.keys.iter().map(|it| (verifier(it), key(it))).collect(),
        trusted: TrustedProxies::parse(&proxies.collect::<Vec<_>>()).unwrap(),
        roles: Roles::new(&implied),
        ..Parts::default()
    })
}

fn deployment(it: &Deployment) -> domain::deployment::Deployment {
    let groups = |list: &Set| list.iter().cloned().collect();
    domain::deployment::Deployment {
        stored: false,
        id: id("deployment", &format!("{}/{}", it.service, it.infrastructure)),
        service: id("service", &it.service),
        service_name: it.service.clone(),
        infrastructure: (!it.infrastructure.is_empty())
            .then(|| (id("infrastructure", &it.infrastructure), it.infrastructure.clone())),
        hosts: it.hosts.iter().cloned().collect(),
        paths: it.paths.iter().cloned().collect(),
        enabled: it.enabled,
        reading: if it.resolve { Reading::Resolve } else { Reading::Strict },
        policy: domain::deployment::Policy {
            authentication: authentication(it).into(),
            networks: networks(&it.networks).into(),
            groups: match (&it.allow_groups, &it.deny_groups) {
                (Some(list), _) => Groups::Allow(groups(list)),
                (None, Some(list)) => Groups::Deny(groups(list)),
                (None, None) => Groups::Any,
            }
            .into(),
            rules: it.rules.iter().map(rule).collect(),
            mode: if it.shadow { Mode::Shadow } else { Mode::Enforce },
        },
    }
}

fn authentication(it: &Deployment) -> Authentication {
    if it.methods.is_empty() {
        return Authentication::None;
    }
    Authentication::Required {
        combine: if it.all { Combine::All } else { Combine::Any },
        methods: it.methods.iter().map(method).collect(),
        anonymous: it.anonymous.as_ref().map(|name| id("consumer", name)),
    }
}

fn method(it: &Method) -> domain::authentication::Method {
    if it.is_static {
        let headers = it.places.iter().map(|(_, name)| name.clone()).collect();
        return domain::authentication::Method::StaticToken(StaticToken { headers });
    }
    let mut names: Vec<KeyName> = Vec::new();
    for (place, name) in it.places.iter().filter(|(place, _)| *place != "bearer") {
        let place = match *place {
            "header" => Place::Header,
            "query" => Place::Query,
            _ => Place::Cookie,
        };
        match names.last_mut().filter(|last| last.name == *name) {
            Some(last) => last.places.push(place),
            None => names.push(KeyName { name: name.clone(), header: name.clone(), places: vec![place] }),
        }
    }
    domain::authentication::Method::ApiKey(ApiKey {
        names,
        bearer: it.places.iter().any(|(place, _)| *place == "bearer"),
        hide: true,
        realm: None,
        preflight: it.preflight,
    })
}

fn rule(it: &Rule) -> domain::deployment::Rule {
    let demand = |(role, project): &(String, String)| RoleDemand {
        role: role.clone(),
        project: (!project.is_empty()).then(|| id("project", project)),
    };
    domain::deployment::Rule {
        methods: it.methods.iter().cloned().collect(),
        paths: it.paths.iter().cloned().collect(),
        permissions: permissions(&it.permissions),
        groups: it.groups.iter().cloned().collect(),
        roles: it.roles.iter().map(demand).collect(),
    }
}

fn permissions(names: &Set) -> Vec<Uuid> {
    names.iter().map(|name| id("permission", name)).collect()
}

pub fn consumer(it: &Consumer) -> domain::consumer::Consumer {
    let grant = |(role, project): &(String, String)| RoleGrant {
        project: id("project", project),
        role: role.clone(),
    };
    domain::consumer::Consumer {
        id: id("consumer", &it.name),
        username: Some(it.name.as_str().into()),
        custom_id: None,
        given: Arc::new(Given {
            groups: it.groups.iter().cloned().collect(),
            permissions: permissions(&it.permissions),
            roles: it.roles.iter().map(grant).collect(),
            networks: networks(&it.networks),
        }),
        enabled: it.enabled,
    }
}

pub fn key(it: &Key) -> KeyFacts {
    let opens = |name: &String| {
        let (service, infrastructure) = name.split_once('/').unwrap_or((name, ""));
        let infrastructure = (!infrastructure.is_empty()).then(|| id("infrastructure", infrastructure));
        Opens { service: id("service", service), infrastructure }
    };
    KeyFacts {
        id: id("key", &it.text),
        consumer: id("consumer", &it.owner),
        not_before: (it.from != i64::MIN).then(|| Timestamp::from_unix(it.from)),
        expires_at: (it.until != i64::MAX).then(|| Timestamp::from_unix(it.until)),
        enabled: it.enabled,
        opens: it.opens.as_ref().map(|all| all.iter().map(opens).collect()),
        permissions: it.permissions.as_ref().map(|names| permissions(names).into()),
        networks: Some(Arc::new(networks(&it.networks))),
    }
}

pub fn networks(it: &Networks) -> domain::network::Networks {
    let texts = |list: &Vec<Network>| list.iter().map(network_text).collect::<Vec<_>>();
    domain::network::Networks::parse(it.allow.as_ref().map(texts).as_deref(), &texts(&it.deny)).unwrap()
}

/// A single address, a CIDR where it is one, else a range.
fn network_text((first, last): &Network) -> String {
    let (start, size) = (address(*first), last - first + 1);
    let bits = if start.is_ipv4() { 32 } else { 128 };
    match () {
        () if size == 1 => start.to_string(),
        () if size.is_power_of_two() && first % size == 0 => format!("{start}/{}", bits - size.ilog2()),
        () => format!("{start}-{}", address(*last)),
    }
}

pub fn address(number: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(number)).to_canonical()
}

/// A request's bytes.
pub struct Written {
    target: String,
    headers: Vec<(String, String)>,
}

pub fn write(request: &Request) -> Written {
    let mut written = Written { target: request.written_path.clone(), headers: request.aside.clone() };
    let (mut query, mut cookies) = (vec!["first=1".to_owned()], vec!["theme=dark".to_owned()]);
    for Presented { place, name, value } in &request.presented {
        let values = match value {
            Value::Text(text) => vec![text.clone()],
            Value::Bare => vec![],
            Value::Twice(one, other) => vec![one.clone(), other.clone()],
            Value::Joined(one, other) if *place == "bearer" => vec![format!("{one},Bearer {other}")],
            Value::Joined(one, other) => vec![format!("{one},{other}")],
        };
        match *place {
            "query" if values.is_empty() => query.push(name.clone()),
            "query" => query.extend(values.iter().map(|value| format!("{name}={value}"))),
            "cookie" => cookies.extend(values.iter().map(|value| format!("{name}={value}"))),
            "bearer" => {
                written.headers.extend(values.iter().map(|value| (name.clone(), format!("Bearer {value}"))));
            }
            _ => written.headers.extend(values.iter().map(|value| (name.clone(), value.clone()))),
        }
    }
    if query.len() > 1 {
        written.target.push('?');
        written.target.push_str(&query.join("&"));
    }
    if cookies.len() > 1 {
        written.headers.push(("cookie".into(), cookies.join("; ")));
    }
    let hops: Vec<String> = request.hops.iter().enumerate().map(|(at, hop)| hop_text(at, *hop)).collect();
    // As two proxies write it: each its own line, or one joined.
    let lines = hops.split_at(hops.len() / 2);
    for line in [lines.0, lines.1].into_iter().filter(|line| !line.is_empty()) {
        written.headers.push(("x-forwarded-for".into(), line.join(", ")));
    }
    written
}

fn hop_text(at: usize, hop: Option<u128>) -> String {
    match hop.map(address) {
        None => {
            ["evil", "", "198.51.100.7:80", "198.51.100.07", "[2001:db8::5]", "unknown"][at % 6].to_owned()
        }
        Some(IpAddr::V4(address)) if at % 2 == 1 => format!("::ffff:{address}"),
        Some(address) => address.to_string(),
    }
}

impl Written {
    pub fn request<'a>(&'a self, request: &'a Request) -> domain::request::Request<'a> {
        let header =
            |(name, value): &'a (String, String)| Header { name: name.as_bytes(), value: value.as_bytes() };
        domain::request::Request {
            method: request.method.as_bytes(),
            target: self.target.as_bytes(),
            host: request.written_host.as_bytes(),
            headers: self.headers.iter().map(header).collect(),
            source: request.source.filter(|it| *it != UNIX).map(address),
            unix: request.source == Some(UNIX),
            route: Route {
                service: request.service.as_deref().map(str::as_bytes),
                infrastructure: request.infrastructure.as_deref().map(str::as_bytes),
            },
            ..domain::request::Request::default()
        }
    }
}

/// As the evaluator says it: the verdict, and whether the request passes. Holds that what passes
/// has nothing both set and removed, and nothing of ours set where it was refused.
pub fn told(decision: &Decision<'_>) -> (String, bool) {
    let metadata = &decision.metadata;
    let set = match &decision.outcome {
        Outcome::Allow(mutations) => {
            let removed = |name: &&str| mutations.remove.iter().any(|it| it == name);
            assert!(!mutations.set.iter().any(|(name, _)| removed(name)), "set and removed: {mutations:?}");
            assert!(
                removed(&"x-consumer-id") || mutations.set.iter().any(|(name, _)| *name == "x-consumer-id")
            );
            &mutations.set[..]
        }
        _ => &[],
    };
    let verdict = match (metadata.code, &metadata.username, &metadata.credential) {
        (Some(code), ..) => {
            assert!(set.is_empty(), "set on a refusal: {set:?}");
            code.to_owned()
        }
        (None, None, _) => "nobody".to_owned(),
        (None, Some(name), None) => format!("anonymous {name}"),
        (None, Some(name), Some(_)) => {
            let permissions = set.iter().find(|(name, _)| *name == "x-permissions");
            let text = permissions.map_or(String::new(), |(_, value)| value.to_string());
            let has = |name: &&&str| text.contains(&id("permission", name).to_string());
            format!("{name} {:?}", PERMISSIONS.iter().filter(has).map(|it| (*it).to_owned()).collect::<Set>())
        }
    };
    (verdict, matches!(decision.outcome, Outcome::Allow(_)))
}
