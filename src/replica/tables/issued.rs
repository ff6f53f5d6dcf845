//! Access keys, opaque tokens and sessions, by their ids, which are made of their verifiers: so the one
//! table serves the check, which knows a verifier, and the change, which knows an id.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::DashMap;
use uuid::Uuid;

use crate::domain::consumer::ConsumerId;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::domain::token::{AccessKey, Scope, Token};

#[derive(Default)]
pub(in crate::replica) struct Issued {
    access_keys: DashMap<Uuid, Arc<AccessKey>>,
    tokens: DashMap<Uuid, Arc<Token>>,
    sessions: DashMap<Uuid, Used>,
    /// How many tokens and sessions each consumer has.
    counts: DashMap<ConsumerId, usize>,
}

/// A session, and when it was last used as far as this instance has heard.
struct Used {
    session: Arc<Session>,
    last: AtomicI64,
}

impl Issued {
    pub(in crate::replica) fn access_key(&self, id: &Uuid) -> Option<Arc<AccessKey>> {
        self.access_keys.get(id).map(|key| Arc::clone(&key))
    }

    pub(in crate::replica) fn put_access_key(&self, key: AccessKey) {
        self.access_keys.insert(key.id, Arc::new(key));
    }

    pub(in crate::replica) fn remove_access_key(&self, id: &Uuid) {
        self.access_keys.remove(id);
    }

    pub(in crate::replica) fn token(&self, id: &Uuid) -> Option<Arc<Token>> {
        self.tokens.get(id).map(|token| Arc::clone(&token))
    }

    pub(in crate::replica) fn put_token(&self, token: Token) {
        let consumer = token.consumer;
        if self.tokens.insert(token.id, Arc::new(token)).is_none() {
            self.count(consumer);
        }
    }

    pub(in crate::replica) fn remove_token(&self, id: &Uuid) {
        if let Some((_, token)) = self.tokens.remove(id) {
            self.count_off(&token.consumer);
        }
    }

    pub(in crate::replica) fn spent_tokens(&self, now: Timestamp, most: usize) -> Vec<Arc<Token>> {
        let bought = |token: &Token| match &token.scope {
            Scope::Dynamic { .. } => true,
            Scope::Subject { access_key, .. } => self.access_keys.contains_key(access_key),
        };
        let all = self.tokens.iter().map(|entry| Arc::clone(&entry));
        all.filter(|token| token.expires_at <= now || !bought(token)).take(most).collect()
    }

    /// The session, and when it was last used.
    pub(in crate::replica) fn session(&self, id: &Uuid) -> Option<(Arc<Session>, Timestamp)> {
        let used = self.sessions.get(id)?;
        Some((Arc::clone(&used.session), used.last()))
    }

    pub(in crate::replica) fn put_session(&self, session: Session) {
        let (id, consumer) = (session.id, session.consumer);
        let last = AtomicI64::new(session.created_at.unix());
        // What was heard of its use stays, should it be put anew.
        match self.sessions.entry(id) {
            dashmap::Entry::Occupied(mut known) => known.get_mut().session = Arc::new(session),
            dashmap::Entry::Vacant(free) => {
                free.insert(Used { session: Arc::new(session), last });
                self.count(consumer);
            }
        }
    }

    pub(in crate::replica) fn remove_session(&self, id: &Uuid) {
        if let Some((_, used)) = self.sessions.remove(id) {
            self.count_off(&used.session.consumer);
        }
    }

    /// Notes that a session was used; an earlier moment than the known one says nothing.
    pub(in crate::replica) fn touch(&self, id: &Uuid, at: Timestamp) {
        if let Some(used) = self.sessions.get(id) {
            used.last.fetch_max(at.unix(), Ordering::Relaxed);
        }
    }

    /// How many tokens and sessions a consumer has.
    pub(in crate::replica) fn held_by(&self, consumer: &ConsumerId) -> usize {
        self.counts.get(consumer).map_or(0, |count| *count)
    }

    pub(in crate::replica) fn for_each_access_key(&self, mut each: impl FnMut(&AccessKey)) {
        self.access_keys.iter().for_each(|entry| each(&entry));
    }

    pub(in crate::replica) fn for_each_token(&self, mut each: impl FnMut(&Token)) {
        self.tokens.iter().for_each(|entry| each(&entry));
    }

    pub(in crate::replica) fn for_each_session(&self, mut each: impl FnMut(&Session, Timestamp)) {
        self.sessions.iter().for_each(|entry| each(&entry.session, entry.last()));
    }

    fn count(&self, consumer: ConsumerId) {
        *self.counts.entry(consumer).or_default() += 1;
    }

    fn count_off(&self, consumer: &ConsumerId) {
        let left = self.counts.get_mut(consumer).map(|mut count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            self.counts.remove_if(consumer, |_, count| *count == 0);
        }
    }
}

impl Used {
    fn last(&self) -> Timestamp {
        Timestamp::from_unix(self.last.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::password::Mark;

    fn session(id: u128) -> Session {
        Session {
            id: Uuid::from_u128(id),
            consumer: Uuid::from_u128(9),
            created_at: Timestamp::from_unix(100),
            expires_at: Timestamp::from_unix(900),
            idle: Duration::from_secs(60),
            password: Mark::from_bytes([0; 12]),
        }
    }

    #[test]
    fn the_latest_use_of_a_session_stands_whoever_tells_it() {
        let issued = Issued::default();
        let id = Uuid::from_u128(1);
        issued.touch(&id, Timestamp::from_unix(500));
        assert!(issued.session(&id).is_none(), "a use makes no session");
        issued.put_session(session(1));
        let last = || issued.session(&id).map(|(_, last)| last.unix());
        assert_eq!(last(), Some(100));
        issued.touch(&id, Timestamp::from_unix(300));
        issued.touch(&id, Timestamp::from_unix(200));
        issued.put_session(session(1));
        assert_eq!(last(), Some(300));
    }

    #[test]
    fn what_a_consumer_holds_is_counted_up_and_down() {
        let issued = Issued::default();
        let held = || issued.held_by(&Uuid::from_u128(9));
        issued.put_session(session(1));
        issued.put_session(session(1));
        issued.put_session(session(2));
        assert_eq!(held(), 2);
        for id in [1, 1, 2] {
            issued.remove_session(&Uuid::from_u128(id));
        }
        assert_eq!((held(), issued.counts.len()), (0, 0));
    }
}
