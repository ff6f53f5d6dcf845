//! JWTs of our own: made for a consumer, and taken back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::login::may_be;
use super::signing_keys::{absent, jwks, open, token_id};
use super::{LoggedIn, Refusal, Registrar};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::jwt::{self, Refused, Rules};
use crate::domain::password::Mark;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Fault;
use crate::replica::SigningKeys;
use crate::store::StoreError;

/// A token that was just made.
pub struct Minted {
    pub token: String,
    /// Its `jti`.
    pub id: String,
    pub expires_at: Timestamp,
}

/// Why a token does not say whose it is.
#[derive(Debug)]
pub enum NotProven {
    Refused(Refused),
    /// Genuine, and yet over: the password was changed, or the consumer is gone, switched off or not where it
    /// may be. Or it is not one that this asks for.
    Ended,
    /// Whether it is good cannot be known: for `unavailable`.
    Unknown(Fault),
    /// The store cannot be asked.
    Unread(Refusal),
}

impl Registrar {
    /// Makes a token for these audiences: ids of services, [`jwt::EVERY_SERVICE`], or
    /// [`jwt::ADMIN_AUDIENCE`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] without `public_url`, or where the audiences make it longer than a check takes;
    /// [`Refusal::NotFound`] while there are no signing keys; the store's.
    pub async fn mint(
        &self,
        consumer: ConsumerId,
        audiences: &[String],
        lifetime: Duration,
    ) -> Result<Minted, Refusal> {
        self.mint_with(consumer, audiences, lifetime, None).await
    }

    /// The same for who has just logged in: it is over with the password.
    ///
    /// # Errors
    ///
    /// As for [`mint`](Self::mint).
    pub async fn mint_at_login(
        &self,
        login: &LoggedIn,
        audiences: &[String],
        lifetime: Duration,
    ) -> Result<Minted, Refusal> {
        let mark = login.account.hash.mark();
        self.mint_with(login.consumer.id, audiences, lifetime, Some(mark)).await
    }

    async fn mint_with(
        &self,
        consumer: ConsumerId,
        audiences: &[String],
        lifetime: Duration,
        password: Option<Mark>,
    ) -> Result<Minted, Refusal> {
        let issuer = self.public_url()?;
        let keys = self.signing_keys().await?.ok_or_else(absent)?;
        let key = open(&self.ring, &keys.record.primary)?;
        let now = self.clock.now().unix();
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let expires_at = Timestamp::from_unix(now.saturating_add(lifetime));
        let id = token_id();
        let mut claims = json!({
            "iss": issuer,
            "sub": consumer.to_string(),
            "aud": audiences,
            "exp": expires_at.unix(),
            "iat": now,
            "jti": id,
        });
        if let Some(mark) = password {
            claims[jwt::PASSWORD] = mark.to_string().into();
        }
        let unavailable = |_| {
            let why = "the system gives no random bytes; nothing is signed without them";
            Refusal::Store(StoreError::Unavailable(why.into()))
        };
        let token = key.sign(&claims).map_err(unavailable)?;
        let longest = Rules::ours(issuer).longest;
        if token.len() > longest {
            let why = format!(
                "names so many services that the token has {} bytes, and no check takes more than {longest}; name fewer, \
                 or leave it out for every service",
                token.len()
            );
            return Err(Refusal::Invalid { field: "audience", why });
        }
        Ok(Minted { token, id, expires_at })
    }

    /// Whose a token of ours is, if it is genuine, good now and meant for exactly this audience.
    /// Whether that consumer is still there and enabled is the caller's to ask.
    ///
    /// # Errors
    ///
    /// [`NotProven`].
    pub async fn whose(&self, token: &[u8], audience: &str) -> Result<ConsumerId, NotProven> {
        self.genuine(token, audience).await.map(|(id, _)| id)
    }

    /// Who has logged in, by the token that was made for it: not by one that some other credential has
    /// bought. The password still stands, and the consumer is there, enabled, and where it may be.
    ///
    /// # Errors
    ///
    /// [`NotProven`].
    pub async fn user(&self, token: &[u8], from: IpAddr) -> Result<Arc<Consumer>, NotProven> {
        self.user_and_password(token, from).await.map(|(consumer, _)| consumer)
    }

    /// The same with the password that was logged in with.
    ///
    /// # Errors
    ///
    /// As for [`user`](Self::user).
    pub async fn user_and_password(
        &self,
        token: &[u8],
        from: IpAddr,
    ) -> Result<(Arc<Consumer>, Mark), NotProven> {
        let (id, password) = self.genuine(token, jwt::EVERY_SERVICE).await?;
        let consumer = self.known(id).filter(|consumer| may_be(consumer, from));
        consumer.zip(password).ok_or(NotProven::Ended)
    }

    /// Whose it is, and the password of the login that it was made at.
    async fn genuine(&self, token: &[u8], audience: &str) -> Result<(ConsumerId, Option<Mark>), NotProven> {
        self.trust().map_err(NotProven::Unknown)?;
        let rules = Rules::ours(self.public_url().map_err(NotProven::Unread)?);
        let keys = self.signing_keys().await.map_err(NotProven::Unread)?;
        let keys = keys.ok_or(NotProven::Refused(Refused::UnknownKey))?;
        let claims = jwt::verify(token, &rules, &keys.set).map_err(NotProven::Refused)?;
        claims.judge(&rules, self.clock.now()).map_err(NotProven::Refused)?;
        // One that opens something else as well is shown to others, who could bring it here.
        if claims.audiences != [audience] {
            return Err(NotProven::Refused(Refused::Audience));
        }
        let id = claims.subject.parse().map_err(|_| NotProven::Refused(Refused::Subject))?;
        match claims.password() {
            None => Ok((id, None)),
            Some(Some(mark)) if self.password_stands(id, mark) => Ok((id, Some(mark))),
            Some(_) => Err(NotProven::Ended),
        }
    }

    pub(super) fn password_stands(&self, id: ConsumerId, mark: Mark) -> bool {
        self.account_by_mark(id, mark).is_some()
    }

    /// The JWK Set (RFC 7517) that anyone verifies our tokens with.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`] where there is none: without `public_url`, and until the first keys were
    /// made; the store's, also while nobody knows whether there are some.
    pub async fn key_set(&self) -> Result<Value, Refusal> {
        if self.public_url.is_none() {
            return Err(absent());
        }
        match self.signing_keys().await? {
            // What was read last stays true for whoever verifies, lease or not.
            Some(keys) => Ok(jwks(&keys.record)),
            None => {
                self.trust()?;
                Err(absent())
            }
        }
    }

    /// Those of the replica where there is one.
    async fn signing_keys(&self) -> Result<Option<Arc<SigningKeys>>, Refusal> {
        match &self.replica {
            Some(replica) => Ok(replica.signing_keys()),
            None => Ok(self.stored_signing_keys().await?.map(|(_, keys)| Arc::new(keys.into()))),
        }
    }

    /// Under what these endpoints are reached.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] where it is not configured.
    pub fn public_url(&self) -> Result<&str, Refusal> {
        let why =
            "is not configured, and JWTs of ours need it as their `iss`, links as their beginning; add it";
        self.public_url.as_deref().ok_or_else(|| Refusal::Invalid { field: "public_url", why: why.into() })
    }
}
