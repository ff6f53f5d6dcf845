//! Taking away what has ended by itself. Every check judges that anew; this only frees the room.

use std::sync::Arc;

use uuid::Uuid;

use super::owned::{Credential, ending};
use super::{By, Refusal, Registrar};
use crate::domain::time::Timestamp;
use crate::replica::Replica;
use crate::store::{StoreError, Table};

/// Seconds after its end. Until then it takes room and opens nothing: an instance whose clock is ahead by
/// less takes nothing away that still holds for the others.
const GRACE: i64 = 24 * 3_600;

/// The same for grants, which are as many as logins and worth a minute at most. Whose clock is further ahead
/// costs somebody a second login.
const GRACE_OF_GRANTS: i64 = 60;

/// The same for access keys, which are few: whoever comes back after some days off to programs that buy nothing
/// any more finds the key that was over meanwhile, its name and when it was.
const GRACE_OF_ACCESS_KEYS: i64 = 7 * 24 * 3_600;

/// Milliseconds. Whose clock is further from the store's takes nothing away: it cannot know what has ended.
const SKEW: i64 = 60_000;

/// Credentials that are taken away with one write: of each a record, its place among its owner's, and its name.
const AT_ONCE: usize = 500;

impl Registrar {
    /// Takes away what has ended, if it is so by the clocks of all instances.
    ///
    /// # Errors
    ///
    /// The store's; what is left then is for the next time.
    pub async fn sweep(&self) -> Result<(), Refusal> {
        let Some(replica) = &self.replica else { return Ok(()) };
        if !self.clock_agrees() {
            return Ok(());
        }
        let before = |grace| Timestamp::from_unix(self.clock.now().unix().saturating_sub(grace));
        self.sweep_grants(before(GRACE_OF_GRANTS)).await?;
        self.sweep_sessions(replica, before(GRACE)).await?;
        self.take_away("access_key.expire", &replica.spent_access_keys(before(GRACE_OF_ACCESS_KEYS))).await?;
        self.take_away("token.expire", &replica.spent_tokens(before(GRACE))).await
    }

    /// Whether what has ended by this instance's clock has ended by the store's, give or take a minute.
    pub(super) fn clock_agrees(&self) -> bool {
        self.replica.as_ref().is_none_or(|replica| replica.clock_ahead().abs() <= SKEW)
    }

