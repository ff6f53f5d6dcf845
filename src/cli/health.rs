//! `doorward health`: asks a running Doorward whether it lives, or is ready for checks. For
//! container health checks, where there is no shell and no curl.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::header::HOST;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Failure;
use crate::telemetry::log::with_causes;
pub use tls::Tls;

mod tls;

#[derive(clap::Args)]
pub struct Arguments {
    /// Whether it runs at all, ready or not
    #[arg(long)]
    live: bool,
    /// The status listener [default: the configured one]
    #[arg(long)]
    pub url: Option<String>,
    /// Authorities, in PEM, one of which must have signed the listener's certificate [default: any
    /// certificate of the configured listener is taken]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A certificate to show, in PEM, where the listener asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The private key of that certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
}

impl Arguments {
    pub fn probe(&self) -> Probe {
        if self.live { Probe::Live } else { Probe::Ready }
    }

    /// # Errors
    ///
    /// A file that cannot be used; a listener elsewhere of which nothing can be believed.
    pub fn tls(&self) -> Result<Tls, Failure> {
        let elsewhere = self.url.as_deref().and_then(place).is_some_and(|place| place.tls);
        if elsewhere && self.ca.is_none() {
            let message = "an https URL needs `--ca FILE`: the authority of that listener's certificate";
            return Err(Failure::Usage(message.into()));
        }
        let pair = self.certificate.as_deref().zip(self.key.as_deref());
        Tls::new(self.ca.as_deref(), pair).map_err(Failure::Usage)
    }
}

/// For connecting, asking and reading together.
const LIMIT: Duration = Duration::from_secs(3);

/// More than any answer of ours has.
const ANSWER_BYTES: usize = 4096;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/livez`: whether the process answers.
    Live,
    /// `/readyz`: whether it may be sent checks.
    Ready,
}

/// What was found; prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Good,
    /// Something answered, and this is the first line of why it is not good.
    Bad(String),
    /// Nothing answered, and why.
    Silent(String),
    /// The URL cannot be asked, and what was expected.
    WrongUrl(String),
}

impl Health {
    /// As `interface.md` 8 has them: 0 good, 1 not, 2 wrong usage, 3 nobody there.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Bad(_) => 1,
            Self::WrongUrl(_) => 2,
            Self::Silent(_) => 3,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("ok"),
            Self::Bad(why) | Self::Silent(why) | Self::WrongUrl(why) => f.write_str(why),
        }
    }
}

/// Where the status listener bound to `address` is asked from the same machine: an address that
/// stands for all of them is not one to connect to.
pub fn url(address: SocketAddr, tls: bool) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

/// Asks the status listener at `url` (`http://host:port`, or `https`) and waits at most three seconds.
pub async fn health(url: &str, tls: &Tls, probe: Probe) -> Health {
    health_within(LIMIT, url, tls, probe).await
}

async fn health_within(limit: Duration, url: &str, tls: &Tls, probe: Probe) -> Health {
    let Some(place) = place(url) else {
        return Health::WrongUrl(format!(
            "found `{url}`, expected the status listener: http://127.0.0.1:8100"
        ));
    };
    match tokio::time::timeout(limit, ask(&place, tls, probe)).await {
        Ok(Ok(health)) => health,
        Ok(Err(error)) => Health::Silent(format!("nothing answers at {url}: {}", with_causes(&*error))),
        Err(_) => Health::Silent(format!("nothing answers at {url} within {limit:?}")),
    }
}

/// What is asked: from a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

/// The place that a URL without a path of its own names. Where it has no port, that is the scheme's.
pub(super) fn place(url: &str) -> Option<Place> {
    let url: Uri = url.parse().ok()?;
    let authority = url.authority()?;
    let bare = url.path() == "/" && url.query().is_none() && !authority.as_str().contains('@');
    let (tls, port) = match url.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return None,
    };
    let port = authority.port_u16().unwrap_or(port);
    bare.then(|| Place { host: authority.host().to_owned(), port, tls })
}

pub(super) type Problem = Box<dyn std::error::Error + Send + Sync>;

async fn ask(place: &Place, tls: &Tls, probe: Probe) -> Result<Health, Problem> {
    let authority = format!("{}:{}", place.host, place.port);
    let stream = TcpStream::connect(&authority).await?;
    if place.tls {
        exchange(tls.connect(&place.host, stream).await?, &authority, probe).await
    } else {
        exchange(stream, &authority, probe).await
    }
}

async fn exchange<S>(stream: S, authority: &str, probe: Probe) -> Result<Health, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = match probe {
        Probe::Live => "/livez",
        Probe::Ready => "/readyz",
    };
    let request = Request::get(path).header(HOST, authority).body(Empty::<Bytes>::new())?;
    let mut exchange = Box::pin(async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await?;
        Ok(judge(head.status, &body.to_bytes()))
    });
    // The connection is driven for as long as the exchange takes; where it ends first, the
    // exchange knows whether it had an answer before, and the connection why there is none.
    tokio::select! {
        health = &mut exchange => health,
        ended = connection => match (exchange.await, ended) {
            (Err(_), Err(why)) => Err(why.into()),
            (health, _) => health,
        },
    }
}

