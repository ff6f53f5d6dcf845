//! Somebody else who may write anything to Redis. They can destroy; they cannot have anything
//! believed that was not written.

use super::*;
use crate::store::contract::{beat, name, put};
use crate::store::{Changes, Head, Name, Record, Store, StoreError, Table, Uses};

const LOG: &str = "doorward:{doorward}:log";
const META: &str = "doorward:{doorward}:meta";

/// A server and a store with keys 1 to 9, each of one change, and its head before them.
async fn nine() -> (Server, RedisStore, Head) {
    let server = Server::start(&[]);
    let store = open(&server);
    let start = store.heartbeat(beat()).await.unwrap();
    for number in 1..=9 {
        store.write(put(Table::Key, number, &[number; 20])).await.unwrap();
    }
    (server, store, start)
}

fn bucket(name: &Name) -> String {
    crate::store::redis::keys::bucket(Table::Key, crate::store::redis::keys::bucket_of(name))
}

/// A value of Redis, out of a bulk string.
fn bulk(answer: Vec<u8>) -> Vec<u8> {
    let head = answer.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    answer[head..answer.len() - 2].to_vec()
}

fn value(server: &Server, name: &Name) -> Vec<u8> {
    bulk(server.ask(&[b"HGET", bucket(name).as_bytes(), &name.0[..]]))
}

fn put_value(server: &Server, name: &Name, value: &[u8]) {
    server.ask(&[b"HSET", bucket(name).as_bytes(), &name.0[..], value]);
    server.ask(&[&b"ZADD"[..], b"doorward:{doorward}:n:key", b"0", &name.0[..]]);
}

/// Reading it is an error, by whatever way.
async fn check_refused(store: &RedisStore, tampered: &Name, what: &str) {
    let damaged = |error: StoreError| assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
    damaged(store.read(Table::Key, tampered).await.unwrap_err());
    damaged(store.scan(Table::Key, &[], None, 100).await.unwrap_err());
    let (mut seen, mut refused) = (Vec::new(), Vec::new());
    let mut each = |shown: Result<Record, StoreError>| match shown {
        Ok(record) => seen.push(record),
        Err(error) => refused.push(error),
    };
    store.snapshot(&[Table::Key], &mut each).await.unwrap();
    assert!(seen.iter().all(|record| record.name != *tampered), "{what}");
    let [error] = &refused[..] else { panic!("{what}: {refused:?}") };
    let id = tampered.id().unwrap().to_string();
    assert!(matches!(error, StoreError::Damaged { why, .. } if why.starts_with(&id)), "{what}: {error}");
}

