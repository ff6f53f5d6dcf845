//! TLS of a listener: handshakes that nobody else waits for, and certificates that change under way.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::config::{Config, Faults, Remark, TlsFiles};
use crate::domain::time::Timestamp;
use crate::reload::Watched;
use crate::telemetry::Telemetry;

/// For a handshake: three round trips around the earth, and time to think. Leaves 2 s to who has to
/// greet within 5.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// What handshakes of one listener are made with. Clones share it, and it can be renewed.
#[derive(Clone)]
pub struct Tls {
    listener: &'static str,
    handshakes: Arc<ArcSwap<ServerConfig>>,
}

/// The TLS of every listener that has some, and the files that it is read from.
pub struct Certificates {
    listeners: Vec<Tls>,
    files: Watched,
}

impl Certificates {
    /// Reads them as the configuration names them.
    ///
    /// # Errors
    ///
    /// Every file that cannot be used.
    pub fn read(config: &Config, telemetry: &Telemetry, now: Timestamp) -> Result<Self, Faults> {
        let files = Watched::new(config.tls_files());
        let read = config.read_tls()?;
        for warning in config.expired(&read, now) {
            tracing::warn!(warning = %warning.line(), "the configuration is taken with a warning");
        }
        for files in &read {
            telemetry.set_certificate_expires(files.listener, files.expires);
        }
        Ok(Self { listeners: read.iter().map(Tls::new).collect(), files })
    }

    /// Whether any listener has TLS.
    pub fn are_in_use(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Whether files have changed since they were read, and rest.
    pub fn have_changed(&mut self) -> bool {
        self.files.have_changed()
    }

    /// Reads them anew, as `config` named them at the start, for the connections that come from now on: each
    /// listener's, whatever is wrong with those of others.
    ///
    /// # Errors
    ///
    /// What cannot be used, or has ended already; those before stay in force there.
    pub fn renew(
        &mut self,
        config: &Config,
        telemetry: &Telemetry,
        now: Timestamp,
    ) -> Result<(), Vec<String>> {
        self.files.are_read();
        let (usable, wrong) = config.read_usable_tls(now);
        for files in &usable {
            if let Some(tls) = self.listeners.iter().find(|tls| tls.listener == files.listener) {
                tls.handshakes.store(handshakes(files));
                telemetry.set_certificate_expires(files.listener, files.expires);
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.iter().map(Remark::line).collect()) }
    }

    /// Of the listener `grpc`, `auth`, `admin` or `status`; `None` where it speaks plain text.
    pub fn of(&self, listener: &str) -> Option<Tls> {
        self.listeners.iter().find(|tls| tls.listener == listener).cloned()
    }
}

impl Tls {
    fn new(files: &TlsFiles) -> Self {
        Self { listener: files.listener, handshakes: Arc::new(ArcSwap::new(handshakes(files))) }
    }
}

/// TLS 1.2 and 1.3 with the suites that rustls takes for safe.
fn handshakes(files: &TlsFiles) -> Arc<ServerConfig> {
    let clients = files.clients.clone().unwrap_or_else(WebPkiClientVerifier::no_client_auth);
    let certified = SingleCertAndKey::from(Arc::clone(&files.certified));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc has suites for both versions")
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(certified));
    // Who offers protocols, and not ours, is refused.
    config.alpn_protocols = match files.listener {
        "grpc" => vec![b"h2".to_vec()],
        _ => vec![b"http/1.1".to_vec()],
    };
    // No session is resumed: each connection shows a certificate that counts now, and Envoy's live long.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// A connection. Where it is TLS, whoever first reads or writes makes the handshake, as far as the
/// other end lets him: so one that says nothing holds up nobody but itself.
pub enum Stream {
    Plain(TcpStream),
    Shaking(Handshake),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake has failed.
    Failed,
}

/// What bytes go through.
trait Bytes: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Bytes for S {}

impl Stream {
    pub(super) fn new(stream: TcpStream, tls: Option<&Tls>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(tls) => Self::Shaking(Handshake::new(stream, tls)),
        }
    }

    /// Ready once bytes can go through.
    fn open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Bytes>>> {
        if let Self::Shaking(handshake) = self {
            match ready!(handshake.poll(context)) {
                Ok(stream) => *self = Self::Tls(Box::new(stream)),
                Err(error) => {
                    *self = Self::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(match self {
            Self::Plain(stream) => Ok(Pin::new(stream)),
            Self::Tls(stream) => Ok(Pin::new(stream)),
            Self::Shaking(_) | Self::Failed => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.open(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.open(context))?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(context))?.poll_flush(context)
    }

    /// A handshake under way is given up; there is nobody to take leave of.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(*self, Self::Shaking(_) | Self::Failed) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.open(context))?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.open(context))?.poll_write_vectored(context, slices)
    }

    /// TCP does, and so does TLS: it gathers them in its records.
    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// A handshake under way.
pub struct Handshake {
    accepting: Pin<Box<Timeout<Accept<TcpStream>>>>,
    listener: &'static str,
    /// `None`: the other end was gone already.
    peer: Option<SocketAddr>,
}

impl Handshake {
    fn new(stream: TcpStream, tls: &Tls) -> Self {
        let peer = stream.peer_addr().ok();
        let accept = TlsAcceptor::from(tls.handshakes.load_full()).accept(stream);
        Self { accepting: Box::pin(tokio::time::timeout(HANDSHAKE, accept)), listener: tls.listener, peer }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TlsStream<TcpStream>>> {
        let ended = ready!(self.accepting.as_mut().poll(context));
        let late =
            || io::Error::new(io::ErrorKind::TimedOut, format!("no TLS handshake within {HANDSHAKE:?}"));
        let opened = ended.unwrap_or_else(|_| Err(late()));
        if let Err(error) = &opened {
            let peer = self.peer.map(tracing::field::display);
            tracing::debug!(listener = self.listener, peer, %error, "a TLS handshake has failed");
        }
        Poll::Ready(opened)
    }
}
