//! `POST /explain` of the admin API: one described request, decided and told step by step.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use utoipa_axum::routes;

use super::admin::{Desk, Right, socket};
use super::body::Body;
use super::problem::Problem;
use crate::check::Checker;
use crate::explain::{Account, Description, explain};
use crate::issue::Refusal;

pub fn desk(checker: Arc<Checker>) -> Desk<()> {
    Desk::new().route(Right::Everything, routes!(tell)).with_state(checker)
}

/// That route alone, for a command in process. `body_limit` in bytes.
pub fn router(checker: Arc<Checker>, body_limit: usize) -> Router {
    socket(desk(checker).finish(None, body_limit).0)
}

/// Decides one described request and tells every step.
#[utoipa::path(
    post,
    path = "/explain",
    tag = "explain",
    request_body(content = serde_json::Value, description = "As docs/explain.md describes a request"),
    responses((status = 200, body = serde_json::Value))
)]
async fn tell(
    State(checker): State<Arc<Checker>>,
    Body(description): Body<Description>,
) -> Result<axum::Json<Account>, Problem> {
    let described =
        description.understood().map_err(|wrong| Refusal::Invalid { field: wrong.field, why: wrong.why })?;
    Ok(axum::Json(explain(&checker, &described)))
}
