//! `/key-auths` and `/consumers/…/key-auth`.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer;
use super::answer::{nothing_if_empty, shown, written};
use super::call::Call;
use super::consumers::{self, ConsumerBody};
use super::given::{ConsumerNamed, owner, set, stays};
use super::networks::{NetworksBody, networks, networks_row};
use super::page::{Asked, Page, Paging, Row};
use crate::domain::deployment::Opens;
use crate::domain::key::KeyFacts;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{KeyChange, MadeKey, NewKey, NewText, Refusal, Seen, Set, id_of};
use crate::store::Uses;
use crate::store::record::KeyRecord;

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyBody {
    id: Option<Uuid>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<String>)]
    key: Set<String>,
    #[serde(default)]
    insecure_allow_weak: bool,
    /// Seconds from now; null and 0: never.
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<i64>)]
    ttl: Set<i64>,
    /// Seconds since the Unix epoch.
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<i64>)]
    not_before: Set<i64>,
    /// Seconds since the Unix epoch.
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<i64>)]
    expires_at: Set<i64>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    services: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<NetworksBody>)]
    networks: Set<NetworksBody>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ConsumerNamed>)]
    pub(super) consumer: Set<ConsumerNamed>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateBody {
    /// Seconds for which the key before still opens.
    grace: i64,
}

impl KeyBody {
    pub(super) fn new_key(self) -> Result<NewKey, Problem> {
        Ok(NewKey {
            id: self.id,
            ttl: self.ttl.flatten(),
            text: self.key.flatten().map(Secret::from),
            allow_weak: self.insecure_allow_weak,
            not_before: self.not_before.flatten().map(Timestamp::from_unix),
            expires_at: self.expires_at.flatten().map(Timestamp::from_unix),
            tags: self.tags.flatten().unwrap_or_default(),
            services: self.services.flatten(),
            permissions: self.permissions.flatten(),
            networks: networks(self.networks.flatten().unwrap_or_default())?,
            disabled: self.enabled == Some(false),
        })
    }

    /// What becomes different about `before`. Its public name is what we say of its text, so whoever
    /// says it to us does not change it.
    fn change(self, before: &KeyRecord) -> Result<KeyChange, Problem> {
        let public = key_of(before);
        Ok(KeyChange {
            text: self
                .key
                .flatten()
                .filter(|key| Some(key) != public.as_ref())
                .map(|key| NewText::Brought(key.into())),
            allow_weak: self.insecure_allow_weak,
            ttl: self.ttl,
            not_before: self.not_before.map(|at| at.map(Timestamp::from_unix)),
            expires_at: self.expires_at.map(|at| at.map(Timestamp::from_unix)),
            tags: self.tags.map(Option::unwrap_or_default),
            services: self.services,
            permissions: self.permissions,
            networks: self.networks.map(|body| networks(body.unwrap_or_default())).transpose()?,
            enabled: self.enabled,
        })
    }
}

