//! Who is calling by an opaque token or a session of ours, held against what it came from: the access
//! key, the password, the roles as they are now.

use std::sync::Arc;

use uuid::Uuid;

use super::prove::{Proof, invalid};
use super::{Case, Refusal};
use crate::domain::authentication::{Cookie, Token as Method};
use crate::domain::consumer::Consumer;
use crate::domain::denial::{Denial, Unproven};
use crate::domain::origin;
use crate::domain::password::Mark;
use crate::domain::principal::CredentialName;
use crate::domain::secret::{self, Kind, Reading};
use crate::domain::step::Witness;
use crate::domain::time::Timestamp;
use crate::domain::token::{Scope, Token};

/// What proved a caller, where we issued it.
pub(super) enum Issued {
    Token(Arc<Token>),
    Session(Uuid),
}

impl<W: Witness> Case<'_, '_, '_, W> {
    pub(super) fn prove_issued(&mut self, method: &Method, text: &[u8]) -> Result<Proof, Refusal> {
        let token = self.look_up(text, Kind::Token, |id| self.world.directory.token(id))?;
        self.trail.credential = Some(CredentialName::Id(token.id));
        let consumer = self.owner(token.consumer)?;
        if !method.kinds.contains(&token.scope.kind()) {
            return Err(invalid(Unproven::OtherService).into());
        }
        if token.expires_at <= self.world.now {
            return Err(invalid(Unproven::Expired).into());
        }
        token.passwords().iter().try_for_each(|password| self.still_stands(&consumer, *password))?;
        match &token.scope {
            Scope::Dynamic { service, .. } => {
                if self.trail.deployment.is_none_or(|deployment| deployment.service != *service) {
                    return Err(invalid(Unproven::OtherService).into());
                }
            }
            Scope::Subject { access_key, .. } => {
                let key = self.world.directory.access_key(*access_key)?;
                let (catalog, now) = (self.world.catalog, self.world.now);
                token.still_bought(key.as_deref(), &consumer, catalog, now).map_err(invalid)?;
            }
        }
        Ok(Proof::by_issued(consumer, Issued::Token(token)))
    }

    pub(super) fn prove_session(&mut self, cookie: &Cookie, text: &[u8]) -> Result<Proof, Refusal> {
        let (session, last) = self.look_up(text, Kind::Session, |id| self.world.directory.session(id))?;
        self.trail.credential = Some(CredentialName::Session(session.id));
        let consumer = self.owner(session.consumer)?;
        let now: Timestamp = self.world.now;
        if session.expires_at <= now {
            return Err(invalid(Unproven::Expired).into());
        }
        if !session.holds(last, now) {
            return Err(invalid(Unproven::Idle).into());
        }
        self.still_stands(&consumer, session.password)?;
        if cookie.csrf {
            origin::judge(self.request, &cookie.origins).map_err(|why| Denial::OriginDenied { why })?;
        }
        Ok(Proof::by_issued(consumer, Issued::Session(session.id)))
    }

    /// What was issued with this text, under each pepper of the ring.
    fn look_up<T>(
        &self,
        text: &[u8],
        wanted: Kind,
        find: impl Fn(Uuid) -> Result<Option<T>, crate::domain::verdict::Fault>,
    ) -> Result<T, Refusal> {
        if !matches!(secret::read(text), Reading::Ours { kind, .. } if kind == wanted) {
            return Err(invalid(Unproven::Malformed).into());
        }
        for verifier in self.world.peppers.verifiers(text) {
            if let Some(found) = find(verifier.id())? {
                return Ok(found);
            }
        }
        Err(invalid(Unproven::Unknown).into())
    }

    fn owner(&mut self, id: Uuid) -> Result<Arc<Consumer>, Refusal> {
        let consumer = self.world.directory.consumer(id)?.ok_or(invalid(Unproven::ConsumerUnknown))?;
        self.trail.consumer = Some(Arc::clone(&consumer));
        if consumer.enabled { Ok(consumer) } else { Err(invalid(Unproven::ConsumerDisabled).into()) }
    }

    fn still_stands(&self, consumer: &Consumer, password: Mark) -> Result<(), Refusal> {
        let stands = self.world.directory.password_stands(consumer.id, password)?;
        if stands { Ok(()) } else { Err(invalid(Unproven::PasswordChanged).into()) }
    }
}
