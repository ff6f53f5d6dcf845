//! What the store holds of policy, behind what the file says: the same words, and the same faults.
//!
//! Whatever is wrong is one object's: that object is left out, so that nobody passes by it, and with
//! it all that cannot be understood without it. The file, and what has nothing to do with it, stay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Config;
use super::compiled::Compiled;
use super::deployments::planned;
use super::fault::{Fault, Faults};
use super::object::{Body, Kind, Object, Wrong, wrong};
use super::place::{At, Place};
use super::policy::{self, Resolved};
use super::services;
use super::versions::Version;
use crate::domain::catalog::{Catalog, Parts, Shut};
use crate::domain::verifier::{Peppers, Verifier};

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

    /// The settings of the file's service of this name or id.
    pub fn service(&self, named: &str) -> Option<Value> {
        let id = Uuid::try_parse(named).ok();
        let mut services = self.declared(Kind::Service);
        let found = services.find(|service| Some(service.id) == id || service.name == named);
        found.map(|service| service.settings.clone())
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
        let wrong = || vec![Wrong::of_whole(why)];
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

/// Where a deployment of these settings would be, as far as they can be understood: what cannot is left out,
/// and where nothing is left, it is any host, or every path.
pub fn places(deployment: &Value, service: &Value) -> Shut {
    let list = |key: &str| {
        let own = deployment.get(key).filter(|list| !list.is_null());
        let list = own.or_else(|| service.get(key)).and_then(Value::as_array)?;
        let texts = list.iter().filter_map(|it| Some(At::assumed(it.as_str()?.to_owned())));
        Some(At::assumed(texts.collect::<Vec<_>>()))
    };
    let faults = &mut Vec::new();
    Shut {
        hosts: services::hosts(list("hosts").as_ref(), "any host", faults),
        paths: services::paths(list("paths").as_ref(), "every path", faults),
    }
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
            refused.entry(service).or_default().push(Wrong::of_whole(why));
        }
    }
    for (id, wrong) in blamed {
        refused.entry(id).or_default().extend(wrong);
    }
}
