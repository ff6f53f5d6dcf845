//! Credentials that go by a name: `/basic-auths` and `/jwts`, and the same below `/consumers/…`. What the
//! paths do is here; what its bodies and rows are, each kind says itself.

use std::future::Future;

use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::path::HttpMethod;
use uuid::Uuid;

use super::answer::{segment, shown, written};
use super::call::Call;
use super::given::{ConsumerNamed, owner, stays};
use super::objects::describe::{Describe, body, described, page, paging, plain, schema_of};
use super::page::{Page, Paging, Row};
use super::{Admin, Desk, Right, consumers};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{Credential, Done, NamedCredential, Refusal, Seen, Set, id_of};

/// A kind of them: the body that makes or changes one.
pub(super) trait Kind: DeserializeOwned + PartialSchema + Send + 'static {
    type Record: NamedCredential + Row;
    /// The word of their paths: `basic-auths`.
    const ALL: &'static str;
    /// And below a consumer: `basic-auth`.
    const OF_CONSUMER: &'static str;
    /// What one is called in `/openapi.json`.
    const ONE: &'static str;
    const TAG: &'static str;

    fn common(&mut self) -> Common<'_>;

    /// As it puts a whole credential in the place of another one.
    fn whole(self, before: &Self::Record) -> Result<Self, Problem>;

    /// What was made, as it is shown this once.
    fn create(self, call: &Call, owner: Uuid) -> impl Future<Output = Result<Done<Value>, Problem>> + Send;

    fn change(
        self,
        call: &Call,
        before: &Self::Record,
    ) -> impl Future<Output = Result<Done<Value>, Problem>> + Send;

    /// Without its secret.
    fn row(record: &Self::Record) -> Value;
}

/// The members that every body has.
pub(super) struct Common<'b> {
    pub(super) id: &'b mut Option<Uuid>,
    pub(super) name: &'b mut Option<String>,
    pub(super) consumer: &'b mut Set<ConsumerNamed>,
}

type Answer = Result<Response, Problem>;

pub(super) fn desk<K: Kind>() -> Desk<Admin> {
    let (one, of) = (K::ONE, K::OF_CONSUMER);
    let mut desk = Desk::new();
    for (path, suffix, all, each) in [
        (
            format!("/{}", K::ALL),
            "",
            get(list::<K>).post(create::<K>),
            get(show::<K>).put(put::<K>).patch(patch::<K>).delete(delete::<K>),
        ),
        (
            format!("/consumers/{{consumer}}/{of}"),
            "_of",
            get(list_of::<K>).post(create_of::<K>),
            get(show_of::<K>).put(put_of::<K>).patch(patch_of::<K>).delete(delete_of::<K>),
        ),
    ] {
        let named = Described::<K>::new(format!("{path}/{{{one}}}"), suffix).one();
        desk = desk
            .route(Right::Everything, described(&Described::<K>::new(path, suffix).all(), all))
            .route(Right::Everything, described(&named, each));
    }
    let owner = Described::<K>::new(format!("/{}/{{{one}}}/consumer", K::ALL), "").owner();
    desk.route(Right::Everything, described(&owner, get(show_owner::<K>)))
}

async fn list<K: Kind>(call: Call, asked: Paging) -> Answer {
    let page = Page::of(&asked?.0)?;
    let (found, last) =
        page.read(|after, limit| call.registrar.credentials::<K::Record>(after, limit)).await?;
    Ok(page.answer(&format!("/{}", K::ALL), found.iter().map(K::row).collect(), last))
}

async fn list_of<K: Kind>(call: Call, Path(consumer): Path<String>, asked: Paging) -> Answer {
    let page = Page::of(&asked?.0)?;
    let owner = call.registrar.owner(&consumer).await?.id();
    let read = |after, limit| call.registrar.credentials_of::<K::Record>(&owner, after, limit);
    let (found, last) = page.read(read).await?;
    let path = format!("/consumers/{}/{}", segment(&consumer), K::OF_CONSUMER);
    Ok(page.answer(&path, found.iter().map(K::row).collect(), last))
}

