//! `/api/auth`: Kala's login, and the keys that whoever is logged in makes.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::Auth;
use super::door::{Bearer, Visitor};
use super::field::{invalid, moment};
use super::outcome::{declined, outward, unproven};
use crate::domain::catalog::Catalog;
use crate::domain::consumer::Consumer;
use crate::domain::jwt::{ADMIN_AUDIENCE, EVERY_SERVICE};
use crate::domain::rights::Caller;
use crate::domain::secret::Secret;
use crate::http::body::Unrepeated;
use crate::http::problem::Problem;
use crate::issue::{By, Login, LoginName, NewKey};

pub(super) fn routes() -> Router<Auth> {
    Router::new()
        .route("/api/auth/access-token", post(access_token))
        .route("/api/auth/api-key", post(api_key))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: String,
    password: String,
    /// Services, by name or id, or `doorward-admin`. Absent: every service.
    #[serde(default)]
    audience: Option<Vec<String>>,
}

/// A name and a password for a JWT.
async fn access_token(
    State(auth): State<Auth>,
    visitor: Visitor,
    Unrepeated(credentials): Unrepeated<Credentials>,
) -> Result<Response, Problem> {
    let login = Login {
        name: LoginName::Username(&credentials.username),
        password: Secret::from(credentials.password),
        from: visitor.address,
        request_id: &visitor.request_id,
    };
    let login = auth.registrar.log_in(login, &auth.attempts).await.map_err(declined)?;
    // Whoever is nobody learns no service's name.
    let audiences = audiences(credentials.audience, &auth.catalog.load())?;
    let minted = auth.registrar.mint_at_login(&login, &audiences, auth.jwt_lives).await.map_err(outward)?;
    Ok(Json(json!({ "data": { "access_token": minted.token } })).into_response())
}

fn audiences(asked: Option<Vec<String>>, catalog: &Catalog) -> Result<Vec<String>, Problem> {
    let Some(asked) = asked else { return Ok(vec![EVERY_SERVICE.to_owned()]) };
    if asked.is_empty() {
        return Err(invalid("audience", "is empty; leave it out for every service"));
    }
    let one = |named: String| match &named[..] {
        EVERY_SERVICE | ADMIN_AUDIENCE => Ok(named),
        _ => match catalog.opens(&named) {
            Some(opens) if opens.infrastructure.is_none() => Ok(opens.service.to_string()),
            _ => Err(invalid("audience", "names no service")),
        },
    };
    // Each once, whatever it goes by.
    let audiences: BTreeSet<String> = asked.into_iter().map(one).collect::<Result<_, _>>()?;
    Ok(audiences.into_iter().collect())
}

/// In Kala's spelling.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeyBody {
    /// RFC 3339. Absent: now.
    valid_from: Option<String>,
    valid_to: String,
    /// By id or name. Absent: none.
    permissions: Option<Vec<String>>,
    /// By id or name. Absent: all.
    services: Option<Vec<String>>,
}

/// A key of whoever is logged in, shown this once. It has no right that its maker lacks.
async fn api_key(
    State(auth): State<Auth>,
    visitor: Visitor,
    Bearer(token): Bearer,
    Unrepeated(body): Unrepeated<KeyBody>,
) -> Result<Response, Problem> {
    let maker = auth.registrar.user(&token, visitor.address).await.map_err(unproven)?;
    let now = auth.clock.now();
    let from = body.valid_from.map(|text| moment("validFrom", &text)).transpose()?;
    let until = moment("validTo", &body.valid_to)?;
    if until <= from.unwrap_or(now).max(now) {
        return Err(invalid("validTo", "must be after `validFrom`, and in the future"));
    }
    let permissions = permissions(body.permissions.unwrap_or_default(), &maker, &auth.catalog.load())?;
    let caller = Caller::Consumer { id: maker.id, groups: maker.given.groups.clone() };
    let new = NewKey {
        not_before: Some(from.unwrap_or(now)),
        expires_at: Some(until),
        permissions: Some(permissions.iter().map(Uuid::to_string).collect()),
        services: body.services,
        ..NewKey::default()
    };
    let by = By::new(caller, Some(&visitor.request_id));
    let made = auth.registrar.create_own_key(&by, maker.id, new).await.map_err(outward)?;
    let answer = json!({ "data": made.value.text.expose() });
    let status = if made.applied { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    Ok((status, Json(answer)).into_response())
}

/// # Errors
///
/// 400 for what nobody has declared, 403 for what the maker has not.
fn permissions(asked: Vec<String>, maker: &Consumer, catalog: &Catalog) -> Result<Vec<Uuid>, Problem> {
    let declared = |named: &str| {
        let id = Uuid::try_parse(named).ok();
        catalog.permissions().iter().find(|it| it.name == named || Some(it.id) == id).map(|it| it.id)
    };
    asked
        .iter()
        .map(|named| {
            let id = declared(named).ok_or_else(|| invalid("permissions", "names no permission"))?;
            maker.given.permissions.contains(&id).then_some(id).ok_or(Problem::Forbidden)
        })
        .collect()
}
