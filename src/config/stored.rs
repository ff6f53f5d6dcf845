//! What the store holds of policy: the same words as in the file, and the same faults.
//!
//! Whatever is wrong is one object's: that object is left out, so that nobody passes by it, and with
//! it all that cannot be understood without it. The file, and what has nothing to do with it, stay.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::decode::decode;
use super::deployments::{Deployment, planned};
use super::fault::{Fault, Faults};
use super::group::Group;
use super::id::Id;
use super::infrastructures::Infrastructure;
use super::names::Names;
use super::node::{Node, path_of};
use super::permissions::Permission;
use super::place::{At, Place};
use super::policy::{self, Resolved};
use super::projects::Project;
use super::roles::Role;
use super::services::Service;
use super::versions::Version;
use super::{Config, directory::Directory};
use crate::domain::catalog::{Catalog, Parts};
use crate::domain::verifier::{Peppers, Verifier};

/// The kinds of object that the file or the store may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Permission,
    Role,
    Project,
    Group,
    Infrastructure,
    Service,
    Version,
    Deployment,
}

/// An object that the store holds, read.
#[derive(Debug)]
pub struct Object {
    pub id: Uuid,
    /// Objects are counted as they are made: the older one stands where two contradict each other.
    pub sequence: u64,
    /// Whose version it is.
    pub service: Option<Uuid>,
    /// In which places of this object are told from those of others, see [`Place::Object`].
    serial: u32,
    json: Value,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Permission(Permission),
    Role(Role),
    Project(Project),
    Group(Group),
    Infrastructure(Infrastructure),
    Service(Box<Service>),
    Version(Box<Version>),
    Deployment(Box<Deployment>),
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which of its values: `rules[0].paths`; empty for the whole.
    pub path: String,
    pub why: String,
}

/// What every catalog begins with: the file's words, and the verifiers of its keys.
pub struct Basis {
    config: Config,
    verifiers: Vec<Verifier>,
    digest: u64,
    declared: BTreeMap<(Kind, Uuid), Declared>,
}

/// An object that the file declares.
#[derive(Clone, Debug)]
pub struct Declared {
    pub id: Uuid,
    /// A deployment's is `orders/production`, a version's `v1`.
    pub name: String,
    /// Whose version it is.
    pub service: Option<Uuid>,
    /// As one would write it, without its id.
    pub settings: Value,
}

/// What came of the file and the store, besides the catalog.
pub struct Compiled {
    refused: HashMap<Uuid, Vec<Wrong>>,
    names: Names,
}

