//! An answer that goes on: read line by line, until somebody has enough of it.

use std::future::Future;
use std::ops::ControlFlow;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{ANSWER, Door, Way, refused};
use crate::cli::Failure;
use crate::cli::remote::Stream;

impl Door {
    /// Calls `each` with every line that a running server answers, until the answer ends, `each` wants no more,
    /// or `enough` is ready.
    ///
    /// # Errors
    ///
    /// Why there is no answer, or why it broke off; what `each` fails with.
    pub fn lines(
        &self,
        path: &str,
        enough: impl Future<Output = ()>,
        mut each: impl FnMut(&str) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let request = self.request(Method::GET, path, None)?;
        self.runtime.block_on(async {
            tokio::select! {
                () = enough => Ok(()),
                read = async {
                    let begun = timeout(ANSWER, self.begun(request)).await;
                    let mut body = begun.map_err(|_| self.lost(&format!("nothing within {ANSWER:?}")))??;
                    let mut rest = Vec::new();
                    while let Some(frame) = body.frame().await {
                        let frame = frame.map_err(|error| self.lost(&error))?;
                        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                        while let Some(end) = memchr::memchr(b'\n', &rest) {
                            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                            rest.drain(..=end);
                            if each(&line)?.is_break() {
                                return Ok(());
                            }
                        }
                    }
                    Ok(())
                } => read,
            }
        })
    }

    /// The answer, once its head is there, on a connection of its own.
    async fn begun(&self, request: Request<Body>) -> Result<Incoming, Failure> {
        let stream: Box<dyn Stream> = match &self.way {
            Way::Socket(socket) => {
                Box::new(UnixStream::connect(socket).await.map_err(|error| self.lost(&error))?)
            }
            Way::Remote(remote) => remote.connect().await?,
            Way::InProcess(_) => return Err(self.lost(&"none runs")),
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.lost(&error))?;
        // It ends with its answer; what becomes of it is told by that.
        tokio::spawn(async move { drop(connection.await) });
        let response = sender.send_request(request).await.map_err(|error| self.lost(&error))?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let bytes = body.collect().await.map_err(|error| self.lost(&error))?.to_bytes();
        Err(refused(head.status, &serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> Failure {
        let place = match &self.way {
            Way::Socket(socket) => socket.display().to_string(),
            Way::Remote(remote) => remote.authority(),
            Way::InProcess(_) => String::new(),
        };
        Failure::Unreachable(format!("the answer of the server at {place} broke off: {error}"))
    }
}
