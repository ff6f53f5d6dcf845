//! What a decision comes to, and what there is to tell of it.

use std::sync::Arc;

use smallvec::SmallVec;
use uuid::Uuid;

use super::{Metadata, Pinned};
use crate::domain::authentication::Authentication;
use crate::domain::consumer::Consumer;
use crate::domain::credential::Challenges;
use crate::domain::decide::Trail;
use crate::domain::denial::Denial;
use crate::domain::deployment::Mode;
use crate::domain::headers::Mutations;
use crate::domain::key::KeyId;
use crate::domain::principal::{CredentialName, Principal};
use crate::domain::request::{Request, id_for_logs};
use crate::domain::verdict::{Fault, Grant};
use crate::telemetry::VerdictLabel;

/// What else there is to tell of a decision.
pub(super) struct Told<'k> {
    pub(super) pinned: Pinned<'k>,
    /// The credentials by which the request passed, of those whose uses are counted.
    pub(super) used: SmallVec<[Used; 1]>,
}

#[derive(Clone, Copy)]
pub(super) enum Used {
    Key(KeyId),
    Session(Uuid),
}

pub(super) fn used(grant: &Grant<'_>) -> SmallVec<[Used; 1]> {
    let used = |principal: &Principal| match principal {
        Principal::Proven { credential: CredentialName::Id(id), token: None, .. } => Some(Used::Key(*id)),
        Principal::Proven { credential: CredentialName::Session(id), .. } => Some(Used::Session(*id)),
        Principal::Proven { .. } | Principal::Nobody | Principal::Anonymous(_) => None,
    };
    std::iter::once(&grant.principal).chain(&grant.besides).filter_map(used).collect()
}

/// A decision that still has its reasons.
#[allow(clippy::large_enum_variant, reason = "as the outcome's")]
pub(super) enum Conclusion<'a> {
    Allow(&'a Grant<'a>, Mutations<'a>),
    Deny(Denial),
    Fault(Fault),
}

impl<'a> Conclusion<'a> {
    pub(super) fn face(&self) -> (VerdictLabel, Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Allow(..) => (VerdictLabel::Allow, None, None),
            Self::Deny(denial) => (VerdictLabel::Deny, Some(denial.notice().code), denial.why()),
            Self::Fault(fault) => (VerdictLabel::Fault, Some(fault.notice().code), Some(fault.why())),
        }
    }

    /// Whether the deployment is in shadow mode, so that a refusal is told and not carried out.
    pub(super) fn is_only_told(&self, trail: &Trail<'_, '_>) -> bool {
        let shadow = trail.deployment.is_some_and(|deployment| deployment.policy.mode == Mode::Shadow);
        match self {
            Self::Allow(..) => false,
            Self::Deny(denial) => shadow && !denial.is_always_enforced(),
            Self::Fault(_) => shadow,
        }
    }

    pub(super) fn is_a_mistake(&self) -> bool {
        match self {
            Self::Allow(..) => false,
            Self::Deny(denial) => denial.is_a_mistake(),
            Self::Fault(_) => true,
        }
    }

    pub(super) fn grant(&self) -> Option<&'a Grant<'a>> {
        match self {
            Self::Allow(grant, _) => Some(grant),
            Self::Deny(_) | Self::Fault(_) => None,
        }
    }
}

/// How the caller may prove itself, where that is what it lacked: each way once.
pub(super) fn challenges<'a>(trail: &Trail<'a, '_>, denial: &Denial) -> Challenges<'a> {
    let mut challenges = Challenges::new();
    let Some(deployment) = trail.deployment.filter(|_| denial.challenges()) else { return challenges };
    let Authentication::Required { methods, .. } = &*deployment.policy.authentication else {
        return challenges;
    };
    for challenge in methods.iter().flat_map(|method| method.challenges(denial)) {
        if !challenges.contains(&challenge) {
            challenges.push(challenge);
        }
    }
    challenges
}

pub(super) fn metadata<'a>(
    trail: &Trail<'a, '_>,
    consumer: Option<&'a Arc<Consumer>>,
    credential: Option<&'a CredentialName>,
    (label, code): (VerdictLabel, Option<&'static str>),
) -> Metadata<'a> {
    let deployment = trail.deployment;
    Metadata {
        service: deployment.map(|deployment| deployment.service_name.as_str()),
        infrastructure: deployment
            .and_then(|deployment| deployment.infrastructure.as_ref().map(|(_, name)| name.as_str())),
        mode: deployment.map_or(Mode::Enforce, |deployment| deployment.policy.mode).name(),
        consumer: consumer.map(|consumer| consumer.id),
        username: consumer.and_then(|consumer| consumer.username.as_deref()),
        groups: consumer.map_or(&[], |consumer| &consumer.given.groups),
        credential,
        client: trail.client,
        method: trail.method,
        verdict: label.name(),
        code,
    }
}

/// What the caller, or else the asker, calls the request.
pub(super) fn request_id<'a>(request: &Request<'a>) -> &'a str {
    let callers = request.header(b"x-request-id").one().and_then(id_for_logs);
    callers.or_else(|| id_for_logs(request.id)).unwrap_or_default()
}