impl Row for KeyRecord {
    fn id(&self) -> Uuid {
        self.id
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// Makes one for a consumer.
#[utoipa::path(post, path = "/consumers/{consumer}/key-auth", tag = "keys", params(("consumer" = String, Path)), request_body = KeyBody, responses((status = 201, body = Value)))]
pub(super) async fn create_key_of(
    call: Call,
    Path(consumer): Path<String>,
    Body(mut body): Body<KeyBody>,
) -> Result<Response, Problem> {
    let owner = call.registrar.owner(&consumer).await?.id();
    stays(&call.registrar, body.consumer.take(), owner).await?;
    create(&call, StatusCode::CREATED, owner, body.new_key()?).await
}

/// Makes one; the body names its consumer.
#[utoipa::path(post, path = "/key-auths", tag = "keys", request_body = KeyBody, responses((status = 201, body = Value)))]
pub(super) async fn create_key(call: Call, Body(mut body): Body<KeyBody>) -> Result<Response, Problem> {
    let owner = owner(&call.registrar, body.consumer.take()).await?.id();
    create(&call, StatusCode::CREATED, owner, body.new_key()?).await
}

async fn create(call: &Call, status: StatusCode, owner: Uuid, new: NewKey) -> Result<Response, Problem> {
    let done = call.registrar.create_key(&call.by, &owner.to_string(), new).await?;
    let row = made_row(call, &done.value);
    Ok(written(status, &done, Some(row)))
}

/// Page by page.
#[utoipa::path(get, path = "/key-auths", tag = "keys", params(Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_keys(call: Call, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| call.registrar.keys(after, limit)).await?;
    let mut rows = rows(&call, &found).await?;
    if last.is_none() && !page.is_filtered() {
        // What the file declares stands at the end of the last page.
        rows.extend(call.registrar.declared_keys().iter().map(|key| declared_row(key, &call)));
    }
    Ok(page.answer("/key-auths", rows, last))
}

/// A consumer's, page by page.
#[utoipa::path(get, path = "/consumers/{consumer}/key-auth", tag = "keys", params(("consumer" = String, Path), Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_keys_of(
    call: Call,
    Path(named): Path<String>,
    asked: Paging,
) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let consumer = call.registrar.owner(&named).await?.id();
    let read = |after, limit| call.registrar.keys_of(&consumer, after, limit);
    let (found, last) = page.read(read).await?;
    let path = format!("/consumers/{}/key-auth", answer::segment(&named));
    let mut rows = rows(&call, &found).await?;
    if last.is_none() && !page.is_filtered() {
        let declared = call.registrar.declared_keys();
        let theirs = declared.iter().filter(|key| key.consumer == consumer);
        rows.extend(theirs.map(|key| declared_row(key, &call)));
    }
    Ok(page.answer(&path, rows, last))
}

/// One of them.
#[utoipa::path(get, path = "/key-auths/{key}", tag = "keys", params(("key" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_key(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    match call.registrar.declared_key(&named) {
        Some(declared) => Ok(axum::Json(declared_row(&declared, &call)).into_response()),
        None => show(&call, call.registrar.key(&named).await?).await,
    }
}

/// One of a consumer's.
#[utoipa::path(get, path = "/consumers/{consumer}/key-auth/{key}", tag = "keys", params(("consumer" = String, Path), ("key" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_key_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    show(&call, key_of_consumer(&call, &consumer, &named).await?).await
}

async fn show(call: &Call, seen: Seen<KeyRecord>) -> Result<Response, Problem> {
    let uses = call.registrar.uses(&[seen.id]).await?;
    Ok(shown(&seen, key_row(&seen, uses.get(&seen.id), call)))
}

/// The key, if it is this consumer's.
async fn key_of_consumer(call: &Call, consumer: &str, named: &str) -> Result<Seen<KeyRecord>, Problem> {
    let owner = call.registrar.owner(consumer).await?.id();
    let record = call.registrar.key_to_change(named).await?;
    if record.consumer == owner { Ok(record) } else { Err(Problem::NotFound) }
}

/// Changes what is sent.
#[utoipa::path(patch, path = "/key-auths/{key}", tag = "keys", params(("key" = String, Path)), request_body = KeyBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_key(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<KeyBody>,
) -> Result<Response, Problem> {
    let record = call.registrar.key_to_change(&named).await?;
    patch(&call, record, body).await
}

/// Changes what is sent of a consumer's.
#[utoipa::path(patch, path = "/consumers/{consumer}/key-auth/{key}", tag = "keys", params(("consumer" = String, Path), ("key" = String, Path)), request_body = KeyBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_key_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(body): Body<KeyBody>,
) -> Result<Response, Problem> {
    let record = key_of_consumer(&call, &consumer, &named).await?;
    patch(&call, record, body).await
}

async fn patch(call: &Call, record: Seen<KeyRecord>, mut body: KeyBody) -> Result<Response, Problem> {
    stays(&call.registrar, body.consumer.take(), record.consumer).await?;
    if body.id.is_some_and(|id| id != record.id) {
        return Err(Refusal::Invalid { field: "id", why: "cannot be changed".into() }.into());
    }
    let change = body.change(&record)?;
    changed(call, &record, change).await
}

async fn changed(call: &Call, before: &KeyRecord, change: KeyChange) -> Result<Response, Problem> {
    let done = call.registrar.change_key(&call.by, &before.id, change).await?;
    let uses = call.registrar.uses(&[before.id]).await?;
    let mut row = key_row(&done.value.record, uses.get(&before.id), call);
    if let Some(text) = &done.value.text {
        row["key"] = json!(text.expose());
    }
    Ok(written(StatusCode::OK, &done, Some(row)))
}

