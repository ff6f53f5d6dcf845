//! A service where it is deployed, with the policy that holds there: what a check resolves to.

use uuid::Uuid;

use super::authentication::Authentication;

pub type ServiceId = Uuid;
pub type InfrastructureId = Uuid;

/// A service on an infrastructure, or a service as it is where no infrastructure is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub service: ServiceId,
    pub service_name: String,
    pub infrastructure: Option<(InfrastructureId, String)>,
    /// Exact (`api.example.com`) or by suffix (`*.example.com`), lower case; empty: any host.
    pub hosts: Vec<String>,
    /// Canonical prefixes, compared by whole segments; empty: every path.
    pub paths: Vec<String>,
    pub policy: Policy,
}

/// What a deployment demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub authentication: Authentication,
}

/// What a key may open: a service wherever it is deployed, or one deployment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
