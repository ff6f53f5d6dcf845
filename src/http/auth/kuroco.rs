//! `/auth/{service}`: Kuroco's logins. What a login gives is what the service takes.

use std::borrow::Cow;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Auth;
use super::door::{Visitor, bearer, described};
use super::field::{invalid, moment};
use super::outcome::{declined, outward};
use super::service::{Service, none, takes_dynamic};
use super::session_cookie::{of_a_page_of_ours, set_cookie, shown};
use crate::config::Moment;
use crate::domain::authentication::Method;
use crate::domain::credential::Presented;
use crate::domain::request::Request;
use crate::domain::rights::Caller;
use crate::domain::secret::Secret;
use crate::domain::step::Unwatched;
use crate::domain::time::Timestamp;
use crate::http::body::Unrepeated;
use crate::http::problem::Problem;
use crate::issue::{
    By, Done, Ends, Leaving, LoggedIn, Login, LoginName, NewKey, OpenedSession, Refusal, ShownGrant,
    Unknowing,
};
use crate::telemetry::{LoginBy, LoginOutcome};

pub(super) fn routes() -> Router<Auth> {
    Router::new()
        .route("/auth/{service}/login", post(log_in))
        .route("/auth/{service}/token", post(token))
        .route("/auth/{service}/logout", post(log_out))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// This or the next.
    username: Option<String>,
    email: Option<String>,
    password: String,
}

/// A name and a password for a grant, a session, or both.
async fn log_in(
    State(auth): State<Auth>,
    visitor: Visitor,
    Path(named): Path<String>,
    headers: HeaderMap,
    Unrepeated(credentials): Unrepeated<Credentials>,
) -> Result<Response, Problem> {
    let catalog = auth.catalog.load_full();
    let service = Service::named(&catalog, &named)?;
    let (tokens, cookie) = (service.takes_tokens(), service.cookie());
    if !tokens && cookie.is_none() {
        return Err(none("login at the service", &named));
    }
    service.admits(&auth, &visitor, LoginBy::Password)?;
    let request = described(&headers);
    if let Some(cookie) = cookie {
        of_a_page_of_ours(cookie, &request)?;
    }
    let login = logged_in(&auth, &visitor, credentials).await?;
    let by = by(&login, &visitor);
    let mut answer = json!({});
    if tokens {
        let grant = auth.registrar.make_grant(&by, &login, service.id).await.map_err(outward)?;
        answer = json!({ "grant_token": grant.text.expose(), "expires_in": grant.lives.as_secs() });
    }
    let Some(cookie) = cookie else { return Ok(Json(answer).into_response()) };
    // The session that the browser had is over: whoever may know of it has no part in the new one.
    let before = shown(cookie, &request);
    auth.registrar.log_out(leaving(&visitor, &before, Ends::Shown)).await.map_err(outward)?;
    let opened = auth.registrar.open_session(&by, &login).await.map_err(outward)?;
    let OpenedSession { session, text } = &opened.value;
    if !tokens {
        let lives = session.expires_at.unix().saturating_sub(session.created_at.unix());
        answer = json!({ "expires_in": lives });
    }
    let status = if opened.applied { StatusCode::OK } else { StatusCode::ACCEPTED };
    let set = set_cookie(cookie, Some(text.expose()))?;
    Ok((status, [(SET_COOKIE, set)], Json(answer)).into_response())
}

async fn logged_in(auth: &Auth, visitor: &Visitor, asked: Credentials) -> Result<LoggedIn, Problem> {
    let name = match (&asked.username, &asked.email) {
        (Some(username), None) => LoginName::Username(username),
        (None, Some(email)) => LoginName::Email(email),
        (None, None) => return Err(invalid("username", "is missing; give it, or `email`")),
        (Some(_), Some(_)) => return Err(invalid("email", "comes beside `username`; give one of the two")),
    };
    let login = Login {
        name,
        password: Secret::from(asked.password),
        from: visitor.address,
        request_id: &visitor.request_id,
    };
    auth.registrar.log_in(login, &auth.attempts).await.map_err(declined)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    grant_token: Option<String>,
    /// Of a static token: whose it is, by id or name.
    consumer: Option<String>,
    /// Of a static token, RFC 3339. Absent: never.
    expires_at: Option<String>,
}

/// A grant for a token; and for who shows an admin key, a static token.
async fn token(
    State(auth): State<Auth>,
    visitor: Visitor,
    Path(named): Path<String>,
    headers: HeaderMap,
    Unrepeated(wanted): Unrepeated<Wanted>,
) -> Result<Response, Problem> {
    let catalog = auth.catalog.load_full();
    let service = Service::named(&catalog, &named)?;
    if let Some(key) = bearer(&headers)? {
        return static_token(&auth, &visitor, &key, (&service, &named), wanted).await;
    }
    if wanted.consumer.is_some() || wanted.expires_at.is_some() {
        return Err(Problem::Unauthenticated);
    }
    let grant = wanted.grant_token.ok_or_else(|| invalid("grant_token", "required field missing"))?;
    if !service.takes_tokens() {
        return Err(none("token for the service", &named));
    }
    service.admits(&auth, &visitor, LoginBy::Grant)?;
    let request_id = &visitor.request_id;
    let shown = ShownGrant { text: &grant, service: service.id, from: visitor.address, request_id };
    let made = auth.registrar.take_grant(shown, &auth.attempts).await.map_err(outward)?;
    Ok(access_token(&made, &made.value.text, Some(made.value.token.expires_at)))
}

