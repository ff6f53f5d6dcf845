//! Access keys, opaque tokens and sessions, by their ids, which are made of their verifiers: so the one
//! table serves the check, which knows a verifier, and the change, which knows an id.

use std::collections::BTreeMap;
use std::ops::Bound;
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
    /// How many tokens and sessions of each consumer end at which second.
    ends: DashMap<ConsumerId, BTreeMap<i64, usize>>,
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

    pub(in crate::replica) fn spent_access_keys(&self, now: Timestamp) -> Vec<Arc<AccessKey>> {
        let spent = self.access_keys.iter().filter(|key| key.is_over(now));
        spent.map(|key| Arc::clone(&key)).collect()
    }

    pub(in crate::replica) fn token(&self, id: &Uuid) -> Option<Arc<Token>> {
        self.tokens.get(id).map(|token| Arc::clone(&token))
    }

    pub(in crate::replica) fn put_token(&self, token: Token) {
        let (consumer, end) = (token.consumer, token.expires_at);
        // What is in a token never changes.
        if self.tokens.insert(token.id, Arc::new(token)).is_none() {
            self.count(consumer, end);
        }
    }

    pub(in crate::replica) fn remove_token(&self, id: &Uuid) {
        if let Some((_, token)) = self.tokens.remove(id) {
            self.count_off(&token.consumer, token.expires_at);
        }
    }

    pub(in crate::replica) fn spent_tokens(&self, now: Timestamp) -> Vec<Arc<Token>> {
        let bought = |token: &Token| match &token.scope {
            Scope::Dynamic { .. } => true,
            Scope::Subject { access_key, .. } => self.access_keys.contains_key(access_key),
        };
        let spent = self.tokens.iter().filter(|token| token.expires_at <= now || !bought(token));
        spent.map(|token| Arc::clone(&token)).collect()
    }

    /// The session, and when it was last used.
    pub(in crate::replica) fn session(&self, id: &Uuid) -> Option<(Arc<Session>, Timestamp)> {
        let used = self.sessions.get(id)?;
        Some((Arc::clone(&used.session), used.last()))
    }

    pub(in crate::replica) fn put_session(&self, session: Session) {
        let (id, consumer, end) = (session.id, session.consumer, session.expires_at);
        let last = AtomicI64::new(session.created_at.unix());
        // What was heard of its use stays, should it be put anew.
        match self.sessions.entry(id) {
            dashmap::Entry::Occupied(mut known) => known.get_mut().session = Arc::new(session),
            dashmap::Entry::Vacant(free) => {
                free.insert(Used { session: Arc::new(session), last });
                self.count(consumer, end);
            }
        }
    }

    pub(in crate::replica) fn remove_session(&self, id: &Uuid) {
        if let Some((_, used)) = self.sessions.remove(id) {
            self.count_off(&used.session.consumer, used.session.expires_at);
        }
    }

    pub(in crate::replica) fn spent_sessions(&self, now: Timestamp, most: usize) -> Vec<Arc<Session>> {
        let spent = self.sessions.iter().filter(|used| !used.session.holds(used.last(), now));
        spent.map(|used| Arc::clone(&used.session)).take(most).collect()
    }

    pub(in crate::replica) fn quiet_sessions(&self, now: Timestamp) -> Vec<Uuid> {
        let quiet = |used: &Used| {
            let lately = i64::try_from(used.session.idle.as_secs() / 8).unwrap_or(i64::MAX);
            used.last().unix().saturating_add(lately) <= now.unix() && now < used.session.expires_at
        };
        self.sessions.iter().filter(|used| quiet(used)).map(|used| used.session.id).collect()
    }

    /// Notes that a session was used; an earlier moment than the known one says nothing.
    pub(in crate::replica) fn touch(&self, id: &Uuid, at: Timestamp) {
        if let Some(used) = self.sessions.get(id) {
            used.last.fetch_max(at.unix(), Ordering::Relaxed);
        }
    }

    /// How many tokens and sessions of a consumer have not expired.
    pub(in crate::replica) fn held_by(&self, consumer: &ConsumerId, now: Timestamp) -> usize {
        let later = (Bound::Excluded(now.unix()), Bound::Unbounded);
        self.ends.get(consumer).map_or(0, |ends| ends.range(later).map(|(_, count)| count).sum())
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

    fn count(&self, consumer: ConsumerId, end: Timestamp) {
        *self.ends.entry(consumer).or_default().entry(end.unix()).or_default() += 1;
    }

    fn count_off(&self, consumer: &ConsumerId, end: Timestamp) {
        if let Some(mut ends) = self.ends.get_mut(consumer)
            && let Some(count) = ends.get_mut(&end.unix())
        {
            *count -= 1;
            if *count == 0 {
                ends.remove(&end.unix());
            }
        }
        self.ends.remove_if(consumer, |_, ends| ends.is_empty());
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
        let held = |now| issued.held_by(&Uuid::from_u128(9), Timestamp::from_unix(now));
        issued.put_session(session(1));
        issued.put_session(session(1));
        issued.put_session(session(2));
        assert_eq!(held(0), 2);
        for (id, left) in [(1, 1), (1, 1), (2, 0)] {
            issued.remove_session(&Uuid::from_u128(id));
            assert_eq!(held(0), left);
        }
        assert_eq!(issued.ends.len(), 0);
    }

    #[test]
    fn what_has_expired_and_is_not_taken_away_yet_counts_against_nobody() {
        let issued = Issued::default();
        issued.put_session(session(1));
        issued.put_session(Session { expires_at: Timestamp::from_unix(901), ..session(2) });
        let held = [899, 900, 901].map(|now| issued.held_by(&Uuid::from_u128(9), Timestamp::from_unix(now)));
        assert_eq!(held, [2, 1, 0]);
    }
}
