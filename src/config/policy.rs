//! From the operator's words to the catalog: every name resolved to an id, every fault found.

use std::sync::Arc;

use super::Config;
use super::authentication::Surroundings;
use super::consumers::Identities;
use super::directory::Directory;
use super::fault::Fault;
use super::place::At;
use crate::domain::catalog::{Catalog, Clash, Parts};
use crate::domain::deployment::{Deployment, Groups, Mode, Policy, Reading};
use crate::domain::key::KeyFacts;
use crate::domain::network::Networks;

/// What the file declares, as the catalog needs it.
pub(super) struct Resolved {
    /// Without keys, which need a pepper.
    pub parts: Parts,
    /// In the order of the file: of each consumer, each key.
    pub keys: Vec<KeyFacts>,
    /// What keeps the rest from being used; may be empty.
    pub faults: Vec<Fault>,
    pub warnings: Vec<Fault>,
}

pub(super) fn resolve(config: &Config) -> Resolved {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    let mut permissions = Directory::new("permission", "permissions");
    let mut services = Directory::new("service", "services");
    let mut consumers = Directory::new("consumer", "consumers");
    let mut parts = Parts { headers: config.headers.identity(), ..Parts::default() };

    parts.permissions = config
        .permissions
        .iter()
        .map(|permission| permission.resolve(&mut permissions, &mut faults))
        .collect();
    config.services.iter().for_each(|service| service.declare(&mut services, &mut faults));
    let mut taken = Identities::default();
    config.consumers.iter().for_each(|consumer| consumer.declare(&mut consumers, &mut taken, &mut faults));

    for service in &config.services {
        let (hosts, paths) = (service.hosts(&mut faults), service.paths(&mut faults));
        let mut around = Surroundings {
            consumers: &consumers,
            headers: &config.headers,
            faults: &mut faults,
            warnings: &mut warnings,
        };
        let authentication = service.authentication.resolve(&service.name, &mut around);
        parts.deployments.push(Deployment {
            service: service.id(),
            service_name: service.name.value.clone(),
            infrastructure: None,
            hosts,
            paths,
            enabled: true,
            reading: Reading::Strict,
            policy: Policy {
                authentication,
                networks: Networks::default(),
                groups: Groups::Any,
                rules: Vec::new(),
                mode: Mode::Enforce,
            },
        });
    }

    let mut keys = Vec::new();
    let mut key_ids = Directory::new("key", "keys");
    for consumer in &config.consumers {
        let resolved = consumer.resolve(&permissions, &mut faults, &mut warnings);
        for key in &consumer.keys {
            // Derived ids are the same where the texts are, which is told in better words.
            if key.id.is_some() {
                key_ids.declare(None, key.id(resolved.id), &mut faults);
            }
            keys.push(key.resolve(resolved.id, &services, &permissions, &mut faults));
        }
        parts.consumers.insert(resolved.id, Arc::new(resolved));
    }
    // Where names are wrong already, clashes would only repeat it.
    if faults.is_empty()
        && let Err(clash) = Catalog::new(parts.clone())
    {
        faults.push(clashing(config, &clash));
    }
    Resolved { parts, keys, faults, warnings }
}

pub(super) fn clashing(config: &Config, clash: &Clash) -> Fault {
    let (first, second) = &clash.services;
    let place_of = |name: &str| {
        config.services.iter().find(|service| *service.name == *name).map(|service| service.name.place)
    };
    let name = At { value: second, place: place_of(second).unwrap_or_default() };
    let host = clash.host.as_ref().map_or("any host".to_owned(), |host| format!("the host `{host}`"));
    let message = format!(
        "the services `{first}` ({}) and `{}` both answer to {host} and the path `{}`; \
         give one of them other `hosts` or `paths`",
        place_of(first).unwrap_or_default().describe(),
        name.value,
        clash.path
    );
    Fault::new(name.place, message)
}
