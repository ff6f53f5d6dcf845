//! `/decisions` of the admin API: what was decided a moment ago, and what is being decided.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body::Frame;
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::info;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::Peer;
use super::admin::{Desk, Right};
use super::problem::Problem;
use crate::domain::catalog::Catalog;
use crate::domain::rights::Caller;
use crate::issue::{By, Refusal, Registrar};
use crate::telemetry::{CODES, Crowded, Follower, Telemetry, Wanted};

/// What the routes work with.
#[derive(Clone)]
struct Decisions {
    telemetry: Arc<Telemetry>,
    catalog: Arc<ArcSwap<Catalog>>,
    registrar: Arc<Registrar>,
}

pub fn desk(
    telemetry: Arc<Telemetry>,
    catalog: Arc<ArcSwap<Catalog>>,
    registrar: Arc<Registrar>,
) -> Desk<()> {
    Desk::new()
        .route(Right::Everything, routes!(follow))
        .route(Right::Everything, routes!(show))
        .with_state(Decisions { telemetry, catalog, registrar })
}

/// What was decided about a request, step by step, the newest first: of those decisions that have a line in
/// the log, while they are kept.
#[utoipa::path(
    get,
    path = "/decisions/{request_id}",
    tag = "decisions",
    params(("request_id" = String, Path, description = "What the answer and the log line call the request")),
    responses((status = 200, body = serde_json::Value))
)]
async fn show(
    State(Decisions { telemetry, .. }): State<Decisions>,
    Path(request_id): Path<String>,
) -> Result<Response, Problem> {
    let found = telemetry.recent().of(&request_id);
    if found.is_empty() {
        return Err(Problem::NoDecision { kept: telemetry.recent().count() });
    }
    let list = format!(r#"{{"data":[{}],"next":null}}"#, found.join(","));
    Ok(([(CONTENT_TYPE, "application/json")], list).into_response())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only what is refused, or would be where it is only watched.
    #[serde(default)]
    refusals: bool,
    /// Only of this service or deployment, by name or id.
    service: Option<String>,
    /// Only of this consumer, by id or username.
    consumer: Option<String>,
    /// Only with this code.
    code: Option<String>,
}

/// Decisions from now on, as they are made: a line of JSON each, as in the log. The answer ends with the
/// server, and with the admin key that it was asked with. Lines of the target `doorward::tail` are no decisions:
/// they tell how many were left out, and the end; an empty line tells that somebody is still there.
#[utoipa::path(
    get,
    path = "/decisions",
    tag = "decisions",
    params(Asked),
    responses((status = 200, body = String, content_type = "application/x-ndjson"))
)]
async fn follow(
    State(Decisions { telemetry, catalog, registrar }): State<Decisions>,
    peer: Option<axum::Extension<ConnectInfo<Peer>>>,
    by: By,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let wanted = wanted(asked?.0, &catalog.load())?;
    let follower = telemetry.follow(wanted).map_err(|Crowded { most }| {
        let what = "viewers that follow decisions";
        Problem::Refused(Refusal::Full { what, most, limit: "limits.followers" })
    })?;
    let peer = peer.map(|axum::Extension(ConnectInfo(peer))| peer);
    let viewer = Viewer::begins(by.caller, peer, registrar);
    let lines = Lines::new(follower, viewer);
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], axum::body::Body::new(lines)).into_response())
}

/// A name that is none of ours is refused: nothing would ever be told of it, and nobody would know why.
fn wanted(asked: Asked, catalog: &Catalog) -> Result<Wanted, Problem> {
    let Asked { refusals, service, consumer, code } = asked;
    let wrong = |field: &str, why: String| Problem::Field { field: field.to_owned(), why };
    if let Some(code) = code.as_deref().filter(|code| !CODES.contains(code)) {
        let why = format!("found `{code}`, expected a code of a check: {}", CODES.join(", "));
        return Err(wrong("code", why));
    }
    let (service, infrastructure) = match service {
        None => (None, None),
        Some(named) => {
            let (service, infrastructure) = names(&named, catalog)
                .ok_or_else(|| wrong("service", format!("no service or deployment is called `{named}`")))?;
            (Some(service), infrastructure)
        }
    };
    Ok(Wanted { refusals, service, infrastructure, consumer, code })
}

/// As log lines call a service, or a deployment.
fn names(named: &str, catalog: &Catalog) -> Option<(String, Option<String>)> {
    let opens = catalog.opens(named)?;
    let on = |id| opens.infrastructure.is_none_or(|wanted| Some(wanted) == id);
    let deployment = catalog.deployments().iter().find(|deployment| {
        deployment.service == opens.service && on(deployment.infrastructure.as_ref().map(|(id, _)| *id))
    });
    let Some(deployment) = deployment else {
        // It is deployed nowhere yet.
        return Some((named.to_owned(), None));
    };
    let infrastructure = deployment.infrastructure.as_ref().map(|(_, name)| name.clone());
    Some((deployment.service_name.clone(), opens.infrastructure.and(infrastructure)))
}

/// Between two looks at what there is to tell.
const LOOK: Duration = Duration::from_millis(50);

/// After so many looks at nothing an empty line is sent: who is gone without a word, and wants what never
/// comes, would keep a place for ever.
const SILENCE: u32 = 300;

