//! What every [`Store`] promises, told once and asked of each.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::memory::Memory;
use super::*;

/// A store under question, and what must outlive it.
pub(super) struct Subject {
    pub(super) store: Arc<dyn Store>,
    pub(super) _keeps: Option<Box<dyn Send>>,
}

/// Opens a new store whose log keeps so many changes.
type Open = fn(u64) -> Subject;

macro_rules! holds_for {
    ($kind:ident, $open:expr, [$($promise:ident),+ $(,)?]) => {
        mod $kind {
            $(#[tokio::test] async fn $promise() { super::$promise($open).await })+
        }
    };
}

macro_rules! holds_for_each {
    ($promises:tt) => {
        holds_for!(memory, super::memory, $promises);
        holds_for!(redb, super::embedded, $promises);
        holds_for!(redis, super::shared, $promises);
    };
}

holds_for_each!([
    put_record_is_read_with_its_revision,
    deleted_record_is_absent_and_in_the_log_as_none,
    changes_come_in_order_and_without_gaps,
    conflict_in_any_step_writes_nothing,
    conflict_names_the_first_step_that_failed,
    expectation_is_of_the_revision,
    same_operation_is_written_once,
    same_operation_at_the_same_time_is_written_once,
    writes_at_the_same_time_get_numbers_of_their_own,
    many_are_read_in_the_order_of_their_names_and_without_those_that_are_not_there,
    scan_goes_by_name_within_the_prefix,
    snapshot_and_the_changes_after_it_are_of_one_moment_while_writes_go_on,
    snapshot_shows_the_tables_asked_for,
    changes_beyond_the_log_are_gone,
    another_history_is_told_apart,
    heartbeat_says_where_the_store_stands,
    newest_number_is_pushed,
    instances_are_who_sent_heartbeats,
    uses_of_keys_are_summed_up_and_the_latest_stands,
    uses_of_a_key_go_with_it,
    counters_add_up_for_everybody_and_end_by_themselves,
]);

// An open file loses no changes, so redb has no other terms.
holds_for!(memory_with_terms, super::memory, [a_new_term_goes_on_from_where_the_store_stands]);
holds_for!(redis_with_terms, super::shared, [a_new_term_goes_on_from_where_the_store_stands]);

fn memory(kept: u64) -> Subject {
    Subject { store: Arc::new(Memory::keeping(kept)), _keeps: None }
}

fn embedded(kept: u64) -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let store = super::redb::tests::open_keeping(folder.path(), kept);
    Subject { store: Arc::new(store), _keeps: Some(Box::new(folder)) }
}

/// A real Redis, and a user with the least rights.
fn shared(kept: u64) -> Subject {
    let (store, server) = super::redis::tests::open_keeping(kept);
    Subject { store: Arc::new(store), _keeps: Some(Box::new(server)) }
}

const MANY: u64 = 1_000;

async fn uses_of_keys_are_summed_up_and_the_latest_stands(open: Open) {
    let subject = open(100);
    let store = &*subject.store;
    let key = |number: u128| Uuid::from_u128(number);
    let used = |number, count, last| Uses { id: key(number), count, last };
    for (table, number) in [(Table::Key, 1), (Table::Session, 2), (Table::Key, 3)] {
        store.write(put(table, number, b"one")).await.unwrap();
    }
    let stood = store.heartbeat(beat()).await.unwrap();
    store.note_uses(&[]).await.unwrap();
    store.note_uses(&[used(1, 2, 1_800_000_010), used(2, 1, 7)]).await.unwrap();
    // Another instance tells later of what was before.
    store.note_uses(&[used(1, 5, 1_800_000_009)]).await.unwrap();
    store.note_uses(&[used(2, 1, 8), used(9, 1, 8)]).await.unwrap();
    store.note_uses(&[used(2, 1, 7)]).await.unwrap();

    let found = store.uses(Table::Key, &[key(3), key(1), key(9)]).await.unwrap();
    assert_eq!(found, [used(1, 7, 1_800_000_010)]);
    let found = store.uses(Table::Session, &[key(9), key(2)]).await.unwrap();
    assert_eq!(found, [used(2, 3, 8)]);
    assert_eq!(store.uses(Table::Session, &[]).await.unwrap(), []);
    assert_eq!(store.heartbeat(beat()).await.unwrap(), stood, "no change comes of it");
}

