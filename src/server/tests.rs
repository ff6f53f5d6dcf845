//! The wire as an asker sees it: a server on port 0, tonic's client and hyper's.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Part};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use smallvec::smallvec;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::*;
use crate::check::{Decision, Metadata, Outcome};
use crate::domain::denial::Denial;
use crate::domain::headers::Mutations;
use crate::domain::request;
use crate::domain::traced::Traced;
use crate::grpc::{AUTHORIZATION, Health, Limits};

/// Decides by path, so that a test says in its request what shall happen.
struct ByPath;

impl Decide for ByPath {
    fn check<T>(&self, request: &request::Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        match request.target {
            b"/panic" => panic!("asked for"),
            b"/stall" => std::thread::sleep(Duration::from_millis(300)),
            _ => {}
        }
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let set = smallvec![("x-thread", thread.into())];
        decided(Outcome::Allow(Mutations { set, ..Mutations::default() }), render)
    }

    fn refuse<T>(&self, denial: Denial, _: Option<&Traced>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        decided(Outcome::Deny(denial.notice(), smallvec![]), render)
    }
}

fn decided<T>(outcome: Outcome<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
    render(&Decision { outcome, metadata: Metadata::default(), request_id: "", grpc: false })
}

struct Server {
    address: SocketAddr,
    health: Health,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
}

fn settings() -> Settings {
    Settings { workers: 2, drain_delay: Duration::ZERO, ..Settings::default() }
}

async fn start() -> Server {
    start_with(Limits::default(), settings(), ByPath).await
}

async fn start_with(limits: Limits, settings: Settings, decide: impl Decide) -> Server {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.address().unwrap();
    let health = Health::default();
    let wire = Arc::new(Wire::new(decide, limits, health.clone()));
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { _ = stopped.await };
    let served = tokio::spawn(serve(vec![listener], wire, settings, shutdown));
    Server { address, health, stop, served }
}

impl Server {
    async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn check(&self, path: &str) -> CheckResponse {
        ask(self.channel().await, path).await
    }

    /// A bare HTTP/2 connection.
    async fn raw(&self) -> SendRequest<Feed> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn message(path: &str) -> CheckRequest {
    let http = HttpRequest { method: "GET".into(), path: path.into(), ..HttpRequest::default() };
    let request = Some(Part { http: Some(http), time: None });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }
}

async fn ask(channel: Channel, path: &str) -> CheckResponse {
    AuthorizationClient::new(channel).check(message(path)).await.expect("never an RPC error").into_inner()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length[..], message].concat()
}

/// A request's body that is fed from outside and ends when its sender is dropped.
struct Feed(mpsc::UnboundedReceiver<Bytes>);

fn feed() -> (mpsc::UnboundedSender<Bytes>, Feed) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Feed(receiver))
}

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

