//! Checks as an Envoy sends them, without one: any bytes at any pace, and what is read in the answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, address};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as Part};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use envoy_types::pb::google::protobuf::value::Kind;
use http::Request;
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpStream;

/// A call that is to be made.
#[derive(Clone, Default)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// What its route says: service and infrastructure.
    pub(crate) route: Option<(&'static str, &'static str)>,
    /// `grpc-timeout`.
    pub(crate) timeout: Option<&'static str>,
    /// Whether its message is never sent whole.
    pub(crate) breaks_off: bool,
}

impl Call {
    pub(crate) fn get(host: &str, path: &str) -> Self {
        Self { method: "GET", host: host.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn frame(&self) -> Bytes {
        let http = HttpRequest {
            method: self.method.to_owned(),
            path: self.path.clone(),
            host: self.host.clone(),
            headers: self.headers.iter().cloned().collect(),
            ..HttpRequest::default()
        };
        let socket = SocketAddress { address: "198.51.100.7".to_owned(), ..SocketAddress::default() };
        let address = Address { address: Some(address::Address::SocketAddress(socket)) };
        let route = self
            .route
            .into_iter()
            .flat_map(|(service, infrastructure)| [("service", service), ("infrastructure", infrastructure)]);
        let attributes = AttributeContext {
            source: Some(Peer { address: Some(address), ..Peer::default() }),
            request: Some(Part { http: Some(http), time: None }),
            context_extensions: route.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            ..AttributeContext::default()
        };
        let message = CheckRequest { attributes: Some(attributes) }.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let mut frame = [&[0], &length[..], &message].concat();
        if self.breaks_off {
            frame.truncate(frame.len() - 1);
        }
        frame.into()
    }
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 200 where the request goes on.
    pub(crate) status: u16,
    /// Of the body.
    pub(crate) code: Option<String>,
    /// Whether it is an `error_response`.
    pub(crate) is_error: bool,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Answer {
    fn read(mut frame: Bytes) -> Self {
        frame.advance(5);
        let response = CheckResponse::decode(frame).unwrap();
        let allows = response.status.expect("a status, always").code == 0;
        let metadata = response.dynamic_metadata.unwrap_or_default().fields.into_iter();
        let metadata = metadata.filter_map(|(name, value)| match value.kind {
            Some(Kind::StringValue(text)) => Some((name, text)),
            _ => None,
        });
        let metadata = metadata.collect();
        let (refused, is_error) = match response.http_response.expect("an HTTP part, always") {
            HttpResponse::OkResponse(_) => {
                assert!(allows);
                return Self { status: 200, code: None, is_error: false, metadata };
            }
            HttpResponse::DeniedResponse(refused) => (refused, false),
            HttpResponse::ErrorResponse(refused) => (refused, true),
        };
        assert!(!allows, "{refused:?}");
        let body: Value = serde_json::from_str(&refused.body).unwrap();
        let status = u16::try_from(refused.status.expect("an HTTP status").code).unwrap();
        Self { status, code: body["code"].as_str().map(str::to_owned), is_error, metadata }
    }
}

/// A connection as one of an Envoy's workers has it.
pub(crate) struct Line(SendRequest<Message>);

impl Line {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (line, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self(line)
    }

    pub(crate) async fn ask(&self, call: &Call) -> Answer {
        let mut line = self.0.clone();
        line.ready().await.unwrap();
        let request = Request::post("http://doorward/envoy.service.auth.v3.Authorization/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = match call.timeout {
            Some(timeout) => request.header("grpc-timeout", timeout),
            None => request,
        };
        let message = Message { bytes: Some(call.frame()), ends: !call.breaks_off };
        let response = line.send_request(request.body(message).unwrap()).await;
        let collected = response.expect("an answer, never an RPC error").into_body().collect().await.unwrap();
        Answer::read(collected.to_bytes())
    }

    /// All at once; answers in the order of the calls.
    pub(crate) async fn ask_all(&self, calls: &[Call]) -> Vec<Answer> {
        let mut asked = tokio::task::JoinSet::new();
        for (at, call) in calls.iter().cloned().enumerate() {
            let line = Self(self.0.clone());
            asked.spawn(async move { (at, line.ask(&call).await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

/// The message of a call.
struct Message {
    bytes: Option<Bytes>,
    ends: bool,
}

impl http_body::Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.bytes.take(), self.ends) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, true) => Poll::Ready(None),
            // Whoever waits for the rest waits in vain.
            (None, false) => Poll::Pending,
        }
    }
}
