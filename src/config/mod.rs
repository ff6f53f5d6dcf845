//! What the operator wrote: one file a concern, errors with their place and the way out.
//!
//! A setting is read in four steps. [`node`] makes a tree with places of the file, [`overlay`] puts
//! the environment and the flags over it, [`decode`] makes types of the tree, and [`policy`]
//! resolves names to ids and finds every fault that is left. What is not obeyed yet is not read
//! either: an unknown key is an error, because a rule that is ignored is a hole.

mod api_key;
mod authentication;
mod basic;
mod caution;
mod client_address;
mod compiled;
mod consumers;
mod cookie;
mod decode;
mod deployments;
mod digest;
mod directory;
mod document;
mod duration;
mod effective;
mod fault;
mod forward_auth;
mod grants;
mod group;
mod groups;
mod headers;
mod id;
mod infrastructures;
mod issuers;
mod jwt;
mod keys;
mod lifetimes;
mod limits;
mod listen;
mod lists;
mod load;
mod log;
mod moment;
mod names;
mod networks;
mod node;
mod object;
mod overlay;
mod permissions;
mod place;
mod policy;
mod projects;
mod revocation;
mod roles;
mod rules;
mod scalar;
mod schema;
mod services;
mod show;
mod size;
mod static_token;
mod store;
mod stored;
mod suggest;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod versions;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use api_key::{ApiKey, KeyIn, KeyName};
pub use authentication::{Authentication, Method, Required};
pub use basic::Basic;
pub use client_address::ClientAddress;
pub use compiled::Compiled;
pub use consumers::Consumer;
pub use cookie::{Cookie, InCookie};
pub use deployments::{Deployment, Override, Part};
pub use document::Document;
pub use duration::Span;
pub use effective::{Effective, effective, unsaid};
pub use fault::{Faults, Remark};
pub use forward_auth::{Asker, ForwardAuth};
pub use grants::{Anywhere, Grants, OnInfrastructure, OnService};
pub use group::Group;
pub use groups::Groups;
pub use headers::{HeaderName, Headers};
pub use id::{Id, NAMESPACE, derived};
pub use infrastructures::Infrastructure;
pub use issuers::{Algorithm, Issuer};
pub use jwt::{ClaimPath, Claims, ConsumerBy, ConsumerClaim, Jwt};
pub use keys::{Key, Keys};
pub use lifetimes::Lifetimes;
pub use limits::Limits;
pub use listen::{Address, Endpoint, Listen};
pub use load::{Loaded, load, load_beside, load_places, load_text};
pub use log::{Log, LogFormat, LogLevel};
pub use moment::Moment;
pub use networks::Networks;
pub use object::{Kind, Object, Wrong};
pub use overlay::Overlay;
pub use permissions::Permission;
pub use place::{At, Place};
pub use projects::Project;
pub use revocation::Revocation;
pub use roles::{Role, RolesByProject};
pub use rules::Rule;
pub use schema::{ObjectSchemas, object_schemas, schema};
pub use services::{Mode, PathReading, Service};
pub use show::{flow, show_json, show_yaml};
pub use size::Size;
pub use static_token::StaticToken;
pub use store::{Password, SentinelUser, Snapshot, Store, StoreTls, StoreUrl, Weakness};
pub use stored::{Basis, Declared, places};
pub use tls::{ListenTls, Tls, TlsFiles};
pub use token::{Token, TokenKind};
pub use versions::Version;

use crate::domain::catalog::{Catalog, Parts};
use crate::domain::password::{Hash, Mark};
use crate::domain::secret::Secret;
use crate::domain::verdict;
use crate::domain::verifier::{Peppers, Verifier};
use fault::Source;

