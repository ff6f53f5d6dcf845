//! Getting an issuer's keys: one answer of a bounded size, in a bounded time, from exactly the address
//! that was named.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::domain::issuer::{Address, FetchLimits, Published};
use crate::domain::jwt::{Algorithm, KeySet, NoKeySet};
use crate::trust;

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFetched {
    #[error("{0} is no address to fetch from; expected `https://` and a host")]
    Address(String),
    #[error("{0} is not encrypted, and of another machine; expected `https://`")]
    Plain(String),
    #[error("{address}: {why}")]
    Unreachable { address: String, why: String },
    #[error("{address} did not answer within {} ms", .limit.as_millis())]
    TooSlow { address: String, limit: std::time::Duration },
    #[error("{address} answered {status}; expected 200, without a redirect")]
    Status { address: String, status: StatusCode },
    #[error("{address} answered more than {most} bytes")]
    TooLarge { address: String, most: usize },
    #[error("{address} is no discovery document: {why}")]
    Discovery { address: String, why: &'static str },
    #[error("{address} says that the issuer is another one than was configured")]
    OtherIssuer { address: String },
    #[error("{address}: {error}")]
    KeySet { address: String, error: NoKeySet },
}

/// Fetches for one issuer. Keeps what TLS needs: the system's authorities may be many.
#[derive(Default)]
pub(super) struct Fetcher {
    tls: Option<Arc<ClientConfig>>,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// # Errors
    ///
    /// [`NotFetched`]; nothing of what was received is used then.
    pub(super) async fn keys(
        &mut self,
        from: &Published,
        issuer: &str,
        algorithms: &[Algorithm],
    ) -> Result<KeySet, NotFetched> {
        let (limits, address) = match &from.at {
            Address::KeySet(address) => (from.limits, address.clone()),
            Address::Discovery(address) => (from.limits, self.discover(from, address, issuer).await?),
        };
        let json = self.get(from, &address).await?;
        KeySet::parse(&json, algorithms, limits.keys).map_err(|error| NotFetched::KeySet { address, error })
    }

    /// Where the document says that the keys are.
    async fn discover(
        &mut self,
        from: &Published,
        address: &str,
        issuer: &str,
    ) -> Result<String, NotFetched> {
        let json = self.get(from, address).await?;
        let address = address.to_owned();
        let document: Document = match serde_json::from_slice(&json) {
            Ok(document) => document,
            Err(_) => {
                let why = "it is not a JSON object with `issuer` and `jwks_uri`";
                return Err(NotFetched::Discovery { address, why });
            }
        };
        // Byte for byte (RFC 8414 section 3.3), or one issuer could speak for another.
        if document.issuer == issuer {
            Ok(document.jwks_uri)
        } else {
            Err(NotFetched::OtherIssuer { address })
        }
    }

    async fn get(&mut self, from: &Published, address: &str) -> Result<Bytes, NotFetched> {
        let limit = from.limits.time;
        let too_slow = || NotFetched::TooSlow { address: address.to_owned(), limit };
        tokio::time::timeout(limit, self.answer(from, address)).await.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn answer(&mut self, from: &Published, address: &str) -> Result<Bytes, NotFetched> {
        let place = Place::read(address, from.limits)?;
        let unreachable = |error: &dyn std::fmt::Display| NotFetched::Unreachable {
            address: address.to_owned(),
            why: error.to_string(),
        };
        let stream = TcpStream::connect((place.host.as_str(), place.port));
        let stream = stream.await.map_err(|error| unreachable(&error))?;
        let answer = if place.tls {
            let name = ServerName::try_from(place.host.clone()).map_err(|error| unreachable(&error))?;
            let tls = self.tls(from).await.map_err(|why| unreachable(&why))?;
            let stream = TlsConnector::from(tls).connect(name, stream).await;
            exchange(stream.map_err(|error| unreachable(&error))?, &place).await
        } else {
            exchange(stream, &place).await
        };
        let answer = answer.map_err(|error| unreachable(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(NotFetched::Status { address: address.to_owned(), status: answer.status() });
        }
        let most = from.limits.bytes;
        let body = Limited::new(answer.into_body(), most).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => NotFetched::TooLarge { address: address.to_owned(), most },
            false => unreachable(&error),
        })?;
        Ok(body.to_bytes())
    }

    async fn tls(&mut self, from: &Published) -> Result<Arc<ClientConfig>, String> {
        if let Some(tls) = &self.tls {
            return Ok(Arc::clone(tls));
        }
        let ca_file = from.ca_file.clone();
        // Files are read, and those of the system may be many.
        let made = tokio::task::spawn_blocking(move || trust::client(ca_file.as_deref(), None));
        let made = Arc::new(made.await.map_err(|error| error.to_string())??);
        // A file may be mended before the next try; the system's are read once.
        if from.ca_file.is_none() {
            self.tls = Some(Arc::clone(&made));
        }
        Ok(made)
    }
}

/// An address taken apart.
struct Place {
    tls: bool,
    host: String,
    port: u16,
    /// As the request names host and port.
    authority: String,
    target: String,
}

impl Place {
    fn read(address: &str, limits: FetchLimits) -> Result<Self, NotFetched> {
        let wrong = || NotFetched::Address(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong()),
        };
        // `user:password@` would be sent nowhere, and `#` is cut off: neither was meant.
        if authority.as_str().contains('@') || address.contains('#') {
            return Err(wrong());
        }
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if !tls && !limits.plain_http && !is_this_machine(host) {
            return Err(NotFetched::Plain(address.to_owned()));
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }
}

/// A literal address, so that no name server decides.
fn is_this_machine(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One request, one answer's head. The connection goes on in a task, which ends with it.
async fn exchange<S>(stream: S, place: &Place) -> Result<Response<Incoming>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(&place.target)
        .header(header::HOST, &place.authority)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("doorward/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("parts of an address that was read as one");
    sender.send_request(request).await
}
