//! The admin API, in Kong's paths and shapes for what Kong has.
//!
//! Served on the socket in the data directory, where the file's mode is the permission, and called
//! in process by commands that find no server running.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::problem::Problem;
use crate::clock::Clock;
use crate::domain::consumer::Consumer;
use crate::domain::deployment::Opens;
use crate::domain::network::{NetworkSet, Networks};
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::issue::{Done, Issuer, MadeKey, NewConsumer, NewKey, Refusal};
use crate::store::record::{ConsumerRecord, KeyRecord};
use crate::store::redb::FileError;

/// What the admin API works with.
#[derive(Clone)]
pub struct Admin {
    pub issuer: Arc<Issuer>,
    pub clock: Clock,
    /// Writes a consistent copy of the store to a path of the server's machine.
    pub backup: Arc<dyn Fn(PathBuf) -> Result<(), FileError> + Send + Sync>,
    /// Bytes.
    pub body_limit: usize,
}

/// How many rows a page has, Kong's: 100 unless asked for 1 to 1000.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1000;

/// Where a write stands in the store's history: `<term>-<number>`.
const EPOCH: HeaderName = HeaderName::from_static("doorward-epoch");

pub fn router(admin: Admin) -> Router {
    let body_limit = DefaultBodyLimit::max(admin.body_limit);
    Router::new()
        .route("/consumers", get(list_consumers).post(create_consumer))
        .route("/consumers/{consumer}", get(show_consumer).delete(delete_consumer))
        .route("/consumers/{consumer}/key-auth", get(list_keys_of).post(create_key))
        .route("/key-auths", get(list_keys))
        .route("/key-auths/{key}", get(show_key).delete(revoke_key))
        .route("/store/backup", post(back_up))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(body_limit)
        .with_state(admin)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    size: Option<usize>,
    offset: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumerBody {
    id: Option<Uuid>,
    username: Option<String>,
    custom_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    networks: NetworksBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    id: Option<Uuid>,
    key: Option<String>,
    #[serde(default)]
    insecure_allow_weak: bool,
    ttl: Option<u32>,
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworksBody {
    /// Absent: from anywhere.
    allow: Option<Vec<String>>,
    #[serde(default)]
    deny: Vec<String>,
}

fn networks(body: NetworksBody) -> Result<Networks, Problem> {
    Networks::parse(body.allow.as_deref(), &body.deny)
        .map_err(|error| Refusal::Invalid { field: "networks", why: error.to_string() }.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupBody {
    /// Absolute.
    path: PathBuf,
}

type Body<T> = Result<axum::Json<T>, JsonRejection>;
type Paging = Result<Query<Page>, QueryRejection>;

async fn list_consumers(State(admin): State<Admin>, page: Paging) -> Result<Response, Problem> {
    let (after, size) = paging(page)?;
    let stored = admin.issuer.consumers(after, size + 1).await?;
    let mut rows: Vec<Value> = stored.iter().take(size).map(consumer_row).collect();
    let last = stored.get(size.wrapping_sub(1)).filter(|_| stored.len() > size).map(|record| record.id);
    if last.is_none() {
        // What the file declares stands at the end of the last page.
        rows.extend(admin.issuer.declared_consumers().iter().map(|consumer| declared_row(consumer)));
    }
    Ok(list("/consumers", rows, last, size))
}

async fn create_consumer(State(admin): State<Admin>, body: Body<ConsumerBody>) -> Result<Response, Problem> {
    let axum::Json(body) = body?;
    let new = NewConsumer {
        id: body.id,
        username: body.username,
        custom_id: body.custom_id,
        tags: body.tags,
        groups: body.groups,
        permissions: body.permissions,
        networks: networks(body.networks)?,
    };
    let done = admin.issuer.create_consumer(new).await?;
    Ok(written(StatusCode::CREATED, &done, Some(consumer_row(&done.value))))
}

async fn show_consumer(State(admin): State<Admin>, Path(named): Path<String>) -> Result<Response, Problem> {
    match admin.issuer.consumer(&named).await {
        Ok(record) => Ok(axum::Json(consumer_row(&record)).into_response()),
        Err(refusal) => {
            let declared = admin.issuer.declared_consumers();
            let found = declared.iter().find(|consumer| {
                consumer.username.as_deref() == Some(&named) || consumer.id.to_string() == named
            });
            found.map(|consumer| axum::Json(declared_row(consumer)).into_response()).ok_or(refusal.into())
        }
    }
}

async fn delete_consumer(State(admin): State<Admin>, Path(named): Path<String>) -> Result<Response, Problem> {
    let done = admin.issuer.delete_consumer(&named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

async fn create_key(
    State(admin): State<Admin>,
    Path(consumer): Path<String>,
    body: Body<KeyBody>,
) -> Result<Response, Problem> {
    let axum::Json(body) = body?;
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
    let done = admin.issuer.create_key(&consumer, new).await?;
    let MadeKey { record, text } = &done.value;
    let mut row = key_row(record, &admin.clock);
    // The only time that the text is shown.
    row["key"] = json!(text.expose());
    Ok(written(StatusCode::CREATED, &done, Some(row)))
}

async fn list_keys(State(admin): State<Admin>, page: Paging) -> Result<Response, Problem> {
    let (after, size) = paging(page)?;
    let keys = admin.issuer.keys(after, size + 1).await?;
    Ok(key_list("/key-auths", &keys, size, &admin.clock))
}

async fn list_keys_of(
    State(admin): State<Admin>,
    Path(named): Path<String>,
    page: Paging,
) -> Result<Response, Problem> {
    let (after, size) = paging(page)?;
    let consumer = admin.issuer.owner(&named).await?.id();
    let keys = admin.issuer.keys_of(&consumer, after, size + 1).await?;
    Ok(key_list(&format!("/consumers/{consumer}/key-auth"), &keys, size, &admin.clock))
}

async fn show_key(State(admin): State<Admin>, Path(named): Path<String>) -> Result<Response, Problem> {
    let record = admin.issuer.key(&named).await?;
    Ok(axum::Json(key_row(&record, &admin.clock)).into_response())
}

async fn revoke_key(State(admin): State<Admin>, Path(named): Path<String>) -> Result<Response, Problem> {
    let done = admin.issuer.revoke_key(&named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

async fn back_up(State(admin): State<Admin>, body: Body<BackupBody>) -> Result<Response, Problem> {
    let axum::Json(BackupBody { path }) = body?;
    if !path.is_absolute() {
        let why = "must be an absolute path".into();
        return Err(Refusal::Invalid { field: "path", why }.into());
    }
    let backup = Arc::clone(&admin.backup);
    let copied = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || backup(path)).await
    };
    copied
        .map_err(|_| Problem::Internal)?
        .map_err(|error| Refusal::Invalid { field: "path", why: error.to_string() })?;
    Ok(axum::Json(json!({ "path": path })).into_response())
}

fn paging(page: Paging) -> Result<(Option<Uuid>, usize), Problem> {
    let Query(page) = page?;
    let size = page.size.unwrap_or(PAGE);
    if (1..=LONGEST_PAGE).contains(&size) { Ok((page.offset, size)) } else { Err(Problem::InvalidSize) }
}

fn key_list(path: &str, keys: &[KeyRecord], size: usize, clock: &Clock) -> Response {
    let rows = keys.iter().take(size).map(|record| key_row(record, clock)).collect();
    let last = keys.get(size.wrapping_sub(1)).filter(|_| keys.len() > size).map(|record| record.id);
    list(path, rows, last, size)
}

/// Kong's list: `offset` is absent on the last page, and `next` is null there.
fn list(path: &str, rows: Vec<Value>, last: Option<Uuid>, size: usize) -> Response {
    let body = match last {
        None => json!({ "data": rows, "next": null }),
        Some(last) => {
            json!({ "data": rows, "next": format!("{path}?offset={last}&size={size}"), "offset": last })
        }
    };
    axum::Json(body).into_response()
}

/// The answer to a write: 202 where this instance's checks do not know of it yet.
fn written<T>(status: StatusCode, done: &Done<T>, body: Option<Value>) -> Response {
    let status = if done.applied { status } else { StatusCode::ACCEPTED };
    let mut response = match body {
        Some(body) => (status, axum::Json(body)).into_response(),
        None => status.into_response(),
    };
    if let Ok(epoch) = HeaderValue::try_from(format!("{}-{}", done.epoch.term, done.epoch.number)) {
        response.headers_mut().insert(EPOCH, epoch);
    }
    response
}

fn consumer_row(record: &ConsumerRecord) -> Value {
    json!({
        "id": record.id,
        "username": record.username,
        "custom_id": record.custom_id,
        "tags": record.tags,
        "groups": record.groups,
        "permissions": record.permissions,
        "networks": networks_row(&record.networks),
        "enabled": record.enabled,
        "created_at": record.created_at.unix(),
        "updated_at": record.updated_at.unix(),
    })
}

fn declared_row(consumer: &Consumer) -> Value {
    json!({
        "id": consumer.id,
        "username": consumer.username,
        "custom_id": consumer.custom_id,
        "groups": consumer.groups,
        "permissions": consumer.permissions,
        "enabled": consumer.enabled,
        "declared_in_file": true,
    })
}

fn key_row(record: &KeyRecord, clock: &Clock) -> Value {
    let now = clock.now().unix();
    json!({
        "id": record.id,
        "key": record.handle.as_ref().map(|handle| format!("dw_key_{handle}")),
        "ttl": record.expires_at.map(|until| until.unix().saturating_sub(now).max(0)),
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

/// Null where no list is in force.
fn networks_row(networks: &Networks) -> Value {
    let entries = |set: &NetworkSet| set.iter().map(|network| network.to_string()).collect::<Vec<_>>();
    let allow = networks.allow.as_ref().map(entries);
    networks.in_force().then(|| json!({ "allow": allow, "deny": entries(&networks.deny) })).into()
}

fn opening(opens: &Opens) -> String {
    match opens.infrastructure {
        None => opens.service.to_string(),
        Some(infrastructure) => format!("{}/{infrastructure}", opens.service),
    }
}