    async fn take_away<C: Credential>(&self, action: &'static str, spent: &[Arc<C>]) -> Result<(), Refusal> {
        let by = By::doorward();
        for spent in spent.chunks(AT_ONCE) {
            let Some(first) = spent.first().map(|it| it.id()) else { continue };
            let steps = spent.iter().flat_map(|it| ending(&**it, None)).collect();
            match self.write_to(&self.handed_out, by.does(action, first), steps, ()).await {
                Ok(_) => {}
                // Another instance does the same; what it leaves is for the next time.
                Err(Refusal::Store(StoreError::Conflict { .. })) => return Ok(()),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }

    async fn sweep_sessions(&self, replica: &Replica, now: Timestamp) -> Result<(), Refusal> {
        let by = By::doorward();
        loop {
            let mut spent = replica.spent_sessions(now, AT_ONCE);
            let ids: Vec<Uuid> = spent.iter().map(|session| session.id).collect();
            // What another instance has told of their use may not have been heard here.
            replica.note_sessions_used(&self.store.uses(Table::Session, &ids).await?, now);
            spent.retain(|it| {
                replica.session(&it.id).is_some_and(|(session, last)| !session.holds(last, now))
            });
            let Some(first) = spent.first().map(|session| session.id) else { return Ok(()) };
            let steps = spent.iter().flat_map(|session| ending(&**session, None)).collect();
            let done = self.write_to(&self.handed_out, by.does("session.expire", first), steps, ()).await;
            match done {
                Ok(done) if done.applied => {}
                Ok(_) | Err(Refusal::Store(StoreError::Conflict { .. })) => return Ok(()),
                Err(refusal) => return Err(refusal),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use tokio::task::JoinHandle;

    use super::super::owned::making;
    use super::*;
    use crate::clock::Clock;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::domain::password::Mark;
    use crate::domain::session::Session;
    use crate::domain::token::{AccessKey, Scope, Token};
    use crate::issue::tests::failing::Failing;
    use crate::replica::{Follower, Pace, Replica, Settings};
    use crate::store::memory::Memory;
    use crate::store::record::GrantRecord;
    use crate::store::ring::Ring;
    use crate::store::{Batch, Effect, Expect, Name, Step, Store, Uses};

    const NOW: i64 = 1_000_000;
    const KEY: Uuid = Uuid::from_u128(7);

    fn token(id: u128, access_key: Uuid, expires_at: i64) -> Token {
        let scope = Scope::Subject { access_key, project: KEY, roles: Vec::new(), passwords: Vec::new() };
        let (id, created_at) = (Uuid::from_u128(id), Timestamp::from_unix(0));
        Token { id, consumer: KEY, scope, expires_at: Timestamp::from_unix(expires_at), created_at }
    }

    fn access_key(id: Uuid, expires_at: Option<Timestamp>) -> AccessKey {
        AccessKey {
            id,
            consumer: KEY,
            name: id.to_string(),
            project: KEY,
            roles: Vec::new(),
            expires_at,
            enabled: true,
            created_at: Timestamp::from_unix(0),
        }
    }

    fn session(id: u128, expires_at: i64) -> Session {
        let (idle, password) = (Duration::from_secs(60), Mark::from_bytes([0; 12]));
        let (id, created_at) = (Uuid::from_u128(id), Timestamp::from_unix(0));
        Session {
            id,
            consumer: KEY,
            created_at,
            expires_at: Timestamp::from_unix(expires_at),
            idle,
            password,
        }
    }

    #[tokio::test]
    async fn whose_clock_is_far_from_the_stores_takes_nothing_away() {
        for (ahead, left) in [(-61_000, 1), (-60_000, 0), (60_000, 0), (61_000, 1)] {
            let store = Arc::new(Failing::new());
            store.time.store(NOW * 1_000 - ahead, Ordering::Relaxed);
            let steps = making(&token(1, KEY, NOW - 86_400));
            store.write(Batch { operation: Uuid::nil(), steps }).await.unwrap();
            let (registrar, following) = following(store.clone()).await;
            registrar.sweep().await.unwrap();
            following.abort();
            let stored = store.scan(Table::Token, &[], None, 10).await.unwrap();
            assert_eq!(stored.len(), left, "{ahead} ms");
        }
    }

    #[tokio::test]
    async fn whose_clock_is_far_from_the_stores_rotates_no_signing_keys() {
        for (ahead, rotates) in [(-61_000, false), (60_000, true), (61_000, false)] {
            let store = Arc::new(Failing::new());
            let (year_ago, _) = Clock::stopped(Timestamp::from_unix(NOW - 365 * 86_400));
            registrar(store.clone(), year_ago).tend_signing_keys().await.unwrap();
            store.time.store(NOW * 1_000 - ahead, Ordering::Relaxed);
            let (registrar, following) = following(store.clone()).await;
            let primary = async || registrar.signing_key_records().await.unwrap().unwrap().primary.id;
            let before = primary().await;
            registrar.tend_signing_keys().await.unwrap();
            following.abort();
            assert_eq!(primary().await != before, rotates, "{ahead} ms");
        }
    }

    /// Whoever sweeps this store at the moment, and what keeps him up to date.
    async fn following(store: Arc<dyn Store>) -> (Registrar, JoinHandle<()>) {
        let (clock, _) = Clock::stopped(Timestamp::from_unix(NOW));
        let replica = Arc::new(Replica::new(Duration::from_secs(10)));
        let pace = Pace { heartbeat: Duration::from_millis(25), patience: Duration::from_secs(5) };
        let settings = Settings::new(pace, Box::new(|| 0));
        let follower = Follower::new(Arc::clone(&replica), store.clone(), clock.clone(), settings);
        let following = tokio::spawn(follower.run());
        replica.applied().wait_for(Option::is_some).await.unwrap();
        (registrar(store, clock).with_replica(replica), following)
    }

    fn registrar(store: Arc<dyn Store>, clock: Clock) -> Registrar {
        let ring = Arc::new(Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap());
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        Registrar::new(store, ring, clock, catalog)
    }

    #[tokio::test]
    async fn what_has_ended_is_taken_away_in_its_time_and_nothing_that_may_count_for_another_clock() {
        const A_DAY_AGO: i64 = NOW - 86_400;
        const A_WEEK_AGO: i64 = NOW - 7 * 86_400;
        let [over, not_long_over] = [(5, A_WEEK_AGO), (6, A_WEEK_AGO + 1)]
            .map(|(id, end)| access_key(Uuid::from_u128(id), Some(Timestamp::from_unix(end))));
        let keys = [access_key(KEY, None), over, not_long_over];
        // More than one write takes.
        let ended: Vec<_> = (1_000..2_200).map(|id| token(id, KEY, A_DAY_AGO)).collect();
        let ended = [ended, vec![token(2, Uuid::from_u128(8), NOW + 1)]].concat();
        let alive = vec![token(3, KEY, A_DAY_AGO + 1), token(4, KEY, NOW + 1)];
        // Of the last two, both unused for all that this instance knows, one was used elsewhere.
        let sessions = [session(11, A_DAY_AGO), session(12, NOW + 1_000), session(13, NOW + 1_000)];
        let steps = keys.iter().flat_map(making).chain(ended.iter().chain(&alive).flat_map(making));
        let steps = steps.chain(sessions.iter().flat_map(making));
        // Grants of a minute ago, and not quite.
        let steps = steps.chain([(1, NOW - 60), (2, NOW - 59)].map(|(byte, end)| {
            let (expires_at, password) = (Timestamp::from_unix(end), Mark::from_bytes([0; 12]));
            let grant = GrantRecord { consumer: KEY, service: KEY, expires_at, password };
            let (name, effect) = (Name(vec![byte; 16]), Effect::Put(grant.encode()));
            Step { table: Table::Grant, name, expect: Expect::Absent, effect }
        }));
        let store = Arc::new(Memory::new());
        store.write(Batch { operation: Uuid::nil(), steps: steps.collect() }).await.unwrap();
        store.note_uses(&[Uses { id: sessions[2].id, count: 1, last: NOW - 86_430 }]).await.unwrap();
        let (registrar, following) = following(store.clone()).await;
        registrar.sweep().await.unwrap();
        following.abort();

        for (tokens, stays) in [(ended, false), (alive, true)] {
            for token in tokens {
                let stored = store.read(Table::Token, &Name::of(&token.id)).await.unwrap();
                assert_eq!(stored.is_some(), stays, "{token:?}");
            }
        }
        for (session, stays) in sessions.iter().zip([false, false, true]) {
            let stored = store.read(Table::Session, &Name::of(&session.id)).await.unwrap();
            assert_eq!(stored.is_some(), stays, "{session:?}");
        }
        let grants = store.scan(Table::Grant, &[], None, 10).await.unwrap();
        assert_eq!(grants.iter().map(|grant| &grant.name.0[..]).collect::<Vec<_>>(), [[2; 16]]);
        for (key, stays) in keys.iter().zip([true, false, true]) {
            let stored = store.read(Table::AccessKey, &Name::of(&key.id)).await.unwrap();
            assert_eq!(stored.is_some(), stays, "{key:?}");
        }
        let places = store.scan(Table::Owned, &[], None, 10).await.unwrap();
        assert_eq!(places.len(), 5, "of both keys, both tokens and the session that are left");
        assert_eq!(store.scan(Table::Unique, &[], None, 10).await.unwrap().len(), 2, "both keys' names");
    }
}
