//! From the operator's words to the catalog: every name resolved to an id, every fault found.

use std::collections::HashSet;
use std::sync::Arc;

use super::Config;
use super::authentication::Surroundings;
use super::consumers::Identities;
use super::deployments::{Planned, planned};
use super::directory::Directory;
use super::fault::{Fault, listed, quoted};
use super::names::Names;
use super::place::Place;
use super::services::Service;
use super::{caution, grants, issuers, roles, services};
use crate::domain::catalog::{Clash, Parts};
use crate::domain::deployment::{Deployment, Policy};
use crate::domain::key::KeyFacts;

/// What the file declares, as the catalog needs it.
pub(super) struct Resolved {
    /// Without keys, which need a pepper.
    pub parts: Parts,
    pub names: Names,
    /// In the order of the file: of each consumer, each key.
    pub keys: Vec<KeyFacts>,
    /// What keeps the rest from being used; may be empty.
    pub faults: Vec<Fault>,
    pub warnings: Vec<Fault>,
}

pub(super) fn resolve(config: &Config) -> Resolved {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let mut parts = Parts { headers: config.headers.identity(), ..Parts::default() };
    let names = declare(config, &mut parts, &mut faults);
    parts.session_cookie = Some(config.cookie.sent_name());
    parts.trusted = config.client_address.resolve(&mut faults, &mut warnings);
    parts.roles = roles::resolve(&config.roles, &names, &mut faults);
    parts.issuers = issuers::resolve(config, &mut faults, &mut warnings);
    let issuers = parts.issuers.clone();
    grants(config, &names, &mut faults);
    let mut around = Surroundings {
        names: &names,
        headers: &config.headers,
        issuers: &issuers,
        cookie: &config.cookie,
        faults: &mut faults,
        warnings: &mut warnings,
    };
    parts.deployments = deployments(config, &mut around);
    let keys = consumers(config, &mut around, &mut parts);
    let mut told = HashSet::new();
    warnings.retain(|warning| told.insert((warning.place, warning.message.clone())));
    Resolved { parts, names, keys, faults, warnings }
}

/// What groups may do with what the file declares. Of what the store holds that is looked at when it is
/// granted: a group that is not known grants nothing, and takes no service from anybody.
fn grants(config: &Config, names: &Names, faults: &mut Vec<Fault>) {
    let services = config.services.iter().filter(|service| !service.name.place.is_stored());
    services.for_each(|service| grants::check(&service.grants, names, faults));
    let infrastructures = config.infrastructures.iter().filter(|it| !it.name.place.is_stored());
    infrastructures.for_each(|infrastructure| grants::check(&infrastructure.grants, names, faults));
}

/// Everything that can be referred to.
pub(super) fn declare(config: &Config, parts: &mut Parts, faults: &mut Vec<Fault>) -> Names {
    let mut names = Names::new();
    let permissions = config.permissions.iter();
    parts.permissions = permissions.map(|permission| permission.resolve(&mut names, faults)).collect();
    parts.projects = config.projects.iter().map(|project| project.resolve(&mut names, faults)).collect();
    config.roles.iter().for_each(|role| role.declare(&mut names, faults));
    parts.services = config.services.iter().map(|it| (it.id(), it.name.value.clone())).collect();
    config.groups.iter().for_each(|group| group.declare(&mut names, faults));
    config.services.iter().for_each(|service| service.declare(&mut names, faults));
    config.infrastructures.iter().for_each(|infrastructure| infrastructure.declare(&mut names, faults));
    let deployments = config.deployments.iter().flat_map(|it| &it.value).chain(&config.stored_deployments);
    deployments.for_each(|it| it.declare(&mut names, faults));
    let mut taken = Identities::default();
    config.consumers.iter().for_each(|consumer| consumer.declare(&mut names, &mut taken, faults));
    names
}

/// What holds where nothing is overridden.
struct Base {
    hosts: Vec<String>,
    paths: Vec<String>,
    /// Where no version is active.
    policy: Policy,
    /// Where one is, in the order of the versions.
    versions: Vec<Policy>,
}

impl Base {
    fn of(service: &Service, around: &mut Surroundings<'_>) -> Self {
        let hosts = services::hosts(service.hosts.as_ref(), "any host", around.faults);
        let paths = services::paths(service.paths.as_ref(), "every path", around.faults);
        let policy = service.policy(around);
        let versions = service.versions.iter().map(|version| {
            let mut policy = policy.clone();
            blaming(version.name.place, around, |around| version.policy.apply(&mut policy, around));
            policy
        });
        let versions = versions.collect();
        Self { hosts, paths, policy, versions }
    }
}

