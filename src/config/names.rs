//! All that the file declares, by what it is referred to.

use super::directory::Directory;
use super::fault::{Fault, quoted};
use super::place::At;
use crate::domain::deployment::Opens;

/// All that the file declares, by what it is referred to.
#[derive(Debug)]
pub(super) struct Names {
    pub consumers: Directory,
    /// As `orders/production`; none where services are deployed as they are.
    pub deployments: Directory,
    pub groups: Directory,
    pub infrastructures: Directory,
    pub permissions: Directory,
    pub projects: Directory,
    pub roles: Directory,
    pub services: Directory,
    /// As `orders/v1`.
    pub versions: Directory,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            consumers: Directory::new("consumer", "consumers"),
            deployments: Directory::new("deployment", "deployments"),
            groups: Directory::new("group", "groups"),
            infrastructures: Directory::new("infrastructure", "infrastructures"),
            permissions: Directory::new("permission", "permissions"),
            projects: Directory::new("project", "projects"),
            roles: Directory::new("role", "roles"),
            services: Directory::new("service", "services"),
            versions: Directory::new("version", "versions"),
        }
    }

    /// The name of a role, by which decisions and headers know it.
    pub(super) fn role(&self, reference: &At<String>, faults: &mut Vec<Fault>) -> Option<String> {
        self.roles.find(reference, faults)?;
        self.roles.name_of(reference).map(str::to_owned)
    }

    /// A service wherever it is deployed (`orders`), or one deployment of it (`orders/production`),
    /// each part by name or id, or the deployment by its own id.
    pub(super) fn opens(&self, reference: &At<String>, faults: &mut Vec<Fault>) -> Option<Opens> {
        // A deployment's name has a `/`, so what has none is its id.
        let named = self.deployments.name_of(reference).unwrap_or(reference);
        let Some((service, infrastructure)) = named.split_once('/') else {
            let service = self.services.find(reference, faults)?;
            return Some(Opens { service, infrastructure: None });
        };
        let found = self.services.name_of(service).zip(self.infrastructures.name_of(infrastructure));
        let name = found.map(|(service, infrastructure)| format!("{service}/{infrastructure}"));
        match name.filter(|name| self.deployments.lookup(name).is_some()) {
            Some(_) => Some(Opens {
                service: self.services.lookup(service)?,
                infrastructure: Some(self.infrastructures.lookup(infrastructure)?),
            }),
            None => {
                faults.push(self.deployments.dangling(reference));
                None
            }
        }
    }
}

/// A name that stands in paths of the API and before or after the `/` of `orders/production`.
pub(super) fn check_word(kind: &str, name: &At<String>, faults: &mut Vec<Fault>) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'~' | b'-');
    if !name.bytes().all(plain) {
        let message = format!(
            "the {kind} name {} has other characters than letters, digits, `_`, `.`, `~` and `-`",
            quoted(name)
        );
        faults.push(Fault::new(name.place, message));
    }
}
