//! Opaque tokens: bought with an access key, or with the grant of a login.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::keys::generate;
use super::owned::{Credential, Owned, making};
use super::places::Limited;
use super::{By, Done, OWN_APPLIER, Refusal, Registrar, Seen, Unknowing};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::rights::Caller;
use crate::domain::secret::{self, Kind, Reading, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::{AccessKey, Scope, Token};
use crate::store::{Effect, Epoch, Expect, Name, Step, StoreError, Table};

/// A token that was just made. Its text is nowhere else.
pub struct MadeToken {
    pub token: Token,
    pub text: Secret,
}

/// A subject token that was shown and holds, what it was bought with, and whose it is.
pub struct Shown {
    pub token: Arc<Token>,
    pub access_key: Arc<AccessKey>,
    pub consumer: Arc<Consumer>,
}

/// What became of a token that was to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenBack {
    /// No check of this instance takes it any more.
    Ended,
    /// The store has it no more, and this instance's checks may not know that yet.
    Ending,
    /// There is none, or it is somebody else's.
    NoSuch,
}

/// How long what is issued lives (`lifetimes`).
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    pub grant: Duration,
    pub dynamic: Duration,
    pub subject: Duration,
    pub session_idle: Duration,
    pub session: Duration,
}

/// How much a consumer may have at once.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Of those that it makes itself.
    pub own_keys: usize,
    pub access_keys: usize,
    /// And sessions, both together.
    pub tokens: usize,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        Self {
            grant: Duration::from_secs(60),
            dynamic: hours(1),
            subject: hours(12),
            session_idle: Duration::from_secs(30 * 60),
            session: hours(12),
        }
    }
}

impl Credential for Token {
    const KIND: Owned = Owned::Token;
    const WHAT: &'static str = "token";
    const CREATE: &'static str = "token.create";
    const CHANGE: &'static str = "token.change";
    const END: &'static str = "token.revoke";

    fn id(&self) -> Uuid {
        self.id
    }

    fn consumer(&self) -> ConsumerId {
        self.consumer
    }

    fn encode(&self) -> Vec<u8> {
        self.encode()
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode(bytes)
    }
}

impl Registrar {
    /// Buys a subject token with an access key that was shown. It has the roles that the key was made with
    /// and its consumer still has, and lives no longer than the key.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unproven`] where no role is left, or the key went meanwhile; [`Refusal::Full`].
    pub async fn buy_token(
        &self,
        by: &By,
        key: &AccessKey,
        consumer: &Consumer,
    ) -> Result<Done<MadeToken>, Refusal> {
        let expires_at = self.ends_after(self.lifetimes.subject);
        let expires_at = key.expires_at.map_or(expires_at, |until| until.min(expires_at));
        let passwords = self.passwords_of(consumer).await?;
        let scope =
            Scope::Subject { access_key: key.id, project: key.project, roles: key.roles.clone(), passwords };
        let (text, mut token) = self.new_token(key.consumer, scope, expires_at)?;
        let left: Vec<String> = {
            let catalog = self.catalog.load();
            let left = catalog.project(key.project).map(|_| token.roles(consumer, catalog.roles()));
            // Every check walks through them.
            catalog.roles().least(left.into_iter().flatten())
        };
        if left.is_empty() {
            return Err(Refusal::Unproven);
        }
        if let Scope::Subject { roles, .. } = &mut token.scope {
            *roles = left;
        }
        let mut steps = making(&token);
        steps.push(still_there(Table::AccessKey, &key.id));
        self.hand_out(by, steps, MadeToken { token, text }).await
    }

    /// The subject token that a text is, with whose it is, if it holds now by what this instance knows.
    ///
    /// # Errors
    ///
    /// [`Unknowing`] past the lease, and where nothing follows the store.
    pub fn shown_token(&self, text: &str) -> Result<Option<Shown>, Unknowing> {
        let replica = self.trusted_replica()?;
        let peppers = self.ring.peppers();
        let found = peppers.verifiers(text.as_bytes()).find_map(|it| replica.token(&it.id()));
        let Some(token) = found.filter(|token| is_token(text) && self.clock.now() < token.expires_at) else {
            return Ok(None);
        };
        let Some(consumer) = self.enabled_consumer(token.consumer)? else { return Ok(None) };
        let Scope::Subject { access_key, .. } = &token.scope else { return Ok(None) };
        let Some(access_key) = replica.access_key(access_key) else { return Ok(None) };
        let (catalog, now) = (self.catalog.load(), self.clock.now());
        let holds = token.still_bought(Some(&access_key), &consumer, &catalog, now).is_ok()
            && token.passwords().iter().all(|mark| self.password_stands(consumer.id, *mark));
        Ok(holds.then_some(Shown { token, access_key, consumer }))
    }

    /// Whether a text is a subject token that this instance knows of, be it one that does not hold at this moment.
    ///
    /// # Errors
    ///
    /// [`Unknowing`] past the lease, and where nothing follows the store.
    pub fn is_subject_token(&self, text: &str) -> Result<bool, Unknowing> {
        if !is_token(text) {
            return Ok(false);
        }
        let replica = self.trusted_replica()?;
        let peppers = self.ring.peppers();
        let found = peppers.verifiers(text.as_bytes()).find_map(|it| replica.token(&it.id()));
        Ok(found.is_some_and(|token| matches!(token.scope, Scope::Subject { .. })))
    }

    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub async fn token(&self, id: &Uuid) -> Result<Seen<Token>, Refusal> {
        let absent = || Refusal::NotFound { what: Token::WHAT, name: id.to_string() };
        Ok(self.credential(id).await?.ok_or_else(absent)?.into())
    }

