//! `/openapi.json`: what the routes say of themselves, and what is true of all of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use utoipa_axum::routes;

use super::desk::{Desk, Right};

/// The desk with one more route, which describes all of it.
pub(super) fn with_its_own(desk: Desk<()>) -> Desk<()> {
    let described = Arc::new(std::sync::OnceLock::new());
    let own = Desk::new().route(Right::Everything, routes!(describe)).with_state(Arc::clone(&described));
    let desk = desk.merge(own);
    // Set once and for all: routes do not change while the process runs.
    let _ = described.set(complete(desk.openapi().clone()).to_json().unwrap_or_default());
    desk
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "openapi", responses((status = 200, body = serde_json::Value)))]
async fn describe(State(described): State<Arc<std::sync::OnceLock<String>>>) -> Response {
    let text = described.get().cloned().unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

fn complete(openapi: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    openapi
}