static SERIAL: AtomicU32 = AtomicU32::new(0);

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Permission,
        Self::Role,
        Self::Project,
        Self::Group,
        Self::Infrastructure,
        Self::Service,
        Self::Version,
        Self::Deployment,
    ];

    /// In the singular. Stored: never rename.
    pub fn name(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Role => "role",
            Self::Project => "project",
            Self::Group => "group",
            Self::Infrastructure => "infrastructure",
            Self::Service => "service",
            Self::Version => "version",
            Self::Deployment => "deployment",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Object {
    /// Reads what was written or stored as the settings of this object.
    ///
    /// # Errors
    ///
    /// The first thing that is not as such settings have to be.
    pub fn read(kind: Kind, id: Uuid, json: Value) -> Result<Self, Wrong> {
        // Two billion reads are more than a process makes; and then places only point elsewhere.
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed) & (u32::MAX >> 1);
        let tree = Node::of_json(&json, serial);
        let given = Some(At { value: Id(id), place: tree.place });
        let body = match kind {
            Kind::Permission => decode(&tree).map(|it| Body::Permission(Permission { id: given, ..it })),
            Kind::Role => decode(&tree).map(|it| Body::Role(Role { id: given, ..it })),
            Kind::Project => decode(&tree).map(|it| Body::Project(Project { id: given, ..it })),
            Kind::Group => decode(&tree).map(|it| Body::Group(Group { id: given, ..it })),
            Kind::Infrastructure => {
                decode(&tree).map(|it| Body::Infrastructure(Infrastructure { id: given, ..it }))
            }
            Kind::Service => decode(&tree).map(|it| Body::Service(Box::new(Service { id: given, ..it }))),
            Kind::Version => decode(&tree).map(|it| Body::Version(Box::new(Version { id: given, ..it }))),
            Kind::Deployment => {
                decode(&tree).map(|it| Body::Deployment(Box::new(Deployment { id: given, ..it })))
            }
        };
        let body = body.map_err(|fault| wrong(&json, &fault))?;
        Ok(Self { id, sequence: 0, service: None, serial, json, body })
    }

    /// The same as whose version it is, and as the how manieth it was made.
    #[must_use]
    pub fn placed(self, service: Option<Uuid>, sequence: u64) -> Self {
        Self { service, sequence, ..self }
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Permission(_) => Kind::Permission,
            Body::Role(_) => Kind::Role,
            Body::Project(_) => Kind::Project,
            Body::Group(_) => Kind::Group,
            Body::Infrastructure(_) => Kind::Infrastructure,
            Body::Service(_) => Kind::Service,
            Body::Version(_) => Kind::Version,
            Body::Deployment(_) => Kind::Deployment,
        }
    }

    /// What it is called; deployments are called by what they are made of.
    pub fn name(&self) -> Option<&str> {
        Some(match &self.body {
            Body::Permission(it) => &it.name,
            Body::Role(it) => &it.name,
            Body::Project(it) => &it.name,
            Body::Group(it) => &it.name,
            Body::Infrastructure(it) => &it.name,
            Body::Service(it) => &it.name,
            Body::Version(it) => &it.name,
            Body::Deployment(_) => return None,
        })
    }

    /// Its settings as they were written.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Where its settings were changed only in what a default says, this is the same; without its id.
    pub fn settings(&self) -> Value {
        let mut settings = match &self.body {
            Body::Permission(it) => serde_json::to_value(it),
            Body::Role(it) => serde_json::to_value(it),
            Body::Project(it) => serde_json::to_value(it),
            Body::Group(it) => serde_json::to_value(it),
            Body::Infrastructure(it) => serde_json::to_value(it),
            Body::Service(it) => serde_json::to_value(it),
            Body::Version(it) => serde_json::to_value(it),
            Body::Deployment(it) => serde_json::to_value(it),
        }
        .unwrap_or_default();
        if let Value::Object(map) = &mut settings {
            map.remove("id");
        }
        settings
    }
}

/// A fault of an object, told by path.
fn wrong(json: &Value, fault: &Fault) -> Wrong {
    let path = match fault.place {
        Some(Place::Object { value, .. }) => path_of(json, value),
        _ => String::new(),
    };
    Wrong { path, why: fault.said() }
}

impl Basis {
    /// # Errors
    ///
    /// None for a configuration that [`load()`](super::load()) gave: it has looked for the same faults.
    pub fn new(config: Config, peppers: &Peppers) -> Result<Self, Faults> {
        let Resolved { parts, faults, .. } = policy::resolve(&config);
        if let Some(faults) = Faults::gather(&config.source, faults) {
            return Err(faults);
        }
        Catalog::new(parts)
            .map_err(|clash| Faults::one(&config.source, policy::clashing(&config, &clash)))?;
        let verifiers: Option<Vec<_>> = config.verifiers(peppers).into_iter().collect();
        let Some(verifiers) = verifiers else {
            let fault = Fault::new(config.secret_file.place, "`secret_file` holds no key");
            return Err(Faults::one(&config.source, fault));
        };
        let digest = config.digest(peppers);
        let declared = declared(&config);
        Ok(Self { config, verifiers, digest, declared })
    }

