//! All deployments, compiled: immutable, swapped whole.

mod alike;
mod places;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::authentication::{ConsumerBy, Method};
use super::client::TrustedProxies;
use super::consumer::{Consumer, ConsumerId};
use super::denial::{Denial, Unnamed};
use super::deployment::{Deployment, InfrastructureId, Opens, ServiceId};
use super::headers::{self, IdentityHeaders, Shapes, looks_like};
use super::issuer::{self, Issuer};
use super::jwt::Algorithm;
use super::key::KeyFacts;
use super::password::{Account, Mark};
use super::permission::Permission;
use super::role::{Project, ProjectId, Roles};
use super::verifier::Verifier;
use alike::Alike;
use places::Places;

/// What a catalog is made of: the operator's words, every name resolved to an id.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub deployments: Vec<Deployment>,
    /// Every service with its name, deployed or not.
    pub services: Vec<(ServiceId, String)>,
    pub permissions: Vec<Permission>,
    /// The consumers that the file declares, by id.
    pub consumers: HashMap<ConsumerId, Arc<Consumer>>,
    /// Their passwords, by the names that they log in with.
    pub accounts: HashMap<String, Arc<Account>>,
    /// Whose an address of theirs is.
    pub emails: HashMap<String, ConsumerId>,
    /// The keys that the file declares, by verifier (under each pepper of the ring the primary's).
    pub keys: HashMap<Verifier, KeyFacts>,
    /// The same by themselves, also where nobody has read their texts.
    pub declared_keys: Vec<KeyFacts>,
    pub headers: IdentityHeaders,
    /// From whom the client's address is taken on trust.
    pub trusted: TrustedProxies,
    pub roles: Roles,
    pub projects: Vec<Project>,
    /// Whose JWTs are believed.
    pub issuers: Vec<Arc<Issuer>>,
    /// What the cookie of all sessions is called.
    pub session_cookie: Option<String>,
}

/// What checks are decided with.
#[derive(Debug)]
pub struct Catalog {
    deployments: Vec<Deployment>,
    services: Vec<(ServiceId, String)>,
    permissions: Vec<Permission>,
    consumers: HashMap<ConsumerId, Arc<Consumer>>,
    by_username: HashMap<String, ConsumerId>,
    by_custom_id: HashMap<String, ConsumerId>,
    accounts: HashMap<String, Arc<Account>>,
    emails: HashMap<String, ConsumerId>,
    keys: HashMap<Verifier, KeyFacts>,
    declared_keys: Vec<KeyFacts>,
    headers: IdentityHeaders,
    trusted: TrustedProxies,
    roles: Roles,
    projects: Vec<Project>,
    /// Where each stands among them.
    projects_by_id: HashMap<ProjectId, usize>,
    /// Of the identity headers' names.
    header_shapes: Shapes,
    issuers: Vec<Arc<Issuer>>,
    session_cookie: Option<String>,
    /// Every other spelling of an identity header.
    look_alikes: Vec<String>,
    /// Deployments by service name, for routes that name theirs.
    by_name: HashMap<String, Vec<usize>>,
    /// Names of those on which there is something.
    infrastructures: HashSet<String>,
    /// Exact hosts, canonical.
    exact: HashMap<String, Places>,
    /// `*.example.com` as `.example.com`.
    suffixes: HashMap<String, Places>,
    /// In bytes: of a host, which a caller may make long, no longer end is looked up.
    longest_suffix: usize,
    /// Deployments of any host.
    anywhere: Places,
    of_store: OfStore,
    /// The places of stored deployments that cannot be used.
    shut: Vec<Shut>,
}

/// Where the store has, or had, deployments: a file that says nothing of them would give their places to
/// whatever of its own is wider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfStore {
    /// It never had any: what the file says of hosts and paths is all there is to know.
    #[default]
    None,
    /// It has some, or had: whose a host and path is, is only as good as what is known of the store.
    Some,
    /// It had some, and nobody ended them: whose a host and path is cannot be known.
    Lost,
}

/// The hosts and paths of a stored deployment that cannot be used. Empty, as a deployment's: any, every.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    pub hosts: Vec<String>,
    pub paths: Vec<String>,
}

/// Two deployments that the same request would resolve to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    /// Their names.
    pub deployments: (String, String),
    /// `None`: any host.
    pub host: Option<String>,
    /// `/` where they name no path.
    pub path: String,
}

