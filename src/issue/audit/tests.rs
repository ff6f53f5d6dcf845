#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::catalog::{Catalog, Parts};
use crate::domain::rights::Caller;
use crate::domain::time::Timestamp;
use crate::issue::{AuditFilter, By, NewConsumer, Refusal, Registrar};
use crate::store::memory::Memory;
use crate::store::record::{AuditEntry, AuditHead};
use crate::store::ring::Ring;
use crate::store::{Batch, Effect, Expect, Name, Step, Store, StoreError, Table};

const INSTANCE: Uuid = Uuid::from_u128(7);

struct Bench {
    store: Arc<Memory>,
    registrar: Registrar,
}

impl Bench {
    fn new(kept: u64) -> Self {
        let store = Arc::new(Memory::new());
        let registrar = registrar(&store, INSTANCE, kept);
        Self { store, registrar }
    }

    async fn makes(&self, name: &str) {
        let new = NewConsumer { username: Some(name.into()), ..NewConsumer::default() };
        self.registrar.create_consumer(&By::new(Caller::Socket, None), new).await.unwrap();
    }

    /// Makes as many consumers.
    async fn filled(kept: u64, entries: u64) -> Self {
        let bench = Self::new(kept);
        for number in 0..entries {
            bench.makes(&format!("c{number}")).await;
        }
        bench
    }

    /// As somebody does who has the ring, and so can write what he likes.
    async fn tamper(&self, name: Name, effect: Effect) {
        let step = Step { table: Table::Audit, name, expect: Expect::Present, effect };
        self.store.write(Batch { operation: Uuid::new_v4(), steps: vec![step] }).await.unwrap();
    }

    async fn entry(&self, number: u64) -> Vec<u8> {
        self.store.read(Table::Audit, &entry(number)).await.unwrap().unwrap().payload
    }

    async fn findings(&self) -> Vec<(u64, String)> {
        let verdict = self.registrar.verify_audit().await.unwrap();
        verdict.findings.into_iter().map(|finding| (finding.number, finding.why)).collect()
    }
}

fn registrar(store: &Arc<Memory>, instance: Uuid, kept: u64) -> Registrar {
    registrar_at(store, instance, kept, Clock::system())
}

fn registrar_at(store: &Arc<Memory>, instance: Uuid, kept: u64, clock: Clock) -> Registrar {
    let ring = Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap();
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
    Registrar::new(store.clone(), Arc::new(ring), clock, catalog).with_audit(instance, kept)
}

fn entry(number: u64) -> Name {
    AuditEntry::name(&INSTANCE, number)
}

#[tokio::test]
async fn a_whole_log_verifies_and_says_how_much_there_is() {
    let bench = Bench::filled(100, 5).await;
    let verdict = bench.registrar.verify_audit().await.unwrap();
    assert_eq!((verdict.chains, verdict.entries, verdict.findings), (1, 5, Vec::new()));
    let empty = Bench::new(100).registrar.verify_audit().await.unwrap();
    assert_eq!((empty.chains, empty.entries, empty.findings), (0, 0, Vec::new()));
}

#[tokio::test]
async fn a_removed_changed_or_moved_entry_is_found() {
    let removed = Bench::filled(100, 5).await;
    removed.tamper(entry(3), Effect::Delete).await;
    assert_eq!(removed.findings().await, [(4, "before it entry 3 is missing".to_owned())]);

    let first = Bench::filled(100, 5).await;
    first.tamper(entry(1), Effect::Delete).await;
    first.tamper(entry(2), Effect::Delete).await;
    assert_eq!(first.findings().await, [(3, "before it entries 1 to 2 are missing".to_owned())]);

    let last = Bench::filled(100, 5).await;
    last.tamper(entry(5), Effect::Delete).await;
    assert_eq!(last.findings().await, [(5, "at the end entry 5 is missing".to_owned())]);

    let changed = Bench::filled(100, 5).await;
    let mut record = AuditEntry::decode(&changed.entry(3).await).unwrap();
    record.caller = "doorward".into();
    changed.tamper(entry(3), Effect::Put(record.encode())).await;
    assert_eq!(changed.findings().await, [(4, "the one before it was changed".to_owned())]);

    let newest = Bench::filled(100, 5).await;
    let mut record = AuditEntry::decode(&newest.entry(5).await).unwrap();
    record.action = "key.create".into();
    newest.tamper(entry(5), Effect::Put(record.encode())).await;
    assert_eq!(newest.findings().await, [(5, "it is not the one that was written".to_owned())]);

    let moved = Bench::filled(100, 5).await;
    let (two, three) = (moved.entry(2).await, moved.entry(3).await);
    moved.tamper(entry(2), Effect::Put(three)).await;
    moved.tamper(entry(3), Effect::Put(two)).await;
    assert!(!moved.findings().await.is_empty());

    let headless = Bench::filled(100, 5).await;
    headless.tamper(Name::of(&INSTANCE), Effect::Delete).await;
    assert_eq!(headless.findings().await, [(0, "its head is missing".to_owned())]);
}

