//! What Redis refuses, and what we refuse.

use super::*;
use crate::store::contract::{beat, name, put};
use crate::store::redis::{Password, acl};
use crate::store::{Batch, Effect, Expect, Step, Store, StoreError, Table};

const PASSWORD: &str = super::server::PASSWORD;

/// Its words, none of which is a password.
#[track_caller]
fn check(error: &StoreError, expected: &[&str]) {
    let text = error.to_string();
    for words in expected {
        assert!(text.contains(words), "expected `{words}` in: {text}");
    }
    assert!(!text.contains(PASSWORD) && !text.contains("not-the-password"), "{text}");
}

#[tokio::test]
async fn wrong_password_is_named_and_not_shown() {
    let server = Server::start(&[]);
    let password = Some(Password::new("not-the-password".into()));
    let store = RedisStore::new(RedisSettings { password, ..server.settings() }, ring(1));
    check(
        &store.heartbeat(beat()).await.unwrap_err(),
        &["WRONGPASS", "check store.username and", "store.password", "store.sentinel"],
    );
    let error = store.write(put(Table::Key, 1, b"a")).await.unwrap_err();
    check(&error, &["WRONGPASS", "nothing was written"]);
}

#[tokio::test]
async fn missing_password_is_named() {
    let server = Server::start(&["--requirepass", "not-the-password"]);
    let store = RedisStore::new(RedisSettings::new(Target::Single(server.address())), ring(1));
    check(&store.heartbeat(beat()).await.unwrap_err(), &["NOAUTH", "check store.username"]);
}

#[tokio::test]
async fn mended_rights_need_no_restart() {
    let server = Server::start(&[]);
    let store = RedisStore::new(impatient(server.settings()), ring(1));
    server.tell("ACL SETUSER doorward -xadd");
    let error = store.write(put(Table::Key, 1, b"a")).await.unwrap_err();
    check(&error, &["may not run `xadd`", "ACL SETUSER doorward", acl::RULES, "nothing was written"]);
    server.tell("ACL SETUSER doorward +xadd");
    until(async || store.write(put(Table::Key, 1, b"a")).await).await;
}

#[tokio::test]
async fn rights_to_other_keys_alone_are_named() {
    let server = Server::start(&[]);
    server.tell("ACL SETUSER doorward resetkeys ~other:*");
    check(&open(&server).heartbeat(beat()).await.unwrap_err(), &["NOPERM", "ACL SETUSER", acl::RULES]);
}

#[tokio::test]
async fn full_memory_refuses_writes_whole_and_takes_them_again_and_ends_no_lease() {
    let server = Server::start(&[]);
    let store = open(&server);
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    let before = store.heartbeat(beat()).await.unwrap();
    let mut writable = store.writable();
    server.tell("CONFIG SET maxmemory 1");
    let error = store.write(put(Table::Key, 2, b"a")).await.unwrap_err();
    check(&error, &["OOM", "raise its maxmemory", "nothing was written"]);
    assert_eq!(store.heartbeat(beat()).await.unwrap(), before, "no check ends over it");
    assert!(!*writable.borrow_and_update());
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap().unwrap().payload, b"a", "reads go on");
    server.tell("CONFIG SET maxmemory 0");
    assert_eq!(store.heartbeat(beat()).await.unwrap(), before);
    assert_eq!(store.write(put(Table::Key, 2, b"a")).await.unwrap().number, 2);
}

#[tokio::test]
async fn what_only_takes_away_is_written_without_memory_and_beside_what_is_refused() {
    let server = Server::start(&[]);
    let store = Arc::new(open(&server));
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    store.write(put(Table::Key, 2, b"a")).await.unwrap();
    server.tell("CONFIG SET maxmemory 1");
    let step = |table, number, effect| Step { table, name: name(number), expect: Expect::Anything, effect };
    let end = |number| {
        let entry = step(Table::Audit, number, Effect::Put(b"who did it".to_vec()));
        let steps = vec![step(Table::Key, number, Effect::Delete), entry];
        Batch { operation: uuid::Uuid::new_v4(), steps }
    };
    // They wait for the same script's turn.
    let (made, ended) = tokio::join!(store.write(put(Table::Key, 3, b"a")), store.write(end(1)));
    check(&made.unwrap_err(), &["OOM", "nothing was written"]);
    assert_eq!(ended.unwrap().number, 3);
    let (ended, made) = tokio::join!(store.write(end(2)), store.write(put(Table::Key, 3, b"a")));
    check(&made.unwrap_err(), &["OOM", "nothing was written"]);
    assert_eq!(ended.unwrap().number, 4);
    for number in [1, 2, 3] {
        assert_eq!(store.read(Table::Key, &name(number)).await.unwrap(), None, "{number}");
    }
    let disabled = Batch { operation: uuid::Uuid::new_v4(), steps: vec![step(Table::Key, 1, Effect::Keep)] };
    check(&store.write(disabled).await.unwrap_err(), &["OOM"]);
}