/// Makes one, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/key-auths/{key}", tag = "keys", params(("key" = String, Path)), request_body = KeyBody, responses((status = 200, body = Value)))]
pub(super) async fn put_key(
    call: Call,
    Path(named): Path<String>,
    Body(mut body): Body<KeyBody>,
) -> Result<Response, Problem> {
    let owner = owner(&call.registrar, body.consumer.take()).await?.id();
    put(&call, owner, named, body).await
}

/// Makes one for a consumer, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/consumers/{consumer}/key-auth/{key}", tag = "keys", params(("consumer" = String, Path), ("key" = String, Path)), request_body = KeyBody, responses((status = 200, body = Value)))]
pub(super) async fn put_key_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(mut body): Body<KeyBody>,
) -> Result<Response, Problem> {
    let owner = call.registrar.owner(&consumer).await?.id();
    stays(&call.registrar, body.consumer.take(), owner).await?;
    put(&call, owner, named, body).await
}

/// Makes the key of this id or text, or puts it in the place of the one that is there, if that is the
/// same consumer's. As in Kong, a key that is not sent is made anew and a `ttl` that is not sent is
/// none; what Kong does not know of a key (what it opens, from where) stays.
async fn put(call: &Call, owner: Uuid, named: String, mut body: KeyBody) -> Result<Response, Problem> {
    let id = id_of(&named);
    if body.id.is_some_and(|chosen| id.is_some_and(|id| id != chosen)) {
        return Err(Refusal::Invalid { field: "id", why: "is not the one of the path".into() }.into());
    }
    let before = match call.registrar.key_to_change(&named).await {
        Ok(before) if before.consumer != owner => return Err(Problem::AnothersCredential),
        Ok(before) => before,
        Err(Refusal::NotFound { .. } | Refusal::NoSuchKey { .. }) => {
            match id {
                Some(id) => body.id = Some(id),
                None => body.key = Some(Some(named)),
            }
            return create(call, StatusCode::OK, owner, body.new_key()?).await;
        }
        Err(refusal) => return Err(refusal.into()),
    };
    body.tags.get_or_insert_default();
    if body.expires_at.is_none() {
        body.ttl.get_or_insert_default();
    }
    let kept = id.is_none() || body.key.as_ref().is_some_and(|key| *key == key_of(&before) && key.is_some());
    let mut change = body.change(&before)?;
    match kept {
        // By its text or name, which the path has.
        true => change.text = None,
        false => {
            change.text.get_or_insert(NewText::Ours);
        }
    }
    changed(call, &before, change).await
}

/// Ends it for good.
#[utoipa::path(delete, path = "/key-auths/{key}", tag = "keys", params(("key" = String, Path)), responses((status = 204)))]
pub(super) async fn revoke_key(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let done = call.registrar.revoke_key(&call.by, &named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// Ends a consumer's for good.
#[utoipa::path(delete, path = "/consumers/{consumer}/key-auth/{key}", tag = "keys", params(("consumer" = String, Path), ("key" = String, Path)), responses((status = 204)))]
pub(super) async fn revoke_key_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let record = key_of_consumer(&call, &consumer, &named).await?;
    let done = call.registrar.revoke_key(&call.by, &record.id.to_string()).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// Makes a key with the settings of one that is there, which ends after a grace.
#[utoipa::path(post, path = "/key-auths/{key}/rotate", tag = "keys", params(("key" = String, Path)), request_body = RotateBody, responses((status = 201, body = Value)))]
pub(super) async fn rotate_key(
    call: Call,
    Path(named): Path<String>,
    Body(RotateBody { grace }): Body<RotateBody>,
) -> Result<Response, Problem> {
    let before = call.registrar.key_to_change(&named).await?.id;
    let done = call.registrar.rotate_key(&call.by, &before.to_string(), grace).await?;
    let mut row = made_row(&call, &done.value.made);
    let ends = done.value.before.as_ref().and_then(|before| before.expires_at).map(Timestamp::unix);
    row["rotated"] = json!({ "id": before, "expires_at": ends.unwrap_or_else(|| call.clock.now().unix()) });
    Ok(written(StatusCode::CREATED, &done, Some(row)))
}

/// The consumer whose it is.
#[utoipa::path(get, path = "/key-auths/{key}/consumer", tag = "keys", operation_id = "show_owner_of_keys", params(("key" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_owner(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let owner = owner_of(&call, &named).await?;
    consumers::show(&call, &owner).await
}

/// Puts the consumer whose it is.
#[utoipa::path(put, path = "/key-auths/{key}/consumer", tag = "keys", operation_id = "put_owner_of_keys", params(("key" = String, Path)), request_body = ConsumerBody, responses((status = 200, body = Value)))]
pub(super) async fn put_owner(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<ConsumerBody>,
) -> Result<Response, Problem> {
    let owner = owner_of(&call, &named).await?;
    consumers::put(&call, &owner, body).await
}

/// Changes the consumer whose it is.
#[utoipa::path(patch, path = "/key-auths/{key}/consumer", tag = "keys", operation_id = "patch_owner_of_keys", params(("key" = String, Path)), request_body = ConsumerBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_owner(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<ConsumerBody>,
) -> Result<Response, Problem> {
    let owner = owner_of(&call, &named).await?;
    consumers::patch(&call, &owner, body).await
}

