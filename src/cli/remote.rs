//! A server elsewhere: its admin listener, and the admin key that opens it.

use std::path::Path;

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Failure;
use super::door::exchange;
use super::health::{self, Place, Tls};
use crate::domain::origin::is_on_this_machine;
use crate::domain::secret::Secret;

/// Where it is, and how it is asked.
pub(super) struct Remote {
    place: Place,
    tls: Option<Tls>,
    bearer: HeaderValue,
}

const KEY: &str = "DOORWARD_ADMIN_KEY";

impl Remote {
    /// # Errors
    ///
    /// [`Failure::Usage`] for what is no URL of a listener, without a key, and for `https` without the
    /// authority of its certificate: the key must not be told to anybody else.
    pub(super) fn new(url: &str, ca: Option<&Path>, identity: Option<&Path>) -> Result<Self, Failure> {
        let place = health::place(url).ok_or_else(|| {
            Failure::Usage(format!("found `--url {url}`, expected the admin listener: http://127.0.0.1:8001"))
        })?;
        let key =
            std::env::var(KEY).ok().filter(|key| !key.is_empty()).map(Secret::from).ok_or_else(|| {
                Failure::Usage(format!(
                    "`--url` needs an admin key in {KEY}; `doorward admin-key create` makes one"
                ))
            })?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| {
            Failure::Usage(format!(
                "{KEY} holds a line break or another character that no key has; expected one `dw_admin_…`"
            ))
        })?;
        bearer.set_sensitive(true);
        let tls = match (place.tls, ca) {
            (false, _) => {
                if !is_on_this_machine(place.host.as_bytes()) {
                    eprintln!(
                        "warning: {KEY} goes to {} in plain text; anybody on the way can read it. Use https",
                        place.host
                    );
                }
                None
            }
            (true, Some(ca)) => {
                // One file has both.
                let pair = identity.map(|file| (file, file));
                Some(Tls::new(Some(ca), pair).map_err(Failure::Usage)?)
            }
            (true, None) => {
                let message = "an https URL needs `--ca FILE`: the authority of that listener's certificate";
                return Err(Failure::Usage(message.into()));
            }
        };
        Ok(Self { place, tls, bearer })
    }

    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.place.host, self.place.port)
    }

    pub(super) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    pub(super) async fn exchange(
        &self,
        request: Request<Body>,
    ) -> Result<(StatusCode, bytes::Bytes), Failure> {
        exchange(self.connect().await?, request, &|error| self.lost(error)).await
    }

    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let stream = TcpStream::connect(self.authority()).await.map_err(|error| self.lost(&error))?;
        Ok(match &self.tls {
            Some(tls) => {
                Box::new(tls.connect(&self.place.host, stream).await.map_err(|error| self.lost(&error))?)
            }
            None => Box::new(stream),
        })
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::Unreachable(format!("no answer from the server at {}: {error}", self.authority()))
    }
}

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
