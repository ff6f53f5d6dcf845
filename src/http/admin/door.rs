//! The doors of the admin API: the socket, where the file's mode is the permission, and the TCP
//! listener, which asks for an admin key.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Method};
use tokio::sync::Semaphore;

use super::shape::{self, RequestId};

use crate::domain::rights::Caller;
use crate::http::Peer;
use crate::http::problem::Problem;
use crate::issue::{Attempts, By, Registrar, Unknowing};
use crate::telemetry::{LoginBy, LoginOutcome};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the TCP listener asks.
#[derive(Clone)]
pub struct Doorkeeper {
    registrar: Arc<Registrar>,
    attempts: Arc<Attempts>,
    /// For wrong keys, whose answers wait: nobody else does.
    waiting: Arc<Semaphore>,
}

/// How long the answer to a wrong key waits, and how many may wait: so many guesses a second, whoever
/// makes them. A right key never waits.
const SLOW: Duration = Duration::from_millis(500);
const WAITING: usize = 32;

impl Doorkeeper {
    pub fn new(registrar: Arc<Registrar>, attempts: Arc<Attempts>) -> Self {
        Self { registrar, attempts, waiting: Arc::new(Semaphore::new(WAITING)) }
    }

    async fn caller(&self, headers: &HeaderMap, from: IpAddr) -> Result<Caller, Problem> {
        let text = bearer(headers)?;
        let found = self.registrar.known_admin_key(text).map_err(|Unknowing| Problem::Blind)?;
        if let Some(key) = found {
            return Ok(Caller::AdminKey(key));
        }
        // A consumer's own JWT, made for the admin API: by its form, so that no key is read as one.
        if text.iter().filter(|byte| **byte == b'.').count() != 2 {
            return Err(Problem::Unauthorized);
        }
        let known = self.registrar.known_consumer(text, from).await.map_err(|Unknowing| Problem::Blind)?;
        known.ok_or(Problem::Unauthorized)
    }
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<&[u8], Problem> {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    let first = values.next().ok_or(Problem::Unauthenticated)?.as_bytes();
    if values.next().is_some() {
        return Err(Problem::Unauthorized);
    }
    let (scheme, rest) = first.split_at_checked("Bearer ".len()).ok_or(Problem::Unauthorized)?;
    if scheme.eq_ignore_ascii_case(b"Bearer ") { Ok(rest) } else { Err(Problem::Unauthorized) }
}

/// Behind the socket, and for commands in process.
pub fn socket(router: Router) -> Router {
    let door = from_fn(async |mut request: Request, next: Next| match by(Caller::Socket, &request) {
        Ok(by) => {
            request.extensions_mut().insert(by);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    });
    router.layer(door).layer(from_fn(shape::ours))
}

/// Behind the TCP listener.
pub fn tcp(router: Router, doorkeeper: Doorkeeper) -> Router {
    router.layer(from_fn_with_state(doorkeeper, admit)).layer(from_fn(shape::ours))
}

async fn admit(
    State(doorkeeper): State<Doorkeeper>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    match doorkeeper.caller(request.headers(), peer.address).await {
        Ok(caller) => {
            peer.is_known();
            doorkeeper.attempts.count(LoginBy::Admin, LoginOutcome::Granted);
            let by = match by(caller, &request) {
                Ok(by) => by,
                Err(problem) => return problem.into_response(),
            };
            request.extensions_mut().insert(by);
            next.run(request).await
        }
        Err(problem) => refuse(&doorkeeper, peer.address, problem).await,
    }
}

async fn refuse(doorkeeper: &Doorkeeper, from: IpAddr, problem: Problem) -> Response {
    if matches!(problem, Problem::Blind) {
        doorkeeper.attempts.count(LoginBy::Admin, LoginOutcome::Unavailable);
    }
    if !matches!(problem, Problem::Unauthorized) {
        return problem.into_response();
    }
    doorkeeper.attempts.refused(LoginBy::Admin, "admin.refused", from);
    match doorkeeper.waiting.try_acquire() {
        Ok(_place) => {
            tokio::time::sleep(SLOW).await;
            problem.into_response()
        }
        Err(_) => Problem::Throttled.into_response(),
    }
}

/// Who calls, in a request that may have a name of its own.
fn by(caller: Caller, request: &Request) -> Result<By, Problem> {
    let request_id = request.extensions().get().map(|RequestId(id)| &id[..]);
    let by = By::new(caller, request_id);
    let mut names = request.headers().get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(name) = names.next().filter(|_| request.method() == Method::POST) else { return Ok(by) };
    let is_one =
        |name: &&str| (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    let name = name.to_str().ok().filter(is_one).filter(|_| names.next().is_none());
    let name = name.ok_or_else(|| Problem::Field {
        field: "Idempotency-Key".into(),
        why: "must be one value of 1 to 255 visible ASCII characters".into(),
    })?;
    Ok(by.named(&format!("{} {}", request.method(), request.uri().path()), name))
}