#[tokio::test]
async fn changed_record_is_refused_whichever_byte_was_changed() {
    let (server, store, _) = nine().await;
    let whole = value(&server, &name(1));
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        put_value(&server, &name(1), &changed);
        match store.read(Table::Key, &name(1)).await {
            Err(StoreError::Damaged { .. }) => {}
            // A byte that means nothing to the envelope.
            Ok(Some(record)) => assert_eq!((record.revision, record.payload), (1, vec![1; 20]), "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
    put_value(&server, &name(1), &whole[..7]);
    check_refused(&store, &name(1), "cut").await;
}

#[tokio::test]
async fn record_moved_to_another_name_is_refused() {
    let (server, store, _) = nine().await;
    put_value(&server, &name(1), &value(&server, &name(2)));
    check_refused(&store, &name(1), "over another").await;
    let (server, store, _) = nine().await;
    put_value(&server, &name(77), &value(&server, &name(2)));
    check_refused(&store, &name(77), "to a new one").await;
}

#[tokio::test]
async fn record_of_another_ring_is_refused() {
    let (server, store, _) = nine().await;
    let forged = crate::store::redis::value::seal(&ring(9), Table::Key, &name(1), 1, vec![1; 20]);
    put_value(&server, &name(1), &forged);
    check_refused(&store, &name(1), "forged").await;
}

#[tokio::test]
async fn revision_beside_the_envelope_is_not_believed() {
    let (server, store, _) = nine().await;
    let mut changed = value(&server, &name(1));
    changed[7] = 5;
    put_value(&server, &name(1), &changed);
    check_refused(&store, &name(1), "another revision").await;
}

/// The log, as somebody left it, is an error and none of its changes is wrong.
async fn check_log(store: &RedisStore, start: Head, what: &str) {
    match store.changes(start, 100).await {
        Err(StoreError::DamagedLog(_)) => {}
        other => panic!("{what}: {other:?}"),
    }
}

/// The operation and the envelope of an entry.
type Entry = (Vec<u8>, Vec<u8>);

fn entries(server: &Server) -> Vec<Entry> {
    (1..=9)
        .map(|number: u8| {
            let operation = format!("{number}-0");
            let answer = server.ask(&["XRANGE", LOG, &operation, &operation]);
            // *1 *2 $3 <id> *4 $1 o $16 <operation> $1 e $… <entry>
            let at = answer.windows(8).position(|eight| eight == b"$1\r\ne\r\n$").unwrap() + 7;
            let o = answer.windows(10).position(|ten| ten == b"$1\r\no\r\n$16").unwrap() + 12;
            (answer[o..o + 16].to_vec(), bulk(answer[at..].to_vec()))
        })
        .collect()
}

fn put_log(server: &Server, entries: &[(u64, &Entry)]) {
    server.ask(&["DEL", LOG]);
    for (number, (operation, entry)) in entries {
        let id = format!("{number}-0");
        server.ask(&[&b"XADD"[..], LOG.as_bytes(), id.as_bytes(), b"o", &operation[..], b"e", &entry[..]]);
    }
}

#[tokio::test]
async fn log_that_was_changed_is_refused() {
    let (server, store, start) = nine().await;
    let whole = entries(&server);
    let all =
        |skip: usize| (1..).zip(&whole).filter(|(number, _)| *number != skip as u64).collect::<Vec<_>>();
    put_log(&server, &all(0));
    assert!(
        matches!(store.changes(start, 100).await, Ok(Changes::Next(next)) if next.len() == 9),
        "put back whole"
    );

    put_log(&server, &all(4));
    check_log(&store, start, "one left out").await;
    put_log(&server, &all(9));
    check_log(&store, start, "the last left out").await;
    let mut swapped = all(0);
    (swapped[3].1, swapped[4].1) = (swapped[4].1, swapped[3].1);
    put_log(&server, &swapped);
    check_log(&store, start, "two swapped").await;
    let closed_up: Vec<_> = (1..).zip(whole.iter().take(3).chain(&whole[4..])).collect();
    put_log(&server, &closed_up);
    check_log(&store, start, "one taken out and the rest moved up").await;
    let mut flipped = whole[5].clone();
    flipped.1[30] ^= 1;
    let mut changed = all(0);
    changed[5].1 = &flipped;
    put_log(&server, &changed);
    check_log(&store, start, "one changed").await;
}

#[tokio::test]
async fn change_of_another_history_does_not_fit_into_the_log() {
    let (server, store, start) = nine().await;
    let ours = entries(&server);
    // The same ring, the same numbers, another past.
    let (other, _, _) = nine().await;
    let theirs = entries(&other);
    let mut mixed: Vec<_> = (1..).zip(&ours).collect();
    mixed[4].1 = &theirs[4];
    put_log(&server, &mixed);
    check_log(&store, start, "an entry of another store").await;
}

#[tokio::test]
async fn head_that_was_changed_is_refused_and_one_that_was_put_back_does_not_fit_the_log() {
    let (server, store, _) = nine().await;
    let old = bulk(server.ask(&["HGET", META, "sealed"]));
    let then = store.heartbeat(beat()).await.unwrap();
    let mut changed = old.clone();
    *changed.last_mut().unwrap() ^= 1;
    server.ask(&[&b"HSET"[..], META.as_bytes(), b"sealed", &changed]);
    let error = store.heartbeat(beat()).await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign(_)), "{error}");
    server.ask(&[&b"HSET"[..], META.as_bytes(), b"sealed", &old]);
    store.write(put(Table::Key, 10, b"a")).await.unwrap();
    let now = store.heartbeat(beat()).await.unwrap();
    server.ask(&[&b"HSET"[..], META.as_bytes(), b"sealed", &old]);
    assert_eq!(store.heartbeat(beat()).await.unwrap(), then, "it is an old truth");
    assert_eq!(store.changes(now, 10).await.unwrap(), Changes::Parted, "which a live instance notices");
    assert!(store.write(put(Table::Key, 11, b"a")).await.is_err(), "and nothing is written over the log");
}

#[tokio::test]
async fn operation_that_was_never_written_is_not_acknowledged() {
    let (server, store, _) = nine().await;
    let batch = put(Table::Key, 10, b"a");
    server.ask(&[&b"HSET"[..], b"doorward:{doorward}:ops", batch.operation.as_bytes(), b"3"]);
    let error = store.write(batch).await.unwrap_err();
    assert!(matches!(error, StoreError::DamagedLog(_)), "{error}");
}

#[tokio::test]
async fn instance_that_nobody_is_is_not_waited_for() {
    let (server, store, _) = nine().await;
    let key = "doorward:{doorward}:instances";
    let said = bulk(server.ask(&[&b"HGET"[..], key.as_bytes(), beat().instance.as_bytes()]));
    server.ask(&[&b"HSET"[..], key.as_bytes(), &[7; 16], &said]);
    server.ask(&["HSET", key, "x", "y"]);
    let instances = store.instances().await.unwrap();
    assert_eq!(instances.iter().map(|instance| instance.beat).collect::<Vec<_>>(), [beat()]);
}

