//! Several instances that write at the same time.

use std::collections::BTreeMap;

use super::*;
use crate::store::contract::{beat, name, next, put, step};
use crate::store::{Batch, Effect, Epoch, Expect, Store, StoreError, Table};

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_no_gaps_and_each_operation_is_written_once_whoever_writes() {
    let server = Server::start(&[]);
    let stores = [Arc::new(open(&server)), Arc::new(open(&server)), Arc::new(open(&server))];
    let start = stores[0].heartbeat(beat()).await.unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for (instance, store) in stores.iter().enumerate() {
        for number in 0..60 {
            let (store, batch) = (store.clone(), put(Table::Key, (instance * 60 + number) as u8, &[1]));
            writes.spawn(async move { (batch.operation, store.write(batch).await.unwrap().number) });
        }
    }
    let written: BTreeMap<_, _> = writes.join_all().await.into_iter().map(|(o, n)| (n, o)).collect();
    assert_eq!(written.keys().copied().collect::<Vec<_>>(), (1..=180).collect::<Vec<_>>());
    let logged = next(&*stores[1], start, 1_000).await;
    let logged: BTreeMap<_, _> = logged.into_iter().map(|change| (change.number, change.operation)).collect();
    assert_eq!(logged, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_absent_is_taken_by_one_instance_alone() {
    let server = Server::start(&[]);
    let stores = [Arc::new(open(&server)), Arc::new(open(&server))];
    for number in 0..50 {
        let takes = stores
            .clone()
            .map(|store| tokio::spawn(async move { store.write(put(Table::Unique, number, b"mine")).await }));
        let mut taken = 0;
        for take in takes {
            match take.await.unwrap() {
                Ok(_) => taken += 1,
                Err(StoreError::Conflict { name: lost, .. }) => assert_eq!(lost, name(number)),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(taken, 1, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_among_many_waiting_writes_are_answered_each_to_its_own() {
    let server = Server::start(&[]);
    let store = Arc::new(open(&server));
    store.write(put(Table::Unique, 0, b"taken")).await.unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for number in 1..=90 {
        let store = store.clone();
        let clash = number % 3 == 0;
        let batch = put(Table::Unique, if clash { 0 } else { number }, b"mine");
        writes.spawn(async move { (clash, store.write(batch).await) });
    }
    for (clash, answer) in writes.join_all().await {
        assert_eq!(matches!(answer, Err(StoreError::Conflict { .. })), clash, "{answer:?}");
        assert_eq!(answer.is_ok(), !clash);
    }
    assert_eq!(store.heartbeat(beat()).await.unwrap().epoch.number, 61);
}

#[tokio::test]
async fn an_instance_hears_of_what_another_writes_without_asking() {
    let server = Server::start(&[]);
    let (writer, listener) = (open(&server), open(&server));
    listener.heartbeat(beat()).await.unwrap();
    let mut pushed = listener.pushed();
    for number in 1..=3 {
        writer.write(put(Table::Key, number, b"a")).await.unwrap();
        pushed.wait_for(|newest| *newest == u64::from(number)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_once_make_one_store() {
    let server = Server::start(&[]);
    let stores: Vec<_> = (0..8).map(|_| Arc::new(open(&server))).collect();
    let beats =
        stores.into_iter().map(|store| tokio::spawn(async move { store.heartbeat(beat()).await.unwrap() }));
    let mut heads = Vec::new();
    for beat in beats.collect::<Vec<_>>() {
        heads.push(beat.await.unwrap());
    }
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");
}

#[tokio::test]
async fn log_of_many_operations_forgets_those_of_the_changes_it_forgets() {
    let (store, server) = open_keeping(5);
    for number in 0..20 {
        store.write(put(Table::Key, number, b"a")).await.unwrap();
    }
    assert_eq!(server.tell("HLEN doorward:{doorward}:ops"), ":5\r\n");
    assert_eq!(server.tell("XLEN doorward:{doorward}:log"), ":6\r\n", "and the entry before them");
}

#[tokio::test]
async fn a_new_term_that_is_asked_for_twice_begins_once() {
    let server = Server::start(&[]);
    let store = open(&server);
    let from = store.heartbeat(beat()).await.unwrap();
    let batch = Batch {
        operation: uuid::Uuid::new_v4(),
        steps: vec![step(Table::Key, 1, Expect::Anything, Effect::Delete)],
    };
    let begun = store.begin_term(from, batch.clone()).await.unwrap();
    assert_eq!(begun, Epoch { term: 2, number: 1, ..from.epoch });
    // As after an answer that was lost.
    assert_eq!(open(&server).begin_term(from, batch).await.unwrap(), begun);
    assert_eq!(store.heartbeat(beat()).await.unwrap().epoch, begun);
}

#[tokio::test]
async fn what_is_written_to_another_database_wakes_nobody() {
    let server = Server::start(&[]);
    let beside = RedisStore::new(RedisSettings { database: 1, ..server.settings() }, ring(2));
    let (writer, listener) = (open(&server), open(&server));
    let start = listener.heartbeat(beat()).await.unwrap();
    let mut pushed = listener.pushed();
    for number in 1..=20 {
        beside.write(put(Table::Key, number, b"a")).await.unwrap();
    }
    writer.write(put(Table::Key, 1, b"a")).await.unwrap();
    assert_eq!(*pushed.wait_for(|newest| *newest > start.epoch.number).await.unwrap(), 1);
}

#[tokio::test]
async fn a_message_of_too_large_a_number_silences_those_that_come_until_the_next_heartbeat_alone() {
    let server = Server::start(&[]);
    let (writer, listener) = (open(&server), open(&server));
    listener.heartbeat(beat()).await.unwrap();
    let mut pushed = listener.pushed();
    server.tell(&format!("PUBLISH {} {}", crate::store::redis::keys::channel(0), u64::MAX));
    pushed.wait_for(|newest| *newest == u64::MAX).await.unwrap();
    listener.heartbeat(beat()).await.unwrap();
    writer.write(put(Table::Key, 1, b"a")).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(30), pushed.wait_for(|newest| *newest == 1)).await;
    heard.unwrap().unwrap();
}