async fn owner_of(call: &Call, named: &str) -> Result<String, Problem> {
    let owner = match call.registrar.declared_key(named) {
        Some(declared) => declared.consumer,
        None => call.registrar.key(named).await?.consumer,
    };
    Ok(owner.to_string())
}

/// With what is known of their use.
async fn rows(call: &Call, records: &[KeyRecord]) -> Result<Vec<Value>, Problem> {
    let ids: Vec<Uuid> = records.iter().map(|record| record.id).collect();
    let uses = call.registrar.uses(&ids).await?;
    Ok(records.iter().map(|record| key_row(record, uses.get(&record.id), call)).collect())
}

fn made_row(call: &Call, made: &MadeKey) -> Value {
    let mut row = key_row(&made.record, None, call);
    // The only time that the text is shown.
    row["key"] = json!(made.text.expose());
    row
}

/// What is said of a key's text once it was shown.
fn key_of(record: &KeyRecord) -> Option<String> {
    record.handle.as_ref().map(|handle| format!("dw_key_{handle}"))
}

/// The seconds that are left.
fn ttl(expires_at: Option<Timestamp>, call: &Call) -> Option<i64> {
    expires_at.map(|until| until.unix().saturating_sub(call.clock.now().unix()).max(0))
}

/// A key of the file: every field of a stored one, null where only a record has it.
fn declared_row(key: &KeyFacts, call: &Call) -> Value {
    json!({
        "id": key.id,
        "key": null,
        "ttl": ttl(key.expires_at, call),
        "not_before": key.not_before.map(Timestamp::unix),
        "expires_at": key.expires_at.map(Timestamp::unix),
        "tags": null,
        "services": key.opens.as_ref().map(|opens| opens.iter().map(opening).collect::<Vec<_>>()),
        "permissions": key.permissions.as_deref(),
        "networks": key.networks.as_ref().map_or(Value::Null, |networks| networks_row(networks)),
        "enabled": key.enabled,
        "consumer": { "id": key.consumer },
        "created_at": null,
        "uses": null,
        "last_used_at": null,
        "declared_in_file": true,
    })
}

fn key_row(record: &KeyRecord, uses: Option<&Uses>, call: &Call) -> Value {
    json!({
        "id": record.id,
        "key": key_of(record),
        "ttl": ttl(record.expires_at, call),
        "not_before": record.not_before.map(Timestamp::unix),
        "expires_at": record.expires_at.map(Timestamp::unix),
        "tags": nothing_if_empty(&record.tags),
        "services": record.opens.as_ref().map(|opens| opens.iter().map(opening).collect::<Vec<_>>()),
        "permissions": record.permissions,
        "networks": networks_row(&record.networks),
        "enabled": record.enabled,
        "consumer": { "id": record.consumer },
        "created_at": record.created_at.unix(),
        "uses": uses.map_or(0, |uses| uses.count),
        "last_used_at": uses.map(|uses| uses.last),
    })
}

fn opening(opens: &Opens) -> String {
    match opens.infrastructure {
        None => opens.service.to_string(),
        Some(infrastructure) => format!("{}/{infrastructure}", opens.service),
    }
}