impl Catalog {
    /// # Errors
    ///
    /// Two deployments with one host and path: the operator's to mend, so nothing is guessed.
    pub fn new(parts: Parts) -> Result<Self, Clash> {
        let Parts {
            mut deployments,
            services,
            permissions,
            consumers,
            accounts,
            emails,
            keys,
            declared_keys,
            headers,
            trusted,
            roles,
            projects,
            issuers,
            session_cookie,
        } = parts;
        Alike::default().share(&mut deployments);
        let header_shapes = Shapes::of(headers.names());
        let look_alikes = headers.names().flat_map(headers::spellings).collect();
        let named = |name: fn(&Consumer) -> Option<&str>| {
            let names = consumers.values().filter_map(|it| Some((name(it)?.to_owned(), it.id)));
            names.collect::<HashMap<_, _>>()
        };
        let mut catalog = Self {
            by_username: named(|consumer| consumer.username.as_deref()),
            by_custom_id: named(|consumer| consumer.custom_id.as_deref()),
            deployments,
            services,
            permissions,
            consumers,
            accounts,
            emails,
            keys,
            declared_keys,
            headers,
            trusted,
            roles,
            projects_by_id: projects.iter().enumerate().map(|(at, project)| (project.id, at)).collect(),
            projects,
            header_shapes,
            issuers,
            session_cookie,
            look_alikes,
            by_name: HashMap::new(),
            infrastructures: HashSet::new(),
            exact: HashMap::new(),
            suffixes: HashMap::new(),
            longest_suffix: 0,
            anywhere: Places::default(),
            of_store: OfStore::default(),
            shut: Vec::new(),
        };
        catalog.index()?;
        Ok(catalog)
    }

    /// The same beside a store: what of it cannot be used keeps its place, shut.
    #[must_use]
    pub fn beside(mut self, of_store: OfStore, shut: Vec<Shut>) -> Self {
        for Shut { hosts, paths } in &shut {
            for (host, path) in places(hosts, paths) {
                self.places_of(host).shut(path);
            }
        }
        Self { of_store, shut, ..self }
    }

    /// The places of stored deployments that cannot be used.
    pub fn shut(&self) -> &[Shut] {
        &self.shut
    }

    pub fn of_store(&self) -> OfStore {
        self.of_store
    }

    fn index(&mut self) -> Result<(), Clash> {
        let deployments = std::mem::take(&mut self.deployments);
        for (index, deployment) in deployments.iter().enumerate() {
            self.by_name.entry(deployment.service_name.clone()).or_default().push(index);
            if let Some((_, infrastructure)) = &deployment.infrastructure {
                self.infrastructures.insert(infrastructure.clone());
            }
            for (host, path) in places(&deployment.hosts, &deployment.paths) {
                self.places_of(host).take(path, index).map_err(|other| Clash {
                    deployments: (deployments[other].name(), deployment.name()),
                    host: host.map(str::to_owned),
                    path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
                })?;
            }
        }
        self.deployments = deployments;
        Ok(())
    }

    /// The places of a host as it is written in a policy; `None`: of any.
    fn places_of(&mut self, host: Option<&str>) -> &mut Places {
        match host.map(|host| host.strip_prefix('*').ok_or(host)) {
            None => &mut self.anywhere,
            Some(Ok(suffix)) => {
                self.longest_suffix = self.longest_suffix.max(suffix.len());
                self.suffixes.entry(suffix.to_owned()).or_default()
            }
            Some(Err(host)) => self.exact.entry(host.to_owned()).or_default(),
        }
    }

    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// What a key opens that names `orders`, `orders/production` (each part by name or id) or the id
    /// of a deployment; `None` where nothing is called so. A service need not be deployed yet.
    pub fn opens(&self, named: &str) -> Option<Opens> {
        let id = Uuid::parse_str(named).ok();
        let is = |id: &Uuid, name: &str, wanted: &str| {
            name == wanted || Uuid::parse_str(wanted).is_ok_and(|wanted| wanted == *id)
        };
        let deployment = match named.split_once('/') {
            Some((service, infrastructure)) => self.deployments.iter().find(|deployment| {
                let on = |(id, name): &(InfrastructureId, String)| is(id, name, infrastructure);
                is(&deployment.service, &deployment.service_name, service)
                    && deployment.infrastructure.as_ref().is_some_and(on)
            })?,
            None => match self.services.iter().find(|(id, name)| is(id, name, named)) {
                Some((service, _)) => return Some(Opens { service: *service, infrastructure: None }),
                None => self.deployments.iter().find(|deployment| Some(deployment.id) == id)?,
            },
        };
        let infrastructure = deployment.infrastructure.as_ref().map(|(id, _)| *id);
        Some(Opens { service: deployment.service, infrastructure })
    }

    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    pub fn headers(&self) -> &IdentityHeaders {
        &self.headers
    }

    /// The account that the file declares under this name.
    pub fn account(&self, username: &str) -> Option<&Arc<Account>> {
        self.accounts.get(username)
    }

