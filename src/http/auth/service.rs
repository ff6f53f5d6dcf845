//! The service that a login is at, and what it takes.

use super::Auth;
use super::door::Visitor;
use crate::domain::authentication::{Cookie, Method};
use crate::domain::catalog::Catalog;
use crate::domain::deployment::{Deployment, Mode, Policy, ServiceId};
use crate::domain::token::Kind;
use crate::http::problem::Problem;
use crate::issue::Refusal;
use crate::telemetry::LoginBy;

/// A service where it is deployed, with what it takes there.
pub(super) struct Service<'c> {
    pub(super) id: ServiceId,
    deployments: Vec<&'c Deployment>,
    pub(super) methods: Vec<&'c Method>,
}

impl<'c> Service<'c> {
    /// By name or id.
    pub(super) fn named(catalog: &'c Catalog, named: &str) -> Result<Self, Problem> {
        Self::among(catalog, named, |deployment| deployment.enabled)
    }

    /// The same where it is switched off too, for whoever gives back what it gave.
    pub(super) fn named_also_off(catalog: &'c Catalog, named: &str) -> Result<Self, Problem> {
        Self::among(catalog, named, |_| true)
    }

    fn among(catalog: &'c Catalog, named: &str, is: impl Fn(&Deployment) -> bool) -> Result<Self, Problem> {
        let opens = catalog.opens(named).filter(|opens| opens.infrastructure.is_none());
        let id = opens.ok_or_else(|| none("service", named))?.service;
        let deployments = catalog.deployments().iter().filter(|it| it.service == id && is(it));
        let deployments: Vec<&Deployment> = deployments.collect();
        let mut methods: Vec<&Method> = Vec::new();
        for deployment in &deployments {
            let new = deployment.policy.authentication.methods().iter();
            methods.extend(new.filter(|method| !methods.contains(method)).collect::<Vec<_>>());
        }
        Ok(Self { id, deployments, methods })
    }

    /// What the service gives is had from where it lets somebody in, be it at one of its deployments. One that
    /// is only watched lets everybody in.
    pub(super) fn admits(&self, auth: &Auth, visitor: &Visitor, by: LoginBy) -> Result<(), Problem> {
        let client = Some(visitor.address);
        let lets_in = |policy: &Policy| policy.mode == Mode::Shadow || policy.networks.admits(client).is_ok();
        if self.deployments.iter().any(|deployment| lets_in(&deployment.policy)) {
            return Ok(());
        }
        auth.attempts.refused(by, "login.network_denied", visitor.address);
        Err(Problem::Network)
    }

    pub(super) fn takes(&self, is: impl Fn(&Method) -> bool) -> bool {
        self.methods.iter().any(|method| is(method))
    }

    /// Where sessions stand; the one that asks for their origin, where not all do.
    pub(super) fn cookie(&self) -> Option<&'c Cookie> {
        let cookies = self.methods.iter().filter_map(|method| match method {
            Method::Cookie(cookie) => Some(cookie),
            Method::ApiKey(_) | Method::StaticToken(_) | Method::Token(_) => None,
            Method::Jwt(_) | Method::Basic(_) => None,
        });
        cookies.max_by_key(|cookie| cookie.csrf)
    }

    pub(super) fn takes_tokens(&self) -> bool {
        self.takes(takes_dynamic)
    }
}

/// Whether the method takes what a grant is exchanged for.
pub(super) fn takes_dynamic(method: &Method) -> bool {
    matches!(method, Method::Token(token) if token.kinds.contains(&Kind::Dynamic))
}

/// That there is none of that name.
pub(super) fn none(what: &'static str, named: &str) -> Problem {
    Problem::Refused(Refusal::NotFound { what, name: named.to_owned() })
}
