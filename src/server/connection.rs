//! One connection: HTTP/2 until the other end goes, or is told to.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::Settings;
use super::listener::Socket;
use super::tls::Stream;
use crate::grpc::{Decide, Wire};

/// What all connections of a worker have in common.
pub(super) struct Connections<D> {
    wire: Arc<Wire<D>>,
    http: http2::Builder<Local>,
    draining: watch::Receiver<bool>,
    /// How long one is used, and how long it has then for what is under way.
    age: Duration,
    grace: Duration,
}

impl<D: Decide> Connections<D> {
    pub(super) fn new(wire: Arc<Wire<D>>, settings: &Settings, draining: watch::Receiver<bool>) -> Self {
        let mut http = http2::Builder::new(Local);
        http.timer(TokioTimer::new())
            .auto_date_header(false)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(settings.streams)
            // Envoy resets what it no longer waits for: after a stall of ours, all of it at once.
            // With h2's 20 we would then close the connection and fail the calls that came after.
            .max_pending_accept_reset_streams(STALL * settings.streams as usize)
            .max_header_list_size(settings.header_bytes)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        Self { wire, http, draining, age: settings.connection_age, grace: GRACE }
    }

    /// Serves to the end. A handshake of TLS is the connection's own business, on the worker's thread.
    pub(super) async fn serve(&self, socket: Socket) {
        let ended = match socket {
            Socket::Tcp(stream, tls) => match TcpStream::from_std(stream) {
                Ok(stream) => self.http(Stream::new(stream, tls.as_ref())).await,
                Err(error) => Err(error.into()),
            },
            Socket::Unix(stream) => match UnixStream::from_std(stream) {
                Ok(stream) => self.http(stream).await,
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }

    async fn http<S>(&self, stream: S) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let mut draining = self.draining.clone();
        let wire = Rc::new(self.wire.clone());
        let service = service_fn(move |call| Wire::answer(wire.clone(), call));
        let connection = self.http.serve_connection(TokioIo::new(Greeted::new(stream, GREETING)), service);
        tokio::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            // An error says that `serve` was dropped: no reason to be less polite.
            _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
            () = tokio::time::sleep(around(self.age)) => {
                connection.as_mut().graceful_shutdown();
                let ended = tokio::time::timeout(self.grace, connection.as_mut()).await;
                return Ok(ended.map_err(|_| "it was old, and calls on it did not end")??);
            }
        }
        Ok(connection.await?)
    }
}

/// Give or take a tenth, so that those who came at once do not all go at once.
fn around(age: Duration) -> Duration {
    let mut random = [0];
    // Without randomness they do, which is no harm.
    let _ = getrandom::fill(&mut random);
    age * 9 / 10 + age / 5 * random[0].into() / 255
}

/// For what is under way on a connection that is old, though a check takes no time.
const GRACE: Duration = Duration::from_secs(30);
/// A check of 1 MiB can be sent without waiting for us; Envoy's are mostly one or two KiB.
const STREAM_WINDOW: u32 = 1 << 20;
/// Sixteen such checks at once.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How often Envoy may have filled a connection with calls and given them up while we stalled: with
/// its 200 ms, three seconds.
const STALL: usize = 16;
/// After this silence we ask whether anybody is there, and wait so long for the answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the accepted connection to the client's preface, a handshake included.
const GREETING: Duration = Duration::from_secs(5);
/// The preface: 24 fixed bytes and a SETTINGS frame of at least nine (RFC 9113 section 3.4).
const PREFACE: usize = 33;

/// Runs a connection's calls on the thread of its worker.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// A stream that fails where its client does not send the preface soon: hyper itself waits for ever.
struct Greeted<S> {
    stream: S,
    /// `None` once the client has greeted.
    waiting: Option<Pin<Box<Sleep>>>,
    missing: usize,
}