async fn static_token(
    auth: &Auth,
    visitor: &Visitor,
    key: &[u8],
    (service, named): (&Service<'_>, &str),
    wanted: Wanted,
) -> Result<Response, Problem> {
    // Before the key is looked at: elsewhere there is no door for one, and nothing to count.
    if !service.takes(|method| matches!(method, Method::StaticToken(_))) {
        return Err(none("static token for the service", named));
    }
    let count = |outcome| auth.attempts.count(LoginBy::Admin, outcome);
    let known = auth.registrar.known_admin_key(key).map_err(|Unknowing| {
        count(LoginOutcome::Unavailable);
        Problem::Blind
    })?;
    let Some(admin) = known else {
        auth.attempts.refused(LoginBy::Admin, "admin.refused", visitor.address);
        return Err(Problem::Unauthorized);
    };
    service.admits(auth, visitor, LoginBy::Admin)?;
    count(LoginOutcome::Granted);
    if wanted.grant_token.is_some() {
        return Err(invalid("grant_token", "comes beside an admin key; show one of the two"));
    }
    let consumer = wanted.consumer.ok_or_else(|| invalid("consumer", "required field missing"))?;
    let new = NewKey {
        expires_at: wanted.expires_at.map(|text| moment("expires_at", &text)).transpose()?,
        services: Some(vec![service.id.to_string()]),
        ..NewKey::default()
    };
    let by = By::new(Caller::AdminKey(admin), Some(&visitor.request_id));
    let made = auth.registrar.create_key(&by, &consumer, new).await.map_err(|refusal| match refusal {
        Refusal::NotFound { what: "consumer", name } => Problem::Refused(Refusal::NoConsumer { name }),
        other => outward(other),
    })?;
    Ok(access_token(&made, &made.value.text, made.value.record.expires_at))
}

/// The only time that its text is shown.
fn access_token<T>(made: &Done<T>, text: &Secret, expires_at: Option<Timestamp>) -> Response {
    let expires_at = expires_at.map(|at| Moment(at).to_string());
    let answer = json!({ "access_token": { "value": text.expose(), "expires_at": expires_at } });
    let status = if made.applied { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(answer)).into_response()
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    /// All that the consumer's logins have given, wherever.
    everywhere: bool,
}

/// Ends what is shown, on every instance. What opens nothing has ended already.
async fn log_out(
    State(auth): State<Auth>,
    visitor: Visitor,
    Path(named): Path<String>,
    headers: HeaderMap,
    Unrepeated(wish): Unrepeated<Wish>,
) -> Result<Response, Problem> {
    let catalog = auth.catalog.load_full();
    let service = Service::named_also_off(&catalog, &named)?;
    let (request, cookie) = (described(&headers), service.cookie());
    let tokens = tokens(&auth, &service, &request)?;
    let mut texts = cookie.map(|cookie| shown(cookie, &request)).unwrap_or_default();
    texts.extend(tokens.iter().map(|token| &token[..]));
    if texts.is_empty() {
        return Err(Problem::NoLogin);
    }
    if let Some(cookie) = cookie {
        of_a_page_of_ours(cookie, &request)?;
    }
    let ends = if wish.everywhere { Ends::Everything } else { Ends::Shown };
    let mut response = match auth.registrar.log_out(leaving(&visitor, &texts, ends)).await {
        Ok(Some(ended)) if !ended.applied => StatusCode::ACCEPTED.into_response(),
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(Refusal::Unproven) => Problem::NotLoggedIn.into_response(),
        Err(refusal) => return Err(outward(refusal)),
    };
    // Whatever it was, it opens nothing any more.
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, set_cookie(cookie, None)?);
    }
    Ok(response)
}

/// Those that are shown where the service takes dynamic ones. One that was bought with an access key is none of a
/// login's, whether or not it holds at this moment: whoever was told that it is over would leave it lying open.
fn tokens<'r>(
    auth: &Auth,
    service: &Service<'_>,
    request: &Request<'r>,
) -> Result<Vec<Cow<'r, [u8]>>, Problem> {
    let bought = |text: &[u8]| {
        let bought = auth.registrar.is_subject_token(str::from_utf8(text).unwrap_or_default());
        bought.map_err(|Unknowing| Problem::Blind)
    };
    let mut shown = Vec::new();
    for method in service.methods.iter().filter(|method| takes_dynamic(method)) {
        match method.present(request, None, &mut Unwatched) {
            Presented::Key(text) if bought(&text)? => {}
            Presented::Key(text) => shown.push(text),
            Presented::Nothing => {}
            Presented::Duplicate => return Err(Problem::NotLoggedIn),
        }
    }
    Ok(shown)
}

fn leaving<'a>(visitor: &'a Visitor, shown: &'a [&'a [u8]], ends: Ends) -> Leaving<'a> {
    Leaving { shown, ends, from: visitor.address, request_id: &visitor.request_id }
}

fn by(login: &LoggedIn, visitor: &Visitor) -> By {
    let (id, groups) = (login.consumer.id, login.consumer.given.groups.clone());
    By::new(Caller::Consumer { id, groups }, Some(&visitor.request_id))
}
