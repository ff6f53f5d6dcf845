//! Sessions: signed-in browsers. What is in the cookie is nowhere else.

use uuid::Uuid;

use super::keys::generate;
use super::owned::{Credential, Owned, making};
use super::places::Limited;
use super::{By, Done, LoggedIn, Refusal, Registrar, Seen};
use crate::domain::consumer::ConsumerId;
use crate::domain::secret::{Kind, Secret};
use crate::domain::session::Session;
use crate::store::StoreError;

/// A session that was just opened.
pub struct OpenedSession {
    pub session: Session,
    pub text: Secret,
}

impl Credential for Session {
    const KIND: Owned = Owned::Session;
    const WHAT: &'static str = "session";
    const CREATE: &'static str = "session.open";
    const CHANGE: &'static str = "session.change";
    const END: &'static str = "session.end";

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
    /// Opens a session for who has just logged in, and waits until every instance knows of it: the next
    /// request of the browser may be theirs to check. It is over with the password.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`]; the store's.
    pub async fn open_session(&self, by: &By, login: &LoggedIn) -> Result<Done<OpenedSession>, Refusal> {
        let consumer = login.consumer.id;
        let (text, _) = generate(Kind::Session)?;
        let session = Session {
            id: self.ring.primary_pepper().verifier(text.expose().as_bytes()).id(),
            consumer,
            created_at: self.clock.now(),
            expires_at: self.ends_after(self.lifetimes.session),
            idle: self.lifetimes.session_idle,
            password: login.account.hash.mark(),
        };
        let (steps, act) = (making(&session), by.does(Session::CREATE, session.id));
        let done = self.take_place((Limited::Tokens, consumer), act, steps).await?;
        self.heard_elsewhere(done.epoch).await;
        Ok(done.map(|()| OpenedSession { session, text }))
    }

    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub async fn session(&self, id: &Uuid) -> Result<Seen<Session>, Refusal> {
        let absent = || Refusal::NotFound { what: Session::WHAT, name: id.to_string() };
        Ok(self.credential(id).await?.ok_or_else(absent)?.into())
    }

    /// In order of their ids, after `after`.
    pub async fn sessions(&self, after: Option<Uuid>, size: usize) -> Result<Vec<Session>, Refusal> {
        self.credentials(after, size).await
    }

    pub async fn end_session(&self, by: &By, it: Seen<Session>) -> Result<Done<Session>, Refusal> {
        self.end_credential(by, it.value).await
    }
}
