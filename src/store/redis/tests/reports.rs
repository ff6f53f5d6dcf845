//! What a start finds.

use super::*;

async fn names(server: &Server, settings: RedisSettings) -> Vec<&'static str> {
    let report = RedisStore::new(settings, ring(1)).report().await.unwrap();
    assert_eq!(report.facts[0].0, "version");
    let version = report.facts[0].1.clone();
    assert!(server.tell("INFO server").contains(&format!("redis_version:{version}\r\n")), "{version}");
    report.findings.iter().map(|finding| finding.name).collect()
}

#[tokio::test]
async fn safe_server_has_no_findings() {
    let server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    assert_eq!(names(&server, server.settings()).await, Vec::<&str>::new());
}

#[tokio::test]
async fn unsafe_server_is_found_out() {
    let server = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &server.port.to_string()]);
    replica.wait_for("INFO replication", "master_link_status:up");
    assert_eq!(names(&server, server.settings()).await, ["no_persistence", "eviction", "no_replica_guard"]);
}

#[tokio::test]
async fn settings_that_the_user_may_not_see_are_unknown() {
    let server =
        Server::start(&["--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    server.tell("ACL SETUSER doorward -config|get");
    assert_eq!(names(&server, server.settings()).await, ["eviction"], "which INFO tells");
    let report = open(&server).report().await.unwrap();
    assert!(report.facts.contains(&("append_fsync", "unknown".into())), "{report:?}");
}
