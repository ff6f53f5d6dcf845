//! What a replica takes: resident bytes a key, and the time it takes to be there.
//!
//! `replica_memory [keys]` prints a line of JSON; ten keys a consumer.

use std::time::Instant;

use bytes::Bytes;
use doorward::clock::Clock;
use doorward::domain::network::Networks;
use doorward::domain::time::Timestamp;
use doorward::domain::verifier::{Pepper, Verifier};
use doorward::replica::Replica;
use doorward::store::record::{ConsumerRecord, KeyRecord, Membership};
use doorward::store::{
    Batch, Beat, Changes, Epoch, Head, Instance, Name, Record, Store, StoreError, Table, Uses,
};
use tokio::sync::watch;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A store of so many keys, each of which exists while it is looked at.
struct Imagined {
    keys: u64,
    head: Head,
    pack: Option<Vec<Bytes>>,
}

const KEYS_OF_A_CONSUMER: u64 = 10;
const KEY: u64 = 1;
const CONSUMER: u64 = 2;

fn main() {
    let keys = std::env::args().nth(1).and_then(|keys| keys.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut store = Imagined { keys, head: Head::start(Uuid::new_v4(), 1), pack: None };
    let load = |store: &Imagined| {
        let began = Instant::now();
        let replica = runtime.block_on(Replica::load(store, &Clock::system())).expect("it always answers");
        assert_eq!(replica.holdings().keys as u64, keys);
        (replica, began.elapsed().as_secs_f64())
    };
    let before = resident();
    let (replica, plain) = load(&store);
    let bytes = resident().saturating_sub(before) as f64 / keys as f64;
    let (hit, miss) = (nanoseconds(&replica, keys, 0), nanoseconds(&replica, keys, u64::MAX / 2));
    let began = Instant::now();
    let pack = replica.pack();
    let packing = began.elapsed().as_secs_f64();
    let packed_bytes = pack.iter().map(Bytes::len).sum::<usize>() as f64 / keys as f64;
    drop(replica);
    store.pack = Some(pack);
    let (_, packed) = load(&store);
    println!(
        "{{\"keys\":{keys},\"resident_bytes_a_key\":{bytes:.1},\"packed_bytes_a_key\":{packed_bytes:.1},\
         \"plain_load_s\":{plain:.3},\"pack_s\":{packing:.3},\"packed_load_s\":{packed:.3},\
         \"hit_ns\":{hit},\"miss_ns\":{miss}}}"
    );
}

/// Of a look-up of a key, and of its consumer where it is known.
fn nanoseconds(replica: &Replica, keys: u64, offset: u64) -> u128 {
    const LOOKUPS: u64 = 1_000_000;
    let mut verifiers = Vec::new();
    let mut random = 1_u64;
    for _ in 0..LOOKUPS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        verifiers.push(verifier((random >> 20) % keys + offset));
    }
    let mut found = 0_u64;
    let began = Instant::now();
    for verifier in &verifiers {
        if let Some(facts) = replica.key(verifier)
            && replica.consumer(facts.consumer).is_some()
        {
            found += 1;
        }
    }
    let elapsed = began.elapsed();
    assert!(found == LOOKUPS || found == 0);
    elapsed.as_nanos() / u128::from(LOOKUPS)
}

/// In bytes (proc(5), `statm`).
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

/// Random looks, and always the same.
fn id(kind: u64, number: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&mixed(kind, number).as_bytes()[16..]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

fn verifier(number: u64) -> Verifier {
    mixed(0, number)
}

fn mixed(kind: u64, number: u64) -> Verifier {
    static PEPPER: std::sync::LazyLock<Pepper> = std::sync::LazyLock::new(|| Pepper::new(&[7; 32]));
    let mut text = [0; 16];
    text[..8].copy_from_slice(&kind.to_be_bytes());
    text[8..].copy_from_slice(&number.to_be_bytes());
    PEPPER.verifier(&text)
}

fn key(number: u64) -> KeyRecord {
    KeyRecord {
        id: id(KEY, number),
        consumer: id(CONSUMER, number / KEYS_OF_A_CONSUMER),
        verifier: verifier(number),
        ring_key: 1,
        handle: Some("abcdefghijkl".into()),
        tags: vec!["a tag".into()],
        not_before: None,
        expires_at: number.is_multiple_of(2).then(|| Timestamp::from_unix(2_000_000_000)),
        enabled: true,
        opens: None,
        permissions: None,
        created_at: Timestamp::from_unix(1_800_000_000),
        weak: false,
        networks: Networks::default(),
    }
}

fn consumer(number: u64) -> ConsumerRecord {
    ConsumerRecord {
        id: id(CONSUMER, number),
        username: Some(format!("consumer-{number:07}")),
        custom_id: None,
        tags: vec!["a tag".into()],
        email: None,
        groups: vec![Membership::plain(
            &id(CONSUMER, number),
            format!("team-{}", number % 50),
            Timestamp::from_unix(1_800_000_000),
        )],
        permissions: Vec::new(),
        enabled: true,
        created_at: Timestamp::from_unix(1_800_000_000),
        updated_at: Timestamp::from_unix(1_800_000_000),
        roles: Vec::new(),
        networks: Networks::default(),
    }
}

#[tonic::async_trait]
impl Store for Imagined {
    async fn snapshot(
        &self,
        _: &[Table],
        each: &mut (dyn for<'r> FnMut(Record) + Send),
    ) -> Result<Head, StoreError> {
        for number in 0..self.keys.div_ceil(KEYS_OF_A_CONSUMER) {
            let (name, payload) = (Name::of(&id(CONSUMER, number)), consumer(number).encode());
            each(Record { table: Table::Consumer, name, revision: 1, payload });
        }
        for number in 0..self.keys {
            let (name, payload) = (Name::of(&id(KEY, number)), key(number).encode());
            each(Record { table: Table::Key, name, revision: 1, payload });
        }
        Ok(self.head)
    }

    async fn changes(&self, _: Head, _: usize) -> Result<Changes, StoreError> {
        Ok(Changes::Next(Vec::new()))
    }

    async fn heartbeat(&self, _: Beat) -> Result<Head, StoreError> {
        Ok(self.head)
    }

    async fn write(&self, _: Batch) -> Result<Epoch, StoreError> {
        Err(imagined())
    }

    async fn read(&self, _: Table, _: &Name) -> Result<Option<Record>, StoreError> {
        Err(imagined())
    }

    async fn scan(&self, _: Table, _: &[u8], _: Option<&Name>, _: usize) -> Result<Vec<Record>, StoreError> {
        Err(imagined())
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        Err(imagined())
    }

    async fn begin_term(&self, _: Head, _: Batch) -> Result<Epoch, StoreError> {
        Err(imagined())
    }

    async fn packed(&self) -> Result<Option<(Head, Vec<Bytes>)>, StoreError> {
        Ok(self.pack.clone().map(|pack| (self.head, pack)))
    }

    async fn note_uses(&self, _: &[Uses]) -> Result<(), StoreError> {
        Err(imagined())
    }

    async fn uses(&self, _: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
        Err(imagined())
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

fn imagined() -> StoreError {
    StoreError::Unavailable("it is only imagined".into())
}
