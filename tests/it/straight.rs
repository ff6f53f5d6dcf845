//! Asked without an Envoy between: what no proxy sends, or only some do. Gotchas 1 and 2.

use std::collections::HashMap;

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Asked};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use tonic::transport::Channel;

use crate::rig::doorward::Doorward;
use crate::world::{ALICE, HOUSE, start_doorward};

async fn client(doorward: &Doorward) -> AuthorizationClient<Channel> {
    AuthorizationClient::connect(format!("http://{}", doorward.grpc())).await.unwrap()
}

async fn ask(client: &mut AuthorizationClient<Channel>, request: CheckRequest) -> CheckResponse {
    client.check(request).await.expect("an answer, never an RPC error").into_inner()
}

fn about(http: Option<HttpRequest>) -> CheckRequest {
    let request = Asked { http, ..Asked::default() };
    CheckRequest {
        attributes: Some(AttributeContext { request: Some(request), ..AttributeContext::default() }),
    }
}

fn http(path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: "api.example".to_owned(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<HashMap<_, _>>(),
        ..HttpRequest::default()
    }
}

/// The HTTP status of a denial; a denial without a code other than 0 would be an allow to Envoy.
#[track_caller]
fn denied(response: &CheckResponse) -> i32 {
    assert_ne!(response.status.as_ref().expect("a status, always").code, 0, "{response:?}");
    match &response.http_response {
        Some(HttpResponse::DeniedResponse(denied)) => denied.status.as_ref().expect("an HTTP status").code,
        other => panic!("no plain denial: {other:?}"),
    }
}

#[tokio::test]
async fn r15_what_holds_no_http_request_is_denied() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let mut client = client(&doorward).await;
    for (case, request) in [
        ("zero bytes", CheckRequest::default()),
        ("no request", CheckRequest { attributes: Some(AttributeContext::default()) }),
        ("no HTTP part, as TCP filters ask", about(None)),
        ("an empty HTTP part", about(Some(HttpRequest::default()))),
        ("an empty path", about(Some(http("", &[("apikey", ALICE)])))),
        ("no leading slash", about(Some(http("orders", &[("apikey", ALICE)])))),
        ("absolute form", about(Some(http("http://api.example/orders", &[("apikey", ALICE)])))),
        ("a fragment", about(Some(http("/orders#x", &[("apikey", ALICE)])))),
        ("beyond ASCII", about(Some(http("/orders/é", &[("apikey", ALICE)])))),
    ] {
        assert_eq!(denied(&ask(&mut client, request).await), 400, "{case}");
    }
}

#[tokio::test]
async fn r4_every_allow_overwrites_and_sets_apart_from_what_it_removes() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let mut client = client(&doorward).await;
    let headers =
        [("apikey", ALICE), ("x-consumer-id", "evil"), ("x_consumer_id", "evil"), ("x.roles", "evil")];
    for path in ["/orders", "/guests", "/public"] {
        let response = ask(&mut client, about(Some(http(path, &headers)))).await;
        assert_eq!(response.status.expect("a status, always").code, 0, "{path}");
        let Some(HttpResponse::OkResponse(ok)) = response.http_response else {
            panic!("{path}: no ok_response")
        };
        let removed: Vec<String> = ok.headers_to_remove.iter().map(|name| name.to_lowercase()).collect();
        for option in &ok.headers {
            // Envoy 1.37.0 heeds the action, others the flag: both have to say "overwrite".
            #[allow(deprecated, reason = "the flag that Envoy 1.40 reads")]
            let append = option.append;
            assert_eq!(append.as_ref().map(|flag| flag.value), Some(false), "{path}: {option:?}");
            assert_eq!(option.append_action, 2, "{path}: {option:?}");
            let header = option.header.as_ref().expect("a header");
            // `raw_value` is ignored by Envoy in answers.
            assert!(!header.value.is_empty() && header.raw_value.is_empty(), "{path}: {option:?}");
            assert!(header.value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{path}: {option:?}");
            // Envoy removes after it sets, agentgateway before.
            assert!(
                !removed.contains(&header.key.to_lowercase()),
                "{path}: {} is set and removed",
                header.key
            );
        }
        for name in ["x_consumer_id", "x.roles"] {
            assert!(removed.contains(&name.to_owned()), "{path}: {name} stays");
        }
    }
}

#[tokio::test]
async fn a_denial_carries_an_explicit_status_and_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let mut client = client(&doorward).await;
    for (path, headers, status) in [
        ("/orders", vec![], 401),
        ("/orders", vec![("apikey", "wrong-0123456789-abcdef")], 401),
        ("/nowhere", vec![], 404),
        ("/orders/../x", vec![], 400),
    ] {
        let response = ask(&mut client, about(Some(http(path, &headers)))).await;
        assert_eq!(denied(&response), status, "{path}");
    }
}

/// `security-rules.md` 3.2 A1.
#[tokio::test]
async fn a1_bytes_that_are_no_check_are_a_plain_denial() {
    // An RPC error would be an allow behind an Envoy that fails open.
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", doorward.grpc())).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\x22", b"hello"] {
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
        let request = tonic::Request::new(bytes::Bytes::copy_from_slice(bytes));
        let answer = grpc.unary(request, path, verbatim::Codec).await.expect("an answer, never an RPC error");
        let response = <CheckResponse as prost::Message>::decode(answer.into_inner()).unwrap();
        assert_eq!(denied(&response), 400, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_unix_socket_answers_as_a_port_does() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("check.sock");
    let config = HOUSE.replacen("127.0.0.1:0", &format!("unix:{}", socket.display()), 1);
    let _doorward = start_doorward(folder.path(), &config);
    // The name is not looked up: the connector has the path.
    let endpoint = tonic::transport::Endpoint::from_static("http://doorward");
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    let mut client = AuthorizationClient::new(endpoint.connect_with_connector(connector).await.unwrap());
    let response = ask(&mut client, about(Some(http("/orders", &[("apikey", ALICE)])))).await;
    assert_eq!(response.status.expect("a status, always").code, 0);
    assert_eq!(denied(&ask(&mut client, about(Some(http("/orders", &[])))).await), 401);
}

/// Messages as the bytes they are.
mod verbatim {
    use bytes::{Buf, BufMut, Bytes};
    use tonic::Status;
    use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};

    #[derive(Default)]
    pub(super) struct Codec;

    impl tonic::codec::Codec for Codec {
        type Encode = Bytes;
        type Decode = Bytes;
        type Encoder = Self;
        type Decoder = Self;
        fn encoder(&mut self) -> Self {
            Self
        }
        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for Codec {
        type Item = Bytes;
        type Error = Status;
        fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            buffer.put(item);
            Ok(())
        }
    }

    impl Decoder for Codec {
        type Item = Bytes;
        type Error = Status;
        fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
            Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
        }
    }
}
