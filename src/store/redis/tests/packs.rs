//! Packs.

use bytes::Bytes;

use super::*;
use crate::store::contract::{beat, put};
use crate::store::{Changes, Head, Mark, Store, Table};

fn pieces(byte: u8) -> Vec<Bytes> {
    (0..3).map(|piece| Bytes::from(vec![byte + piece; 100_000])).collect()
}

async fn fill(store: &RedisStore, numbers: std::ops::Range<u8>) -> Head {
    for number in numbers {
        store.write(put(Table::Key, number, b"a")).await.unwrap();
    }
    store.heartbeat(beat()).await.unwrap()
}

#[tokio::test]
async fn newest_pack_is_read_and_its_pieces_are_whole() {
    let (store, server) = open_keeping(1_000);
    assert_eq!(store.packed().await.unwrap(), None);
    let first = fill(&store, 0..3).await;
    assert!(store.pack(first, pieces(1)).await.unwrap());
    assert_eq!(store.packed().await.unwrap(), Some((first, pieces(1))));
    let second = fill(&store, 3..5).await;
    assert!(store.pack(second, pieces(10)).await.unwrap());
    assert!(!store.pack(first, pieces(1)).await.unwrap(), "an older one");
    assert_eq!(open(&server).packed().await.unwrap(), Some((second, pieces(10))));
    assert!(
        !store.pack(Head { mark: Mark([1; 16]), ..second }, pieces(1)).await.unwrap(),
        "of another history"
    );
}

#[tokio::test]
async fn log_leads_on_from_the_pack_until_nobody_packs_for_long() {
    let (store, server) = open_keeping(3);
    let head = fill(&store, 0..5).await;
    assert!(store.pack(head, pieces(1)).await.unwrap());
    fill(&store, 5..30).await;
    let Changes::Next(next) = store.changes(head, 100).await.unwrap() else {
        panic!("trimmed past the pack")
    };
    assert_eq!(next.len(), 25);
    assert!(store.packed().await.unwrap().is_some());
    fill(&store, 30..60).await;
    assert_eq!(store.packed().await.unwrap(), None);
    assert_eq!(store.changes(head, 100).await.unwrap(), Changes::Gone);
    let keys = server.tell("KEYS doorward:{doorward}:pack:*");
    for key in keys.lines().filter(|line| line.starts_with("doorward")) {
        assert_ne!(server.tell(&format!("TTL {key}")), ":-1\r\n", "{key} stays for ever");
    }
}

#[tokio::test]
async fn pack_that_was_changed_is_none() {
    let (store, server) = open_keeping(1_000);
    let head = fill(&store, 0..3).await;
    assert!(store.pack(head, pieces(1)).await.unwrap());
    let key = server.tell("KEYS doorward:{doorward}:pack:*:1");
    let key = key.lines().find(|line| line.starts_with("doorward")).unwrap();
    server.tell(&format!("SETRANGE {key} 7 x"));
    assert_eq!(store.packed().await.unwrap(), None);
    server.tell(&format!("DEL {key}"));
    assert_eq!(store.packed().await.unwrap(), None);
    server.tell("HSET doorward:{doorward}:pack sealed x");
    assert_eq!(store.packed().await.unwrap(), None);
    let later = fill(&store, 3..4).await;
    assert!(store.pack(later, pieces(2)).await.unwrap());
    assert_eq!(store.packed().await.unwrap(), Some((later, pieces(2))));
}
