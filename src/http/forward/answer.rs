//! A decision as an HTTP answer, as each kind of proxy understands it.

use axum::body::Body;
use axum::response::Response;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::kind::Kind;
use crate::check::{Decision, Outcome, Problem};
use crate::domain::credential::Challenge;
use crate::domain::denial::{Denial, Notice};
use crate::domain::headers::Mutations;

/// Envoy takes these away from the request, whatever its configuration lists.
const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// Of these a part may go on to the upstream. Proxies that copy them from the answer take a client's own
/// away, so what stays as it was is answered too.
const GOES_ON: [HeaderName; 2] = [COOKIE, AUTHORIZATION];

/// `theirs`: the headers that the question came with, the client's among them.
pub(super) fn answer(kind: Kind, theirs: &HeaderMap, decision: &Decision<'_>) -> Response {
    let id = decision.request_id;
    match &decision.outcome {
        Outcome::Allow(mutations) => allow(kind, theirs, mutations).unwrap_or_else(|| {
            tracing::error!(request_id = id, "an allow could not be sent and was made a denial");
            deny(kind, Denial::Internal { why: "" }.notice(), &[], id)
        }),
        Outcome::Deny(notice, challenges) => deny(kind, *notice, challenges, id),
        Outcome::Fault(notice) => refusal(notice.status, *notice, &[], id),
    }
}

/// Whoever asks without being a peer; in words for the operator, who reads what the proxy makes of it.
pub(super) fn not_a_peer(kind: Kind) -> Response {
    let body = format!("this address is not among `forward_auth.{}.peers`\n", kind.name());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// 200 and the identity; none where it cannot be written.
fn allow(kind: Kind, theirs: &HeaderMap, mutations: &Mutations<'_>) -> Option<Response> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    for (name, value) in &mutations.set {
        let mut text = Vec::with_capacity(value.len());
        value.write(&mut text);
        headers.insert(HeaderName::try_from(*name).ok()?, HeaderValue::try_from(text).ok()?);
    }
    match kind {
        Kind::Envoy => {
            headers.insert(REMOVE, HeaderValue::try_from(mutations.remove.join(", ")).ok()?);
        }
        Kind::Caddy => {
            go_on(headers, theirs, mutations)?;
            // Before 2.11 it leaves a client's header in place where the answer has none.
            empty(headers, mutations)?;
        }
        // Both drop each header that they are told to copy and do not find.
        Kind::Nginx | Kind::Traefik => go_on(headers, theirs, mutations)?,
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

fn go_on(headers: &mut HeaderMap, theirs: &HeaderMap, mutations: &Mutations<'_>) -> Option<()> {
    for name in GOES_ON {
        if headers.contains_key(&name) || mutations.remove.iter().any(|gone| *gone == name.as_str()) {
            continue;
        }
        let lines: Vec<&[u8]> = theirs.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        if name == COOKIE && !lines.is_empty() {
            // As one, because nginx copies one line alone.
            headers.insert(name, HeaderValue::from_bytes(&lines.join(&b"; "[..])).ok()?);
        } else if let [line] = lines[..] {
            headers.insert(name, HeaderValue::from_bytes(line).ok()?);
        }
    }
    Some(())
}

fn empty(headers: &mut HeaderMap, mutations: &Mutations<'_>) -> Option<()> {
    for name in &mutations.remove {
        headers.insert(HeaderName::try_from(name.as_ref()).ok()?, HeaderValue::from_static(""));
    }
    Some(())
}

fn deny(kind: Kind, notice: Notice, challenges: &[Challenge<'_>], id: &str) -> Response {
    let status = match (kind, notice.status) {
        // It knows 401 and 403, and makes 500 of the rest.
        (Kind::Nginx, 400 | 402..=499) => 403,
        // A 5xx is an error to it, which it may be told to let pass: only a Fault is one.
        (Kind::Envoy, 500..) => 403,
        (Kind::Nginx | Kind::Caddy | Kind::Traefik | Kind::Envoy, status) => status,
    };
    refusal(status, notice, challenges, id)
}

fn refusal(status: u16, notice: Notice, challenges: &[Challenge<'_>], id: &str) -> Response {
    let body = serde_json::to_vec(&Problem::new(&notice, status, id)).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    // Never a status that would let it pass.
    *response.status_mut() = StatusCode::from_u16(status)
        .ok()
        .filter(|status| status.is_client_error() || status.is_server_error())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for challenge in challenges {
        if let Ok(value) = HeaderValue::try_from(challenge.to_string()) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    if let Some(seconds) = notice.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
