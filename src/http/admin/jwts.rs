//! `/jwts` and `/consumers/…/jwt`: what consumers' own JWTs are verified with.

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
use crate::issue::{JwtChange, MadeJwt, NewJwt, Refusal, Seen, Set, id_of};
use crate::store::record::{JwtRecord, JwtSecret};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtBody {
    id: Option<Uuid>,
    key: Option<String>,
    algorithm: Option<String>,
    secret: Option<String>,
    /// Of every algorithm but HS ones; the name is Kong's.
    rsa_public_key: Option<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ConsumerNamed>)]
    pub(super) consumer: Set<ConsumerNamed>,
}

impl JwtBody {
    pub(super) fn into_new(self) -> Result<NewJwt, Problem> {
        if self.enabled == Some(false) {
            let why = "is for one that is there; make it, then disable it";
            return Err(Refusal::Invalid { field: "enabled", why: why.into() }.into());
        }
        Ok(NewJwt {
            id: self.id,
            key: self.key,
            algorithm: self.algorithm,
            secret: self.secret.map(Secret::from),
            public_key: self.rsa_public_key,
            tags: self.tags.flatten().unwrap_or_default(),
        })
    }

    fn change(self) -> Result<JwtChange, Problem> {
        Ok(JwtChange {
            key: self.key,
            algorithm: self.algorithm,
            secret: self.secret.map(Secret::from),
            public_key: self.rsa_public_key,
            tags: self.tags.map(Option::unwrap_or_default),
            enabled: self.enabled,
        })
    }

    /// As it puts a whole credential in the place of another one. What verifies is kept where it is not
    /// sent, for it is not shown either: who reads, changes and puts back would otherwise lose it.
    fn whole(mut self, before: &JwtRecord) -> Result<Self, Problem> {
        self.key.get_or_insert_with(|| before.key.clone());
        self.algorithm.get_or_insert_with(|| before.algorithm.clone());
        self.tags.get_or_insert_default();
        Ok(self)
    }
}

impl Row for JwtRecord {
    fn id(&self) -> Uuid {
        self.id
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// Page by page.
#[utoipa::path(get, path = "/jwts", tag = "jwts", params(Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_jwts(call: Call, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| call.issuer.jwts(after, limit)).await?;
    Ok(page.answer("/jwts", found.iter().map(row).collect(), last))
}

/// A consumer's, page by page.
#[utoipa::path(get, path = "/consumers/{consumer}/jwt", tag = "jwts", params(("consumer" = String, Path), Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_jwts_of(
    call: Call,
    Path(consumer): Path<String>,
    asked: Paging,
) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let owner = call.issuer.owner(&consumer).await?.id();
    let read = |after, limit| call.issuer.jwts_of(&owner, after, limit);
    let (found, last) = page.read(read).await?;
    let path = format!("/consumers/{}/jwt", segment(&consumer));
    Ok(page.answer(&path, found.iter().map(row).collect(), last))
}

/// Makes one; the body names its consumer.
#[utoipa::path(post, path = "/jwts", tag = "jwts", request_body = JwtBody, responses((status = 201, body = Value)))]
pub(super) async fn create_jwt(call: Call, Body(mut body): Body<JwtBody>) -> Result<Response, Problem> {
    let owner = owner(&call.issuer, body.consumer.take()).await?.id();
    create(&call, StatusCode::CREATED, owner, body).await
}

/// Makes one for a consumer.
#[utoipa::path(post, path = "/consumers/{consumer}/jwt", tag = "jwts", params(("consumer" = String, Path)), request_body = JwtBody, responses((status = 201, body = Value)))]
pub(super) async fn create_jwt_of(
    call: Call,
    Path(consumer): Path<String>,
    Body(mut body): Body<JwtBody>,
) -> Result<Response, Problem> {
    let owner = call.issuer.owner(&consumer).await?.id();
    stays(&call.issuer, body.consumer.take(), owner).await?;
    create(&call, StatusCode::CREATED, owner, body).await
}

async fn create(call: &Call, status: StatusCode, owner: Uuid, body: JwtBody) -> Result<Response, Problem> {
    let done = call.issuer.create_jwt(&call.by, &owner.to_string(), body.into_new()?).await?;
    Ok(written(status, &done, Some(made_row(&done.value))))
}

/// One of them.
#[utoipa::path(get, path = "/jwts/{jwt}", tag = "jwts", params(("jwt" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_jwt(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let seen = call.issuer.jwt(&named).await?;
    Ok(shown(&seen, row(&seen)))
}

/// One of a consumer's.
#[utoipa::path(get, path = "/consumers/{consumer}/jwt/{jwt}", tag = "jwts", params(("consumer" = String, Path), ("jwt" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_jwt_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let seen = of_consumer(&call, &consumer, &named).await?;
    Ok(shown(&seen, row(&seen)))
}

/// The credential, if it is this consumer's.
async fn of_consumer(call: &Call, consumer: &str, named: &str) -> Result<Seen<JwtRecord>, Problem> {
    let owner = call.issuer.owner(consumer).await?.id();
    let record = call.issuer.jwt(named).await?;
    if record.consumer == owner { Ok(record) } else { Err(Problem::NotFound) }
}