impl<S> Greeted<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, waiting: Some(Box::pin(tokio::time::sleep(patience))), missing: PREFACE }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(waiting) = &mut self.waiting else {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        };
        if waiting.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 preface came")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.missing = self.missing.saturating_sub(buffer.filled().len() - before);
        if self.missing == 0 {
            self.waiting = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// So that h2 gathers answers in its buffer (`grpc/reply.rs` has why).
    fn is_write_vectored(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::cell::Cell;

    use bytes::Bytes;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt as _, Full};
    use smallvec::smallvec;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::task::{JoinSet, LocalSet};

    use super::*;
    use crate::check::{Decision, Metadata, Outcome};
    use crate::domain::denial::Denial;
    use crate::domain::headers::Mutations;
    use crate::domain::request;
    use crate::domain::traced::Traced;
    use crate::grpc::ask::CHECK;
    use crate::grpc::{Health, Limits};

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn who_does_not_greet_is_cut_off() {
        let (mut client, server) = tokio::io::duplex(100);
        client.write_all(&[0; PREFACE - 1]).await.unwrap();
        let error = Greeted::new(server, SHORT).read_exact(&mut [0; PREFACE]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_greeted_may_be_silent() {
        let (mut client, server) = tokio::io::duplex(100);
        client.write_all(&[0; PREFACE]).await.unwrap();
        let mut greeted = Greeted::new(server, SHORT);
        greeted.read_exact(&mut [0; PREFACE]).await.unwrap();
        let read = tokio::time::timeout(2 * SHORT, greeted.read_u8()).await;
        assert!(read.is_err(), "{read:?}");
    }

    #[test]
    fn a_connection_lives_as_long_as_it_may_give_or_take_a_tenth() {
        let hour = Duration::from_secs(3600);
        let lives: Vec<_> = (0..100).map(|_| around(hour)).collect();
        assert!(lives.iter().all(|life| (hour * 9 / 10..=hour * 11 / 10).contains(life)), "{lives:?}");
        assert!(lives.iter().any(|life| *life < hour) && lives.iter().any(|life| *life > hour));
    }

    /// A body of which nothing comes.
    struct Silent;

    impl http_body::Body for Silent {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
            Poll::Pending
        }
    }

    #[test]
    fn an_old_connection_ends_though_a_call_on_it_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (here, there) = tokio::io::duplex(1 << 20);
            let wire = Arc::new(Wire::new(Long(1), Limits::default(), Health::default()));
            let (_drain, draining) = watch::channel(false);
            let settings = Settings { connection_age: 10 * SHORT, ..Settings::default() };
            let connections =
                Connections { grace: 10 * SHORT, ..Connections::new(wire, &settings, draining) };
            let served = tokio::task::spawn_local(async move { connections.http(there).await });
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(Local, TokioIo::new(here)).await.unwrap();
            tokio::task::spawn_local(connection);
            let call = Request::post(format!("http://doorward{CHECK}"))
                .header("content-type", "application/grpc")
                .body(Silent)
                .unwrap();
            let began = tokio::time::Instant::now();
            let answer = tokio::task::spawn_local(async move { sender.send_request(call).await.map(drop) });
            let ended = served.await.unwrap().unwrap_err().to_string();
            assert!(ended.contains("it was old"), "{ended}");
            assert!(began.elapsed() >= 18 * SHORT, "{:?}", began.elapsed());
            answer.await.unwrap().unwrap_err();
        });
    }

    /// Allows, with a header of so many bytes.
    struct Long(usize);

    impl Decide for Long {
        fn check<T>(&self, _: &request::Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
            let value = "x".repeat(self.0);
            let set = smallvec![("x-long", value.into())];
            let outcome = Outcome::Allow(Mutations { set, ..Mutations::default() });
            render(&Decision { outcome, metadata: Metadata::default(), request_id: "", grpc: false })
        }

        fn refuse<T>(&self, _: Denial, _: Option<&Traced>, _: impl FnOnce(&Decision<'_>) -> T) -> T {
            unreachable!("every check can be read")
        }
    }

    /// A stream that counts how often it is written to, as a socket would ask the kernel.
    struct Counted(DuplexStream, Rc<Cell<usize>>);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.set(self.1.get() + 1);
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.1.set(self.1.get() + 1);
            Pin::new(&mut self.0).poll_write_vectored(context, slices)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }
    }

    /// Ten checks at once, answered with a header of `long` bytes: how often the server wrote for them.
    fn writes(long: usize) -> usize {
        const AT_ONCE: usize = 10;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (here, there) = tokio::io::duplex(1 << 20);
            let count = Rc::new(Cell::new(0));
            let wire = Arc::new(Wire::new(Long(long), Limits::default(), Health::default()));
            let (_drain, draining) = watch::channel(false);
            let connections = Connections::new(wire, &Settings::default(), draining);
            let stream = Counted(there, count.clone());
            tokio::task::spawn_local(async move { connections.http(stream).await.map_err(drop) });
            let (sender, connection) =
                hyper::client::conn::http2::handshake(Local, TokioIo::new(here)).await.unwrap();
            tokio::task::spawn_local(connection);
            let ask = |mut sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>| async move {
                let call = Request::post(format!("http://doorward{CHECK}"))
                    .header("content-type", "application/grpc")
                    .body(Full::from(&b"\0\0\0\0\x0b\x0a\x09\x22\x07\x12\x05\x12\x01G\x22\0"[..]))
                    .unwrap();
                sender.ready().await.unwrap();
                let response = sender.send_request(call).await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
                let answer = response.into_body().collect().await.unwrap();
                assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
                let answer = answer.to_bytes();
                assert!(answer.windows(long).any(|part| part.iter().all(|byte| *byte == b'x')), "{answer:?}");
            };
            // Both ends have greeted.
            ask(sender.clone()).await;
            let before = count.get();
            let mut asking = JoinSet::new();
            for _ in 0..AT_ONCE {
                asking.spawn_local(ask(sender.clone()));
            }
            while let Some(asked) = asking.join_next().await {
                asked.unwrap();
            }
            count.get() - before
        })
    }

    #[test]
    fn answers_to_what_came_at_once_leave_at_once() {
        assert_eq!(writes(1), 1);
        assert_eq!(writes(700), 1, "as long as an answer that tells the upstream who called");
    }

    #[test]
    fn an_answer_of_several_frames_is_whole() {
        // The buffer holds 16 KiB.
        assert!(writes(5000) <= 5);
    }
}
