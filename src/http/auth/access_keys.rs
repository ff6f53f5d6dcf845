//! `/auth/access-keys`: whoever is logged in makes, lists and ends access keys of their own.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Auth;
use super::door::{Bearer, Visitor};
use super::field::moment;
use super::outcome::{declined, outward, unproven};
use crate::config::Moment;
use crate::domain::consumer::Consumer;
use crate::domain::rights::Caller;
use crate::domain::secret::Secret;
use crate::domain::token::AccessKey;
use crate::http::body::Unrepeated;
use crate::http::problem::Problem;
use crate::issue::{By, Login, LoginName, NewAccessKey};

/// Above every limit of a consumer's.
const ALL: usize = 10_000;

pub(super) fn routes() -> Router<Auth> {
    Router::new()
        .route("/auth/access-keys", get(list).post(make))
        .route("/auth/access-keys/{id}", delete(end))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    /// By id or name.
    project_id: String,
    /// What its maker has in the project, or less. Absent: all of it.
    roles: Option<Vec<String>>,
    /// RFC 3339. Absent: never.
    expires_at: Option<String>,
}

/// Makes one, of the roles that its maker has; the secret is shown this once. Only a login's token will
/// do: what an access key bought makes no other.
async fn make(
    State(auth): State<Auth>,
    visitor: Visitor,
    Bearer(token): Bearer,
    Unrepeated(wanted): Unrepeated<Wanted>,
) -> Result<Response, Problem> {
    let user = auth.registrar.user(&token, visitor.address).await.map_err(unproven)?;
    let expires_at = wanted.expires_at.map(|text| moment("expires_at", &text)).transpose()?;
    let (name, project, roles) = (wanted.name, wanted.project_id, wanted.roles);
    let new = NewAccessKey { name, project, roles, expires_at };
    let made = auth.registrar.create_access_key(&by(&user, &visitor), &user.id.to_string(), new).await;
    let made = made.map_err(outward)?;
    let key = &made.value.key;
    let answer = json!({
        "id": key.id.simple().to_string(),
        "secret": made.value.secret.expose(),
        "name": key.name,
        "project_id": key.project.simple().to_string(),
    });
    let status = if made.applied { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    Ok((status, Json(answer)).into_response())
}

/// One's own, without their secrets.
async fn list(
    State(auth): State<Auth>,
    visitor: Visitor,
    Bearer(token): Bearer,
) -> Result<Json<Value>, Problem> {
    let user = auth.registrar.user(&token, visitor.address).await.map_err(unproven)?;
    let keys = auth.registrar.access_keys_of(&user.id, None, ALL).await.map_err(outward)?;
    Ok(Json(json!({ "data": keys.iter().map(row).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    password: String,
}

/// Ends one of one's own and every token that it bought. A token alone is not enough: whoever took it
/// could lock its owner's programs out.
async fn end(
    State(auth): State<Auth>,
    visitor: Visitor,
    Path(id): Path<String>,
    Bearer(token): Bearer,
    Unrepeated(again): Unrepeated<Again>,
) -> Result<StatusCode, Problem> {
    let (user, password) =
        auth.registrar.user_and_password(&token, visitor.address).await.map_err(unproven)?;
    let id = Uuid::try_parse(&id).map_err(|_| Problem::NotFound)?;
    let key = auth.registrar.access_key(&id).await.map_err(outward)?;
    if key.consumer != user.id {
        return Err(Problem::NotFound);
    }
    let login = Login {
        name: LoginName::Again(user.id, password),
        password: Secret::from(again.password),
        from: visitor.address,
        request_id: &visitor.request_id,
    };
    auth.registrar.log_in(login, &auth.attempts).await.map_err(declined)?;
    let done = auth.registrar.end_access_key(&by(&user, &visitor), key).await.map_err(outward)?;
    Ok(if done.applied { StatusCode::NO_CONTENT } else { StatusCode::ACCEPTED })
}

fn row(key: &AccessKey) -> Value {
    json!({
        "id": key.id.simple().to_string(),
        "name": key.name,
        "project_id": key.project.simple().to_string(),
        "roles": key.roles,
        "expires_at": key.expires_at.map(|until| Moment(until).to_string()),
        "created_at": Moment(key.created_at).to_string(),
        "enabled": key.enabled,
    })
}

fn by(user: &Consumer, visitor: &Visitor) -> By {
    let caller = Caller::Consumer { id: user.id, groups: user.given.groups.clone() };
    By::new(caller, Some(&visitor.request_id))
}