/// Changes what is sent.
#[utoipa::path(patch, path = "/jwts/{jwt}", tag = "jwts", params(("jwt" = String, Path)), request_body = JwtBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_jwt(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<JwtBody>,
) -> Result<Response, Problem> {
    let record = call.issuer.jwt(&named).await?;
    patch(&call, &record, body).await
}

/// Changes what is sent of a consumer's.
#[utoipa::path(patch, path = "/consumers/{consumer}/jwt/{jwt}", tag = "jwts", params(("consumer" = String, Path), ("jwt" = String, Path)), request_body = JwtBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_jwt_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(body): Body<JwtBody>,
) -> Result<Response, Problem> {
    let record = of_consumer(&call, &consumer, &named).await?;
    patch(&call, &record, body).await
}

async fn patch(call: &Call, record: &JwtRecord, mut body: JwtBody) -> Result<Response, Problem> {
    stays(&call.issuer, body.consumer.take(), record.consumer).await?;
    if body.id.is_some_and(|id| id != record.id) {
        return Err(Refusal::Invalid { field: "id", why: "cannot be changed".into() }.into());
    }
    changed(call, record, body).await
}

async fn changed(call: &Call, record: &JwtRecord, body: JwtBody) -> Result<Response, Problem> {
    let done = call.issuer.change_jwt(&call.by, record, body.change()?).await?;
    Ok(written(StatusCode::OK, &done, Some(made_row(&done.value))))
}

/// Makes one, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/jwts/{jwt}", tag = "jwts", params(("jwt" = String, Path)), request_body = JwtBody, responses((status = 200, body = Value)))]
pub(super) async fn put_jwt(
    call: Call,
    Path(named): Path<String>,
    Body(mut body): Body<JwtBody>,
) -> Result<Response, Problem> {
    let owner = owner(&call.issuer, body.consumer.take()).await?.id();
    put(&call, owner, named, body).await
}

/// Makes one for a consumer, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/consumers/{consumer}/jwt/{jwt}", tag = "jwts", params(("consumer" = String, Path), ("jwt" = String, Path)), request_body = JwtBody, responses((status = 200, body = Value)))]
pub(super) async fn put_jwt_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(mut body): Body<JwtBody>,
) -> Result<Response, Problem> {
    let owner = call.issuer.owner(&consumer).await?.id();
    stays(&call.issuer, body.consumer.take(), owner).await?;
    put(&call, owner, named, body).await
}

/// Makes the credential of this id or key, or puts it in the place of the one that is there, if that
/// is the same consumer's.
async fn put(call: &Call, owner: Uuid, named: String, mut body: JwtBody) -> Result<Response, Problem> {
    let id = id_of(&named);
    if body.id.is_some_and(|chosen| id.is_some_and(|id| id != chosen)) {
        return Err(Refusal::Invalid { field: "id", why: "is not the one of the path".into() }.into());
    }
    let found = call.issuer.jwt(&named).await;
    match id {
        Some(id) => body.id = Some(id),
        None => body.key = Some(named),
    }
    match found {
        Ok(record) if record.consumer != owner => Err(Problem::AnothersCredential),
        Ok(record) => changed(call, &record, body.whole(&record)?).await,
        Err(Refusal::NotFound { .. }) => create(call, StatusCode::OK, owner, body).await,
        Err(refusal) => Err(refusal.into()),
    }
}

/// Ends it for good.
#[utoipa::path(delete, path = "/jwts/{jwt}", tag = "jwts", params(("jwt" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_jwt(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let done = call.issuer.end_jwt(&call.by, call.issuer.jwt(&named).await?).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// Ends a consumer's for good.
#[utoipa::path(delete, path = "/consumers/{consumer}/jwt/{jwt}", tag = "jwts", params(("consumer" = String, Path), ("jwt" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_jwt_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let done = call.issuer.end_jwt(&call.by, of_consumer(&call, &consumer, &named).await?).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// The consumer whose it is.
#[utoipa::path(get, path = "/jwts/{jwt}/consumer", tag = "jwts", operation_id = "show_owner_of_jwts", params(("jwt" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_owner(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let owner = call.issuer.jwt(&named).await?.consumer;
    consumers::show(&call, &owner.to_string()).await
}

/// With the secret, the one time that it is shown.
fn made_row(made: &MadeJwt) -> Value {
    let mut row = row(&made.record);
    row["secret"] = json!(made.secret.as_ref().map(Secret::expose));
    row
}

fn row(record: &JwtRecord) -> Value {
    let public_key = match &record.secret {
        JwtSecret::Shared(_) => None,
        JwtSecret::Public(pem) => Some(pem),
    };
    json!({
        "id": record.id,
        "key": record.key,
        "secret": null,
        "algorithm": record.algorithm,
        "rsa_public_key": public_key,
        "tags": nothing_if_empty(&record.tags),
        "enabled": record.enabled,
        "consumer": { "id": record.consumer },
        "created_at": record.created_at.unix(),
    })
}
