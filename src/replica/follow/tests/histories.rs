//! Random histories that lose random parts, followed by two.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Make(u8),
    Change(u8),
    Disable(u8),
    Delete(u8),
    Beat(usize),
    /// The store keeps so many hundredths of its changes.
    GoBack(u64),
    /// The other of two stores stands in its place, with so many hundredths of its changes, and is seen by all:
    /// what only a snapshot brings is in no journal.
    Swap(u64),
}

const KEYS: u8 = 5;

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..KEYS).prop_map(Act::Make),
        3 => (0..KEYS).prop_map(Act::Change),
        2 => (0..KEYS).prop_map(Act::Disable),
        2 => (0..KEYS).prop_map(Act::Delete),
        6 => (0..2_usize).prop_map(Act::Beat),
        2 => (40..100_u64).prop_map(Act::GoBack),
        1 => (40..=100_u64).prop_map(Act::Swap),
    ]
}

/// What writers acknowledged, and what followers knew of it.
#[derive(Default)]
struct Model {
    /// Revoked in an acknowledged change. Nobody makes or enables such a key again.
    revoked: BTreeSet<u8>,
    /// Revoked, and a follower applied it.
    applied: BTreeSet<u8>,
    versions: u32,
}

impl Model {
    /// What an administrator writes who sees what the store has now.
    async fn write(&mut self, bench: &Bench, act: &Act) {
        self.versions += 1;
        let version = self.versions.to_string();
        let (Act::Make(number) | Act::Change(number) | Act::Disable(number) | Act::Delete(number)) = *act
        else {
            return;
        };
        match (act, bench.stored(number).await) {
            (Act::Make(_), None) if !self.revoked.contains(&number) => {
                bench.write([put(&key(number, true, &version))]).await;
            }
            (Act::Change(_), Some(enabled)) => {
                bench.write([put(&key(number, enabled, &version))]).await;
            }
            (Act::Disable(_), Some(true)) => {
                bench.write([put(&key(number, false, &version))]).await;
                self.revoked.insert(number);
            }
            (Act::Delete(_), Some(_)) => {
                bench.write([delete(number)]).await;
                self.revoked.insert(number);
            }
            _ => {}
        }
    }

    async fn beat(&mut self, follower: &mut Follower) {
        let usable = |follower: &Follower, number: &u8| known(follower, *number) == Some(true);
        let before: Vec<u8> = (0..KEYS).filter(|number| usable(follower, number)).collect();
        let store = |follower: &Follower| follower.at.map(|at| at.epoch.store);
        let was = store(follower);
        follower.beat().await.unwrap();
        if store(follower) != was {
            return;
        }
        let ended = before.into_iter().filter(|number| !usable(follower, number));
        self.applied.extend(ended.filter(|number| self.revoked.contains(number)));
    }
}

async fn run(acts: &[Act]) {
    let bench = Bench::new();
    let mut followers = [bench.follower(), bench.follower()];
    let mut model = Model::default();
    let (mut beside, mut model_beside) = (Arc::new(Memory::new()), Model::default());
    for follower in &mut followers {
        model.beat(follower).await;
    }
    for act in acts {
        match act {
            Act::Swap(kept) => {
                beside = bench.store.inner.swap(beside);
                std::mem::swap(&mut model, &mut model_beside);
                bench.wind_back(bench.head().await.epoch.number * kept / 100);
                for follower in &mut followers {
                    model.beat(follower).await;
                }
            }
            Act::Beat(which) => model.beat(&mut followers[*which]).await,
            Act::GoBack(kept) => bench.wind_back(bench.head().await.epoch.number * kept / 100),
            write => model.write(&bench, write).await,
        }
    }
    for _ in 0..3 {
        for follower in &mut followers {
            follower.beat().await.unwrap();
        }
    }
    let head = bench.head().await;
    for number in 0..KEYS {
        let stored = bench.stored(number).await;
        assert!(stored != Some(true) || !model.applied.contains(&number), "key {number} is usable again");
        for follower in &followers {
            assert_eq!(known(follower, number), stored, "key {number}");
        }
    }
    for follower in &followers {
        assert_eq!(follower.at, Some(head));
        assert!(trusted(follower));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_revocation_that_a_follower_applied_is_undone_by_a_store_that_goes_back(
        acts in proptest::collection::vec(act(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(&acts));
    }
}