#[tokio::test]
async fn a_chain_keeps_so_many_entries_and_still_verifies() {
    let bench = Bench::filled(3, 10).await;
    let verdict = bench.registrar.verify_audit().await.unwrap();
    assert_eq!((verdict.entries, verdict.findings), (3, Vec::new()));
    let head = bench.store.read(Table::Audit, &Name::of(&INSTANCE)).await.unwrap().unwrap();
    let AuditHead { number, first, .. } = AuditHead::decode(&head.payload).unwrap();
    assert_eq!((first, number), (8, 10));
    // Fewer than before.
    let fewer = registrar(&bench.store, INSTANCE, 1);
    let new = NewConsumer { username: Some("x".into()), ..NewConsumer::default() };
    fewer.create_consumer(&By::new(Caller::Socket, None), new).await.unwrap();
    assert_eq!(fewer.verify_audit().await.unwrap().entries, 1);
}

#[tokio::test]
async fn what_was_not_written_is_in_no_log_and_a_chain_goes_on_whoever_wrote_to_it() {
    let bench = Bench::filled(100, 2).await;
    let taken = NewConsumer { username: Some("c0".into()), ..NewConsumer::default() };
    let refused = bench.registrar.create_consumer(&By::new(Caller::Socket, None), taken).await;
    assert!(matches!(refused, Err(Refusal::Taken { .. })));
    // Another process of the same instance.
    let other = Bench { store: bench.store.clone(), registrar: registrar(&bench.store, INSTANCE, 100) };
    other.makes("other").await;
    bench.makes("again").await;
    other.makes("once more").await;
    let verdict = bench.registrar.verify_audit().await.unwrap();
    assert_eq!((verdict.entries, verdict.findings), (5, Vec::new()));
}

#[tokio::test]
async fn writes_at_the_same_moment_make_one_chain() {
    let bench = Arc::new(Bench::new(1000));
    let writers: Vec<_> = (0..50)
        .map(|number| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.makes(&format!("c{number}")).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let verdict = bench.registrar.verify_audit().await.unwrap();
    assert_eq!((verdict.chains, verdict.entries, verdict.findings), (1, 50, Vec::new()));
}

#[tokio::test]
async fn pages_go_through_the_chains_of_all_instances_in_order() {
    let bench = Bench::filled(1000, 300).await;
    let other =
        Bench { store: bench.store.clone(), registrar: registrar(&bench.store, Uuid::from_u128(9), 1000) };
    for number in 0..300 {
        other.makes(&format!("o{number}")).await;
        bench.makes(&format!("b{number}")).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = bench.registrar.audit(&AuditFilter::default(), after, 70).await.unwrap();
        assert!(page.entries.len() <= 70);
        seen.extend(page.entries.iter().map(|entry| (entry.at, entry.chain, entry.number)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 900, "none is left out");
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "the newest first, and none twice");
}

/// The chain of an instance that is gone, and another instance, so many hours later.
async fn left_behind(entries: u64, hours: u64) -> (Bench, Registrar) {
    let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_000_000));
    let store = Arc::new(Memory::new());
    let gone = registrar_at(&store, INSTANCE, 10_000, clock.clone());
    let bench = Bench { store: Arc::clone(&store), registrar: gone };
    for number in 0..entries {
        bench.makes(&format!("c{number}")).await;
    }
    hand.advance(Duration::from_secs(hours * 3600));
    let other = registrar_at(&store, Uuid::from_u128(8), 10_000, clock);
    (bench, other)
}

fn socket() -> By {
    By::new(Caller::Socket, None)
}

