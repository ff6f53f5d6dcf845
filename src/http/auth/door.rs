//! What is common to all requests and answers of `listen.auth`.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::LengthLimitError;
use tokio::time::timeout;
use tracing::{debug, error};

use super::{Auth, identity, oauth};
use crate::domain::authorization;
use crate::domain::client::{TrustedProxies, client};
use crate::domain::request::{Header, Request as Described};
use crate::http::problem::{Problem, as_problem};
use crate::http::{Peer, REQUEST_ID};
use crate::issue::{self, Refusal};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// For a body to arrive: a password is some bytes.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Who asks; an extractor for handlers.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// The client's, as far as those whom we trust can say; else that of whoever is connected.
    pub(super) address: IpAddr,
    /// Fit for logs.
    pub(super) request_id: String,
}

/// Around everything. Whoever is slow or large is turned away here, and what came whole is answered to
/// its end, whether or not somebody still waits: what is written is then known to be written. No cache
/// keeps an answer that does not say so itself.
pub(super) async fn admit(
    State(auth): State<Auth>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let visitor = Visitor {
        address: address(peer.address, request.headers(), auth.catalog.load().trusted()),
        request_id: issue::request_id(text(request.headers())),
    };
    let id = visitor.request_id.clone();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(visitor.clone());
    let response = match arrived(request, &auth, &peer).await {
        Ok(request) => {
            if peer.trusted {
                peer.is_known();
            }
            // Why is not told here: what a panic says may hold a secret.
            tokio::spawn(next.run(request)).await.unwrap_or_else(|_| {
                error!(request_id = id, "a request to listen.auth was not answered");
                Problem::Internal.into_response()
            })
        }
        Err(problem) => problem.into_response(),
    };
    let mut response = match &path[..] {
        path if identity::is_path(path) => identity::as_error(response),
        path if oauth::is_path(path) => oauth::as_error(response),
        _ => as_problem(response, Some(&id)),
    };
    let status = response.status().as_u16();
    debug!(client = %visitor.address, request_id = id, %method, path, status, "answered at listen.auth");
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The request with its body in memory, where there is room for one more that is under way.
async fn arrived(request: Request, auth: &Auth, peer: &Peer) -> Result<Request, Problem> {
    let waits = peer.kept && !request.body().is_end_stream();
    let room = waits.then(|| auth.arriving.try_acquire()).transpose();
    let _room = room.map_err(|_| Problem::Refused(Refusal::Busy))?;
    whole(request, auth.body_limit, ARRIVAL).await
}

/// The request with its body in memory.
async fn whole(request: Request, limit: usize, arrival: Duration) -> Result<Request, Problem> {
    let (head, body) = request.into_parts();
    let late = |_| Problem::Body(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".into());
    let bytes = timeout(arrival, to_bytes(body, limit)).await.map_err(late)?;
    let bytes =
        bytes.map_err(|error| match error.source().is_some_and(|why| why.is::<LengthLimitError>()) {
            true => Problem::Body(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than `limits.auth_body_bytes`".into(),
            ),
            false => Problem::Body(StatusCode::BAD_REQUEST, "the body did not arrive whole".into()),
        })?;
    Ok(Request::from_parts(head, Body::from(bytes)))
}

fn text(headers: &HeaderMap) -> Option<&str> {
    headers.get(REQUEST_ID)?.to_str().ok()
}

/// By the same walk as in a check. Whom nobody can name counts as whoever is connected.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).into_iter();
    let lines = lines.map(|value| Header { name: b"x-forwarded-for", value: value.as_bytes() });
    let described = Described { source: Some(peer), headers: lines.collect(), ..Described::default() };
    client(&described, trusted).address.unwrap_or(peer)
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or(Problem::Internal)
    }
}

/// The token in `Authorization: Bearer <token>`, of which there is one; an extractor for handlers.
pub(super) struct Bearer(pub(super) Vec<u8>);

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        bearer(&parts.headers)?.map(Self).ok_or(Problem::NoToken)
    }
}

/// The same where there need be none.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    match authorization::find_bearer(&described(headers)) {
        authorization::Bearer::Token(token) => Ok(Some(token.to_vec())),
        authorization::Bearer::Absent => Ok(None),
        authorization::Bearer::Malformed | authorization::Bearer::Duplicate => Err(Problem::WrongToken),
    }
}

/// A request with these headers, as a check would see it.
pub(super) fn described(headers: &HeaderMap) -> Described<'_> {
    let lines = headers.iter();
    let lines = lines.map(|(name, value)| Header { name: name.as_str().as_bytes(), value: value.as_bytes() });
    let host = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    Described { method: b"POST", host, headers: lines.collect(), ..Described::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::Bytes;
    use http_body::Frame;

    use super::*;

    /// A body of which no more comes: its sender is gone, or only silent.
    struct Stuck {
        gone: bool,
    }

    impl http_body::Body for Stuck {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            match self.gone {
                true => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
                false => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_late_large_or_cut_off_is_told_apart() {
        let check = async |body: Body, expected: u16| {
            let soon = Duration::from_millis(10);
            let problem = whole(Request::new(body), 3, soon).await.map(drop).unwrap_err();
            assert_eq!(problem.into_response().status().as_u16(), expected);
        };
        check(Body::new(Stuck { gone: false }), 408).await;
        check(Body::new(Stuck { gone: true }), 400).await;
        check(Body::from("four"), 413).await;
        let request = whole(Request::new(Body::from("all")), 3, ARRIVAL).await.unwrap();
        assert_eq!(to_bytes(request.into_body(), 3).await.unwrap(), "all");
    }

    #[tokio::test]
    async fn bodies_that_are_slow_behind_a_peer_of_forward_auth_are_fewer_than_its_places() {
        let auth = super::super::tests::auth(None);
        let stranger = Peer::new([192, 0, 2, 1].into(), false);
        let peer = stranger.clone().kept(true);
        let stuck = || Request::new(Body::new(Stuck { gone: false }));
        let waits = async |arriving: Pin<&mut dyn Future<Output = Result<Request, Problem>>>| {
            tokio::select! { biased; _ = arriving => false, () = std::future::ready(()) => true }
        };
        let mut first = std::pin::pin!(arrived(stuck(), &auth, &peer));
        assert!(waits(first.as_mut()).await);
        let second = arrived(stuck(), &auth, &peer).await.map(drop).unwrap_err();
        assert_eq!(second.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            arrived(Request::new(Body::empty()), &auth, &peer).await.is_ok(),
            "there is nothing to wait for"
        );
        assert!(waits(std::pin::pin!(arrived(stuck(), &auth, &stranger))).await, "that has its own places");
    }

    #[test]
    fn the_client_is_found_behind_trusted_proxies_and_nowhere_else() {
        let trusted = TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap();
        let check = |peer: &str, lines: &[&'static str], expected: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
            }
            let found = address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {lines:?}");
        };
        check("192.0.2.1", &[], "192.0.2.1");
        check("::ffff:192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["203.0.113.9", "198.51.100.1, 10.0.0.2"], "198.51.100.1");
        check("10.0.0.1", &["nonsense"], "10.0.0.1");
    }
}