/// Everything an operator can say.
// Has no `Debug`: it holds the texts of keys.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub listen: Listen,
    pub store: Store,
    /// The ring of keys under which records are sealed and secrets are verified.
    /// Default: `doorward.secret`.
    pub secret_file: At<PathBuf>,
    /// Where relative paths begin, and where the admin socket is. Default: the configuration
    /// file's own folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<At<PathBuf>>,
    /// Under what Doorward's own endpoints are reached from outside: the `iss` of its JWTs. Absent: it
    /// makes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<At<String>>,
    pub lifetimes: Lifetimes,
    pub cookie: Cookie,
    pub revocation: Revocation,
    /// What a check gets while Doorward cannot decide: `error` is an error that Envoy knows as such,
    /// so that its `failure_mode_allow` decides; `deny` is a denial. Default: `error`.
    pub on_fault: OnFault,
    /// From SIGTERM until connections are closed: as long as proxies take to notice. Up to `5m`.
    /// Default: `5s`.
    pub drain_delay: At<Span>,
    /// Threads that decide. 1 to 1024. Default: one for each core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<At<u16>>,
    /// Whether gRPC reflection answers. Default: false.
    pub reflection: bool,
    pub log: Log,
    pub limits: Limits,
    pub headers: Headers,
    pub client_address: ClientAddress,
    #[serde(skip_serializing_if = "ForwardAuth::is_absent")]
    pub forward_auth: ForwardAuth,
    pub permissions: Vec<Permission>,
    pub roles: Vec<Role>,
    pub projects: Vec<Project>,
    /// Whose JWTs are believed, by the names that `jwt` methods give them.
    pub issuers: BTreeMap<String, At<Issuer>>,
    pub groups: Vec<Group>,
    pub infrastructures: Vec<Infrastructure>,
    pub services: Vec<Service>,
    /// Where services are deployed; one that is not listed is not deployed. Absent: each service is
    /// deployed once, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployments: Option<At<Vec<Deployment>>>,
    pub keys: Keys,
    pub consumers: Vec<At<Consumer>>,

    /// The configuration file's folder.
    #[serde(skip)]
    folder: PathBuf,
    /// The texts of the consumers' keys, in the order of the file.
    #[serde(skip)]
    texts: Vec<Arc<Secret>>,
    /// The consumers' passwords, one for each consumer in the order of the file; none where nobody needs them.
    #[serde(skip)]
    passwords: Vec<Option<Arc<str>>>,
    /// What the issuers' `jwks_file`s hold; none where nobody needs them.
    #[serde(skip)]
    key_files: BTreeMap<String, issuers::KeyFile>,
    #[serde(skip)]
    source: Arc<Source>,
    /// What the store holds beside the file's.
    #[serde(skip)]
    stored_deployments: Vec<Deployment>,
}

/// What a check gets while Doorward cannot decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFault {
    /// Envoy's `error_response`.
    #[default]
    Error,
    /// A plain denial.
    Deny,
}

impl From<OnFault> for verdict::OnFault {
    fn from(on_fault: OnFault) -> Self {
        match on_fault {
            OnFault::Error => Self::Error,
            OnFault::Deny => Self::Deny,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            store: Store::default(),
            secret_file: At::assumed("doorward.secret".into()),
            data_dir: None,
            revocation: Revocation::default(),
            on_fault: OnFault::default(),
            drain_delay: At::assumed(Span::seconds(5)),
            workers: None,
            reflection: false,
            log: Log::default(),
            limits: Limits::default(),
            headers: Headers::default(),
            client_address: ClientAddress::default(),
            forward_auth: ForwardAuth::default(),
            permissions: Vec::new(),
            roles: Vec::new(),
            projects: Vec::new(),
            issuers: BTreeMap::new(),
            groups: Vec::new(),
            infrastructures: Vec::new(),
            services: Vec::new(),
            deployments: None,
            keys: Keys::default(),
            public_url: None,
            lifetimes: Lifetimes::default(),
            cookie: Cookie::default(),
            consumers: Vec::new(),
            folder: PathBuf::new(),
            texts: Vec::new(),
            passwords: Vec::new(),
            key_files: BTreeMap::new(),
            source: Arc::default(),
            stored_deployments: Vec::new(),
        }
    }
}