fn judge(status: StatusCode, body: &[u8]) -> Health {
    match status {
        StatusCode::OK => Health::Good,
        StatusCode::SERVICE_UNAVAILABLE => {
            let text = String::from_utf8_lossy(body);
            let first = text.lines().next().unwrap_or_default();
            // Whoever answers may not be us: nothing of it may move the terminal's cursor.
            let first: String = first.chars().filter(|c| !c.is_control()).collect();
            Health::Bad(if first.is_empty() { format!("answered {status}") } else { first })
        }
        _ => Health::Bad(format!("answered {status}, expected 200 or 503: is it the status listener?")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::Clock;
    use crate::telemetry::{Readiness, Telemetry};

    fn anybody() -> Tls {
        Tls::new(None, None).unwrap()
    }

    async fn asked(url: &str, probe: Probe) -> Health {
        health(url, &anybody(), probe).await
    }

    async fn bound() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(listener.local_addr().unwrap(), false);
        (listener, url)
    }

    #[tokio::test]
    async fn a_running_status_listener_is_understood() {
        let readiness = Arc::new(Readiness::new());
        let telemetry = Arc::new(Telemetry::new(Clock::system(), Arc::clone(&readiness)));
        let router = crate::http::status::router(telemetry, Arc::clone(&readiness));
        let (listener, url) = bound().await;
        tokio::spawn(async move { axum::serve(listener, router).await });

        assert_eq!(asked(&url, Probe::Live).await, Health::Good);
        let unready = asked(&url, Probe::Ready).await;
        assert_eq!(unready, Health::Bad("not ready: the store has not been read yet".to_owned()));
        readiness.set_loaded(true);
        readiness.set_lease(true);
        assert_eq!(asked(&url, Probe::Ready).await, Health::Good);
    }

    #[tokio::test]
    async fn an_answer_counts_although_the_connection_ends_with_it() {
        for _ in 0..20 {
            let (listener, url) = bound().await;
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await?;
                stream.read_exact(&mut [0; 16]).await?;
                stream.write_all(b"HTTP/1.1 503 X\r\nconnection: close\r\n\r\nno").await?;
                stream.shutdown().await?;
                stream.read_to_end(&mut Vec::new()).await
            });
            assert_eq!(asked(&url, Probe::Live).await, Health::Bad("no".to_owned()));
        }
    }

    #[tokio::test]
    async fn an_unused_port_is_nobody_there() {
        let (listener, url) = bound().await;
        drop(listener);
        assert!(matches!(asked(&url, Probe::Ready).await, Health::Silent(_)));
    }

    #[tokio::test]
    async fn who_accepts_and_says_nothing_is_nobody_there() {
        let (_listener, url) = bound().await;
        let silent = health_within(Duration::from_millis(50), &url, &anybody(), Probe::Ready).await;
        assert_eq!(silent, Health::Silent(format!("nothing answers at {url} within 50ms")));
    }

    #[tokio::test]
    async fn who_hangs_up_is_nobody_there() {
        let (listener, url) = bound().await;
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        assert!(matches!(asked(&url, Probe::Ready).await, Health::Silent(_)));
    }

    #[tokio::test]
    async fn a_url_that_is_not_the_status_listener_is_wrong_usage() {
        for url in
            ["", "127.0.0.1:8100", "ftp://127.0.0.1:8100", "http://a@b:1", "http://127.0.0.1:8100/livez"]
        {
            let wrong = asked(url, Probe::Ready).await;
            assert_eq!(wrong.exit_code(), 2, "{url}: {wrong}");
            assert!(wrong.to_string().contains("expected the status listener: http://127.0.0.1:8100"));
        }
    }

    #[test]
    fn the_listener_is_asked_where_it_can_be_reached() {
        let check = |bound: &str, tls, expected: &str| assert_eq!(url(bound.parse().unwrap(), tls), expected);
        check("0.0.0.0:8100", false, "http://127.0.0.1:8100");
        check("[::]:8100", false, "http://[::1]:8100");
        check("192.0.2.7:1", true, "https://192.0.2.7:1");
    }

    #[test]
    fn a_strangers_answer_stays_on_one_line() {
        let check = |status: StatusCode, body: &[u8], expected: &str| {
            assert_eq!(judge(status, body).to_string(), expected);
        };
        let another = "answered 401 Unauthorized, expected 200 or 503: is it the status listener?";
        check(StatusCode::UNAUTHORIZED, b"{}", another);
        check(StatusCode::SERVICE_UNAVAILABLE, b"", "answered 503 Service Unavailable");
        check(StatusCode::SERVICE_UNAVAILABLE, b"\x1b[2Jno\r\nmore", "[2Jno");
    }
}
