//! `/openapi.json`: what the routes say of themselves, and what is true of all of them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, Header, HeaderBuilder, Info, ObjectBuilder, OpenApi, Ref, RefOr, Response as Answer, Schema,
    Type,
};
use utoipa_axum::routes;

use super::desk::{Desk, Right};
use super::objects::describe::schemas;
use super::shape::is_kongs;

/// The desk with one more route, which describes all of it.
pub(super) fn with_its_own(desk: Desk<()>) -> Desk<()> {
    let described = Arc::new(std::sync::OnceLock::new());
    let own = Desk::new().route(Right::Everything, routes!(describe)).with_state(Arc::clone(&described));
    let desk = desk.merge(own);
    // Set once and for all: routes do not change while the process runs.
    let _ = described.set(written(&complete(desk.openapi().clone())));
    desk
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "openapi", responses((status = 200, body = serde_json::Value)))]
async fn describe(State(described): State<Arc<std::sync::OnceLock<String>>>) -> Response {
    let text = described.get().cloned().unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// The document, with the schemas that utoipa's types have no room for.
fn written(openapi: &OpenApi) -> String {
    let mut document = serde_json::to_value(openapi).unwrap_or_default();
    let components = &mut document["components"]["schemas"];
    if !components.is_object() {
        *components = json!({});
    }
    for (name, schema) in schemas().into_iter().chain(refusals()) {
        components[name] = schema;
    }
    document.to_string()
}

const PROBLEM: &str = "Problem";
const KONGS_ERROR: &str = "KongError";

/// The shapes of refusals: RFC 9457 on our own paths, Kong's on Kong's.
fn refusals() -> [(String, Value); 2] {
    let fields =
        json!({ "type": "object", "description": "What is wrong, by the field that it is wrong with" });
    let problem = json!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "type": "string", "description": "For programs; never renamed" },
            "message": { "type": "string", "description": "For people" },
            "request_id": { "type": "string" },
            "fields": fields,
            "epoch": { "type": "string", "description": "Of a write that is not confirmed by enough replicas" },
        },
        "required": ["type", "title", "status", "code", "message", "request_id"],
        "additionalProperties": false,
    });
    let kongs = json!({
        "type": "object",
        "properties": {
            "message": { "type": "string" },
            "name": { "type": "string" },
            "code": { "type": ["integer", "string"] },
            "fields": fields,
            "options": { "type": "object" },
            "epoch": { "type": "string" },
        },
        "required": ["message"],
        "additionalProperties": false,
    });
    [(PROBLEM.to_owned(), problem), (KONGS_ERROR.to_owned(), kongs)]
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
            describe_refusals(operation, path);
        }
        if has_id && !UNCONDITIONAL.contains(&&path[..]) {
            let changing = [&mut item.put, &mut item.patch, &mut item.delete].into_iter();
            changing.flatten().for_each(describe_if_match);
        }
        let showing = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch].into_iter();
        showing.flatten().for_each(describe_etag);
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

/// What is changed there has no state of its own, so `If-Match` is refused.
const UNCONDITIONAL: &[&str] = &["/projects/{project}/users/{consumer}/roles/{role}"];

fn describe_if_match(operation: &mut Operation) {
    let what = "`*` or the one `ETag` that was read: changed since, or not there, it stays as it is (412)";
    let parameter = Parameter::builder()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .description(Some(what))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter.build()));
}

fn describe_etag(operation: &mut Operation) {
    let succeeds = operation.responses.responses.iter_mut().filter(|(status, _)| status.starts_with('2'));
    for (_, response) in succeeds {
        let RefOr::T(response) = response else { continue };
        let header: Header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some("The state of the one object that is shown, for `If-Match`"))
            .into();
        response.headers.insert("ETag".to_owned(), RefOr::T(header));
    }
}

fn describe_refusals(operation: &mut Operation, path: &str) {
    let has_id = path.contains('{');
    let (media, schema) = match is_kongs(path) {
        true => ("application/json", KONGS_ERROR),
        false => ("application/problem+json", PROBLEM),
    };
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
        let responses = &mut operation.responses.responses;
        if may_be || responses.contains_key(status) {
            let refusal =
                responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Answer::new(description)));
            let RefOr::T(refusal) = refusal else { continue };
            let shape = Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(schema))));
            refusal.content.entry(media.to_owned()).or_insert(RefOr::T(shape));
        }
    }
}