/// A default of an object that the store holds may be at fault too: it is told as that object's.
fn blaming<T>(
    place: Place,
    around: &mut Surroundings<'_>,
    resolve: impl FnOnce(&mut Surroundings<'_>) -> T,
) -> T {
    let before = around.faults.len();
    let resolved = resolve(around);
    if place.is_stored() {
        for fault in around.faults.iter_mut().skip(before) {
            fault.place = Some(fault.place.unwrap_or_default().or(place));
        }
    }
    resolved
}

fn deployments(config: &Config, around: &mut Surroundings<'_>) -> Vec<Deployment> {
    // Each word is judged once, whether it holds nowhere, somewhere or everywhere.
    let bases: Vec<Base> = config
        .services
        .iter()
        .map(|service| blaming(service.name.place, around, |around| Base::of(service, around)))
        .collect();
    if let Some(deployments) = &config.deployments
        && deployments.is_empty()
    {
        let message =
            "`deployments` is empty; leave it out to deploy each service once, as it is, or list some";
        around.faults.push(Fault::new(deployments.place, message));
    }
    let planned = planned(config, around.names);
    caution::undeployed(config, &planned, around.warnings);
    caution::unaddressed(config, &planned, around.warnings);
    let deployments: Vec<Deployment> = planned
        .iter()
        .map(|planned| {
            let base = &bases[planned.at];
            let deployment = blaming(planned.place(), around, |around| deployment(planned, base, around));
            caution::deployed(planned, &deployment, around.warnings);
            deployment
        })
        .collect();
    caution::sessions(&config.cookie, &planned, &deployments, around.warnings);
    deployments
}

fn deployment(planned: &Planned<'_>, base: &Base, around: &mut Surroundings<'_>) -> Deployment {
    let (mut hosts, mut paths) = (base.hosts.clone(), base.paths.clone());
    let mut policy = active(planned, base, around.faults).clone();
    let mut enabled = planned.service.enabled.value;
    if let Some((_, deployment)) = planned.deployment {
        if deployment.hosts.is_some() {
            hosts = services::hosts(deployment.hosts.as_ref(), "the service's", around.faults);
        }
        if deployment.paths.is_some() {
            paths = services::paths(deployment.paths.as_ref(), "the service's", around.faults);
        }
        enabled &= deployment.enabled.as_ref().is_none_or(|enabled| enabled.value);
    }
    if let Some(parts) = planned.r#override() {
        parts.apply(&mut policy, around);
    }
    Deployment {
        id: planned.id(),
        service: planned.service.id(),
        service_name: planned.service.name.value.clone(),
        infrastructure: planned.infrastructure.map(|(id, name)| (id, name.to_owned())),
        hosts,
        paths,
        enabled,
        reading: planned.service.path.value.into(),
        stored: planned.place().is_stored() || planned.service.name.place.is_stored(),
        policy,
    }
}

/// What holds where nothing is overridden: the policy of the version that is asked for, else of the
/// latest.
fn active<'b>(planned: &Planned<'_>, base: &'b Base, faults: &mut Vec<Fault>) -> &'b Policy {
    let service = planned.service;
    let asked = planned.deployment.and_then(|(_, deployment)| deployment.version.as_ref());
    let Some(asked) = asked else { return base.versions.last().unwrap_or(&base.policy) };
    let found = service.versions.iter().position(|version| version.is(service, asked));
    found.and_then(|at| base.versions.get(at)).unwrap_or_else(|| {
        let known: Vec<&str> = service.versions.iter().map(|version| version.name.as_str()).collect();
        let expected = match known.as_slice() {
            [] => "it has none".to_owned(),
            known => format!("expected one of {} or its id", listed(known)),
        };
        let name = &service.name.value;
        let message = format!("`{name}` has no version {}, {expected}", quoted(asked));
        faults.push(Fault::new(asked.place, message).hint(asked, known));
        &base.policy
    })
}

fn consumers(config: &Config, around: &mut Surroundings<'_>, parts: &mut Parts) -> Vec<KeyFacts> {
    let Surroundings { names, faults, warnings, .. } = around;
    let mut keys = Vec::new();
    let mut key_ids = Directory::new("key", "keys");
    for (index, consumer) in config.consumers.iter().enumerate() {
        let resolved = consumer.resolve(names, faults, warnings);
        let phc = config.passwords.get(index).and_then(Option::as_ref);
        if let Some(account) = phc.and_then(|phc| consumer.account(phc)) {
            parts.accounts.insert(account.username.to_string(), Arc::new(account));
        }
        if let Some(email) = &consumer.email {
            parts.emails.insert(email.value.clone(), resolved.id);
        }
        for key in &consumer.keys {
            // Derived ids are the same where the texts are, which is told in better words.
            if key.id.is_some() {
                key_ids.declare(None, key.id(resolved.id), faults);
            }
            keys.push(key.resolve(resolved.id, names, faults, warnings));
        }
        parts.consumers.insert(resolved.id, Arc::new(resolved));
    }
    keys
}

pub(super) fn clashing(config: &Config, clash: &Clash) -> Fault {
    let (first, second) = &clash.deployments;
    let names = declare(config, &mut Parts::default(), &mut Vec::new());
    let place_of = |name: &str| {
        let found = planned(config, &names).into_iter().find(|planned| planned.name() == name);
        found.map(|planned| planned.place()).unwrap_or_default()
    };
    let kind = if config.deployments.is_some() { "deployments" } else { "services" };
    let host = clash.host.as_ref().map_or("any host".to_owned(), |host| format!("the host `{host}`"));
    let message = format!(
        "the {kind} `{first}` ({}) and `{second}` both answer to {host} and the path `{}`; \
         give one of them other `hosts` or `paths`",
        place_of(first).describe(),
        clash.path
    );
    let brief = format!(
        "another one answers to {host} and the path `{}` already; give this one other `hosts` or `paths`",
        clash.path
    );
    Fault::new(place_of(second), message).briefly(brief)
}
