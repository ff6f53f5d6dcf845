//! Another server becomes the primary.

use super::server::{as_user, free_port};
use super::*;
use crate::store::contract::{beat, next, put};
use crate::store::{Store, Table};

/// A replica of `primary` that has caught up.
fn replica_of(primary: &Server, arguments: &[&str]) -> Server {
    let port = primary.port.to_string();
    let replica = Server::start(&[&["--replicaof", "127.0.0.1", &port], arguments].concat());
    replica.wait_for("INFO replication", "master_link_status:up");
    replica
}

fn sentinel_of(primary: &Server) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let path = folder.path().join("redis.conf");
    let settings = format!(
        "port {port}\nsentinel monitor ours 127.0.0.1 {} 1\nsentinel down-after-milliseconds ours 300\n\
         sentinel failover-timeout ours 3000\n",
        primary.port
    );
    std::fs::write(path, settings).unwrap();
    Server::start_in(folder, port, &["--sentinel"])
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_of_sentinel_the_store_goes_on_at_the_new_primary() {
    let mut primary = Server::start(&[]);
    let replica = replica_of(&primary, &[]);
    let sentinel = sentinel_of(&primary);
    // A sentinel promotes nobody whom it has not heard of.
    sentinel.wait_for("SENTINEL REPLICAS ours", &replica.port.to_string());
    // Two of three sentinels are gone: the one that answers is believed.
    let gone = || crate::store::redis::Address { host: "127.0.0.1".into(), port: free_port() };
    let target = Target::Sentinel {
        nodes: vec![gone(), sentinel.address(), gone()],
        name: "ours".into(),
        username: None,
        password: None,
    };
    let store = RedisStore::new(RedisSettings { replicas: 1, ..impatient(as_user(target)) }, ring(1));
    let start = until(async || store.heartbeat(beat()).await).await;
    for number in 0..10 {
        store.write(put(Table::Key, number, b"a")).await.unwrap();
    }
    primary.kill();
    let head = until(async || store.heartbeat(beat()).await).await;
    assert_eq!(head.epoch.number, 10, "what a replica confirmed is not lost");
    let writes = RedisStore::new(
        impatient(as_user(Target::Sentinel {
            nodes: vec![sentinel.address()],
            name: "ours".into(),
            username: None,
            password: None,
        })),
        ring(1),
    );
    assert_eq!(writes.write(put(Table::Key, 10, b"a")).await.unwrap().number, 11);
    assert_eq!(next(&store, start, 100).await.len(), 11);
}

#[tokio::test]
async fn unknown_name_of_a_primary_is_said_by_its_name() {
    let primary = Server::start(&[]);
    let sentinel = sentinel_of(&primary);
    let nodes = vec![sentinel.address()];
    let target = Target::Sentinel { nodes, name: "theirs".into(), username: None, password: None };
    let error = RedisStore::new(as_user(target), ring(1)).heartbeat(beat()).await.unwrap_err();
    assert!(error.to_string().contains("where the primary `theirs` is"), "{error}");
}

fn cluster_node() -> Server {
    Server::start(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"])
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_the_store_is_where_its_slot_is() {
    let (first, second) = (cluster_node(), cluster_node());
    first.tell("CLUSTER ADDSLOTSRANGE 0 16383");
    first.tell(&format!("CLUSTER MEET 127.0.0.1 {}", second.port));
    second.wait_for("CLUSTER INFO", "cluster_state:ok");
    first.wait_for("CLUSTER INFO", "cluster_state:ok");
    let target = Target::Cluster { nodes: vec![second.address()] };
    let store = RedisStore::new(impatient(as_user(target)), ring(1));
    let start = until(async || store.heartbeat(beat()).await).await;
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    assert_eq!(second.tell("DBSIZE"), ":0\r\n", "it has no slot");

    // The other node becomes the first's replica, and then its successor.
    let id = first.tell("CLUSTER MYID");
    let id = id.lines().nth(1).unwrap();
    second.wait_for(&format!("CLUSTER REPLICATE {id}"), "+OK");
    second.wait_for("INFO replication", "master_link_status:up");
    second.wait_for("CLUSTER FAILOVER", "+OK");
    second.wait_for("ROLE", "master");
    let head = until(async || store.heartbeat(beat()).await).await;
    assert_eq!(head.epoch.number, 1);
    assert_eq!(store.write(put(Table::Key, 2, b"a")).await.unwrap().number, 2);
    assert_eq!(next(&store, start, 100).await.len(), 2);
}

#[tokio::test]
async fn cluster_without_an_owner_of_the_slot_says_which_slot() {
    let node = cluster_node();
    let store = RedisStore::new(as_user(Target::Cluster { nodes: vec![node.address()] }), ring(1));
    let error = store.heartbeat(beat()).await.unwrap_err();
    assert!(error.to_string().contains("slot"), "{error}");
}

#[tokio::test]
async fn restored_backup_is_noticed_by_the_mark_even_where_the_number_is_the_same() {
    let primary = Server::start(&[]);
    let replica = replica_of(&primary, &[]);
    let store = open(&primary);
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    primary.wait_for("WAIT 1 100", ":1");
    // The replica is cut off and goes on by itself, as after a failover that lost changes.
    replica.tell("REPLICAOF NO ONE");
    store.write(put(Table::Key, 2, b"a")).await.unwrap();
    let here = store.heartbeat(beat()).await.unwrap();
    let other = open(&replica);
    other.write(put(Table::Key, 3, b"a")).await.unwrap();
    let there = other.heartbeat(beat()).await.unwrap();
    assert_eq!((here.epoch, here.mark == there.mark), (there.epoch, false));
    assert_eq!(other.changes(here, 10).await.unwrap(), crate::store::Changes::Parted);
}
