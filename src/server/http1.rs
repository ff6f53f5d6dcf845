//! HTTP/1.1 for people, programs and probes: how every listener but `listen.grpc` is served.

use std::future::{Future, pending};
use std::pin::pin;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::guests::Guest;

/// Where the connections of a listener come from.
pub trait Entrance: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and who is at its other end where that one's time is counted. What fails
    /// is waited out.
    fn next(&mut self) -> impl Future<Output = (Self::Stream, Option<Guest>)> + Send;
}

/// The head of a request, and what is read of a body at once. Browsers' heads are some KiB, cookies
/// above all. hyper looks after each read, and may have read twice as much by then.
const HEAD_BYTES: usize = 32 << 10;
const HEADERS: usize = 100;

/// Serves until `stop` says so. Then nobody is let in any more, idle connections are closed, and what
/// is being answered is answered to its end.
///
/// Dropping the future ends all of it at once.
pub async fn serve_http<E: Entrance>(mut entrance: E, router: Router, stop: watch::Receiver<bool>) {
    let mut http = http1::Builder::new();
    // The time that a connection has is ours to count; so a head needs none of its own.
    http.max_buf_size(HEAD_BYTES).max_headers(HEADERS).header_read_timeout(None);
    let mut open = JoinSet::new();
    let mut stopped = pin!(stopped(stop.clone()));
    loop {
        tokio::select! {
            (stream, guest) = entrance.next() => {
                open.spawn(converse(http.clone(), stream, guest, router.clone(), stop.clone()));
            }
            Some(_) = open.join_next() => {}
            () = &mut stopped => break,
        }
    }
    drop(entrance);
    while open.join_next().await.is_some() {}
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error says that nobody is left who could say so: no reason to be less polite.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection, to its end.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    http: http1::Builder,
    stream: S,
    guest: Option<Guest>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let peer = guest.as_ref().map(|guest| guest.peer.clone());
    let answer = service_fn(|mut request: Request<Incoming>| {
        if let Some(peer) = &peer {
            peer.asks();
            request.extensions_mut().insert(ConnectInfo(peer.clone()));
        }
        router.clone().oneshot(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), answer));
    let mut leaves = pin!(async {
        match &guest {
            Some(guest) => guest.leaves().await,
            None => pending().await,
        }
    });
    let mut stopped = pin!(stopped(stop));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to an HTTP listener ended badly");
                }
                return;
            }
            () = &mut leaves => {
                tracing::debug!("the time of a connection to an HTTP listener is over");
                return;
            }
            () = &mut stopped, if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::server::Guests;

    /// Longer than any of it takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    struct Served {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        server: JoinHandle<()>,
    }

    async fn served(router: Router, arrange: impl FnOnce(Guests) -> Guests) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let guests = arrange(Guests::new(listener, None, catalog));
        let stop = watch::Sender::new(false);
        let server = tokio::spawn(serve_http(guests, router, stop.subscribe()));
        Served { address, stop, server }
    }

    fn here() -> Router {
        Router::new().route("/", get(async || "here"))
    }

    /// All that comes back until the connection is closed.
    async fn said(address: SocketAddr, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Who is refused before he has said all is not heard to the end.
        let _ = stream.write_all(bytes).await;
        rest(&mut stream).await
    }

    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap() {
                Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn http2_is_not_spoken() {
        let served = served(here(), |guests| guests).await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let answer = said(served.address, preface).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:?}");
        assert!(said(served.address, ASK).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_head_has_an_end() {
        let served = served(here(), |guests| guests).await;
        let head = |line: &str, lines: usize| {
            format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{}\r\n", line.repeat(lines))
        };
        let check = async |head: String, expected: &str| {
            let answer = said(served.address, head.as_bytes()).await;
            assert!(answer.starts_with(expected), "{} bytes: {answer:?}", head.len());
        };
        check(head("a: b\r\n", 90), "HTTP/1.1 200").await;
        check(head("a: b\r\n", 110), "HTTP/1.1 431").await;
        let line = format!("cookie: {}\r\n", "x".repeat(2000));
        check(head(&line, 10), "HTTP/1.1 200").await;
        check(head(&line, 50), "HTTP/1.1 431").await;
        // Nothing is lost of an answer where nothing is left unread.
        let endless = format!("GET /{}", "x".repeat(HEAD_BYTES - 5));
        check(endless, "HTTP/1.1 4").await;
    }

    #[tokio::test]
    async fn who_says_nothing_is_sent_away_and_who_asks_is_not() {
        let router = Router::new().route(
            "/",
            get(async || {
                // Longer than who says nothing may stay.
                tokio::time::sleep(2 * SHORT).await;
                "here"
            }),
        );
        let served = served(router, |guests| guests.for_at_most(SHORT)).await;
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        assert_eq!(rest(&mut silent).await, "");
        let mut slow = TcpStream::connect(served.address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(rest(&mut slow).await, "");
    }

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn what_is_being_answered_is_answered_to_its_end_and_nobody_else_is_let_in() {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let router = Router::new().route("/", {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            post(async move |body: String| {
                begun.notify_one();
                go_on.notified().await;
                body
            })
        });
        let served = served(router, |guests| guests).await;
        let mut idle = TcpStream::connect(served.address).await.unwrap();
        let mut busy = TcpStream::connect(served.address).await.unwrap();
        busy.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
        timeout(PATIENCE, begun.notified()).await.unwrap();
        served.stop.send_replace(true);
        assert_eq!(rest(&mut idle).await, "", "closed");
        while TcpStream::connect(served.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!served.server.is_finished());
        go_on.notify_one();
        let answer = rest(&mut busy).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
        timeout(PATIENCE, served.server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn one_more_than_there_are_places_is_closed_at_once() {
        let served = served(here(), |guests| guests.at_most(1)).await;
        let mut first = TcpStream::connect(served.address).await.unwrap();
        first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(timeout(PATIENCE, first.read(&mut [0; 100])).await.unwrap().unwrap() > 0, "let in");
        assert_eq!(said(served.address, ASK).await, "");
        drop(first);
        while !said(served.address, ASK).await.ends_with("here") {
            tokio::task::yield_now().await;
        }
    }
}