    /// The account of this consumer in the file, where its password has this mark.
    pub fn account_by_mark(&self, consumer: ConsumerId, mark: Mark) -> Option<&Arc<Account>> {
        let username = self.consumers.get(&consumer).and_then(|consumer| consumer.username.as_ref());
        let account = username.and_then(|username| self.accounts.get(&**username));
        account.filter(|account| account.consumer == consumer && account.hash.mark() == mark)
    }

    /// Whose this address is, of those whom the file declares.
    pub fn consumer_with_email(&self, email: &str) -> Option<ConsumerId> {
        self.emails.get(email).copied()
    }

    /// The addresses that the file declares, each with whose it is.
    pub fn emails(&self) -> impl Iterator<Item = (&str, ConsumerId)> {
        self.emails.iter().map(|(email, consumer)| (email.as_str(), *consumer))
    }

    /// Whether a header is none of ours, and some upstreams take it for one.
    pub fn impersonates(&self, header: &[u8]) -> bool {
        self.header_shapes.may_have(header)
            && self.headers.names().any(|name| looks_like(header, name.as_bytes()))
    }

    pub fn trusted(&self) -> &TrustedProxies {
        &self.trusted
    }

    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    pub fn projects(&self) -> &[Project] {
        &self.projects
    }

    pub fn project(&self, id: ProjectId) -> Option<&Project> {
        self.projects_by_id.get(&id).map(|at| &self.projects[*at])
    }

    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// What the cookie of all sessions is called.
    pub fn session_cookie(&self) -> Option<&str> {
        self.session_cookie.as_deref()
    }

    /// How the tokens may be signed that deployments take. Consumers choose for themselves, so where
    /// theirs are taken, in every way.
    pub fn algorithms(&self) -> BTreeSet<Algorithm> {
        let takes = |method: &Method| matches!(method, Method::Jwt(jwt) if jwt.issuer == issuer::CONSUMERS);
        let of_consumers =
            self.deployments.iter().any(|it| it.policy.authentication.methods().iter().any(takes));
        if of_consumers { Algorithm::ALL.into() } else { issuer::algorithms(&self.issuers) }
    }

    /// The issuer of this name.
    pub fn issuer(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.issuers.iter().find(|issuer| issuer.name == name)
    }

    /// Every spelling of an identity header but its own.
    pub fn look_alikes(&self) -> &[String] {
        &self.look_alikes
    }

    /// The consumers that the file declares.
    pub fn consumers(&self) -> &HashMap<ConsumerId, Arc<Consumer>> {
        &self.consumers
    }

    /// The consumer of the file that has this text for its id, username or `custom_id`.
    pub fn consumer_by(&self, by: ConsumerBy, text: &str) -> Option<&Arc<Consumer>> {
        match by {
            ConsumerBy::Id => self.consumers.get(&Uuid::try_parse(text).ok()?),
            ConsumerBy::Username => self.consumers.get(self.by_username.get(text)?),
            ConsumerBy::CustomId => self.consumers.get(self.by_custom_id.get(text)?),
        }
    }

    /// A key that the file declares.
    pub fn key(&self, verifier: &Verifier) -> Option<&KeyFacts> {
        self.keys.get(verifier)
    }

    pub fn keys(&self) -> impl Iterator<Item = &KeyFacts> {
        self.keys.values()
    }

    /// The keys that the file declares, in its order.
    pub fn declared_keys(&self) -> &[KeyFacts] {
        &self.declared_keys
    }