/// What is an instance's own, and settled when it starts.
pub const SETTLED: [&str; 14] = [
    "listen",
    "store",
    "secret_file",
    "data_dir",
    "revocation",
    "on_fault",
    "drain_delay",
    "workers",
    "reflection",
    "limits",
    "keys",
    "public_url",
    "lifetimes",
    "forward_auth",
];

impl Config {
    /// Where Doorward keeps what it writes.
    pub fn data_dir(&self) -> PathBuf {
        let folder = match &self.data_dir {
            Some(folder) => self.folder.join(&folder.value),
            None => self.folder.clone(),
        };
        if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
    }

    pub fn secret_file(&self) -> PathBuf {
        self.resolved(&self.secret_file)
    }

    /// Why the file that [`secret_file`](Self::secret_file) names cannot be used.
    pub fn wrong_secret(&self, why: String) -> Option<Faults> {
        Faults::gather(&self.source, vec![fault::Fault::discreet(self.secret_file.place, why)])
    }

    pub fn admin_socket(&self) -> PathBuf {
        self.resolved(&self.listen.admin_socket)
    }

    /// A path of the configuration as the process can open it.
    pub fn resolved(&self, path: &Path) -> PathBuf {
        self.data_dir().join(path)
    }

    /// The files that hold the texts of the keys that are declared, and the keys of issuers.
    pub fn key_files(&self) -> impl Iterator<Item = PathBuf> {
        let keys = self.consumers.iter().flat_map(|consumer| &consumer.keys);
        let texts = keys.filter_map(|key| key.from_file.as_ref());
        let of_issuers = self.issuers.values().filter_map(|issuer| issuer.jwks_file.as_ref());
        texts.chain(of_issuers).map(|file| self.resolved(file))
    }

    /// Keys of fewer than 16 bytes, which `keys.insecure_allow_weak` let pass.
    pub fn weak_keys(&self) -> usize {
        self.texts.iter().filter(|text| keys::is_weak(text)).count()
    }

    /// The catalog that checks are decided with.
    ///
    /// # Errors
    ///
    /// None for a configuration that [`load()`] gave: it has looked for the same faults.
    pub fn catalog(&self, peppers: &Peppers) -> Result<Catalog, Faults> {
        let (catalog, _) = Basis::new(self.clone(), peppers)?.compile(&[]);
        Ok(catalog)
    }

    /// The same number on every instance whose policy is the same, keys included.
    pub fn digest(&self, peppers: &Peppers) -> u64 {
        let mut but = vec!["log"];
        but.extend(SETTLED);
        digest::digest(self.settings(), &but, &self.verifiers(peppers), &self.marks())
    }

    /// The settings that `other` has differently and that only a start can put in force.
    pub fn unlike(&self, other: &Self) -> Vec<&'static str> {
        let (before, after) = (self.settings(), other.settings());
        SETTLED.into_iter().filter(|setting| before.get(*setting) != after.get(*setting)).collect()
    }

    /// The names of everything that is deployed: `orders/production`, or `orders`.
    pub fn deployed(&self) -> Vec<String> {
        let names = policy::declare(self, &mut Parts::default(), &mut Vec::new());
        deployments::planned(self, &names).iter().map(deployments::Planned::name).collect()
    }

    /// Every setting by its name, without secrets.
    fn settings(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(settings)) => settings,
            // A struct whose keys are all text becomes a map.
            other => unreachable!("settings are a map: {other:?}"),
        }
    }

    /// What tells the consumers' passwords from others.
    fn marks(&self) -> Vec<Option<Mark>> {
        self.passwords.iter().map(|phc| phc.as_ref().map(|phc| Hash::new(phc).mark())).collect()
    }

    /// Of each key its verifier under the primary pepper.
    fn verifiers(&self, peppers: &Peppers) -> Vec<Option<Verifier>> {
        self.texts.iter().map(|text| peppers.verifiers(text.expose().as_bytes()).next()).collect()
    }
}
