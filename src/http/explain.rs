//! `POST /explain` of the admin API: one described request, decided and told step by step.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;

use super::problem::Problem;
use crate::check::Checker;
use crate::explain::{Account, Description, explain};
use crate::issue::Refusal;

/// `body_limit` in bytes.
pub fn router(checker: Arc<Checker>, body_limit: usize) -> Router {
    Router::new()
        .route("/explain", post(tell))
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(body_limit))
        .with_state(checker)
}

async fn tell(
    State(checker): State<Arc<Checker>>,
    body: Result<axum::Json<Description>, JsonRejection>,
) -> Result<axum::Json<Account>, Problem> {
    let axum::Json(description) = body?;
    let described =
        description.understood().map_err(|wrong| Refusal::Invalid { field: wrong.field, why: wrong.why })?;
    Ok(axum::Json(explain(&checker, &described)))
}
