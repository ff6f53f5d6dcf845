//! One call of the admin API: what handlers work with, and who asks.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::Admin;
use crate::clock::Clock;
use crate::http::problem::Problem;
use crate::issue::{By, Registrar};

pub(super) struct Call {
    pub(super) registrar: Arc<Registrar>,
    pub(super) clock: Clock,
    pub(super) by: By,
}

impl FromRequestParts<Admin> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        let by = By::from_request_parts(parts, admin).await?;
        Ok(Self { registrar: Arc::clone(&admin.registrar), clock: admin.clock.clone(), by })
    }
}