    /// Whose tokens the file has believed.
    pub fn issuers(&self) -> Vec<Arc<crate::domain::issuer::Issuer>> {
        policy::resolve(&self.config).parts.issuers
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same number on every instance whose file says the same, keys included.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// What the file declares of a kind, in order of ids.
    pub fn declared(&self, kind: Kind) -> impl Iterator<Item = &Declared> {
        self.declared.range((kind, Uuid::nil())..=(kind, Uuid::max())).map(|(_, declared)| declared)
    }

    pub fn declares(&self, kind: Kind, id: &Uuid) -> Option<&Declared> {
        self.declared.get(&(kind, *id))
    }

    /// One catalog of the file and these objects, which come in the order of their `sequence`.
    pub fn compile(&self, objects: &[Arc<Object>]) -> (Catalog, Compiled) {
        let mut refused = HashMap::new();
        // Each turn leaves out one more object at least.
        for _ in 0..=objects.len() {
            let used: Vec<&Object> =
                objects.iter().filter(|it| !refused.contains_key(&it.id)).map(|it| &**it).collect();
            let merged = self.merge(&used);
            let Resolved { mut parts, names, keys, faults, .. } = policy::resolve(&merged);
            let blamed = blame(&used, &faults);
            if !blamed.is_empty() {
                refuse(&used, blamed, &mut refused);
                continue;
            }
            if !faults.is_empty() {
                break;
            }
            parts.declared_keys.clone_from(&keys);
            parts.keys.extend(self.verifiers.iter().copied().zip(keys));
            match Catalog::new(parts) {
                Ok(catalog) => return (catalog, Compiled { refused, names }),
                Err(clash) => {
                    let fault = policy::clashing(&merged, &clash);
                    let blamed = blame(&used, &[fault]);
                    if blamed.is_empty() {
                        break;
                    }
                    refuse(&used, blamed, &mut refused);
                }
            }
        }
        self.without(objects)
    }

    /// The file alone: what must not happen has happened, and no object can be blamed for it.
    fn without(&self, objects: &[Arc<Object>]) -> (Catalog, Compiled) {
        let Resolved { mut parts, names, keys, .. } = policy::resolve(&self.config);
        parts.declared_keys.clone_from(&keys);
        parts.keys.extend(self.verifiers.iter().copied().zip(keys));
        let catalog = Catalog::new(parts).expect("the file alone was compiled before");
        let why = "it cannot be told what is wrong; no stored object is used";
        let wrong = || vec![Wrong { path: String::new(), why: why.to_owned() }];
        (catalog, Compiled { refused: objects.iter().map(|it| (it.id, wrong())).collect(), names })
    }

    /// The file's words with those of the store behind them, so that what contradicts the file is the
    /// store's fault.
    fn merge(&self, objects: &[&Object]) -> Config {
        let mut merged = self.config.clone();
        let mut versions: BTreeMap<Uuid, Vec<At<Version>>> = BTreeMap::new();
        for object in objects {
            match &object.body {
                Body::Permission(it) => merged.permissions.push(it.clone()),
                Body::Role(it) => merged.roles.push(it.clone()),
                Body::Project(it) => merged.projects.push(it.clone()),
                Body::Group(it) => merged.groups.push(it.clone()),
                Body::Infrastructure(it) => merged.infrastructures.push(it.clone()),
                Body::Service(it) => merged.services.push((**it).clone()),
                Body::Version(it) => {
                    let place = Place::Object { serial: object.serial, value: 0 };
                    let version = At { value: (**it).clone(), place };
                    versions.entry(object.service.unwrap_or_default()).or_default().push(version);
                }
                Body::Deployment(it) => merged.stored_deployments.push((**it).clone()),
            }
        }
        for service in merged.services.iter_mut().filter(|service| service.name.place.is_stored()) {
            service.versions = versions.remove(&service.id()).unwrap_or_default();
        }
        merged
    }
}

/// Everything that the file declares and the store could hold.
fn declared(config: &Config) -> BTreeMap<(Kind, Uuid), Declared> {
    fn row(kind: Kind, id: Uuid, name: &str, it: &impl Serialize) -> ((Kind, Uuid), Declared) {
        let mut settings = serde_json::to_value(it).unwrap_or_default();
        if let Value::Object(map) = &mut settings {
            // A service's versions are objects of their own.
            ["id", "versions"].iter().for_each(|key| drop(map.remove(*key)));
        }
        ((kind, id), Declared { id, name: name.to_owned(), service: None, settings })
    }
    let mut all = BTreeMap::new();
    all.extend(config.permissions.iter().map(|it| row(Kind::Permission, it.id(), &it.name, it)));
    all.extend(config.roles.iter().map(|it| row(Kind::Role, it.id(), &it.name, it)));
    all.extend(config.projects.iter().map(|it| row(Kind::Project, it.id(), &it.name, it)));
    all.extend(config.groups.iter().map(|it| row(Kind::Group, it.id(), &it.name, it)));
    all.extend(config.infrastructures.iter().map(|it| row(Kind::Infrastructure, it.id(), &it.name, it)));
    for service in &config.services {
        all.extend([row(Kind::Service, service.id(), &service.name, service)]);
        all.extend(service.versions.iter().map(|version| {
            let (key, declared) = row(Kind::Version, version.id(service), &version.name, version);
            (key, Declared { service: Some(service.id()), ..declared })
        }));
    }
    let names = policy::declare(config, &mut Parts::default(), &mut Vec::new());
    all.extend(planned(config, &names).iter().map(|it| match it.deployment {
        Some((_, deployment)) => row(Kind::Deployment, it.id(), &it.name(), deployment),
        None => row(Kind::Deployment, it.id(), &it.name(), &json!({ "service": it.service.name.value })),
    }));
    all
}

/// Whose faults these are.
fn blame(objects: &[&Object], faults: &[Fault]) -> HashMap<Uuid, Vec<Wrong>> {
    let mut blamed: HashMap<Uuid, Vec<Wrong>> = HashMap::new();
    if faults.is_empty() {
        return blamed;
    }
    let by_serial: HashMap<u32, &Object> = objects.iter().map(|it| (it.serial, *it)).collect();
    for fault in faults {
        if let Some(Place::Object { serial, .. }) = fault.place
            && let Some(object) = by_serial.get(&serial)
        {
            let wrong = wrong(&object.json, fault);
            let known = blamed.entry(object.id).or_default();
            if !known.contains(&wrong) {
                known.push(wrong);
            }
        }
    }
    blamed
}

/// Leaves out what is wrong. A service goes with its version: the one before might ask for less.
fn refuse(objects: &[&Object], blamed: HashMap<Uuid, Vec<Wrong>>, refused: &mut HashMap<Uuid, Vec<Wrong>>) {
    for object in objects.iter().filter(|it| blamed.contains_key(&it.id)) {
        if let (Some(service), Some(name)) = (object.service, object.name()) {
            let why = format!("its version `{name}` cannot be used");
            refused.entry(service).or_default().push(Wrong { path: String::new(), why });
        }
    }
    for (id, wrong) in blamed {
        refused.entry(id).or_default().extend(wrong);
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path[..] {
            "" => formatter.write_str(&self.why),
            path => write!(formatter, "{path}: {}", self.why),
        }
    }
}

impl Compiled {
    /// The objects that are left out, and why.
    pub fn refused(&self) -> &HashMap<Uuid, Vec<Wrong>> {
        &self.refused
    }

