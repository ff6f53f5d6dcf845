//! `/identity/v3`: KakaoCloud's document, which is OpenStack's Identity API v3 as far as access keys go.
//!
//! An access key is an `application_credential` there. Nothing but a secret buys a token: none of the
//! methods that would make one of another, so no token outlives or outgrows what it was bought with.

mod shape;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) use self::shape::{as_error, is_path};
use super::Auth;
use super::door::Visitor;
use super::outcome::outward;
use crate::config::Moment;
use crate::domain::consumer::Consumer;
use crate::domain::rights::Caller;
use crate::domain::role::{Project, ProjectId};
use crate::domain::token::{AccessKey, Kind, Scope, Token};
use crate::http::body::Unrepeated;
use crate::http::problem::Problem;
use crate::issue::{Buyer, By, NamedAccessKey, Shown, TakenBack};

pub(super) fn routes() -> Router<Auth> {
    Router::new()
        .route("/identity/v3", get(version))
        .route("/identity/v3/", get(version))
        .route("/identity/v3/auth/tokens", get(validate).post(issue).delete(revoke))
        .route("/identity/v3/users/{id}/projects", get(projects))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    auth: Authenticate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authenticate {
    identity: Identity,
    scope: Option<AskedScope>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    methods: Vec<String>,
    application_credential: Option<Credential>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    id: Option<String>,
    name: Option<String>,
    secret: String,
    user: Option<User>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedScope {
    project: AskedProject,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedProject {
    id: String,
}

/// What clients look for first.
async fn version(State(auth): State<Auth>) -> Result<Response, Problem> {
    let base = base(&auth)?;
    let version = json!({ "version": {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{base}/") }],
        "media-types": [{ "base": "application/json", "type": "application/vnd.openstack.identity-v3+json" }],
    }});
    Ok(axum::Json(version).into_response())
}

/// Buys a token with an access key.
async fn issue(
    State(auth): State<Auth>,
    visitor: Visitor,
    Unrepeated(asked): Unrepeated<Asked>,
) -> Result<Response, Problem> {
    let Authenticate { identity, scope } = asked.auth;
    let credential = match (&identity.methods[..], identity.application_credential) {
        ([only], Some(credential)) if only == "application_credential" => credential,
        _ => {
            let why = "expected `[\"application_credential\"]` and that beside it".to_owned();
            return Err(Problem::Field { field: "auth.identity.methods".to_owned(), why });
        }
    };
    let (named, secret) = credential.named()?;
    // What is bought has to be described after that.
    base(&auth)?;
    let shown = auth.registrar.shown_access_key(&named, &secret, (&auth.attempts, visitor.address));
    let Buyer { key, consumer } = shown.map_err(|_| Problem::Blind)?.ok_or(Problem::Unauthorized)?;
    // A key is of one project: whoever asks for another gets none.
    if scope.is_some_and(|scope| Uuid::try_parse(&scope.project.id).ok() != Some(key.project)) {
        return Err(Problem::Unauthorized);
    }
    let by = by(&consumer, &visitor);
    let done = auth.registrar.buy_token(&by, &key, &consumer).await.map_err(outward)?;
    let text = HeaderValue::try_from(done.value.text.expose()).map_err(|_| Problem::Internal)?;
    let body = described(&auth, &done.value.token, &key, &consumer)?;
    Ok(with_token(if done.applied { StatusCode::CREATED } else { StatusCode::ACCEPTED }, text, body))
}

impl Credential {
    /// By its id, or by its name and whose it is: both together would let one contradict the other.
    fn named(self) -> Result<(NamedAccessKey, String), Problem> {
        let field = |field: &str, why: &str| Problem::Field {
            field: format!("auth.identity.application_credential{field}"),
            why: why.to_owned(),
        };
        // What is no id belongs to nobody, which is all that its sender is told.
        let id = |text: &str| Uuid::try_parse(text).map_err(|_| Problem::Unauthorized);
        let named = match (self.id, self.name, self.user) {
            (Some(named), None, None) => NamedAccessKey::Id(id(&named)?),
            (None, Some(name), Some(user)) => NamedAccessKey::Name(id(&user.id)?, name),
            (Some(_), _, _) => return Err(field("", "with an `id`, neither `name` nor `user` is expected")),
            (None, Some(_), None) => return Err(field(".user", "required field missing")),
            (None, None, _) => return Err(field("", "expected `id`, or `name` and `user.id`")),
        };
        Ok((named, self.secret))
    }
}

/// Says what a token is, to whoever has one of the same user.
async fn validate(
    State(auth): State<Auth>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (subject, text) = subject(&auth, &visitor, &headers)?;
    let body = described(&auth, &subject.token, &subject.access_key, &subject.consumer)?;
    Ok(with_token(StatusCode::OK, text, body))
}

/// Ends a token everywhere, whether or not it holds at this moment.
async fn revoke(
    State(auth): State<Auth>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let asker = asker(&auth, &visitor, &headers)?;
    let text = one(&headers, "x-subject-token").ok_or(Problem::NotFound)?;
    let own = |token: &Token| token.consumer == asker.consumer.id && token.scope.kind() == Kind::Subject;
    let taken_back = auth.registrar.take_back(&by(&asker.consumer, &visitor), text, own).await;
    match taken_back.map_err(outward)? {
        TakenBack::Ended => Ok(StatusCode::NO_CONTENT),
        TakenBack::Ending => Ok(StatusCode::ACCEPTED),
        TakenBack::NoSuch => Err(Problem::NotFound),
    }
}

/// The projects that a user has a role in.
async fn projects(
    State(auth): State<Auth>,
    visitor: Visitor,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asker = asker(&auth, &visitor, &headers)?;
    if Uuid::try_parse(&id).ok() != Some(asker.consumer.id) {
        return Err(Problem::Forbidden);
    }
    let base = base(&auth)?;
    let catalog = auth.catalog.load();
    let mut ids: Vec<ProjectId> = asker.consumer.given.roles.iter().map(|grant| grant.project).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = ids.into_iter().filter_map(|id| catalog.project(id));
    let projects: Vec<Value> = found.map(|project| row(project, &base)).collect();
    let this = format!("{base}/users/{}/projects", asker.consumer.id.simple());
    let links = json!({ "next": null, "self": this, "previous": null });
    Ok(axum::Json(json!({ "projects": projects, "links": links })).into_response())
}

fn row(project: &Project, base: &str) -> Value {
    let id = project.id.simple().to_string();
    let domain = domain(project);
    json!({
        "id": id,
        "name": project.name,
        "domain_id": domain,
        "description": project.description,
        "enabled": true,
        "parent_id": domain,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": { "self": format!("{base}/projects/{id}") },
    })
}

/// The one that projects without one are in; clients expect text.
fn domain(project: &Project) -> String {
    project.domain_id.map_or_else(|| "default".to_owned(), |id| id.simple().to_string())
}

/// By the token in `X-Auth-Token`.
fn asker(auth: &Auth, visitor: &Visitor, headers: &HeaderMap) -> Result<Shown, Problem> {
    let text = one(headers, "x-auth-token").ok_or(Problem::Unauthenticated)?;
    let shown = auth.registrar.shown_token(text).map_err(|_| Problem::Blind)?;
    let may_be = |shown: &Shown| shown.consumer.given.networks.admits(Some(visitor.address)).is_ok();
    shown.filter(may_be).ok_or(Problem::Unauthorized)
}

/// The token in `X-Subject-Token`, which must be of the user who asks: of another's nobody learns even
/// that it is one.
fn subject(auth: &Auth, visitor: &Visitor, headers: &HeaderMap) -> Result<(Shown, HeaderValue), Problem> {
    let asker = asker(auth, visitor, headers)?;
    let text = one(headers, "x-subject-token").ok_or(Problem::NotFound)?;
    let shown = auth.registrar.shown_token(text).map_err(|_| Problem::Blind)?;
    let subject = shown.filter(|shown| shown.consumer.id == asker.consumer.id).ok_or(Problem::NotFound)?;
    let text = HeaderValue::from_str(text).map_err(|_| Problem::NotFound)?;
    Ok((subject, text))
}

/// `None` where there is none, or more than one.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut lines = headers.get_all(name).into_iter();
    let only = lines.next()?.to_str().ok();
    only.filter(|_| lines.next().is_none())
}

fn with_token(status: StatusCode, text: HeaderValue, body: Value) -> Response {
    let vary = HeaderValue::from_static("X-Auth-Token");
    (status, [("x-subject-token", text), ("vary", vary)], axum::Json(body)).into_response()
}

/// A token as the Identity API has it.
fn described(auth: &Auth, token: &Token, key: &AccessKey, consumer: &Consumer) -> Result<Value, Problem> {
    let base = base(auth)?;
    let catalog = auth.catalog.load();
    let project = catalog.project(key.project).ok_or(Problem::Unauthorized)?;
    let Scope::Subject { .. } = &token.scope else { return Err(Problem::NotFound) };
    let domain = domain(project);
    let domain = json!({ "id": domain, "name": domain });
    let roles = token.roles(consumer, catalog.roles()).map(|role| json!({ "id": role, "name": role }));
    let endpoint = |interface: &str| {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{base}#{interface}").as_bytes());
        json!({ "id": id.simple().to_string(), "interface": interface, "region": "default", "region_id": "default", "url": base })
    };
    let endpoints = ["public", "internal", "admin"].map(endpoint);
    let service = Uuid::new_v5(&Uuid::NAMESPACE_URL, base.as_bytes()).simple().to_string();
    Ok(json!({ "token": {
        "methods": ["application_credential"],
        "user": {
            "id": consumer.id.simple().to_string(),
            "name": consumer.username,
            "domain": domain,
            "password_expires_at": null,
        },
        "audit_ids": [token.id.simple().to_string()],
        "issued_at": Moment(token.created_at).to_string(),
        "expires_at": Moment(token.expires_at).to_string(),
        "project": { "id": project.id.simple().to_string(), "name": project.name, "domain": domain },
        "is_domain": false,
        "roles": roles.collect::<Vec<_>>(),
        "application_credential": { "id": key.id.simple().to_string(), "name": key.name, "restricted": true },
        "catalog": [{
            "id": service,
            "type": "identity",
            "name": "doorward",
            "endpoints": endpoints,
        }],
    }}))
}

/// Where these paths are, for whoever follows links. Nothing is there without.
fn base(auth: &Auth) -> Result<String, Problem> {
    Ok(format!("{}/identity/v3", auth.registrar.public_url().map_err(outward)?))
}

fn by(consumer: &Consumer, visitor: &Visitor) -> By {
    let caller = Caller::Consumer { id: consumer.id, groups: Vec::new() };
    By::new(caller, Some(&visitor.request_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_without_a_domain_is_in_one_all_the_same() {
        let (id, description) = (ProjectId::from_u128(7), String::new());
        let row = row(&Project { id, name: "p".into(), domain_id: None, description }, "https://iam.example");
        assert_eq!((&row["domain_id"], &row["parent_id"]), (&json!("default"), &json!("default")));
    }
}
