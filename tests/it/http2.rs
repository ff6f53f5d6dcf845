//! Clients that speak HTTP/2: cookies in crumbs, `:scheme` and `host` as they please.

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::world::{ALICE, HOUSE, World};

async fn open(world: &World) -> SendRequest<Empty<Bytes>> {
    let stream = tokio::net::TcpStream::connect(world.envoy.listener("main")).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// The status, and the code of the denial or what the upstream saw.
async fn get(sender: &mut SendRequest<Empty<Bytes>>, uri: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = hyper::Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn over_http2_a_key_is_found_and_duplicates_are_refused_as_over_http1() {
    for raw in [false, true] {
        let world = World::with(HOUSE, |wiring| wiring.raw_headers = raw);
        let mut client = open(&world).await;
        let sid = format!("sid={ALICE}");
        let base = "http://api.example";
        for (case, path, headers, expected) in [
            ("header", "/orders", vec![("apikey", ALICE)], "allow"),
            ("nothing", "/orders", vec![], "missing_credential"),
            ("two lines", "/orders", vec![("apikey", ALICE), ("apikey", ALICE)], "duplicate_credential"),
            ("crumbs", "/cookies", vec![("cookie", "a=1"), ("cookie", &sid), ("cookie", "b=2")], "allow"),
            (
                "twice in crumbs",
                "/cookies",
                vec![("cookie", &sid), ("cookie", "a=1"), ("cookie", &sid)],
                "duplicate_credential",
            ),
            (
                "https in a plain connection",
                "/orders",
                vec![("x-forwarded-proto", "https")],
                "missing_credential",
            ),
        ] {
            let (status, body) = get(&mut client, &format!("{base}{path}"), &headers).await;
            let found = if status == 200 { "allow" } else { body["code"].as_str().unwrap_or_default() };
            assert_eq!(found, expected, "raw {raw}: {case}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn the_authority_decides_and_a_host_header_beside_it_does_not() {
    let world = World::new();
    let mut client = open(&world).await;
    let (status, body) = get(&mut client, "http://admin.example/x", &[("host", "public.example")]).await;
    assert_eq!((status, body["code"].as_str()), (401, Some("missing_credential")), "{body}");
}