    /// Notes that an object is left out that was never compiled.
    pub fn refuse(&mut self, id: Uuid, wrong: Wrong) {
        self.refused.entry(id).or_default().push(wrong);
    }

    /// The object of that kind, in the file or usable in the store, by name or id: a deployment's name
    /// is `orders/production`, a version's `orders/v1`.
    pub fn find(&self, kind: Kind, reference: &str) -> Option<Uuid> {
        self.directory(kind).lookup(reference)
    }

    pub fn name(&self, kind: Kind, id: &Uuid) -> Option<&str> {
        self.directory(kind).name_of_id(id)
    }

    /// Why this reference is none.
    pub fn unknown(&self, kind: Kind, reference: &str) -> String {
        self.directory(kind).dangling(&At::assumed(reference.to_owned())).said()
    }

    /// A consumer that the file declares.
    pub fn declared_consumer(&self, reference: &str) -> Option<Uuid> {
        self.names.consumers.lookup(reference)
    }

    /// Writes ids where the settings name other objects, so that they go on meaning the same ones. What
    /// is unknown stays as it is, for the compilation to complain about.
    pub fn refer_by_id(&self, object: &mut Object) {
        let names = &self.names;
        match &mut object.body {
            Body::Permission(_) | Body::Project(_) | Body::Group(_) => {}
            Body::Role(role) => role.implies.iter_mut().for_each(|it| by_id(it, &names.roles)),
            Body::Infrastructure(it) => it.grants = by_ids(std::mem::take(&mut it.grants), &names.groups),
            Body::Service(service) => {
                service.authentication.refer_by_id(names);
                service.rules.iter_mut().for_each(|rule| rule.refer_by_id(names));
                service.grants = by_ids(std::mem::take(&mut service.grants), &names.groups);
            }
            Body::Version(version) => version.policy.refer_by_id(names),
            Body::Deployment(deployment) => {
                if let Some(version) = &mut deployment.version
                    && let Some(service) = names.services.name_of(&deployment.service)
                    && let Some(id) = names.versions.lookup(&format!("{service}/{}", version.value))
                {
                    version.value = id.to_string();
                }
                by_id(&mut deployment.service, &names.services);
                by_id(&mut deployment.infrastructure, &names.infrastructures);
                if let Some(parts) = &mut deployment.r#override {
                    parts.refer_by_id(names);
                }
            }
        }
    }