#[tokio::test]
async fn nobody_else_says_when_a_session_was_used_last() {
    const LAST_USES: &[u8] = b"doorward:{doorward}:uses:last";
    let server = Server::start(&[]);
    let store = open(&server);
    let [session, other] = [1, 2].map(uuid::Uuid::from_u128);
    let note = async |id, last| store.note_uses(&[Uses { id, count: 1, last }]).await.unwrap();
    let last = async || {
        let found = store.uses(Table::Session, &[session]).await.unwrap();
        found.first().map(|uses| uses.last)
    };
    let stands = |id: uuid::Uuid| bulk(server.ask(&[&b"HGET"[..], LAST_USES, id.as_bytes()]));
    let forge = |value: &[u8]| drop(server.ask(&[&b"HSET"[..], LAST_USES, session.as_bytes(), value]));
    for number in [1, 2] {
        store.write(put(Table::Session, number, b"a session")).await.unwrap();
    }
    note(session, 1_000).await;
    note(other, 9_000).await;
    assert_eq!(last().await, Some(1_000));
    let ours = stands(session);
    let seal = ours.strip_prefix(b"1000 ").unwrap();
    let place =
        crate::store::codec::Place { space: crate::store::codec::Space::LastUse, name: session.as_bytes() };
    let forgeries = [
        // As it was written before there were seals.
        b"9000".to_vec(),
        [&b"9000 "[..], seal].concat(),
        stands(other),
        [&b"9000 "[..], &place.seal(&ring(9), 9_000, Vec::new())].concat(),
        b"9000 ".to_vec(),
        Vec::new(),
    ];
    for (at, forged) in (1_i64..).zip(forgeries) {
        forge(&forged);
        assert_eq!(last().await, None, "forgery {at}");
        // It is no obstacle either, however late it claims to be.
        note(session, 1_000 + at).await;
        assert_eq!(last().await, Some(1_000 + at), "after forgery {at}");
    }
    for at in 0..ours.len() {
        let mut changed = ours.clone();
        changed[at] ^= 1;
        forge(&changed);
        assert!(matches!(last().await, None | Some(1_000)), "byte {at}");
    }
    forge(&ours);
    assert_eq!(last().await, Some(1_000), "it is an old truth");
}

#[tokio::test]
async fn an_instance_that_has_all_needs_no_entry_of_a_trimmed_log() {
    let (server, store, _) = nine().await;
    let at = store.heartbeat(beat()).await.unwrap();
    server.ask(&["XTRIM", LOG, "MAXLEN", "0"]);
    assert_eq!(store.changes(at, 10).await.unwrap(), Changes::Next(Vec::new()));
    let elsewhere = Head { mark: crate::store::Mark([7; 16]), ..at };
    assert_eq!(store.changes(elsewhere, 10).await.unwrap(), Changes::Parted);
    // What comes next names the mark of the entry that is gone.
    store.write(put(Table::Key, 10, b"a")).await.unwrap();
    let Changes::Next(next) = store.changes(at, 10).await.unwrap() else { panic!("it leads on") };
    assert_eq!(next.iter().map(|change| change.number).collect::<Vec<_>>(), [10]);
    assert_eq!(store.changes(elsewhere, 10).await.unwrap(), Changes::Parted);
}

#[tokio::test]
async fn a_snapshot_is_read_beside_a_trimmed_log() {
    let (server, store, start) = nine().await;
    server.ask(&["DEL", LOG]);
    let (mut seen, head) = (0, store.heartbeat(beat()).await.unwrap());
    let read = store.snapshot(&[Table::Key], &mut |shown| seen += usize::from(shown.is_ok())).await.unwrap();
    assert_eq!((read, seen), (head, 9));
    check_log(&store, start, "whoever lags is told").await;
}

#[tokio::test]
async fn an_instance_whose_word_is_of_a_time_to_come_does_not_live() {
    let (server, store, _) = nine().await;
    let key = "doorward:{doorward}:instances";
    let said = bulk(server.ask(&[&b"HGET"[..], key.as_bytes(), beat().instance.as_bytes()]));
    let now: u64 = std::str::from_utf8(&said[..13]).unwrap().parse().unwrap();
    let stamped = |at: u64| {
        let moved = [format!("{at:013}").as_bytes(), &said[13..]].concat();
        server.ask(&[&b"HSET"[..], key.as_bytes(), beat().instance.as_bytes(), &moved]);
    };
    stamped(now + 600_000);
    let [instance] = &store.instances().await.unwrap()[..] else { panic!("one") };
    assert!(instance.silent > Duration::from_secs(500), "{:?}", instance.silent);
    stamped(now + 7_200_000);
    assert_eq!(store.instances().await.unwrap(), []);
}