async fn create<K: Kind>(call: Call, Body(mut body): Body<K>) -> Answer {
    let owner = owner(&call.registrar, body.common().consumer.take()).await?.id();
    made(&call, StatusCode::CREATED, owner, body).await
}

async fn create_of<K: Kind>(call: Call, Path(consumer): Path<String>, Body(mut body): Body<K>) -> Answer {
    let owner = call.registrar.owner(&consumer).await?.id();
    stays(&call.registrar, body.common().consumer.take(), owner).await?;
    made(&call, StatusCode::CREATED, owner, body).await
}

async fn made<K: Kind>(call: &Call, status: StatusCode, owner: Uuid, body: K) -> Answer {
    let mut done = body.create(call, owner).await?;
    let row = done.value.take();
    Ok(written(status, &done, Some(row)))
}

async fn show<K: Kind>(call: Call, Path(named): Path<String>) -> Answer {
    let seen = call.registrar.named_credential::<K::Record>(&named).await?;
    Ok(shown(&seen, K::row(&seen)))
}

async fn show_of<K: Kind>(call: Call, Path((consumer, named)): Path<(String, String)>) -> Answer {
    let seen = of_consumer::<K>(&call, &consumer, &named).await?;
    Ok(shown(&seen, K::row(&seen)))
}

/// The credential, if it is this consumer's.
async fn of_consumer<K: Kind>(call: &Call, consumer: &str, named: &str) -> Result<Seen<K::Record>, Problem> {
    let owner = call.registrar.owner(consumer).await?.id();
    let seen = call.registrar.named_credential::<K::Record>(named).await?;
    if seen.consumer() == owner { Ok(seen) } else { Err(Problem::NotFound) }
}

async fn patch<K: Kind>(call: Call, Path(named): Path<String>, Body(body): Body<K>) -> Answer {
    let seen = call.registrar.named_credential(&named).await?;
    patched(&call, &seen.value, body).await
}

async fn patch_of<K: Kind>(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(body): Body<K>,
) -> Answer {
    let seen = of_consumer::<K>(&call, &consumer, &named).await?;
    patched(&call, &seen.value, body).await
}

async fn patched<K: Kind>(call: &Call, record: &K::Record, mut body: K) -> Answer {
    let Common { id, consumer, .. } = body.common();
    let is_another = id.is_some_and(|id| id != Row::id(record));
    let consumer = consumer.take();
    stays(&call.registrar, consumer, record.consumer()).await?;
    if is_another {
        return Err(Refusal::Invalid { field: "id", why: "cannot be changed".into() }.into());
    }
    changed(call, record, body).await
}

async fn changed<K: Kind>(call: &Call, record: &K::Record, body: K) -> Answer {
    let mut done = body.change(call, record).await?;
    let row = done.value.take();
    Ok(written(StatusCode::OK, &done, Some(row)))
}

async fn put<K: Kind>(call: Call, Path(named): Path<String>, Body(mut body): Body<K>) -> Answer {
    let owner = owner(&call.registrar, body.common().consumer.take()).await?.id();
    set(&call, owner, named, body).await
}

async fn put_of<K: Kind>(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(mut body): Body<K>,
) -> Answer {
    let owner = call.registrar.owner(&consumer).await?.id();
    stays(&call.registrar, body.common().consumer.take(), owner).await?;
    set(&call, owner, named, body).await
}

