//! OAuth 2: client credentials (RFC 6749 section 4.4), revocation (RFC 7009), introspection (RFC 7662) and
//! what there is of it (RFC 8414).
//!
//! A client is an access key, and what it gets is a subject token, as at `/identity`: opaque, so that it ends
//! at once when it is revoked, with its key, and with the roles of its owner. A signed token could do none of that.

mod client;
mod refusal;

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::PRAGMA;
use serde_json::{Value, json};

use self::client::Asked;
use self::refusal::Refused;
pub(super) use self::refusal::{as_error, is_path};
use super::Auth;
use super::door::Visitor;
use crate::domain::rights::Caller;
use crate::domain::role::Roles;
use crate::domain::token::{AccessKey, Scope, Token};
use crate::http::problem::Problem;
use crate::issue::{Buyer, By, NamedAccessKey, Shown, TakenBack};

const TOKEN: &str = "/oauth2/token";
const REVOKE: &str = "/oauth2/revoke";
const INTROSPECT: &str = "/oauth2/introspect";
const METADATA: &str = "/.well-known/oauth-authorization-server";

pub(super) fn routes() -> Router<Auth> {
    Router::new()
        .route(TOKEN, post(token))
        .route(REVOKE, post(revoke))
        .route(INTROSPECT, post(introspect))
        .route(METADATA, get(metadata))
        // Where the path of `public_url` comes after it (RFC 8414 section 3.1).
        .route(&format!("{METADATA}/{{*path}}"), get(metadata))
}

/// The client that asks. One answer for whatever is wrong with it.
fn client(auth: &Auth, visitor: &Visitor, asked: &Asked) -> Result<Buyer, Refused> {
    let named = NamedAccessKey::Id(asked.client);
    let from = (&*auth.attempts, visitor.address);
    auth.registrar.shown_access_key(&named, asked.secret.expose(), from)?.ok_or(Refused::Client)
}

fn by(client: &Buyer, visitor: &Visitor) -> By {
    let caller = Caller::Consumer { id: client.consumer.id, groups: Vec::new() };
    By::new(caller, Some(&visitor.request_id))
}

/// A key as it would be if it had only the roles that were asked for, of those that its roles come to.
fn narrowed(key: &AccessKey, scope: Option<&str>, roles: &Roles) -> Result<AccessKey, Refused> {
    let key = AccessKey::clone(key);
    let Some(scope) = scope else { return Ok(key) };
    let asked: BTreeSet<&str> = scope.split(' ').filter(|role| !role.is_empty()).collect();
    if asked.is_empty() || asked.iter().any(|role| !roles.imply(&key.roles, role)) {
        return Err(Refused::Scope);
    }
    Ok(AccessKey { roles: asked.into_iter().map(str::to_owned).collect(), ..key })
}

async fn token(State(auth): State<Auth>, visitor: Visitor, asked: Asked) -> Result<Response, Refused> {
    let client = client(&auth, &visitor, &asked)?;
    match asked.field("grant_type") {
        Some("client_credentials") => {}
        Some(_) => return Err(Refused::GrantType),
        None => return Err(Refused::Request("grant_type is missing")),
    }
    let key = narrowed(&client.key, asked.field("scope"), auth.catalog.load().roles())?;
    let done = auth.registrar.buy_token(&by(&client, &visitor), &key, &client.consumer).await?;
    // 200 is all that there is, and says that it opens. This one is shown to nobody, and ends by itself.
    if !done.applied {
        return Err(Refused::Unavailable);
    }
    let (made, catalog) = (&done.value, auth.catalog.load());
    let roles: Vec<&str> = made.token.roles(&client.consumer, catalog.roles()).collect();
    let body = json!({
        "access_token": made.text.expose(),
        "token_type": "Bearer",
        "expires_in": made.token.expires_at.unix() - made.token.created_at.unix(),
        "scope": roles.join(" "),
    });
    // RFC 6749 section 5.1.
    Ok(([(PRAGMA, "no-cache")], Json(body)).into_response())
}

/// Whether there was such a token is told to nobody.
async fn revoke(State(auth): State<Auth>, visitor: Visitor, asked: Asked) -> Result<StatusCode, Refused> {
    let client = client(&auth, &visitor, &asked)?;
    let text = asked.field("token").ok_or(Refused::Request("token is missing"))?;
    // RFC 7009 section 2.2.1. What cannot be taken back must not seem to be.
    if text.bytes().filter(|byte| *byte == b'.').count() == 2 {
        return Err(Refused::TokenType);
    }
    let bought = |token: &Token| match &token.scope {
        Scope::Subject { access_key, .. } => *access_key == client.key.id,
        Scope::Dynamic { .. } => false,
    };
    match auth.registrar.take_back(&by(&client, &visitor), text, bought).await? {
        TakenBack::Ended | TakenBack::NoSuch => Ok(StatusCode::OK),
        TakenBack::Ending => Err(Refused::Unavailable),
    }
}

/// Its owner, and whoever serves the project that it is good for: a resource asks about the tokens that are
/// shown to it (RFC 7662 section 4). Nobody else learns even that it is one.
fn may_look_at(client: &Buyer, Shown { access_key, consumer, .. }: &Shown) -> bool {
    client.consumer.id == consumer.id || client.key.project == access_key.project
}

async fn introspect(
    State(auth): State<Auth>,
    visitor: Visitor,
    asked: Asked,
) -> Result<Json<Value>, Refused> {
    let client = client(&auth, &visitor, &asked)?;
    let text = asked.field("token").ok_or(Refused::Request("token is missing"))?;
    let shown = auth.registrar.shown_token(text)?;
    let Some(Shown { token, access_key, consumer }) = shown.filter(|shown| may_look_at(&client, shown))
    else {
        return Ok(Json(json!({ "active": false })));
    };
    let catalog = auth.catalog.load();
    // What its bearer acts with now.
    let roles: Vec<&str> = token.roles(&consumer, catalog.roles()).collect();
    let mut body = json!({
        "active": true,
        "token_type": "Bearer",
        "sub": token.consumer,
        "jti": token.id,
        "iat": token.created_at.unix(),
        "exp": token.expires_at.unix(),
        "scope": roles.join(" "),
        "client_id": access_key.id,
    });
    if let Some(username) = &consumer.username {
        body["username"] = json!(username);
    }
    if let Ok(issuer) = auth.registrar.public_url() {
        body["iss"] = json!(issuer);
    }
    Ok(Json(body))
}

async fn metadata(State(auth): State<Auth>, path: Option<Path<String>>) -> Result<Json<Value>, Problem> {
    // Byte for byte what stands before each address (RFC 8414 section 3.3).
    let issuer = auth.registrar.public_url().map_err(|_| Problem::NotFound)?;
    let own = issuer.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    if path.is_some_and(|Path(path)| Some(&path[..]) != own) {
        return Err(Problem::NotFound);
    }
    let at = |path: &str| format!("{issuer}{path}");
    let methods = ["client_secret_basic", "client_secret_post"];
    Ok(Json(json!({
        "issuer": issuer,
        "token_endpoint": at(TOKEN),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": at(REVOKE),
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint": at(INTROSPECT),
        "introspection_endpoint_auth_methods_supported": methods,
        "jwks_uri": at("/.well-known/jwks.json"),
        "grant_types_supported": ["client_credentials"],
        // There is no authorization endpoint.
        "response_types_supported": [],
    })))
}
