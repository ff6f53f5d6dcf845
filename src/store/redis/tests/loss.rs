//! Answers and servers that are lost.

use rustix::process::Signal;
use tokio::time::timeout;

use super::proxy::{Next, Proxy};
use super::*;
use crate::store::contract::{beat, name, next, put};
use crate::store::{Epoch, Store, StoreError, Table};

/// What the store has after one write that went wrong on its way.
async fn check_written_once(fault: Next) {
    let server = Server::start(&[]);
    let proxy = Proxy::before(&server).await;
    let store = Arc::new(RedisStore::new(impatient(proxy.settings()), ring(1)));
    let start = until(async || store.heartbeat(beat()).await).await;
    let first = store.write(put(Table::Key, 1, b"a")).await.unwrap();
    proxy.strike(fault);
    // It expects to be the first to write its record: written twice it would be in conflict.
    let (batch, writer) = (put(Table::Key, 2, b"b"), store.clone());
    let write = tokio::spawn(async move { writer.write(batch).await });
    proxy.struck().await;
    let second = write.await.unwrap().unwrap();
    assert_eq!(second, Epoch { number: 2, ..first }, "{fault:?}");
    if fault == Next::RequestHeld {
        proxy.release().await;
    }
    assert_eq!(next(&*store, start, 10).await.len(), 2, "{fault:?}");
    assert_eq!(store.write(put(Table::Key, 3, b"c")).await.unwrap().number, 3, "{fault:?}");
}

#[tokio::test]
async fn write_whose_answer_is_lost_is_written_once() {
    check_written_once(Next::AnswerLost).await;
}

#[tokio::test]
async fn write_that_does_not_arrive_is_written_once() {
    check_written_once(Next::RequestLost).await;
}

#[tokio::test]
async fn write_that_arrives_late_after_it_was_sent_again_is_written_once() {
    check_written_once(Next::RequestHeld).await;
}

#[tokio::test]
async fn write_whose_answer_is_garbage_is_written_once() {
    check_written_once(Next::AnswerGarbled).await;
}

#[tokio::test]
async fn write_that_may_still_arrive_is_open_though_it_is_refused_when_it_is_sent_again() {
    let server = Server::start(&[]);
    let proxy = Proxy::before(&server).await;
    let store = Arc::new(RedisStore::new(impatient(proxy.settings()), ring(1)));
    let start = until(async || store.heartbeat(beat()).await).await;
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    server.tell("CONFIG SET maxmemory 1");
    proxy.strike(Next::RequestHeld);
    let writer = store.clone();
    let write = tokio::spawn(async move { writer.write(put(Table::Key, 2, b"b")).await });
    proxy.struck().await;
    let error = write.await.unwrap().unwrap_err();
    let is_open = |why: &str| why.contains("OOM") && why.contains("is open");
    assert!(matches!(&error, StoreError::Unavailable(why) if is_open(why)), "{error}");
    server.tell("CONFIG SET maxmemory 0");
    proxy.release().await;
    assert_eq!(next(&*store, start, 10).await.len(), 2, "it was written");
}

#[tokio::test]
async fn write_that_nobody_answers_is_said_to_be_open() {
    let server = Server::start(&[]);
    let mut settings = impatient(server.settings());
    settings.timeouts.write = Duration::from_millis(600);
    let store = RedisStore::new(settings, ring(1));
    let first = put(Table::Key, 1, b"a");
    until(async || store.write(first.clone()).await).await;
    server.signal(Signal::STOP);
    let batch = put(Table::Key, 2, b"b");
    let error = timeout(Duration::from_secs(3), store.write(batch.clone())).await.unwrap().unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("is open")), "{error}");
    let error = store.heartbeat(beat()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    server.signal(Signal::CONT);
    let epoch = until(async || store.write(batch.clone()).await).await;
    assert_eq!(epoch.number, 2, "whether it had been written or not");
    assert_eq!(until(async || store.heartbeat(beat()).await).await.epoch, epoch);
}

#[tokio::test]
async fn absent_redis_is_said_to_be_so_and_found_when_it_comes() {
    let mut server = Server::start(&[]);
    server.kill();
    let store = RedisStore::new(impatient(server.settings()), ring(1));
    let error = timeout(Duration::from_secs(1), store.heartbeat(beat())).await.unwrap().unwrap_err();
    let address = server.address().to_string();
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains(&address)), "{error}");
    server.restart();
    until(async || store.heartbeat(beat()).await).await;
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
}

#[tokio::test]
async fn killed_redis_has_what_it_acknowledged_and_goes_on() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = RedisStore::new(impatient(server.settings()), ring(1));
    let mut pushed = store.pushed();
    for number in 0..20 {
        store.write(put(Table::Key, number, b"a")).await.unwrap();
    }
    let before = store.heartbeat(beat()).await.unwrap();
    server.kill();
    assert!(store.read(Table::Key, &name(1)).await.is_err());
    server.restart();
    assert_eq!(until(async || store.heartbeat(beat()).await).await, before);
    assert_eq!(store.write(put(Table::Key, 20, b"a")).await.unwrap().number, 21);
    // Subscribed again without a restart of ours.
    let other = open(&server);
    other.write(put(Table::Key, 21, b"a")).await.unwrap();
    pushed.wait_for(|newest| *newest == 22).await.unwrap();
}

#[tokio::test]
async fn flushed_redis_is_another_store() {
    let server = Server::start(&[]);
    let store = open(&server);
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    let before = store.heartbeat(beat()).await.unwrap();
    server.tell("FLUSHALL");
    let after = store.heartbeat(beat()).await.unwrap();
    assert_ne!(after.epoch.store, before.epoch.store);
    assert_eq!(after.epoch.number, 0);
    assert_eq!(store.changes(before, 10).await.unwrap(), crate::store::Changes::Parted);
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap(), None);
    server.tell("FLUSHALL");
    let written = store.write(put(Table::Key, 1, b"a")).await.unwrap();
    assert_eq!(written.number, 1);
    assert_ne!(written.store, after.epoch.store);
    server.tell("FLUSHALL");
    assert_eq!(store.changes(before, 10).await.unwrap(), crate::store::Changes::Parted);
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let server = Server::start(&[]);
    let store = open(&server);
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    server.tell("SCRIPT FLUSH");
    store.heartbeat(beat()).await.unwrap();
    server.tell("SCRIPT FLUSH");
    store.write(put(Table::Key, 2, b"a")).await.unwrap();
}

#[tokio::test]
async fn write_without_enough_replicas_is_unconfirmed_and_has_its_epoch() {
    let server = Server::start(&[]);
    let settings = RedisSettings { replicas: 1, ..impatient(server.settings()) };
    let store = RedisStore::new(settings, ring(1));
    let batch = put(Table::Key, 1, b"a");
    for _ in 0..2 {
        let error = store.write(batch.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unconfirmed(Epoch { number: 1, .. })), "{error}");
    }
    let address = server.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &address]);
    replica.wait_for("INFO replication", "master_link_status:up");
    assert_eq!(until(async || store.write(batch.clone()).await).await.number, 1);
}
