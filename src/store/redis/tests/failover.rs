//! Another server becomes the primary.

use super::server::{as_user, free_port};
use super::tls::Authority;
use super::*;
use crate::store::contract::{beat, next, put};
use crate::store::redis::keys::SLOT;
use crate::store::redis::{Address, Password};
use crate::store::{Store, Table};

/// A replica of `primary` that has caught up.
fn replica_of(primary: &Server, arguments: &[&str]) -> Server {
    let port = primary.port.to_string();
    let replica = Server::start(&[&["--replicaof", "127.0.0.1", &port], arguments].concat());
    replica.wait_for("INFO replication", "master_link_status:up");
    replica
}

fn sentinel_of(primary: &Server) -> Server {
    sentinel(primary.port, "")
}

/// Of the primary with this port, with more lines in its settings.
fn sentinel(primary: u16, more: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let path = folder.path().join("redis.conf");
    let settings = format!(
        "port {port}\nsentinel monitor ours 127.0.0.1 {primary} 1\nsentinel down-after-milliseconds ours 300\n\
         sentinel failover-timeout ours 3000\n{more}"
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
    let gone = || Address { host: "127.0.0.1".into(), port: free_port().unwrap() };
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

/// Sentinels have users of their own, and the same TLS as the primary.
#[tokio::test]
async fn sentinels_are_asked_as_their_own_user_and_over_tls() {
    let authority = Authority::new();
    let (_primary, primary_port) = authority.server("127.0.0.1", "no");
    let port = free_port().unwrap();
    let file = |name: &str| authority.file(name).display().to_string();
    let sentinel = sentinel(
        primary_port,
        &format!(
            "user asker on >a-password-of-the-sentinels +sentinel +client +hello\ntls-port {port}\n\
             tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\ntls-auth-clients no\n",
            file("127.0.0.1.pem"),
            file("127.0.0.1.key"),
            file("ca.pem")
        ),
    );
    sentinel.tell("ACL SETUSER default off");
    let ask = async |password: &str, tls| {
        let target = Target::Sentinel {
            nodes: vec![Address { host: "127.0.0.1".into(), port }],
            name: "ours".into(),
            username: Some("asker".into()),
            password: Some(Password::new(password.into())),
        };
        RedisStore::new(RedisSettings { tls, ..impatient(as_user(target)) }, ring(1)).heartbeat(beat()).await
    };
    ask("a-password-of-the-sentinels", Some(authority.tls())).await.unwrap();
    let error = ask("another", Some(authority.tls())).await.unwrap_err();
    assert!(error.to_string().contains("password") && !error.to_string().contains("another"), "{error}");
    assert!(ask("a-password-of-the-sentinels", None).await.is_err(), "not in the clear");
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

/// Resharding: the slot and all that is in it goes to another node while instances work with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_to_another_node_takes_the_store_with_it() {
    let (first, second) = (cluster_node(), cluster_node());
    first.tell("CLUSTER ADDSLOTSRANGE 0 16383");
    first.tell(&format!("CLUSTER MEET 127.0.0.1 {}", second.port));
    second.wait_for("CLUSTER INFO", "cluster_state:ok");
    first.wait_for("CLUSTER NODES", &second.port.to_string());
    let target = || Target::Cluster { nodes: vec![first.address(), second.address()] };
    let store = RedisStore::new(impatient(as_user(target())), ring(1));
    let start = until(async || store.heartbeat(beat()).await).await;
    for number in 0..10 {
        store.write(put(Table::Key, number, b"a")).await.unwrap();
    }
    let id = |node: &Server| node.tell("CLUSTER MYID").lines().nth(1).unwrap().to_owned();
    let (from, to) = (id(&first), id(&second));
    second.tell(&format!("CLUSTER SETSLOT {SLOT} IMPORTING {from}"));
    first.tell(&format!("CLUSTER SETSLOT {SLOT} MIGRATING {to}"));
    let keys = first.tell(&format!("CLUSTER GETKEYSINSLOT {SLOT} 10000"));
    for key in keys.lines().filter(|line| line.starts_with("doorward:")) {
        first.tell(&format!("MIGRATE 127.0.0.1 {} {key} 0 5000", second.port));
    }
    for node in [&second, &first] {
        node.tell(&format!("CLUSTER SETSLOT {SLOT} NODE {to}"));
    }
    let head = until(async || store.heartbeat(beat()).await).await;
    assert_eq!((head.epoch.store, head.epoch.number), (start.epoch.store, 10), "the same store, whole");
    assert_eq!(until(async || store.write(put(Table::Key, 10, b"a")).await).await.number, 11);
    assert_eq!(next(&store, start, 100).await.len(), 11);
    assert_eq!(first.tell("DBSIZE"), ":0\r\n", "nothing is left behind");
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
