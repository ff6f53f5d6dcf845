//! The connections of the HTTP listeners: whoever reaches the port may open them, so they are few and
//! short. What they hold, descriptors above all, checks need too.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::tls::{Stream, Tls};
use crate::http::Peer;

/// Accepts so many connections at once, each for so long; one more is closed at once.
pub struct Guests {
    listener: TcpListener,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    stay: Duration,
}

/// Of the status and the admin listener: probes and scrapers are a handful.
const PLACES: usize = 64;
/// Several times what a probe or a scrape takes; who keeps a connection open opens another.
const STAY: Duration = Duration::from_secs(15);
/// With every key that a connection to the admin listener has shown, and every whole request to the
/// auth listener: longer than any call takes.
const STAY_OF_KNOWN: Duration = Duration::from_secs(120);
/// After an `accept` that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

impl Guests {
    /// With TLS where there is some.
    pub fn new(listener: TcpListener, tls: Option<Tls>) -> Self {
        Self { listener, tls, places: Arc::new(Semaphore::new(PLACES)), stay: STAY }
    }

    /// So many of them at once.
    #[must_use]
    pub fn at_most(self, places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), ..self }
    }
}

impl axum::serve::Listener for Guests {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                        let leaves = Box::pin(tokio::time::sleep(self.stay));
                        let stream = Stream::new(stream, self.tls.as_ref());
                        let peer = Peer { address: address.ip(), admitted: Arc::default() };
                        let stay = STAY_OF_KNOWN;
                        return (Guest { stream, leaves, stay, peer, _place: place }, address);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection to an HTTP listener failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Guests>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Guests>) -> Self {
        stream.io().peer.clone()
    }
}

/// A connection that ends when its time is over, unless it has shown a key meanwhile.
pub struct Guest {
    stream: Stream,
    leaves: Pin<Box<Sleep>>,
    stay: Duration,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

impl Guest {
    fn is_late(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.leaves.as_mut().poll(context).is_ready() {
            if !self.peer.admitted.swap(false, Ordering::Relaxed) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.leaves = Box::pin(tokio::time::sleep(self.stay));
        }
        Poll::Pending
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.is_late(context) {
            Poll::Ready(late) => Poll::Ready(late),
            Poll::Pending => Pin::new(&mut self.stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.is_late(context) {
            Poll::Ready(late) => Poll::Ready(late.map(|()| 0)),
            Poll::Pending => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn asked(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        // A connection that is closed at once may be gone before we have written.
        if stream.write_all(request).await.is_ok() {
            let _ = stream.read_to_string(&mut answer).await;
        }
        answer
    }

    #[tokio::test]
    async fn silent_guests_leave_and_are_never_too_many() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stay = Duration::from_millis(300);
        let guests = Guests { listener, tls: None, places: Arc::new(Semaphore::new(2)), stay };
        let router = Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(axum::serve(guests, router).into_future());

        assert!(asked(address).await.ends_with("here"));
        // Until the place of the one before is free again.
        tokio::time::sleep(stay).await;
        let mut silent =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        assert_eq!(asked(address).await, "", "a third is not let in");
        for guest in &mut silent {
            assert_eq!(guest.read(&mut [0]).await.unwrap_or(0), 0, "sent away");
        }
        assert!(asked(address).await.ends_with("here"), "there is room again");
        server.abort();
    }
}