/// An answer without an end of its own.
struct Lines {
    follower: Follower,
    looks: Interval,
    viewer: Viewer,
    /// Looks at nothing since the last line.
    silent: u32,
    ended: bool,
}

impl Lines {
    fn new(follower: Follower, viewer: Viewer) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { follower, looks, viewer, silent: 0, ended: false }
    }

    /// What there is to tell at this moment, mostly nothing.
    fn look(&mut self) -> String {
        let Viewer { caller, registrar, .. } = &self.viewer;
        let (text, ended) = if registrar.still_opens(caller) {
            self.follower.look()
        } else {
            (self.follower.told("the admin key that this was asked with is not known any more"), true)
        };
        self.ended = ended;
        self.silent = if text.is_empty() { self.silent + 1 } else { 0 };
        if self.silent < SILENCE {
            return text;
        }
        self.silent = 0;
        "\n".to_owned()
    }
}

/// Who follows, as the log tells it: from beginning to end, for they see who calls what.
struct Viewer {
    caller: Caller,
    /// Whose connection may stay for as long as it takes what it is told; over the socket anybody's may.
    peer: Option<Peer>,
    registrar: Arc<Registrar>,
}

impl Viewer {
    fn begins(caller: Caller, peer: Option<Peer>, registrar: Arc<Registrar>) -> Self {
        let viewer = Self { caller, peer, registrar };
        info!(admin_key = viewer.admin_key(), client = viewer.client(), "decisions are followed");
        viewer
    }

    fn admin_key(&self) -> Option<String> {
        match &self.caller {
            Caller::AdminKey(id) => Some(id.to_string()),
            Caller::Socket | Caller::Consumer { .. } | Caller::Doorward => None,
        }
    }

    fn client(&self) -> Option<String> {
        self.peer.as_ref().map(|peer| peer.address.to_string())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        info!(
            admin_key = self.admin_key(),
            client = self.client(),
            "decisions are not followed there any more"
        );
    }
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while !self.ended {
            ready!(self.looks.poll_tick(context));
            let text = self.look();
            if !text.is_empty() {
                // Whoever takes no lines any more is not asked for the next one, and its time ends.
                if let Some(peer) = &self.viewer.peer {
                    peer.is_known();
                }
                return Poll::Ready(Some(Ok(Frame::data(text.into()))));
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::clock::Clock;
    use crate::config::load_text;
    use crate::domain::time::Timestamp;
    use crate::domain::verifier::{Pepper, Peppers};
    use crate::store::memory::Memory;
    use crate::store::ring::Ring;
    use crate::telemetry::Readiness;

    const POLICY: &str = "
infrastructures: [{name: production}, {name: staging}]
services:
  - {name: orders, id: 01968c91-8789-7288-a337-f0e398711aac, authentication: none}
  - {name: stock, authentication: none}
deployments:
  - {service: orders, infrastructure: production}
  - {service: orders, infrastructure: staging, hosts: [staging.example]}
";

    #[test]
    fn a_silent_viewer_is_sent_an_empty_line_now_and_then_so_that_it_is_known_who_is_gone() {
        let ring = Arc::new(
            Ring::parse(std::path::Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap(),
        );
        let (clock, _) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let catalog = load_text(POLICY.to_owned()).unwrap().config.catalog(&ring.peppers()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(catalog));
        let registrar = Arc::new(Registrar::new(Arc::new(Memory::new()), ring, clock.clone(), catalog));
        let telemetry = Arc::new(Telemetry::new(clock, Arc::new(Readiness::new())));
        telemetry.set_followers(1);
        let follower = Arc::clone(&telemetry).follow(Wanted::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let mut lines = Lines::new(follower, Viewer::begins(Caller::Socket, None, registrar));
        for _ in 0..2 {
            let before = (1..SILENCE).map(|_| lines.look()).collect::<String>();
            assert_eq!((&before[..], &lines.look()[..]), ("", "\n"));
        }
        // Nothing is known of the key where no store is followed.
        lines.viewer.caller = Caller::AdminKey(uuid::Uuid::from_u128(7));
        assert!(lines.look().contains("not known any more") && lines.ended);
    }

    #[test]
    fn services_are_named_as_everywhere_and_what_is_unknown_is_refused() {
        let peppers = Peppers::new(vec![Pepper::new(&[1; 32])]);
        let catalog = load_text(POLICY.to_owned()).unwrap().config.catalog(&peppers).unwrap();
        let check = |named: &str, expected: Option<(&str, Option<&str>)>| {
            let expected = expected.map(|(service, on)| (service.to_owned(), on.map(str::to_owned)));
            assert_eq!(names(named, &catalog), expected, "{named}");
        };
        check("orders", Some(("orders", None)));
        check("01968c91-8789-7288-a337-f0e398711aac", Some(("orders", None)));
        check("orders/staging", Some(("orders", Some("staging"))));
        check("stock", Some(("stock", None)));
        check("order", None);
        check("orders/moon", None);
        let asked =
            |code: &str| Asked { refusals: true, service: None, consumer: None, code: Some(code.to_owned()) };
        assert!(wanted(asked("deadline"), &catalog).is_ok());
        assert!(matches!(wanted(asked("deadlin"), &catalog), Err(Problem::Field { .. })));
    }
}