fn call(body: Feed) -> Request<Feed> {
    Request::post("http://doorward/envoy.service.auth.v3.Authorization/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

/// A whole call of these bytes, in one frame.
async fn post(server: &Server, bytes: &[u8]) -> (HeaderMap, Bytes, HeaderMap) {
    let (sender, body) = feed();
    sender.send(Bytes::copy_from_slice(bytes)).unwrap();
    drop(sender);
    answer(server.raw().await.send_request(call(body)).await.unwrap()).await
}

async fn answer(response: http::Response<hyper::body::Incoming>) -> (HeaderMap, Bytes, HeaderMap) {
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    (headers, body.to_bytes(), trailers)
}

/// The code of a plain denial, or `allow`.
fn code(response: CheckResponse) -> String {
    let status = response.status.expect("a status").code;
    match response.http_response.expect("a response") {
        HttpResponse::OkResponse(_) if status == 0 => "allow".into(),
        HttpResponse::DeniedResponse(denied) if status != 0 => {
            let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
            body["code"].as_str().unwrap().into()
        }
        other => panic!("status {status} with {other:?}"),
    }
}

/// The code in a call's whole answer, whose RPC succeeded.
#[track_caller]
fn succeeded((headers, body, trailers): (HeaderMap, Bytes, HeaderMap)) -> String {
    assert_eq!(headers["content-type"], "application/grpc");
    assert!(!headers.contains_key("date") && !headers.contains_key("grpc-status"));
    assert_eq!(trailers["grpc-status"], "0");
    code(CheckResponse::decode(&body[5..]).unwrap())
}

#[tokio::test]
async fn a_check_is_answered_over_tcp_and_unix_sockets() {
    assert_eq!(code(start().await.check("/").await), "allow");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.sock");
    let listener = Listener::unix(&path, 0o600).await.unwrap();
    let wire = Arc::new(Wire::new(ByPath, Limits::default(), Health::default()));
    tokio::spawn(serve(vec![listener], wire, settings(), std::future::pending()));
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://unused").connect_with_connector(connector).await.unwrap();
    assert_eq!(code(ask(channel, "/").await), "allow");
}

#[tokio::test]
async fn a_check_in_single_bytes_is_answered() {
    let server = start().await;
    let (sender, body) = feed();
    for byte in framed(&message("/").encode_to_vec()) {
        sender.send(Bytes::copy_from_slice(&[byte])).unwrap();
    }
    drop(sender);
    let response = server.raw().await.send_request(call(body)).await.unwrap();
    assert_eq!(succeeded(answer(response).await), "allow");
}

#[tokio::test]
async fn a_check_of_five_mebibytes_is_answered() {
    let server = start().await;
    let mut large = message("/");
    let http = large.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap();
    http.raw_body = vec![b'x'; 5 << 20];
    assert_eq!(succeeded(post(&server, &framed(&large.encode_to_vec())).await), "allow");
}

#[tokio::test]
async fn a_check_too_large_is_denied_in_a_call_that_succeeds() {
    let limits = Limits { check_bytes: 1000, ..Limits::default() };
    let server = start_with(limits, settings(), ByPath).await;
    assert_eq!(succeeded(post(&server, &framed(&vec![0; 3 << 20])).await), "check_too_large");
    assert_eq!(code(server.check(&"/".repeat(5000)).await), "check_too_large");
}

#[tokio::test]
async fn garbage_is_denied_in_a_call_that_succeeds() {
    let server = start().await;
    let honest = framed(&message("/").encode_to_vec());
    for garbage in [
        &b""[..],
        b"\0\0",
        b"\0\0\0\0\0",
        b"\0\0\0\0\x05ab",
        b"\x07\0\0\0\x01a",
        &framed(b"\xff\xff\xff"),
        &[&honest[..], &honest[..]].concat(),
    ] {
        assert_eq!(succeeded(post(&server, garbage).await), "malformed_request", "{garbage:?}");
    }
}

/// An Envoy may be told to copy them into the call (`initial_metadata`).
#[tokio::test]
async fn all_that_a_client_may_send_in_headers_fits_beside_a_check() {
    let server = start().await;
    let (sender, body) = feed();
    sender.send(framed(&message("/").encode_to_vec()).into()).unwrap();
    drop(sender);
    let mut call = call(body);
    call.headers_mut().insert("x-path", "x".repeat(60 << 10).parse().unwrap());
    let response = server.raw().await.send_request(call).await.unwrap();
    assert_eq!(succeeded(answer(response).await), "allow");
}

#[tokio::test]
async fn a_compressed_check_is_unimplemented_and_told_what_is_read() {
    let (headers, body, _) = post(&start().await, b"\x01\0\0\0\x01a").await;
    assert_eq!(headers["grpc-status"], "12");
    assert_eq!(headers["grpc-accept-encoding"], "identity");
    assert!(body.is_empty());
}

#[tokio::test]
async fn what_is_not_grpc_is_refused_as_such() {
    let (sender, body) = feed();
    drop(sender);
    let mut call = call(body);
    call.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let response = start().await.raw().await.send_request(call).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_check_that_does_not_come_in_time_is_denied() {
    let server = start().await;
    let (sender, body) = feed();
    sender.send(Bytes::from_static(b"\0\0\0\0\x09abc")).unwrap();
    let mut call = call(body);
    call.headers_mut().insert("grpc-timeout", "30m".parse().unwrap());
    let response = server.raw().await.send_request(call).await.unwrap();
    assert_eq!(succeeded(answer(response).await), "deadline");
}

#[tokio::test]
async fn a_refusal_does_not_wait_longer_than_the_deadline() {
    let limits = Limits { check_bytes: 10, arrival: Duration::from_millis(500), ..Limits::default() };
    let server = start_with(limits, settings(), ByPath).await;
    let (sender, body) = feed();
    sender.send(Bytes::from_static(b"\0\0\0\xff\xff never ends")).unwrap();
    let response = server.raw().await.send_request(call(body)).await.unwrap();
    assert_eq!(succeeded(answer(response).await), "check_too_large");
    drop(sender);
}

#[tokio::test]
async fn a_panic_is_one_denied_check() {
    let server = start().await;
    let channel = server.channel().await;
    assert_eq!(code(ask(channel.clone(), "/panic").await), "internal");
    assert_eq!(code(ask(channel, "/").await), "allow");
}

#[tokio::test]
async fn a_panic_while_refusing_is_denied_too() {
    struct Hopeless;
    impl Decide for Hopeless {
        fn check<T>(&self, _: &request::Request<'_>, _: impl FnOnce(&Decision<'_>) -> T) -> T {
            panic!("asked for")
        }
        fn refuse<T>(&self, _: Denial, _: Option<&Traced>, _: impl FnOnce(&Decision<'_>) -> T) -> T {
            panic!("asked for")
        }
    }
    let server = start_with(Limits::default(), settings(), Hopeless).await;
    assert_eq!(code(server.check("/").await), "internal");
}

/// What was sent on this connection has come in: once for the client's tasks, once for the wire.
async fn settled(raw: &mut SendRequest<Feed>) {
    for _ in 0..2 {
        let (sender, body) = feed();
        drop(sender);
        let mut call = call(body);
        *call.uri_mut() = "http://doorward/unknown".parse().unwrap();
        raw.send_request(call).await.unwrap();
    }
}

/// With one call under way that does not end, the next is `overloaded`, and no longer afterwards.
async fn sheds(limits: Limits) {
    let server = start_with(limits, settings(), ByPath).await;
    let (sender, body) = feed();
    let honest = framed(&message("/").encode_to_vec());
    let (first, rest) = honest.split_at(honest.len() - 1);
    sender.send(Bytes::copy_from_slice(first)).unwrap();
    let mut raw = server.raw().await;
    let under_way = tokio::spawn(raw.send_request(call(body)));
    settled(&mut raw).await;
    let channel = server.channel().await;
    assert_eq!(code(ask(channel.clone(), "/").await), "overloaded");
    sender.send(Bytes::copy_from_slice(rest)).unwrap();
    drop(sender);
    assert_eq!(succeeded(answer(under_way.await.unwrap().unwrap()).await), "allow");
    assert_eq!(code(ask(channel, "/").await), "allow");
}

#[tokio::test]
async fn more_checks_than_may_be_are_overloaded() {
    sheds(Limits { checks_in_flight: 1, ..Limits::default() }).await;
}

#[tokio::test]
async fn more_bytes_than_may_be_are_overloaded() {
    let one = message("/").encoded_len();
    sheds(Limits { bytes_in_flight: one + one / 2, ..Limits::default() }).await;
}

async fn health(server: &Server, name: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: name.into() };
    let answer = HealthClient::new(server.channel().await).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

#[tokio::test]
async fn health_knows_two_names() {
    let server = start().await;
    assert_eq!(health(&server, "").await, Ok(ServingStatus::Serving));
    assert_eq!(health(&server, AUTHORIZATION).await, Ok(ServingStatus::NotServing));
    assert_eq!(health(&server, "envoy.service.auth.v2.Authorization").await, Err(Code::NotFound));
    server.health.set_ready(true);
    assert_eq!(health(&server, AUTHORIZATION).await, Ok(ServingStatus::Serving));
    server.health.shutdown();
    server.health.set_ready(true);
    assert_eq!(health(&server, AUTHORIZATION).await, Ok(ServingStatus::NotServing));
    assert_eq!(health(&server, "").await, Ok(ServingStatus::NotServing));
}

#[tokio::test]
async fn who_watches_health_sees_every_turn_and_the_end() {
    let server = start().await;
    let request = HealthCheckRequest { service: AUTHORIZATION.into() };
    let mut client = HealthClient::new(server.channel().await);
    let mut watch = client.watch(request).await.unwrap().into_inner();
    let mut next = async || watch.message().await.unwrap().map(|answer| answer.status());
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    server.health.set_ready(true);
    assert_eq!(next().await, Some(ServingStatus::Serving));
    server.stop.send(()).unwrap();
    let mut last = next().await;
    while last == Some(ServingStatus::NotServing) {
        last = next().await;
    }
    assert_eq!(last, None, "or the connection could not close");
    server.served.await.unwrap().unwrap();
}

/// The names that reflection lists, or the code of its refusal.
async fn reflected(wire: Wire<ByPath>) -> Result<Vec<String>, Code> {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.address().unwrap())).unwrap();
    tokio::spawn(serve(vec![listener], Arc::new(wire), settings(), std::future::pending()));
    let question = tonic_reflection::pb::v1::ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        host: String::new(),
    };
    let mut client = ServerReflectionClient::new(endpoint.connect().await.unwrap());
    let questions = tonic::codegen::tokio_stream::iter([question]);
    let mut answers =
        client.server_reflection_info(questions).await.map_err(|status| status.code())?.into_inner();
    match answers.message().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn reflection_names_the_services_and_only_when_asked() {
    let wire = || Wire::new(ByPath, Limits::default(), Health::default());
    assert_eq!(reflected(wire()).await, Err(Code::Unimplemented));
    let mut names = reflected(wire().with_reflection()).await.unwrap();
    names.sort();
    assert_eq!(names, [AUTHORIZATION, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
}

#[tokio::test]
async fn unknown_methods_are_unimplemented() {
    let server = start().await;
    for path in [
        "/envoy.service.auth.v2.Authorization/Check",
        "/envoy.service.auth.v3.Authorization/check",
        "/envoy.service.auth.v3.Authorization/Check/",
        "/",
    ] {
        let (sender, body) = feed();
        drop(sender);
        let mut call = call(body);
        *call.uri_mut() = format!("http://doorward{path}").parse().unwrap();
        let (headers, ..) = answer(server.raw().await.send_request(call).await.unwrap()).await;
        assert_eq!(headers["grpc-status"], "12", "{path}");
    }
}

#[tokio::test]
async fn drain_finishes_what_is_under_way_and_takes_nothing_new() {
    let server = start().await;
    let mut raw = server.raw().await;
    let (sender, body) = feed();
    let honest = framed(&message("/").encode_to_vec());
    sender.send(Bytes::copy_from_slice(&honest[..7])).unwrap();
    let under_way = tokio::spawn(raw.send_request(call(body)));
    settled(&mut raw).await;

    server.stop.send(()).unwrap();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.served.is_finished());
    sender.send(Bytes::copy_from_slice(&honest[7..])).unwrap();
    drop(sender);
    assert_eq!(succeeded(answer(under_way.await.unwrap().unwrap()).await), "allow");
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn before_the_drain_new_connections_are_served_and_told_to_go_elsewhere() {
    let settings = Settings { drain_delay: Duration::from_millis(300), ..settings() };
    let server = start_with(Limits::default(), settings, ByPath).await;
    server.health.set_ready(true);
    let mut watch = HealthClient::new(server.channel().await);
    let mut watch = watch.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.stop.send(()).unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await;
    assert_eq!(code(ask(channel.unwrap(), "/").await), "allow");
    assert_eq!(watch.message().await.unwrap(), None);
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_drain() {
    let server = start().await;
    let channel = server.channel().await;
    ask(channel.clone(), "/").await;
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_off_at_the_drain_limit() {
    let settings = Settings { drain_limit: Duration::from_millis(50), ..settings() };
    let server = start_with(Limits::default(), settings, ByPath).await;
    let (sender, body) = feed();
    let mut raw = server.raw().await;
    let under_way = tokio::spawn(raw.send_request(call(body)));
    settled(&mut raw).await;
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap().unwrap();
    assert!(under_way.await.unwrap().is_err());
    drop(sender);
}

#[tokio::test]
async fn connections_are_dealt_to_the_worker_with_the_fewest() {
    let server = start_with(Limits::default(), Settings { workers: 3, ..settings() }, ByPath).await;
    let mut threads = HashSet::new();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let channel = server.channel().await;
        let Some(HttpResponse::OkResponse(ok)) = ask(channel.clone(), "/").await.http_response else {
            panic!("denied")
        };
        threads.insert(ok.headers[0].header.clone().unwrap().value);
        kept.push(channel);
    }
    assert_eq!(threads, ["check-0", "check-1", "check-2"].map(String::from).into());
}

#[tokio::test]
async fn open_connections_are_counted_until_they_close() {
    let settings = settings();
    let open = settings.open.clone();
    let server = start_with(Limits::default(), settings, ByPath).await;
    let kept = [server.channel().await, server.channel().await];
    for channel in &kept {
        assert_eq!(code(ask(channel.clone(), "/").await), "allow");
    }
    assert_eq!(open.load(Ordering::Relaxed), 2);
    drop(kept);
    let closed = async {
        while open.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_its_place_is_given_back() {
    let server = start_with(Limits::default(), Settings { connections: 1, ..settings() }, ByPath).await;
    let first = server.channel().await;
    assert_eq!(code(ask(first.clone(), "/").await), "allow");
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let closed = tokio::io::AsyncReadExt::read(&mut second, &mut [0]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    drop(first);
    loop {
        let Ok(channel) =
            Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await
        else {
            continue;
        };
        if AuthorizationClient::new(channel).check(message("/")).await.is_ok() {
            break;
        }
    }
}

/// Envoy's time-out during a stall of ours.
#[tokio::test]
async fn r28_calls_reset_in_bulk_do_not_cost_the_connection() {
    let server = start().await;
    let mut raw = server.raw().await;
    let whole = |path: &str| {
        let (sender, body) = feed();
        sender.send(framed(&message(path).encode_to_vec()).into()).unwrap();
        call(body)
    };
    let stalled = tokio::spawn(raw.send_request(whole("/stall")));
    tokio::task::yield_now().await;
    for _ in 0..20 {
        let given_up: Vec<_> = (0..20).map(|_| tokio::spawn(raw.send_request(whole("/")))).collect();
        tokio::task::yield_now().await;
        given_up.iter().for_each(JoinHandle::abort);
        tokio::task::yield_now().await;
    }
    let last = raw.send_request(whole("/")).await.unwrap();
    assert_eq!(succeeded(answer(last).await), "allow");
    assert_eq!(succeeded(answer(stalled.await.unwrap().unwrap()).await), "allow");
}
