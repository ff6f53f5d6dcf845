//! Many records.

use std::collections::HashSet;

use uuid::Uuid;

use super::*;
use crate::store::contract::beat;
use crate::store::{Batch, Effect, Expect, Name, Step, Store, Table};

/// With `DOORWARD_TEST_KEYS=1000000` and a release build it says how long a million take.
#[tokio::test(flavor = "multi_thread")]
async fn snapshot_shows_every_one_of_many_records_once() {
    let count = std::env::var("DOORWARD_TEST_KEYS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(20_000);
    let server = Server::start(&[]);
    let store = Arc::new(RedisStore::new(server.settings(), ring(1)));
    let mut writes = tokio::task::JoinSet::new();
    for from in (0..count).step_by(500) {
        let step = |_| Step {
            table: Table::Key,
            name: Name::of(&Uuid::new_v4()),
            expect: Expect::Absent,
            effect: Effect::Put(vec![7; 120]),
        };
        let steps = (from..count.min(from + 500)).map(step).collect();
        let (store, batch) = (store.clone(), Batch { operation: Uuid::new_v4(), steps });
        while writes.len() >= 32 {
            writes.join_next().await.unwrap().unwrap();
        }
        writes.spawn(async move {
            store.write(batch).await.unwrap();
        });
    }
    writes.join_all().await;
    let reader = open(&server);
    let started = tokio::time::Instant::now();
    let (mut names, mut bytes) = (HashSet::with_capacity(count), 0);
    let mut each = |shown: Result<crate::store::Record, crate::store::StoreError>| {
        let record = shown.unwrap();
        bytes += record.payload.len();
        assert!(names.insert(record.name));
    };
    let head = reader.snapshot(&[Table::Consumer, Table::Key], &mut each).await.unwrap();
    println!("{count} records were read in {:?}", started.elapsed());
    assert_eq!((names.len(), bytes), (count, count * 120));
    assert_eq!(head, store.heartbeat(beat()).await.unwrap());
}
