//! Health, readiness and what is counted: gotcha 24.

use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::rig::doorward::Doorward;
use crate::rig::process::Signal;
use crate::world::{ALICE, HOUSE, World, start_doorward};

const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

async fn client(doorward: &Doorward) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", doorward.grpc())).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn both_names_are_serving_and_any_other_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let mut client = client(&doorward).await;
    for name in ["", AUTHORIZATION] {
        let answer = client.check(about(name)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name:?}");
    }
    for name in ["doorward", "envoy.service.auth.v2.Authorization", "grpc.health.v1.Health"] {
        let status = client.check(about(name)).await.expect_err(name);
        assert_eq!(status.code(), Code::NotFound, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_is_told_of_the_drain_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("drain_delay: 500ms\n{HOUSE}");
    let mut doorward = start_doorward(folder.path(), &config);
    let mut client = client(&doorward).await;
    for name in ["", AUTHORIZATION] {
        let mut watch = client.watch(about(name)).await.unwrap().into_inner();
        let first = watch.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving, "{name:?}");
    }
    let mut watch = client.watch(about(AUTHORIZATION)).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    doorward.signal(Signal::TERM).unwrap();
    let next = watch.message().await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    // Until the delay is over it goes on answering.
    let answer = client.check(about("")).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    // Whoever goes on watching must not hold up the end: a watch has none of its own.
    let ended = doorward.process().wait(std::time::Duration::from_secs(10)).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended}");
}

#[test]
fn r24_the_status_listener_serves_three_pages_and_nothing_else() {
    let world = World::new();
    let status = |path: &str| world.doorward.status(path).unwrap().status;
    assert_eq!((status("/livez"), status("/readyz"), status("/metrics")), (200, 200, 200));
    for path in ["/", "/metrics/", "/consumers", "/status", "/debug/pprof", "/readyz/x"] {
        assert_eq!(status(path), 404, "{path}");
    }
}

#[test]
fn every_check_is_counted_by_its_verdict_and_code() {
    let world = World::new();
    world.get("/orders", &[("apikey", ALICE)]);
    world.get("/orders", &[]);
    world.get("/orders", &[]);
    world.get("/nowhere", &[]);
    let metrics = world.doorward.status("/metrics").unwrap().text();
    let sum = |words: &[&str]| -> f64 {
        metrics
            .lines()
            .filter(|line| {
                line.starts_with("doorward_checks_total") && words.iter().all(|word| line.contains(word))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    assert_eq!(sum(&["allow"]), 1.0, "{metrics}");
    assert_eq!(sum(&["deny", "missing_credential"]), 2.0, "{metrics}");
    assert_eq!(sum(&["deny", "unknown_service"]), 1.0, "{metrics}");
    assert!(metrics.contains("\ndoorward_connections 1\n"), "Envoy's one worker:\n{metrics}");
    for name in ["doorward_build_info", "doorward_check_duration_seconds_bucket{"] {
        assert!(metrics.contains(name), "no {name} in:\n{metrics}");
    }
    assert!(metrics.contains("le=\"0.00001\""), "the histogram begins at 10 µs:\n{metrics}");
}

#[test]
fn an_envoy_that_asks_the_health_service_finds_it() {
    let world = World::with(HOUSE, |wiring| wiring.health_checks = true);
    assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200);
    assert_eq!(world.envoy.healthy("doorward"), 1);
}