async fn uses_of_a_key_go_with_it(open: Open) {
    let subject = open(100);
    let store = &*subject.store;
    let used = Uses { id: Uuid::from_u128(1), count: 1, last: 8 };
    for table in Table::USED {
        store.write(put(table, 1, b"one")).await.unwrap();
        store.note_uses(&[used]).await.unwrap();
        store.write(batch_of(table, 1, Expect::Present, Effect::Delete)).await.unwrap();
        store.note_uses(&[used]).await.unwrap();
        store.write(put(table, 1, b"one")).await.unwrap();
        assert_eq!(store.uses(table, &[used.id]).await.unwrap(), []);
        store.write(batch_of(table, 1, Expect::Present, Effect::Delete)).await.unwrap();
    }
}

async fn counters_add_up_for_everybody_and_end_by_themselves(open: Open) {
    let subject = open(100);
    let store = &*subject.store;
    let stood = store.heartbeat(beat()).await.unwrap();
    let at = |seconds: i64| Timestamp::from_unix(1_800_000_000 + seconds);
    let count =
        |name: u8, add| Count { name: [name; 16], add, lives: Duration::from_secs(900), most: u64::MAX };
    let counted = |total, left| Counted { total, left: Duration::from_secs(left) };
    assert_eq!(store.count(&[], at(0)).await.unwrap(), []);
    assert_eq!(store.count(&[count(1, 1), count(2, 1)], at(0)).await.unwrap(), [counted(1, 900); 2]);
    assert_eq!(
        store.count(&[count(1, 1), count(2, 0), count(3, 0)], at(10)).await.unwrap(),
        [counted(2, 890), counted(1, 890), counted(0, 900)]
    );
    for _ in 0..20 {
        store.count(&[count(4, 1)], at(10)).await.unwrap();
    }
    assert_eq!(store.count(&[count(4, 0)], at(10)).await.unwrap(), [counted(20, 900)]);
    // Never below nothing, and what comes to nothing begins anew.
    assert_eq!(store.count(&[count(2, -5)], at(20)).await.unwrap()[0].total, 0);
    assert_eq!(store.count(&[count(2, 1)], at(30)).await.unwrap(), [counted(1, 900)]);
    // Over at its end, and not a second before.
    assert_eq!(store.count(&[count(1, 1)], at(899)).await.unwrap(), [counted(3, 1)]);
    assert_eq!(store.count(&[count(1, 1)], at(900)).await.unwrap(), [counted(1, 900)]);
    // What somebody counted whose clock is ahead counts, and no longer than any other.
    assert_eq!(store.count(&[count(1, 1)], at(899)).await.unwrap(), [counted(2, 900)]);
    assert_eq!(store.count(&[count(1, 1)], at(-5_000)).await.unwrap(), [counted(3, 900)]);
    // All or nothing, and what it would have come to.
    let at_most = |name, add, most| Count { most, ..count(name, add) };
    let both = [at_most(5, 1, 1), at_most(6, 1, 2)];
    assert_eq!(store.count(&both, at(0)).await.unwrap(), [counted(1, 900); 2]);
    for _ in 0..2 {
        let refused = store.count(&both, at(10)).await.unwrap();
        assert_eq!(refused, [counted(2, 890); 2]);
    }
    assert_eq!(store.count(&[count(5, 0), count(6, 0)], at(10)).await.unwrap(), [counted(1, 890); 2]);
    assert_eq!(store.heartbeat(beat()).await.unwrap(), stood, "no change comes of it");
}

async fn put_record_is_read_with_its_revision(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap(), None);
    store.write(put(Table::Consumer, 9, b"first")).await.unwrap();
    let epoch = store.write(put(Table::Key, 1, b"payload")).await.unwrap();
    assert_eq!(epoch.number, 2);
    let expected = Record { table: Table::Key, name: name(1), revision: 2, payload: b"payload".to_vec() };
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap(), Some(expected));
    assert_eq!(store.read(Table::Consumer, &name(1)).await.unwrap(), None, "tables are apart");
}

