//! `/basic-auths` and `/consumers/…/basic-auth`: names with passwords.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::{nothing_if_empty, segment, shown, written};
use super::call::Call;
use super::consumers;
use super::given::{ConsumerNamed, owner, set, stays};
use super::page::{Asked, Page, Paging, Row};
use crate::domain::secret::Secret;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{BasicChange, NewBasic, Password, Refusal, Seen, Set, id_of};
use crate::store::record::BasicRecord;

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicBody {
    id: Option<Uuid>,
    username: Option<String>,
    password: Option<String>,
    /// In the place of `password`: its hash, argon2id as a PHC string.
    password_hash: Option<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ConsumerNamed>)]
    pub(super) consumer: Set<ConsumerNamed>,
}

impl BasicBody {
    pub(super) fn into_new(mut self) -> Result<NewBasic, Problem> {
        let missing = |field| Refusal::Invalid { field, why: "required field missing".into() };
        if self.enabled == Some(false) {
            let why = "is for one that is there; make it, then disable it";
            return Err(Refusal::Invalid { field: "enabled", why: why.into() }.into());
        }
        Ok(NewBasic {
            id: self.id,
            password: self.password()?.ok_or_else(|| missing("password"))?,
            username: self.username.ok_or_else(|| missing("username"))?,
            tags: self.tags.flatten().unwrap_or_default(),
        })
    }

    fn change(mut self) -> Result<BasicChange, Problem> {
        Ok(BasicChange {
            password: self.password()?,
            username: self.username,
            tags: self.tags.map(Option::unwrap_or_default),
            enabled: self.enabled,
        })
    }

    /// As it puts a whole credential in the place of another one.
    fn whole(mut self, _: &BasicRecord) -> Result<Self, Problem> {
        let missing = |field| Refusal::Invalid { field, why: "required field missing".into() };
        if self.username.is_none() {
            return Err(missing("username").into());
        }
        if self.password.is_none() && self.password_hash.is_none() {
            return Err(missing("password").into());
        }
        self.tags.get_or_insert_default();
        Ok(self)
    }

    fn password(&mut self) -> Result<Option<Password>, Problem> {
        match (self.password.take(), self.password_hash.take()) {
            (Some(_), Some(_)) => {
                let why = "cannot be given together with `password`";
                Err(Refusal::Invalid { field: "password_hash", why: why.into() }.into())
            }
            (Some(text), None) => Ok(Some(Password::Text(Secret::from(text)))),
            (None, hash) => Ok(hash.map(Password::Hashed)),
        }
    }
}

impl Row for BasicRecord {
    fn id(&self) -> Uuid {
        self.id
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// Page by page.
#[utoipa::path(get, path = "/basic-auths", tag = "passwords", params(Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_basics(call: Call, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| call.issuer.basics(after, limit)).await?;
    Ok(page.answer("/basic-auths", found.iter().map(row).collect(), last))
}

/// A consumer's, page by page.
#[utoipa::path(get, path = "/consumers/{consumer}/basic-auth", tag = "passwords", params(("consumer" = String, Path), Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_basics_of(
    call: Call,
    Path(consumer): Path<String>,
    asked: Paging,
) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let owner = call.issuer.owner(&consumer).await?.id();
    let read = |after, limit| call.issuer.basics_of(&owner, after, limit);
    let (found, last) = page.read(read).await?;
    let path = format!("/consumers/{}/basic-auth", segment(&consumer));
    Ok(page.answer(&path, found.iter().map(row).collect(), last))
}

/// Makes one; the body names its consumer.
#[utoipa::path(post, path = "/basic-auths", tag = "passwords", request_body = BasicBody, responses((status = 201, body = Value)))]
pub(super) async fn create_basic(call: Call, Body(mut body): Body<BasicBody>) -> Result<Response, Problem> {
    let owner = owner(&call.issuer, body.consumer.take()).await?.id();
    create(&call, StatusCode::CREATED, owner, body).await
}

/// Makes one for a consumer.
#[utoipa::path(post, path = "/consumers/{consumer}/basic-auth", tag = "passwords", params(("consumer" = String, Path)), request_body = BasicBody, responses((status = 201, body = Value)))]
pub(super) async fn create_basic_of(
    call: Call,
    Path(consumer): Path<String>,
    Body(mut body): Body<BasicBody>,
) -> Result<Response, Problem> {
    let owner = call.issuer.owner(&consumer).await?.id();
    stays(&call.issuer, body.consumer.take(), owner).await?;
    create(&call, StatusCode::CREATED, owner, body).await
}

async fn create(call: &Call, status: StatusCode, owner: Uuid, body: BasicBody) -> Result<Response, Problem> {
    let done = call.issuer.create_basic(&call.by, &owner.to_string(), body.into_new()?).await?;
    Ok(written(status, &done, Some(row(&done.value))))
}

/// One of them.
#[utoipa::path(get, path = "/basic-auths/{basic}", tag = "passwords", params(("basic" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_basic(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let seen = call.issuer.basic(&named).await?;
    Ok(shown(&seen, row(&seen)))
}