    fn directory(&self, kind: Kind) -> &Directory {
        let names = &self.names;
        match kind {
            Kind::Permission => &names.permissions,
            Kind::Role => &names.roles,
            Kind::Project => &names.projects,
            Kind::Group => &names.groups,
            Kind::Infrastructure => &names.infrastructures,
            Kind::Service => &names.services,
            Kind::Version => &names.versions,
            Kind::Deployment => &names.deployments,
        }
    }
}

pub(super) fn by_id(reference: &mut At<String>, directory: &Directory) {
    if let Some(id) = directory.lookup(reference) {
        reference.value = id.to_string();
    }
}

fn by_ids<P>(grants: super::Grants<P>, groups: &Directory) -> super::Grants<P> {
    let entry = |(mut group, privileges): (At<String>, Vec<P>)| {
        by_id(&mut group, groups);
        (group, privileges)
    };
    grants.into_iter().map(entry).collect()
}

/// The settings of an object of this kind, as JSON Schema: names and plain types, without what is inside.
pub fn object_schema(kind: Kind) -> Value {
    let whole = match kind {
        Kind::Permission => schemars::schema_for!(Permission),
        Kind::Role => schemars::schema_for!(Role),
        Kind::Project => schemars::schema_for!(Project),
        Kind::Group => schemars::schema_for!(Group),
        Kind::Infrastructure => schemars::schema_for!(Infrastructure),
        Kind::Service => schemars::schema_for!(Service),
        Kind::Version => schemars::schema_for!(Version),
        Kind::Deployment => schemars::schema_for!(Deployment),
    };
    let whole = whole.to_value();
    let mut properties = serde_json::Map::new();
    for (name, property) in whole["properties"].as_object().into_iter().flatten() {
        // Ids stand beside the settings, and versions are objects of their own.
        if name == "id" || (name == "versions" && kind == Kind::Service) {
            continue;
        }
        let mut kept = json!({});
        for keyword in ["type", "description"] {
            if let Some(value) = property.get(keyword) {
                kept[keyword] = value.clone();
            }
        }
        properties.insert(name.clone(), kept);
    }
    let required = whole.get("required").cloned().unwrap_or_else(|| json!([]));
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}
