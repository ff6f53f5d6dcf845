//! `/check`: forward-auth. Proxies that do not speak Envoy's gRPC ask here, each kind under its own path,
//! and get the same decisions.

mod answer;
mod asked;
mod kind;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::request::Parts;
use tokio::time::timeout;
use tracing::warn;

use self::answer::{answer, not_a_peer};
use self::asked::{asked, impersonates};
pub use self::kind::Askers;
use self::kind::Kind;
use super::Peer;
use super::problem::{Problem, as_problem};
use crate::check::{Checker, Decision, Done, MOST_WORK, Work};
use crate::domain::catalog::Catalog;
use crate::domain::denial::Denial;
use crate::domain::traced::{Door, Traced};
use crate::telemetry::Traces;

/// What the routes work with.
#[derive(Clone)]
pub struct Forward {
    pub checker: Arc<Checker>,
    pub catalog: Arc<ArcSwap<Catalog>>,
    pub askers: Arc<Askers>,
    /// `None` where nobody asks for traces.
    pub traces: Option<Arc<Traces>>,
}

/// For a signature or a password to be verified.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whoever serves it says who is at the other end, by a [`Peer`] as connect info.
pub fn router(forward: Forward) -> Router {
    ["/check/{kind}", "/check/{kind}/", "/check/{kind}/{*rest}"]
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, any(check)))
        .with_state(forward)
}

async fn check(
    State(forward): State<Forward>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    // As it was sent: whatever stands behind it may be no text.
    let kind = request.uri().path().split('/').nth(2).and_then(Kind::parse);
    let Some((kind, peers)) = kind.and_then(|kind| Some((kind, forward.askers.of(kind)?))) else {
        return as_problem(Problem::NotFound.into_response(), None);
    };
    let address = peer.address.to_canonical();
    if !peers.contains(address) {
        if forward.askers.is_news(kind, address) {
            warn!(kind = kind.name(), peer = %address, "somebody asked at /check who is no peer of this kind; told once");
        }
        return not_a_peer(kind);
    }
    peer.is_known();
    let (head, _) = request.into_parts();
    decided(&forward, kind, &head).await
}

/// Decides, and waits for nothing but a signature or a password that is not yet known.
async fn decided(forward: &Forward, kind: Kind, head: &Parts) -> Response {
    let traced =
        forward.traces.as_ref().and_then(|traces| traces.begin(Door::Http(kind.route()), &head.headers));
    let asked = Asked { kind, head, traced: traced.as_deref() };
    let mut done: Vec<Done> = Vec::new();
    let given_up = loop {
        let work = match attempt(forward, asked, &done) {
            Ok(response) => return response,
            Err(work) => work,
        };
        if done.len() >= MOST_WORK {
            break Denial::Internal { why: "a check that asks for too much work" };
        }
        let Some(waiting) = forward.checker.verify(work) else { break Denial::Overloaded };
        match timeout(PATIENCE, waiting.done()).await {
            Ok(Some(verified)) => done.push(verified),
            // Nothing comes of it after a panic, or where it was not its turn in time.
            Ok(None) => break Denial::Overloaded,
            Err(_) => break Denial::Deadline,
        }
    };
    // Decided without what could not be verified: the deployment may only be watched.
    done.push(Done::GivenUp(given_up.clone()));
    attempt(forward, asked, &done).unwrap_or_else(|_| {
        let refused = |decision: &Decision<'_>| answer(kind, &head.headers, decision);
        forward.checker.refuse(given_up, asked.traced, refused)
    })
}

/// A proxy's question.
#[derive(Clone, Copy)]
struct Asked<'a> {
    kind: Kind,
    head: &'a Parts,
    traced: Option<&'a Traced>,
}

fn attempt(
    forward: &Forward,
    Asked { kind, head, traced }: Asked<'_>,
    done: &[Done],
) -> Result<Response, Work> {
    let refuse = |why| {
        let denial = Denial::MalformedRequest { why };
        Ok(forward.checker.refuse(denial, traced, |decision| answer(kind, &head.headers, decision)))
    };
    let mut request = match asked(kind, head) {
        Ok(request) => request,
        Err(why) => return refuse(why),
    };
    // Only Envoy takes headers away that are not written into its configuration.
    if kind != Kind::Envoy && impersonates(&request, &forward.catalog.load()) {
        return refuse("a header that an upstream may take for one of ours");
    }
    request.traced = traced;
    forward.checker.attempt(&request, done, |decision| answer(kind, &head.headers, decision))
}
