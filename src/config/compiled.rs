//! What came of the file and the store, besides the catalog: what everything is called, and what is left out.

use std::collections::HashMap;

use uuid::Uuid;

use super::directory::Directory;
use super::names::Names;
use super::object::{Body, Kind, Object, Wrong};
use super::place::At;

/// What came of the file and the store, besides the catalog.
pub struct Compiled {
    pub(super) refused: HashMap<Uuid, Vec<Wrong>>,
    pub(super) names: Names,
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
    pub fn unknown(&self, kind: Kind, reference: &str) -> Wrong {
        let fault = self.directory(kind).dangling(&At::assumed(reference.to_owned()));
        Wrong { brief: fault.brief().map(str::to_owned), ..Wrong::of_whole(fault.said()) }
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
