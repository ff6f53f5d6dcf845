//! `/openapi.json`: what the routes say of themselves, and what is true of all of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Info, OpenApi, RefOr, Response as Answer};
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

/// What is true of every operation is said here once, so that no route can forget it.
fn complete(mut openapi: OpenApi) -> OpenApi {
    let schemes =
        [("admin_key".to_owned(), RefOr::T(SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer))))];
    let components = openapi.components.get_or_insert_default();
    components.security_schemes.extend(schemes);
    openapi.security = Some(vec![SecurityRequirement::new("admin_key", [""; 0])]);
    openapi.info = Info::new("Doorward admin API", env!("CARGO_PKG_VERSION"));
    openapi.info.description =
        Some("Kong's Admin API where Kong has the path, and our own beside it.".to_owned());
    for (path, item) in &mut openapi.paths.paths {
        let has_id = path.contains('{');
        let operations =
            [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter();
        for operation in operations.flatten() {
            describe_refusals(operation, has_id);
        }
        // Who changes something may be told before it is known here.
        let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter();
        for operation in writes.flatten() {
            let applied = operation.responses.responses.iter().find(|(status, _)| status.starts_with('2'));
            let later = applied.map(|(_, response)| response.clone());
            if let Some(later) = later {
                operation.responses.responses.entry("202".to_owned()).or_insert(later);
            }
        }
    }
    openapi
}

fn describe_refusals(operation: &mut Operation, has_id: bool) {
    let takes_body = operation.request_body.is_some();
    let told = [
        ("400", "The request cannot be read as it is", true),
        ("401", "No admin key, or one that opens nothing", true),
        ("403", "Not allowed to this caller", true),
        ("404", "There is no such thing", has_id),
        ("409", "It contradicts what is there", takes_body || has_id),
        ("412", "It was changed since", has_id),
        ("413", "The body is too large", takes_body),
        ("415", "Neither JSON nor a form", takes_body),
        ("429", "Too many wrong keys", true),
        ("503", "The store does not answer", true),
    ];
    for (status, description, may_be) in told {
        if may_be {
            let refusal = Answer::new(description);
            operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(refusal));
        }
    }
}