#[tokio::test]
async fn whether_writes_are_taken_is_known_without_any() {
    let server = Server::start(&[]);
    let store = open(&server);
    let mut writable = store.writable();
    store.heartbeat(beat()).await.unwrap();
    assert!(*writable.borrow_and_update());
    server.tell("CONFIG SET maxmemory 1");
    for expected in [false, true] {
        until(async || {
            store.heartbeat(beat()).await.unwrap();
            (*writable.borrow() == expected).then_some(()).ok_or("not yet")
        })
        .await;
        server.tell("CONFIG SET maxmemory 0");
    }
}

#[tokio::test]
async fn too_few_replicas_in_time_refuse_writes_and_heartbeats() {
    let server = Server::start(&[]);
    let store = open(&server);
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    server.tell("CONFIG SET min-replicas-to-write 1");
    let error = store.write(put(Table::Key, 2, b"a")).await.unwrap_err();
    check(&error, &["NOREPLICAS", "min-replicas-to-write", "nothing was written"]);
    check(&store.heartbeat(beat()).await.unwrap_err(), &["NOREPLICAS"]);
}

#[tokio::test]
async fn a_replica_is_not_taken_for_the_primary() {
    let server = Server::start(&[]);
    let replica = Server::start(&["--replicaof", "127.0.0.1", &server.port.to_string()]);
    replica.wait_for("INFO replication", "master_link_status:up");
    let store = RedisStore::new(impatient(replica.settings()), ring(1));
    check(&store.heartbeat(beat()).await.unwrap_err(), &["is a replica", "name the primary"]);
}

#[tokio::test]
async fn instances_with_different_secrets_refuse_each_other() {
    let server = Server::start(&[]);
    let first = open(&server);
    first.write(put(Table::Key, 1, b"a")).await.unwrap();
    let second = RedisStore::new(server.settings(), ring(2));
    let refused = [
        second.heartbeat(beat()).await.unwrap_err(),
        second.write(put(Table::Key, 2, b"a")).await.unwrap_err(),
        second.read(Table::Key, &name(1)).await.unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, StoreError::Foreign(_)), "{error}");
        check(&error, &["another secret_file", "its key 1 is another one", "the same secret_file"]);
    }
    assert_eq!(first.heartbeat(beat()).await.unwrap().epoch.number, 1, "nothing was changed");
}

#[tokio::test]
async fn rotated_ring_goes_on_and_the_old_key_is_not_needed_for_long() {
    let parse =
        |text: &str| Arc::new(Ring::parse(Path::new("s"), text.as_bytes()).unwrap_or_else(|e| panic!("{e}")));
    let (old, new) = (format!("1 {:064x}\n", 2), format!("2 {:064x}\n", 3));
    let server = Server::start(&[]);
    let before = RedisStore::new(server.settings(), parse(&old)).heartbeat(beat()).await.unwrap();
    let both = RedisStore::new(server.settings(), parse(&format!("{new}{old}")));
    assert_eq!(both.heartbeat(beat()).await.unwrap(), before);
    let after = RedisStore::new(server.settings(), parse(&new));
    assert_eq!(after.heartbeat(beat()).await.unwrap(), before);
}

#[tokio::test]
async fn records_without_a_head_are_not_taken_for_an_empty_store() {
    let server = Server::start(&[]);
    let store = open(&server);
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    server.tell("DEL doorward:{doorward}:meta");
    for error in [
        store.heartbeat(beat()).await.unwrap_err(),
        store.write(put(Table::Key, 2, b"a")).await.unwrap_err(),
        open(&server).heartbeat(beat()).await.unwrap_err(),
    ] {
        check(&error, &["is gone", "put a backup in its place"]);
    }
}

#[tokio::test]
async fn key_names_hold_nothing_that_a_user_wrote() {
    let server = Server::start(&[]);
    let store = open(&server);
    let step = Step {
        table: Table::Consumer,
        name: name(1),
        expect: Expect::Absent,
        effect: Effect::Put(b"alice@example.com".to_vec()),
    };
    store.write(Batch { operation: uuid::Uuid::new_v4(), steps: vec![step] }).await.unwrap();
    store.heartbeat(beat()).await.unwrap();
    let keys = server.tell("KEYS *");
    let keys: Vec<_> = keys.lines().filter(|line| !line.starts_with(['*', '$'])).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with("doorward:{doorward}:")), "{keys:?}");
}
