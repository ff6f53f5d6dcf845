//! `/key-auths` and `/consumers/…/key-auth`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Admin;
use super::answer::{Page, Paging, list, paging, written};
use super::networks::{NetworksBody, networks, networks_row};
use crate::clock::Clock;
use crate::domain::deployment::Opens;
use crate::domain::key::KeyFacts;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, MadeKey, NewKey};
use crate::store::record::KeyRecord;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyBody {
    id: Option<Uuid>,
    key: Option<String>,
    #[serde(default)]
    insecure_allow_weak: bool,
    ttl: Option<i64>,
    /// Seconds since the Unix epoch.
    not_before: Option<i64>,
    /// Seconds since the Unix epoch.
    expires_at: Option<i64>,
    #[serde(default)]
    tags: Vec<String>,
    services: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    #[serde(default)]
    networks: NetworksBody,
}

/// Makes a key; its text is shown this once.
#[utoipa::path(post, path = "/consumers/{consumer}/key-auth", tag = "keys", params(("consumer" = String, Path)), request_body = KeyBody, responses((status = 201, body = Value)))]
pub(super) async fn create_key(
    State(admin): State<Admin>,
    by: By,
    Path(consumer): Path<String>,
    Body(body): Body<KeyBody>,
) -> Result<Response, Problem> {
    let new = NewKey {
        id: body.id,
        text: body.key.map(Secret::from),
        allow_weak: body.insecure_allow_weak,
        ttl: body.ttl,
        not_before: body.not_before.map(Timestamp::from_unix),
        expires_at: body.expires_at.map(Timestamp::from_unix),
        tags: body.tags,
        services: body.services,
        permissions: body.permissions,
        networks: networks(body.networks)?,
    };
    let done = admin.issuer.create_key(&by, &consumer, new).await?;
    let MadeKey { record, text } = &done.value;
    let mut row = key_row(record, &admin.clock);
    // The only time that the text is shown.
    row["key"] = json!(text.expose());
    Ok(written(StatusCode::CREATED, &done, Some(row)))
}

/// Keys, page by page.
#[utoipa::path(get, path = "/key-auths", tag = "keys", params(Page), responses((status = 200, body = Value)))]
pub(super) async fn list_keys(State(admin): State<Admin>, page: Paging) -> Result<Response, Problem> {
    let (after, size) = paging(page)?;
    let keys = admin.issuer.keys(after, size + 1).await?;
    Ok(key_list("/key-auths", &keys, admin.issuer.declared_keys(), size, &admin.clock))
}

/// A consumer's keys, page by page.
#[utoipa::path(get, path = "/consumers/{consumer}/key-auth", tag = "keys", params(("consumer" = String, Path), Page), responses((status = 200, body = Value)))]
pub(super) async fn list_keys_of(
    State(admin): State<Admin>,
    Path(named): Path<String>,
    page: Paging,
) -> Result<Response, Problem> {
    let (after, size) = paging(page)?;
    let consumer = admin.issuer.owner(&named).await?.id();
    let keys = admin.issuer.keys_of(&consumer, after, size + 1).await?;
    let mut declared = admin.issuer.declared_keys();
    declared.retain(|key| key.consumer == consumer);
    Ok(key_list(&format!("/consumers/{consumer}/key-auth"), &keys, declared, size, &admin.clock))
}

/// One key, by id, public part or text.
#[utoipa::path(get, path = "/key-auths/{key}", tag = "keys", params(("key" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_key(
    State(admin): State<Admin>,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let row = match admin.issuer.declared_key(&named) {
        Some(declared) => declared_row(&declared, &admin.clock),
        None => key_row(&admin.issuer.key(&named).await?, &admin.clock),
    };
    Ok(axum::Json(row).into_response())
}

/// Ends a key for good.
#[utoipa::path(delete, path = "/key-auths/{key}", tag = "keys", params(("key" = String, Path)), responses((status = 204)))]
pub(super) async fn revoke_key(
    State(admin): State<Admin>,
    by: By,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let done = admin.issuer.revoke_key(&by, &named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

fn key_list(path: &str, keys: &[KeyRecord], declared: Vec<KeyFacts>, size: usize, clock: &Clock) -> Response {
    let mut rows: Vec<Value> = keys.iter().take(size).map(|record| key_row(record, clock)).collect();
    let last = keys.get(size.wrapping_sub(1)).filter(|_| keys.len() > size).map(|record| record.id);
    if last.is_none() {
        // What the file declares stands at the end of the last page.
        rows.extend(declared.iter().map(|key| declared_row(key, clock)));
    }
    list(path, rows, last, size)
}

/// The seconds that are left.
fn ttl(expires_at: Option<Timestamp>, clock: &Clock) -> Option<i64> {
    expires_at.map(|until| until.unix().saturating_sub(clock.now().unix()).max(0))
}

/// A key of the file: what its record would say, but for what only a record has.
fn declared_row(key: &KeyFacts, clock: &Clock) -> Value {
    json!({
        "id": key.id,
        "key": null,
        "ttl": ttl(key.expires_at, clock),
        "not_before": key.not_before.map(Timestamp::unix),
        "expires_at": key.expires_at.map(Timestamp::unix),
        "tags": [],
        "services": key.opens.as_ref().map(|opens| opens.iter().map(opening).collect::<Vec<_>>()),
        "permissions": key.permissions.as_deref(),
        "networks": key.networks.as_ref().map_or(Value::Null, |networks| networks_row(networks)),
        "enabled": key.enabled,
        "consumer": { "id": key.consumer },
        "declared_in_file": true,
    })
}

fn key_row(record: &KeyRecord, clock: &Clock) -> Value {
    json!({
        "id": record.id,
        "key": record.handle.as_ref().map(|handle| format!("dw_key_{handle}")),
        "ttl": ttl(record.expires_at, clock),
        "not_before": record.not_before.map(Timestamp::unix),
        "expires_at": record.expires_at.map(Timestamp::unix),
        "tags": record.tags,
        "services": record.opens.as_ref().map(|opens| opens.iter().map(opening).collect::<Vec<_>>()),
        "permissions": record.permissions,
        "networks": networks_row(&record.networks),
        "enabled": record.enabled,
        "consumer": { "id": record.consumer },
        "created_at": record.created_at.unix(),
    })
}

fn opening(opens: &Opens) -> String {
    match opens.infrastructure {
        None => opens.service.to_string(),
        Some(infrastructure) => format!("{}/{infrastructure}", opens.service),
    }
}