#[tokio::test]
async fn the_chain_of_an_instance_that_is_gone_is_ended_and_that_is_in_the_log() {
    // More than go at once.
    let (bench, other) = left_behind(1_203, 25).await;
    let chains = other.chains().await.unwrap();
    let told: Vec<_> = chains.iter().map(|it| (it.id, it.own, it.first, it.last)).collect();
    assert_eq!(told, [(INSTANCE, false, 1, 1_203)]);
    other.retire_chain(&socket(), INSTANCE).await.unwrap();
    let left = other.chains().await.unwrap();
    assert_eq!(left.iter().map(|it| (it.id, it.own)).collect::<Vec<_>>(), [(Uuid::from_u128(8), true)]);
    let verdict = other.verify_audit().await.unwrap();
    assert_eq!((verdict.findings.len(), verdict.entries), (0, 3), "each part of it has its entry");
    let page = other.audit(&AuditFilter::default(), None, 10).await.unwrap();
    assert!(
        page.entries.iter().all(|entry| entry.action == "audit.retire" && entry.object == Some(INSTANCE))
    );
    assert!(matches!(other.retire_chain(&socket(), INSTANCE).await, Err(Refusal::NotFound { .. })));
    // An instance that was only silent begins anew.
    bench.makes("again").await;
    let verdict = other.verify_audit().await.unwrap();
    assert_eq!((verdict.findings.len(), verdict.chains), (0, 2));
}

#[tokio::test]
async fn what_another_instance_does_to_a_chain_is_not_taken_for_writes_to_its_own() {
    let (_, other) = left_behind(3, 25).await;
    let head = Name::of(&INSTANCE);
    let late = Step { table: Table::Audit, name: head, expect: Expect::Revision(1), effect: Effect::Delete };
    let refusal = other.write(socket().does("audit.retire", INSTANCE), vec![late], ()).await.map(|_| ());
    assert!(
        matches!(refusal, Err(Refusal::Store(StoreError::Conflict { table: Table::Audit, .. }))),
        "{refusal:?}"
    );
    assert_eq!(other.chains().await.unwrap().len(), 1, "it stays, and nothing is in the log");
}

#[tokio::test]
async fn chains_of_instances_that_are_gone_end_by_themselves_after_the_silence() {
    const SILENCE: Duration = Duration::from_secs(90 * 24 * 3600);
    let left = async |hours| {
        let (_, other) = left_behind(3, hours).await;
        other.retire_silent_chains(SILENCE).await.unwrap();
        other.chains().await.unwrap().iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(left(90 * 24 - 1).await, [INSTANCE]);
    assert_eq!(left(90 * 24).await, [Uuid::from_u128(8)], "of it only that it was ended is left");
    // Its own stay however long it was silent, and so does what somebody has tampered with.
    let (bench, other) = left_behind(3, 90 * 24).await;
    bench.registrar.retire_silent_chains(SILENCE).await.unwrap();
    bench.tamper(entry(2), Effect::Delete).await;
    other.retire_silent_chains(SILENCE).await.unwrap();
    assert_eq!(bench.findings().await.len(), 1);
}

#[tokio::test]
async fn all_three_chains_of_an_instance_are_its_own() {
    let (bench, _) = left_behind(1, 48).await;
    for chain in super::super::chains(INSTANCE, 1) {
        let refused = bench.registrar.retire_chain(&socket(), chain.id).await.map(|done| done.value);
        assert!(matches!(refused, Err(Refusal::InUse { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_chain_that_may_be_needed_stays() {
    let stays = async |registrar: &Registrar, chain: Uuid, why: &str| {
        let refusal = registrar.retire_chain(&socket(), chain).await.map(|done| done.value).unwrap_err();
        assert!(matches!(refusal, Refusal::InUse { .. }) && refusal.to_string().contains(why), "{refusal}");
    };
    let (bench, other) = left_behind(3, 23).await;
    stays(&other, INSTANCE, "within the last day").await;
    stays(&bench.registrar, INSTANCE, "it writes to this chain").await;
    let (bench, other) = left_behind(3, 25).await;
    bench.tamper(entry(2), Effect::Delete).await;
    stays(&other, INSTANCE, "is missing").await;
    assert_eq!(bench.findings().await.len(), 1, "nothing of it is gone");
}