/// One of a consumer's.
#[utoipa::path(get, path = "/consumers/{consumer}/basic-auth/{basic}", tag = "passwords", params(("consumer" = String, Path), ("basic" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_basic_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let seen = of_consumer(&call, &consumer, &named).await?;
    Ok(shown(&seen, row(&seen)))
}

/// The credential, if it is this consumer's.
async fn of_consumer(call: &Call, consumer: &str, named: &str) -> Result<Seen<BasicRecord>, Problem> {
    let owner = call.issuer.owner(consumer).await?.id();
    let record = call.issuer.basic(named).await?;
    if record.consumer == owner { Ok(record) } else { Err(Problem::NotFound) }
}

/// Changes what is sent.
#[utoipa::path(patch, path = "/basic-auths/{basic}", tag = "passwords", params(("basic" = String, Path)), request_body = BasicBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_basic(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<BasicBody>,
) -> Result<Response, Problem> {
    let record = call.issuer.basic(&named).await?;
    patch(&call, &record, body).await
}

/// Changes what is sent of a consumer's.
#[utoipa::path(patch, path = "/consumers/{consumer}/basic-auth/{basic}", tag = "passwords", params(("consumer" = String, Path), ("basic" = String, Path)), request_body = BasicBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_basic_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(body): Body<BasicBody>,
) -> Result<Response, Problem> {
    let record = of_consumer(&call, &consumer, &named).await?;
    patch(&call, &record, body).await
}

async fn patch(call: &Call, record: &BasicRecord, mut body: BasicBody) -> Result<Response, Problem> {
    stays(&call.issuer, body.consumer.take(), record.consumer).await?;
    if body.id.is_some_and(|id| id != record.id) {
        return Err(Refusal::Invalid { field: "id", why: "cannot be changed".into() }.into());
    }
    changed(call, record, body).await
}

async fn changed(call: &Call, record: &BasicRecord, body: BasicBody) -> Result<Response, Problem> {
    let done = call.issuer.change_basic(&call.by, &record.id, body.change()?).await?;
    Ok(written(StatusCode::OK, &done, Some(row(&done.value))))
}

/// Makes one, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/basic-auths/{basic}", tag = "passwords", params(("basic" = String, Path)), request_body = BasicBody, responses((status = 200, body = Value)))]
pub(super) async fn put_basic(
    call: Call,
    Path(named): Path<String>,
    Body(mut body): Body<BasicBody>,
) -> Result<Response, Problem> {
    let owner = owner(&call.issuer, body.consumer.take()).await?.id();
    put(&call, owner, named, body).await
}

/// Makes one for a consumer, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/consumers/{consumer}/basic-auth/{basic}", tag = "passwords", params(("consumer" = String, Path), ("basic" = String, Path)), request_body = BasicBody, responses((status = 200, body = Value)))]
pub(super) async fn put_basic_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(mut body): Body<BasicBody>,
) -> Result<Response, Problem> {
    let owner = call.issuer.owner(&consumer).await?.id();
    stays(&call.issuer, body.consumer.take(), owner).await?;
    put(&call, owner, named, body).await
}

/// Makes the credential of this id or username, or puts it in the place of the one that is there, if that
/// is the same consumer's.
async fn put(call: &Call, owner: Uuid, named: String, mut body: BasicBody) -> Result<Response, Problem> {
    let id = id_of(&named);
    if body.id.is_some_and(|chosen| id.is_some_and(|id| id != chosen)) {
        return Err(Refusal::Invalid { field: "id", why: "is not the one of the path".into() }.into());
    }
    let found = call.issuer.basic(&named).await;
    match id {
        Some(id) => body.id = Some(id),
        None => body.username = Some(named),
    }
    match found {
        Ok(record) if record.consumer != owner => Err(Problem::AnothersCredential),
        Ok(record) => changed(call, &record, body.whole(&record)?).await,
        Err(Refusal::NotFound { .. }) => create(call, StatusCode::OK, owner, body).await,
        Err(refusal) => Err(refusal.into()),
    }
}

/// Ends it for good.
#[utoipa::path(delete, path = "/basic-auths/{basic}", tag = "passwords", params(("basic" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_basic(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let done = call.issuer.end_basic(&call.by, call.issuer.basic(&named).await?).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// Ends a consumer's for good.
#[utoipa::path(delete, path = "/consumers/{consumer}/basic-auth/{basic}", tag = "passwords", params(("consumer" = String, Path), ("basic" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_basic_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let done = call.issuer.end_basic(&call.by, of_consumer(&call, &consumer, &named).await?).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// The consumer whose it is.
#[utoipa::path(get, path = "/basic-auths/{basic}/consumer", tag = "passwords", operation_id = "show_owner_of_basics", params(("basic" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_owner(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let owner = call.issuer.basic(&named).await?.consumer;
    consumers::show(&call, &owner.to_string()).await
}

/// Neither the password nor its hash is ever shown.
fn row(record: &BasicRecord) -> Value {
    json!({
        "id": record.id,
        "username": record.username,
        "password": null,
        "tags": nothing_if_empty(&record.tags),
        "enabled": record.enabled,
        "consumer": { "id": record.consumer },
        "created_at": record.created_at.unix(),
    })
}