    /// The deployment that a route names.
    ///
    /// # Errors
    ///
    /// [`Denial::UnknownService`] where there is none, and where a route names a service that has
    /// several deployments without saying which.
    pub fn named(&self, service: &[u8], infrastructure: Option<&[u8]>) -> Result<&Deployment, Denial> {
        let candidates = std::str::from_utf8(service).ok().and_then(|service| self.by_name.get(service));
        let mut fitting = candidates
            .into_iter()
            .flatten()
            .map(|index| &self.deployments[*index])
            .filter(|it| it.is_on(infrastructure));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Denial::UnknownService { of: Unnamed::Route }),
        }
    }

    /// The deployment by host and path, and how its host was found. Exact hosts first, then the
    /// longest suffix, then any; never falling back to a wider class, so that a host with a policy
    /// of its own is never served by another's. Within a class the longest path prefix. Only those
    /// on the infrastructure, where the route names one.
    ///
    /// # Errors
    ///
    /// [`Denial::UnknownService`] where there is none, and where the place is that of a stored one that
    /// cannot be used: it is nobody else's, on whatever infrastructure.
    pub fn placed(
        &self,
        host: &[u8],
        path: &[u8],
        infrastructure: Option<&[u8]>,
    ) -> Result<(&Deployment, &'static str), Denial> {
        let unknown = || match infrastructure.and_then(|on| str::from_utf8(on).ok()) {
            // Nothing at all is there, whatever host and path: the name is wrong.
            None if infrastructure.is_some() => Denial::UnknownService { of: Unnamed::Route },
            Some(on) if !self.infrastructures.contains(on) => Denial::UnknownService { of: Unnamed::Route },
            _ => Denial::UnknownService { of: Unnamed::HostAndPath },
        };
        if self.of_store == OfStore::Lost {
            return Err(Denial::UnknownService { of: Unnamed::Lost });
        }
        let (places, class) = self.of_host(host).ok_or_else(unknown)?;
        for place in places.covering(path) {
            let deployment = place.deployment.map(|index| &self.deployments[index]);
            if let Some(deployment) = deployment.filter(|it| it.is_on(infrastructure)) {
                return Ok((deployment, class));
            }
            if place.is_shut {
                return Err(Denial::UnknownService { of: Unnamed::LeftOut });
            }
        }
        Err(unknown())
    }

    /// The places of a host; `None` where it is no host.
    fn of_host(&self, host: &[u8]) -> Option<(&Places, &'static str)> {
        // As most hosts are written, they are canonical, as all are by which this map goes.
        let exact = |host: &str| self.exact.get(host).map(|places| (places, "exact_host"));
        if let Some(found) = str::from_utf8(host).ok().and_then(exact) {
            return Some(found);
        }
        let host = canonical_host(host)?;
        if let Some(found) = exact(&host) {
            return Some(found);
        }
        // `a.b.example.com` is tried as `.b.example.com`, `.example.com`, `.com`.
        let tail = host.len().saturating_sub(self.longest_suffix);
        let suffixes = memchr::memchr_iter(b'.', host.as_bytes()).filter(|dot| *dot >= tail);
        let suffix = suffixes.filter_map(|dot| self.suffixes.get(&host[dot..])).next();
        Some(suffix.map_or((&self.anywhere, "any_host"), |places| (places, "host_suffix")))
    }
}

/// Each host with each path: `None` is any host, and the empty path every one.
fn places<'p>(hosts: &'p [String], paths: &'p [String]) -> impl Iterator<Item = (Option<&'p str>, &'p str)> {
    let any = hosts.is_empty().then_some(None);
    let every = paths.is_empty().then_some("");
    let hosts = hosts.iter().map(|host| Some(host.as_str())).chain(any);
    hosts.flat_map(move |host| paths.iter().map(String::as_str).chain(every).map(move |path| (host, path)))
}

/// A host in lower case, without its port and final dot; `None` where it is no single host.
///
/// Two `Host` lines arrive as `a,b`, and userinfo has no place here: neither is a host. Nor is a
/// name with an empty label (`a..`): it would be nobody's of its own, and fall to whoever takes any.
pub fn canonical_host(host: &[u8]) -> Option<Cow<'_, str>> {
    let host = std::str::from_utf8(host).ok()?;
    if is_canonical(host) {
        return Some(Cow::Borrowed(host));
    }
    let name = match host.rsplit_once(':') {
        // `[::1]:8080`, `[::1]`: the bracket ends the address.
        Some((name, port)) if !port.ends_with(']') => {
            if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            name
        }
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map_or_else(
        || {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
                && !name.split('.').any(str::is_empty)
        },
        |address| address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')),
    );
    if !plain || name.is_empty() {
        return None;
    }
    let lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) })
}

/// In one walk, as most hosts are written: a name of letters that need no change.
fn is_canonical(host: &str) -> bool {
    let mut before = b'.';
    let mut plain = !host.is_empty();
    for byte in host.bytes() {
        plain &= matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') || (byte == b'.' && before != b'.');
        before = byte;
    }
    plain && before != b'.'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_canonical_host_is_its_own_canonical_form(host in "[a.A:1-]{0,8}") {
            if is_canonical(&host) {
                prop_assert!(!host.contains(|letter: char| letter == ':' || letter.is_ascii_uppercase()));
                prop_assert!(host.split('.').all(|label| !label.is_empty()));
            }
        }
    }

    /// `security-rules.md` 3.2 A5, `peers.md` R8.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a5_r8_a_host_has_one_spelling_or_is_none() {
        let check = |host: &str, expected: Option<&str>| {
            assert_eq!(canonical_host(host.as_bytes()).as_deref(), expected, "{host}");
        };
        check("API.Example.com",       Some("api.example.com"));
        check("api.example.com.",      Some("api.example.com"));
        check("api.example.com.:8443", Some("api.example.com"));
        check("[::1]:8080",            Some("[::1]"));
        check("my_host",               Some("my_host"));
        check("api.example.com..",     None);
        check("api..example.com",      None);
        check(".example.com",          None);
        check(".",                     None);
        check("",                      None);
        check("a,b",                   None);
        check("user@a",                None);
        check("a:b",                   None);
        check("a:",                    None);
        check("::1",                   None);
    }
}