async fn deleted_record_is_absent_and_in_the_log_as_none(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    store.write(put(Table::Key, 1, b"payload")).await.unwrap();
    let before = store.heartbeat(beat()).await.unwrap();
    store.write(batch([step(Table::Key, 1, Expect::Anything, Effect::Delete)])).await.unwrap();
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap(), None);
    assert!(all(store, Table::Key).await.is_empty());
    let changes = next(store, before, 10).await;
    assert_eq!(changes[0].records, [Changed { table: Table::Key, name: name(1), payload: None }]);
}

async fn changes_come_in_order_and_without_gaps(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let start = store.heartbeat(beat()).await.unwrap();
    let mut operations = Vec::new();
    for number in 1..=7 {
        let mut batch = put(Table::Key, number, &[number]);
        batch.steps.push(step(Table::Unique, number, Expect::Absent, Effect::Put(vec![0])));
        batch.steps.push(step(Table::Owned, number, Expect::Absent, Effect::Keep));
        operations.push(batch.operation);
        store.write(batch).await.unwrap();
    }
    let changes = next(store, start, 100).await;
    assert_eq!(changes.iter().map(|change| change.number).collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
    assert_eq!(changes.iter().map(|change| change.operation).collect::<Vec<_>>(), operations);
    let wrote = |table, payload: &[u8]| Changed { table, name: name(3), payload: Some(payload.to_vec()) };
    assert_eq!(changes[2].records, [wrote(Table::Key, &[3]), wrote(Table::Unique, &[0])]);
    let some = next(store, after(start, &changes[1]), 3).await;
    assert_eq!(some, changes[2..5]);
    assert_eq!(store.heartbeat(beat()).await.unwrap(), after(start, &changes[6]));
    assert!(next(store, after(start, &changes[6]), 3).await.is_empty());
}

async fn conflict_in_any_step_writes_nothing(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    store.write(put(Table::Unique, 5, b"taken")).await.unwrap();
    let before = store.heartbeat(beat()).await.unwrap();
    let batch = batch([
        step(Table::Key, 1, Expect::Absent, Effect::Put(b"new".to_vec())),
        step(Table::Unique, 5, Expect::Absent, Effect::Put(b"new".to_vec())),
    ]);
    let error = store.write(batch.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { table: Table::Unique, name: n } if n == name(5)));
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap(), None);
    assert_eq!(store.read(Table::Unique, &name(5)).await.unwrap().unwrap().payload, b"taken");
    assert_eq!(store.heartbeat(beat()).await.unwrap(), before);
    assert!(next(store, before, 10).await.is_empty());
    // The refused operation was not written, so it is not taken for one that was.
    store.write(batch_of(Table::Unique, 5, Expect::Anything, Effect::Delete)).await.unwrap();
    assert_eq!(store.write(batch).await.unwrap().number, before.epoch.number + 2);
}

async fn conflict_names_the_first_step_that_failed(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let fails = |number| step(Table::Key, number, Expect::Revision(1), Effect::Keep);
    let holds = step(Table::Key, 1, Expect::Absent, Effect::Keep);
    let error = store.write(batch([holds, fails(2), fails(3)])).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { name: n, .. } if n == name(2)));
}