/// Makes the credential of this id or name, or puts it in the place of the one that is there, if that is
/// the same consumer's.
async fn set<K: Kind>(call: &Call, owner: Uuid, named: String, mut body: K) -> Answer {
    let id = id_of(&named);
    let chosen = *body.common().id;
    if chosen.is_some_and(|chosen| id.is_some_and(|id| id != chosen)) {
        return Err(Refusal::Invalid { field: "id", why: "is not the one of the path".into() }.into());
    }
    let found = call.registrar.named_credential::<K::Record>(&named).await;
    match id {
        Some(id) => *body.common().id = Some(id),
        None => *body.common().name = Some(named),
    }
    match found {
        Ok(seen) if seen.consumer() != owner => Err(Problem::AnothersCredential),
        Ok(seen) => changed(call, &seen.value, body.whole(&seen)?).await,
        Err(Refusal::NotFound { .. }) => made(call, StatusCode::OK, owner, body).await,
        Err(refusal) => Err(refusal.into()),
    }
}

async fn delete<K: Kind>(call: Call, Path(named): Path<String>) -> Answer {
    let seen = call.registrar.named_credential::<K::Record>(&named).await?;
    ended(&call, seen).await
}

async fn delete_of<K: Kind>(call: Call, Path((consumer, named)): Path<(String, String)>) -> Answer {
    let seen = of_consumer::<K>(&call, &consumer, &named).await?;
    ended(&call, seen).await
}

async fn ended<C: NamedCredential>(call: &Call, seen: Seen<C>) -> Answer {
    let done = call.registrar.end_credential(&call.by, seen.value).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

async fn show_owner<K: Kind>(call: Call, Path(named): Path<String>) -> Answer {
    let owner = call.registrar.named_credential::<K::Record>(&named).await?.consumer();
    consumers::show(&call, &owner.to_string()).await
}

/// What a path says of itself in `/openapi.json`.
struct Described<K> {
    path: String,
    /// Of the names of its operations.
    suffix: &'static str,
    operations: Vec<(HttpMethod, Value)>,
    kind: std::marker::PhantomData<K>,
}

impl<K: Kind> Described<K> {
    fn new(path: String, suffix: &'static str) -> Self {
        Self { path, suffix, operations: Vec::new(), kind: std::marker::PhantomData }
    }

    fn all(self) -> Self {
        let several = format!("{}s", K::ONE);
        let mut list = self.operation("list", &several, "Page by page.", (200, page(row())));
        list["parameters"] = paging();
        let make = self.with_body(self.operation("create", K::ONE, "Makes one.", (201, row())));
        Self { operations: vec![(HttpMethod::Get, list), (HttpMethod::Post, make)], ..self }
    }

    fn one(self) -> Self {
        let one = |verb, said, answer| self.operation(verb, K::ONE, said, answer);
        let put = "Makes one, or puts it in the place of the one that is there.";
        let operations = vec![
            (HttpMethod::Get, one("show", "By id or name.", (200, row()))),
            (HttpMethod::Put, self.with_body(one("put", put, (200, row())))),
            (HttpMethod::Patch, self.with_body(one("patch", "Changes what is sent.", (200, row())))),
            (HttpMethod::Delete, one("delete", "Ends it for good.", (204, Value::Null))),
        ];
        Self { operations, ..self }
    }

    fn owner(self) -> Self {
        let about = format!("owner_of_{}s", K::ONE);
        let show = self.operation("show", &about, "The consumer whose it is.", (200, row()));
        Self { operations: vec![(HttpMethod::Get, show)], ..self }
    }

    fn operation(&self, verb: &str, about: &str, said: &str, answer: (u16, Value)) -> Value {
        let mut operation = plain(said, &[answer]);
        operation["operationId"] = json!(format!("{verb}_{about}{}", self.suffix));
        operation["tags"] = json!([K::TAG]);
        operation
    }

    fn with_body(&self, mut operation: Value) -> Value {
        operation["requestBody"] = body(schema_of::<K>());
        operation
    }
}

impl<K: Kind> Describe for Described<K> {
    fn path(&self) -> &str {
        &self.path
    }

    fn operations(&self) -> Vec<(HttpMethod, Value)> {
        self.operations.clone()
    }
}

/// Of an answer: the members are those of the body, and what the server adds.
fn row() -> Value {
    json!({ "type": "object" })
}
