//! Taking away what has ended by itself. Every check judges that anew; this only frees the room.

use uuid::Uuid;

use super::owned::ending;
use super::{By, Issuer, Refusal};
use crate::domain::time::Timestamp;
use crate::replica::Replica;
use crate::store::StoreError;

/// Seconds after its end. Until then it takes room and opens nothing: an instance whose clock is ahead by
/// less takes nothing away that still holds for the others.
const GRACE: i64 = 24 * 3_600;

/// Tokens that are taken away with one write, each a record and its place among its owner's.
const AT_ONCE: usize = 500;

impl Issuer {
    /// Takes away what has ended, if it is so by the clocks of all instances.
    ///
    /// # Errors
    ///
    /// The store's; what is left then is for the next time.
    pub async fn sweep(&self) -> Result<(), Refusal> {
        let Some(replica) = &self.replica else { return Ok(()) };
        let by = By::doorward();
        let now = Timestamp::from_unix(self.clock.now().unix().saturating_sub(GRACE));
        self.sweep_grants(now).await?;
        self.sweep_sessions(replica, now).await?;
        for spent in replica.spent_tokens(now).chunks(AT_ONCE) {
            let Some(first) = spent.first().map(|token| token.id) else { continue };
            let steps = spent.iter().flat_map(|token| ending(&**token)).collect();
            match self.write_to(&self.handed_out, by.does("token.expire", first), steps, ()).await {
                Ok(_) => {}
                // Another instance does the same; what it leaves is for the next time.
                Err(Refusal::Store(StoreError::Conflict { .. })) => return Ok(()),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }
}

impl Issuer {
    async fn sweep_sessions(&self, replica: &Replica, now: Timestamp) -> Result<(), Refusal> {
        let by = By::doorward();
        loop {
            let mut spent = replica.spent_sessions(now, AT_ONCE);
            let ids: Vec<Uuid> = spent.iter().map(|session| session.id).collect();
            // What another instance has told of their use may not have been heard here.
            replica.note_sessions_used(&self.store.uses(&ids).await?, now);
            spent.retain(|it| {
                replica.session(&it.id).is_some_and(|(session, last)| !session.holds(last, now))
            });
            let Some(first) = spent.first().map(|session| session.id) else { return Ok(()) };
            let steps = spent.iter().flat_map(|session| ending(&**session)).collect();
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
    use std::sync::Arc;
    use std::time::Duration;

    use arc_swap::ArcSwap;
    use uuid::Uuid;

    use super::super::owned::making;
    use super::*;
    use crate::clock::Clock;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::domain::password::Mark;
    use crate::domain::session::Session;
    use crate::domain::token::{AccessKey, Scope, Token};
    use crate::replica::{Follower, Pace, Replica, Settings};
    use crate::store::memory::Memory;
    use crate::store::ring::Ring;
    use crate::store::{Batch, Name, Store as _, Table, Uses};

    const NOW: i64 = 1_000_000;
    const KEY: Uuid = Uuid::from_u128(7);

    fn token(id: u128, access_key: Uuid, expires_at: i64) -> Token {
        let scope = Scope::Subject { access_key, project: KEY, roles: Vec::new(), passwords: Vec::new() };
        let (id, created_at) = (Uuid::from_u128(id), Timestamp::from_unix(0));
        Token { id, consumer: KEY, scope, expires_at: Timestamp::from_unix(expires_at), created_at }
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
    async fn what_has_ended_is_taken_away_and_nothing_that_may_count_for_another_clock() {
        const A_DAY_AGO: i64 = NOW - 86_400;
        let key = AccessKey {
            id: KEY,
            consumer: KEY,
            name: "ci".into(),
            project: KEY,
            roles: Vec::new(),
            expires_at: None,
            enabled: true,
            created_at: Timestamp::from_unix(0),
        };
        // More than one write takes.
        let ended: Vec<_> = (1_000..2_200).map(|id| token(id, KEY, A_DAY_AGO)).collect();
        let ended = [ended, vec![token(2, Uuid::from_u128(8), NOW + 1)]].concat();
        let alive = vec![token(3, KEY, A_DAY_AGO + 1), token(4, KEY, NOW + 1)];
        // Of the last two, both unused for all that this instance knows, one was used elsewhere.
        let sessions = [session(11, A_DAY_AGO), session(12, NOW + 1_000), session(13, NOW + 1_000)];
        let steps = making(&key).into_iter().chain(ended.iter().chain(&alive).flat_map(making));
        let steps = steps.chain(sessions.iter().flat_map(making));
        let store = Arc::new(Memory::new());
        store.write(Batch { operation: Uuid::nil(), steps: steps.collect() }).await.unwrap();
        store.note_uses(&[Uses { id: sessions[2].id, count: 1, last: NOW - 86_430 }]).await.unwrap();
        let (clock, _) = Clock::stopped(Timestamp::from_unix(NOW));
        let replica = Arc::new(Replica::new(Duration::from_secs(10)));
        let pace = Pace { heartbeat: Duration::from_millis(25), patience: Duration::from_secs(5) };
        let settings = Settings::new(pace, Box::new(|| 0));
        let follower = Follower::new(Arc::clone(&replica), store.clone(), clock.clone(), settings);
        let following = tokio::spawn(follower.run());
        replica.applied().wait_for(Option::is_some).await.unwrap();
        let ring = Arc::new(Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap());
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let issuer = Issuer::new(store.clone(), ring, clock, catalog).with_replica(replica);
        issuer.sweep().await.unwrap();
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
        let places = store.scan(Table::Owned, &[], None, 10).await.unwrap();
        assert_eq!(places.len(), 4, "of the key, both tokens and the session that are left");
    }
}