    /// In order of their ids, after `after`.
    pub async fn tokens(&self, after: Option<Uuid>, size: usize) -> Result<Vec<Token>, Refusal> {
        self.credentials(after, size).await
    }

    /// Ends a token. What its own consumer gives back is noted where it is noted that it was handed out:
    /// in a loop it would push everybody's changes out of their chain.
    pub async fn end_token(&self, by: &By, it: Seen<Token>) -> Result<Done<Token>, Refusal> {
        let own = matches!(&by.caller, Caller::Consumer { id, .. } if *id == it.consumer);
        let chain = if own { &self.handed_out } else { &self.changes };
        self.end_credential_in(chain, by, it.value).await
    }

    /// Ends the token that a text is, where it is one of theirs. By what the store has, and not by whether it
    /// holds: a token without a role or a project at this moment would come back with them.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn take_back(
        &self,
        by: &By,
        text: &str,
        is_theirs: impl Fn(&Token) -> bool,
    ) -> Result<TakenBack, Refusal> {
        if !is_token(text) {
            return Ok(TakenBack::NoSuch);
        }
        let peppers = self.ring.peppers();
        let ids: Vec<Uuid> = peppers.verifiers(text.as_bytes()).map(|verifier| verifier.id()).collect();
        for id in &ids {
            let Some((token, revision)) = self.credential::<Token>(id).await? else { continue };
            if !is_theirs(&token) {
                return Ok(TakenBack::NoSuch);
            }
            match self.end_token(by, Seen { value: token, revision }).await {
                Ok(done) if done.applied => return Ok(TakenBack::Ended),
                Ok(_) => return Ok(TakenBack::Ending),
                // Somebody else ended it meanwhile.
                Err(Refusal::NotFound { .. }) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        // What the store has no more may still be taken here.
        let Some(replica) = &self.replica else { return Ok(TakenBack::NoSuch) };
        let known = || ids.iter().find_map(|id| replica.token(id));
        if !known().is_some_and(|token| is_theirs(&token)) {
            return Ok(TakenBack::NoSuch);
        }
        let mut decided = replica.decided();
        let forgotten = async { while known().is_some() && decided.changed().await.is_ok() {} };
        let in_time = timeout(OWN_APPLIER, forgotten).await.is_ok();
        Ok(if in_time { TakenBack::Ended } else { TakenBack::Ending })
    }

    pub(super) fn ends_after(&self, lifetime: Duration) -> Timestamp {
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_unix(self.clock.now().unix().saturating_add(seconds))
    }

    /// A token that is nowhere yet.
    pub(super) fn new_token(
        &self,
        consumer: ConsumerId,
        scope: Scope,
        expires_at: Timestamp,
    ) -> Result<(Secret, Token), Refusal> {
        let (text, _) = generate(Kind::Token)?;
        let id = self.ring.primary_pepper().verifier(text.expose().as_bytes()).id();
        Ok((text, Token { id, consumer, scope, expires_at, created_at: self.clock.now() }))
    }

    /// Writes a token, if its consumer may have one more, and waits until whoever may be shown it next knows of
    /// it. Its entry is not in the chain of changes: programs buy tokens by the thousand, and nobody's change may
    /// be lost among them.
    pub(super) async fn hand_out(
        &self,
        by: &By,
        steps: Vec<Step>,
        made: MadeToken,
    ) -> Result<Done<MadeToken>, Refusal> {
        let act = by.does(Token::CREATE, made.token.id);
        let place = (Limited::Tokens, made.token.consumer);
        let done = self.take_place(place, act, steps).await.map_err(|refusal| match refusal {
            // What it was bought with is no more.
            Refusal::Store(StoreError::Conflict { .. }) => Refusal::Unproven,
            other => other,
        })?;
        self.heard_elsewhere(done.epoch).await;
        Ok(done.map(|()| made))
    }

    /// Waits, for a while, until the other instances know of a change: the next request of who is answered
    /// now may be theirs to check.
    pub(super) async fn heard_elsewhere(&self, epoch: Epoch) {
        let heard = async {
            loop {
                let Ok(instances) = self.store.instances().await else { return };
                let mut others = instances.iter().filter(|it| it.silent <= self.reach.bound);
                if others.clone().count() < 2
                    || others.all(|it| it.beat.applied.is_some_and(|at| at.reaches(epoch)))
                {
                    return;
                }
                sleep(self.reach.heartbeat).await;
            }
        };
        // Whoever lags for longer has lost the store, and says so itself.
        let _ = timeout(OWN_APPLIER, heard).await;
    }
}

/// Whether a text is of the form of our tokens.
fn is_token(text: &str) -> bool {
    matches!(secret::read(text.as_bytes()), Reading::Ours { kind: Kind::Token, .. })
}

/// That what a token is bought with is there as it is written.
pub(super) fn still_there(table: Table, id: &Uuid) -> Step {
    Step { table, name: Name::of(id), expect: Expect::Present, effect: Effect::Keep }
}