async fn expectation_is_of_the_revision(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let first = store.write(put(Table::Key, 1, b"a")).await.unwrap().number;
    let change = |revision| batch_of(Table::Key, 1, Expect::Revision(revision), Effect::Put(b"b".to_vec()));
    assert!(matches!(store.write(change(first + 1)).await, Err(StoreError::Conflict { .. })));
    let second = store.write(change(first)).await.unwrap().number;
    assert!(matches!(store.write(change(first)).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap().unwrap().revision, second);
    let kept = batch_of(Table::Key, 1, Expect::Revision(second), Effect::Keep);
    store.write(kept).await.unwrap();
    assert_eq!(store.read(Table::Key, &name(1)).await.unwrap().unwrap().revision, second);
}

async fn same_operation_is_written_once(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let batch = put(Table::Key, 1, b"a");
    let start = store.heartbeat(beat()).await.unwrap();
    let first = store.write(batch.clone()).await.unwrap();
    store.write(put(Table::Key, 2, b"b")).await.unwrap();
    // Its expectation (absent) would not hold any more: it is not asked again.
    assert_eq!(store.write(batch).await.unwrap(), first);
    assert_eq!(store.heartbeat(beat()).await.unwrap().epoch.number, first.number + 1);
    assert_eq!(next(store, start, 10).await.len(), 2);
}

async fn same_operation_at_the_same_time_is_written_once(open: Open) {
    let subject = open(MANY);
    let batch = put(Table::Key, 1, b"a");
    let writes: Vec<_> = (0..16).map(|_| spawn_write(&subject.store, batch.clone())).collect();
    for write in writes {
        assert_eq!(write.await.unwrap().unwrap().number, 1);
    }
    assert_eq!(subject.store.heartbeat(beat()).await.unwrap().epoch.number, 1);
}

async fn writes_at_the_same_time_get_numbers_of_their_own(open: Open) {
    let subject = open(MANY);
    let start = subject.store.heartbeat(beat()).await.unwrap();
    let writes: Vec<_> =
        (0..200).map(|number| spawn_write(&subject.store, put(Table::Key, number, b"a"))).collect();
    let mut numbers = Vec::new();
    for write in writes {
        numbers.push(write.await.unwrap().unwrap().number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    let logged: Vec<_> = next(&*subject.store, start, 1_000).await.iter().map(|c| c.number).collect();
    assert_eq!(logged, numbers);
    assert_eq!(all(&*subject.store, Table::Key).await.len(), 200);
}

async fn many_are_read_in_the_order_of_their_names_and_without_those_that_are_not_there(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let name = |number: u128| Name::of(&Uuid::from_u128(number));
    let step = |number: u128| {
        let effect = Effect::Put(number.to_be_bytes().to_vec());
        Step { table: Table::Key, name: name(number), expect: Expect::Absent, effect }
    };
    store.write(batch((1..=600).map(step).collect::<Vec<_>>())).await.unwrap();
    let names = (0..=601).rev().map(name).collect();
    let found = store.read_many(Table::Key, names).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|record| (record.name, record.payload)).collect();
    let expected: Vec<_> =
        (1..=600_u128).rev().map(|number| (name(number), number.to_be_bytes().to_vec())).collect();
    assert_eq!(found, expected);
    assert_eq!(store.read_many(Table::Basic, vec![name(1)]).await.unwrap(), []);
    assert_eq!(store.read_many(Table::Key, Vec::new()).await.unwrap(), []);
}

async fn scan_goes_by_name_within_the_prefix(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let pair = |owner: u128, owned: u128| Name::pair(&Uuid::from_u128(owner), &Uuid::from_u128(owned));
    for (owner, owned) in [(2, 3), (1, 9), (2, 1), (3, 1), (2, 2), (u128::MAX, 4)] {
        let effect = Effect::Put(vec![7]);
        let step = Step { table: Table::Owned, name: pair(owner, owned), expect: Expect::Absent, effect };
        store.write(batch([step])).await.unwrap();
    }
    let scan = async |owner: u128, after: Option<Name>, limit| {
        let prefix = Uuid::from_u128(owner);
        let records = store.scan(Table::Owned, prefix.as_bytes(), after.as_ref(), limit).await.unwrap();
        records.into_iter().map(|record| record.name).collect::<Vec<_>>()
    };
    assert_eq!(scan(2, None, 10).await, [pair(2, 1), pair(2, 2), pair(2, 3)]);
    assert_eq!(scan(2, None, 2).await, [pair(2, 1), pair(2, 2)]);
    assert_eq!(scan(2, Some(pair(2, 1)), 10).await, [pair(2, 2), pair(2, 3)]);
    assert_eq!(scan(2, Some(pair(1, 9)), 1).await, [pair(2, 1)], "after what stands before the prefix");
    assert_eq!(scan(2, Some(pair(3, 1)), 10).await, []);
    assert_eq!(scan(2, None, 0).await, []);
    assert_eq!(scan(u128::MAX, None, 10).await, [pair(u128::MAX, 4)], "a prefix without a successor");
    assert_eq!(all(store, Table::Owned).await.len(), 6);
    assert!(all(store, Table::Unique).await.is_empty());
}

async fn snapshot_and_the_changes_after_it_are_of_one_moment_while_writes_go_on(open: Open) {
    let subject = open(MANY);
    // Two records that always change together.
    let together = |value: u8| {
        batch([
            step(Table::Consumer, 1, Expect::Anything, Effect::Put(vec![value])),
            step(Table::Key, 1, Expect::Anything, Effect::Put(vec![value])),
        ])
    };
    subject.store.write(together(0)).await.unwrap();
    let store = subject.store.clone();
    let writer = tokio::spawn(async move {
        for value in 1..=100 {
            store.write(together(value)).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    while !writer.is_finished() {
        let mut values = BTreeMap::new();
        let mut each = |shown: Result<Record, StoreError>| {
            let record = shown.unwrap();
            values.insert(record.table, (record.revision, record.payload));
        };
        let tables = [Table::Consumer, Table::Key];
        let head = subject.store.snapshot(&tables, &mut each).await.unwrap();
        assert!(values.values().all(|(revision, _)| *revision >= head.epoch.number), "older than its head");
        for change in next(&*subject.store, head, 1_000).await {
            for changed in change.records {
                values.insert(changed.table, (change.number, changed.payload.unwrap()));
            }
        }
        assert_eq!(values[&Table::Consumer], values[&Table::Key]);
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

async fn snapshot_shows_the_tables_asked_for(open: Open) {
    let subject = open(MANY);
    for number in 0..50 {
        for table in [Table::Consumer, Table::Key, Table::Unique] {
            subject.store.write(put(table, number, &[number])).await.unwrap();
        }
    }
    let mut seen = Vec::new();
    let mut each = |shown: Result<Record, StoreError>| {
        let record = shown.unwrap();
        seen.push((record.table, record.name, record.payload));
    };
    let head = subject.store.snapshot(&[Table::Key, Table::Unique], &mut each).await.unwrap();
    assert_eq!(head, subject.store.heartbeat(beat()).await.unwrap());
    assert_eq!(head.epoch.number, 150);
    seen.sort();
    let expected: Vec<_> = [Table::Key, Table::Unique]
        .into_iter()
        .flat_map(|table| (0..50).map(move |number| (table, name(number), vec![number])))
        .collect();
    assert_eq!(seen, expected);
}

async fn changes_beyond_the_log_are_gone(open: Open) {
    let subject = open(3);
    let store = &*subject.store;
    let first = put(Table::Key, 0, b"a");
    let mut heads = vec![store.heartbeat(beat()).await.unwrap()];
    store.write(first.clone()).await.unwrap();
    for number in 1..10 {
        heads.push(store.heartbeat(beat()).await.unwrap());
        store.write(put(Table::Key, number, b"a")).await.unwrap();
    }
    assert_eq!(store.changes(heads[6], 10).await.unwrap(), Changes::Gone);
    assert_eq!(store.changes(heads[0], 10).await.unwrap(), Changes::Gone);
    let kept: Vec<_> = next(store, heads[7], 10).await.iter().map(|change| change.number).collect();
    assert_eq!(kept, [8, 9, 10]);
    // An operation that the log has forgotten meets its expectation again.
    assert!(matches!(store.write(first).await, Err(StoreError::Conflict { .. })));
}

async fn another_history_is_told_apart(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let start = store.heartbeat(beat()).await.unwrap();
    store.write(put(Table::Key, 0, b"a")).await.unwrap();
    let now = store.heartbeat(beat()).await.unwrap();
    let parted = |epoch, mark| Head { epoch, mark };
    for other in [
        parted(Epoch { store: Uuid::from_u128(1), ..now.epoch }, now.mark),
        parted(Epoch { store: Uuid::from_u128(1), ..start.epoch }, start.mark),
        parted(Epoch { number: now.epoch.number + 1, ..now.epoch }, now.mark),
        parted(now.epoch, Mark([7; 16])),
        parted(start.epoch, Mark([7; 16])),
    ] {
        assert_eq!(store.changes(other, 10).await.unwrap(), Changes::Parted, "{other:?}");
    }
    assert!(next(store, now, 10).await.is_empty());
}

async fn heartbeat_says_where_the_store_stands(open: Open) {
    let subject = open(MANY);
    let start = subject.store.heartbeat(beat()).await.unwrap();
    assert_eq!(start.epoch.number, 0);
    let written = subject.store.write(put(Table::Key, 1, b"a")).await.unwrap();
    assert_eq!(subject.store.heartbeat(beat()).await.unwrap().epoch, written);
    assert_eq!(written, Epoch { number: 1, ..start.epoch });
}

async fn instances_are_who_sent_heartbeats(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    let first = beat();
    let head = store.heartbeat(first).await.unwrap();
    let second = Beat { instance: Uuid::from_u128(2), applied: Some(head.epoch), catalog: u64::MAX };
    store.heartbeat(second).await.unwrap();
    let later = Beat { applied: Some(Epoch { number: 7, ..head.epoch }), ..first };
    store.heartbeat(later).await.unwrap();
    let mut instances = store.instances().await.unwrap();
    instances.sort_by_key(|instance| instance.beat.instance);
    assert_eq!(instances.iter().map(|instance| instance.beat).collect::<Vec<_>>(), [later, second]);
    assert!(instances.iter().all(|instance| instance.silent < Duration::from_secs(60)), "{instances:?}");
}

async fn a_new_term_goes_on_from_where_the_store_stands(open: Open) {
    let subject = open(MANY);
    let store = &*subject.store;
    store.write(put(Table::Key, 0, b"a")).await.unwrap();
    let before = store.heartbeat(beat()).await.unwrap();
    store.write(put(Table::Key, 1, b"a")).await.unwrap();
    let now = store.heartbeat(beat()).await.unwrap();
    let late = store.begin_term(before, put(Table::Key, 2, b"a")).await;
    assert!(matches!(late, Err(StoreError::Moved)), "{late:?}");
    let again = put(Table::Key, 2, b"a");
    let epoch = store.begin_term(now, again.clone()).await.unwrap();
    assert_eq!(epoch, Epoch { term: now.epoch.term + 1, number: now.epoch.number + 1, ..now.epoch });
    assert_eq!(store.heartbeat(beat()).await.unwrap().epoch, epoch);
    assert_eq!(next(store, now, 10).await.len(), 1, "who knows all that came before goes on");
    let twice = store.begin_term(now, batch([])).await;
    assert!(matches!(twice, Err(StoreError::Moved)), "{twice:?}");
    assert_eq!(
        store.write(put(Table::Key, 3, b"a")).await.unwrap(),
        Epoch { number: epoch.number + 1, ..epoch }
    );
}

async fn newest_number_is_pushed(open: Open) {
    let subject = open(MANY);
    let mut pushed = subject.store.pushed();
    assert_eq!(*pushed.borrow_and_update(), 0);
    subject.store.write(put(Table::Key, 1, b"a")).await.unwrap();
    pushed.changed().await.unwrap();
    assert_eq!(*pushed.borrow_and_update(), 1);
}

pub(super) fn name(number: u8) -> Name {
    Name::of(&Uuid::from_u128(u128::from(number)))
}

pub(super) fn step(table: Table, number: u8, expect: Expect, effect: Effect) -> Step {
    Step { table, name: name(number), expect, effect }
}

pub(super) fn batch(steps: impl Into<Vec<Step>>) -> Batch {
    Batch { operation: Uuid::new_v4(), steps: steps.into() }
}

pub(super) fn put(table: Table, number: u8, payload: &[u8]) -> Batch {
    batch_of(table, number, Expect::Absent, Effect::Put(payload.to_vec()))
}

pub(super) fn beat() -> Beat {
    Beat { instance: Uuid::from_u128(1), applied: None, catalog: 0 }
}

pub(super) async fn all(store: &dyn Store, table: Table) -> Vec<Record> {
    store.scan(table, &[], None, usize::MAX).await.unwrap()
}

pub(super) async fn next(store: &dyn Store, from: Head, limit: usize) -> Vec<Change> {
    match store.changes(from, limit).await.unwrap() {
        Changes::Next(changes) => changes,
        other => panic!("{other:?}"),
    }
}

fn after(start: Head, change: &Change) -> Head {
    Head { epoch: Epoch { number: change.number, ..start.epoch }, mark: change.mark }
}

fn batch_of(table: Table, number: u8, expect: Expect, effect: Effect) -> Batch {
    batch([step(table, number, expect, effect)])
}

fn spawn_write(store: &Arc<dyn Store>, batch: Batch) -> tokio::task::JoinHandle<Result<Epoch, StoreError>> {
    let store = store.clone();
    tokio::spawn(async move { store.write(batch).await })
}
