//! What a gRPC caller sees: gotcha 20.

use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::world::{ALICE, BOB, World};

/// The routed gRPC upstream is a health service, asked for through Envoy as any client would.
const CALLERS: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: health, hosts: ["keys.example"], paths: [/grpc.health.v1.Health], authentication: {any: [{api_key: {}}]}}
  - {name: other, hosts: ["keys.example"], paths: [/other], authentication: {any: [{api_key: {}}]}}
consumers:
  - {username: alice, keys: [{from_env: ALICE_KEY}]}
  - {username: bob, keys: [{from_env: BOB_KEY, services: [other]}]}
"#;

async fn client(world: &World, host: &str) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", world.envoy.listener("main"))).unwrap();
    let endpoint = endpoint.origin(format!("http://{host}").parse().unwrap());
    HealthClient::new(endpoint.connect().await.unwrap())
}

async fn ask(client: &mut HealthClient<Channel>, key: Option<&str>) -> Result<i32, Status> {
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    if let Some(key) = key {
        request.metadata_mut().insert("apikey", MetadataValue::try_from(key).unwrap());
    }
    client.check(request).await.map(|answer| answer.into_inner().status)
}

#[tokio::test]
async fn grpc_callers_get_grpc_statuses_and_the_message() {
    let world = World::with(CALLERS, |_| {});
    let mut known = client(&world, "keys.example").await;
    let mut unknown = client(&world, "nobody.example").await;

    assert_eq!(ask(&mut known, Some(ALICE)).await.unwrap(), 1, "SERVING, through Envoy");
    for (case, found, code, word) in [
        ("none", ask(&mut known, None).await, Code::Unauthenticated, "No API key found in request"),
        ("wrong", ask(&mut known, Some("wrong-0123456789")).await, Code::Unauthenticated, "Unauthorized"),
        ("another service's", ask(&mut known, Some(BOB)).await, Code::PermissionDenied, ""),
        // Envoy would say UNIMPLEMENTED for 404 by itself.
        ("no service", ask(&mut unknown, Some(ALICE)).await, Code::NotFound, ""),
    ] {
        let status = found.expect_err(case);
        assert_eq!(status.code(), code, "{case}: {status}");
        assert!(status.message().contains(word), "{case}: {status}");
    }
}
