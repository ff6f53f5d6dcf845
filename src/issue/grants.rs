//! Grants: what a login gives, to be exchanged once for a token that opens one service.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use super::keys::generate;
use super::login::may_be;
use super::owned::making;
use super::{Attempts, By, Done, LoggedIn, MadeToken, Refusal, Registrar};
use crate::domain::deployment::ServiceId;
use crate::domain::rights::Caller;
use crate::domain::secret::{self, Kind, Reading, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::Scope;
use crate::store::record::GrantRecord;
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};
use crate::telemetry::{LoginBy, LoginOutcome};

/// A grant that was just made. Its text is nowhere else.
pub struct MadeGrant {
    pub text: Secret,
    pub lives: Duration,
}

/// A grant that somebody shows, and where.
pub struct ShownGrant<'a> {
    pub text: &'a str,
    pub service: ServiceId,
    pub from: IpAddr,
    /// Fit for logs.
    pub request_id: &'a str,
}

impl Registrar {
    /// For who has just logged in at a service. It is over with the password.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn make_grant(
        &self,
        by: &By,
        login: &LoggedIn,
        service: ServiceId,
    ) -> Result<MadeGrant, Refusal> {
        let (text, _) = generate(Kind::Once)?;
        let id = self.ring.primary_pepper().verifier(text.expose().as_bytes()).id();
        let lives = self.lifetimes.grant;
        let grant = GrantRecord {
            consumer: login.consumer.id,
            service,
            expires_at: self.ends_after(lives),
            password: login.account.hash.mark(),
        };
        let (expect, effect) = (Expect::Absent, Effect::Put(grant.encode()));
        let step = Step { table: Table::Grant, name: Name::of(&id), expect, effect };
        let act = by.does("grant.create", grant.consumer);
        self.write_to(&self.handed_out, act, vec![step], ()).await?;
        Ok(MadeGrant { text, lives })
    }

    /// Exchanges a grant for a token, in one write: of those who show the same one, at however many
    /// instances, one has it. Nobody is told why a grant is none; `attempts` is told of it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unproven`]; [`Refusal::Full`]; the store's.
    pub async fn take_grant(
        &self,
        shown: ShownGrant<'_>,
        attempts: &Attempts,
    ) -> Result<Done<MadeToken>, Refusal> {
        let taken = self.exchange(&shown).await;
        match &taken {
            Ok(_) => attempts.count(LoginBy::Grant, LoginOutcome::Granted),
            Err(Refusal::Unproven) => attempts.refused(LoginBy::Grant, "grant.refused", shown.from),
            Err(Refusal::Store(_)) => attempts.count(LoginBy::Grant, LoginOutcome::Unavailable),
            // Proven, and of no use all the same.
            Err(_) => {}
        }
        taken
    }

    async fn exchange(&self, shown: &ShownGrant<'_>) -> Result<Done<MadeToken>, Refusal> {
        self.trust()?;
        let (name, grant) = self.shown_grant(shown.text).await?.ok_or(Refusal::Unproven)?;
        let consumer = self.known(grant.consumer).filter(|consumer| may_be(consumer, shown.from));
        let consumer = consumer.filter(|consumer| {
            grant.service == shown.service
                && self.clock.now() < grant.expires_at
                && self.password_stands(consumer.id, grant.password)
        });
        let consumer = consumer.ok_or(Refusal::Unproven)?;
        let scope = Scope::Dynamic { service: grant.service, password: grant.password };
        let expires_at = self.ends_after(self.lifetimes.dynamic);
        let (text, token) = self.new_token(consumer.id, scope, expires_at)?;
        let steps = making(&token).into_iter().chain([taking(name)]).collect();
        let caller = Caller::Consumer { id: consumer.id, groups: consumer.given.groups.clone() };
        let by = By::new(caller, Some(shown.request_id));
        self.hand_out(&by, steps, MadeToken { token, text }).await
    }

    /// By what the store holds: it may have been made elsewhere a moment ago.
    async fn shown_grant(&self, text: &str) -> Result<Option<(Name, GrantRecord)>, Refusal> {
        if !matches!(secret::read(text.as_bytes()), Reading::Ours { kind: Kind::Once, .. }) {
            return Ok(None);
        }
        for verifier in self.ring.peppers().verifiers(text.as_bytes()).collect::<Vec<_>>() {
            let name = Name::of(&verifier.id());
            if let Some(record) = self.store.read(Table::Grant, &name).await? {
                return Ok(Some((name, GrantRecord::decode(&record.payload)?)));
            }
        }
        Ok(None)
    }

    /// Takes away grants that nobody has taken and that were over at `now`.
    pub(super) async fn sweep_grants(&self, now: Timestamp) -> Result<(), Refusal> {
        let mut after: Option<Name> = None;
        loop {
            let page = self.store.scan(Table::Grant, &[], after.as_ref(), AT_ONCE).await?;
            let Some(last) = page.last().map(|record| record.name.clone()) else { return Ok(()) };
            let mut steps = Vec::new();
            for record in page {
                if GrantRecord::decode(&record.payload)?.expires_at <= now {
                    steps.push(taking(record.name));
                }
            }
            if !steps.is_empty() {
                let by = By::doorward();
                let act = by.does("grant.expire", Uuid::nil());
                match self.write_to(&self.handed_out, act, steps, ()).await {
                    Ok(_) => {}
                    // Another instance does the same; what it leaves is for the next time.
                    Err(Refusal::Store(StoreError::Conflict { .. })) => return Ok(()),
                    Err(refusal) => return Err(refusal),
                }
            }
            after = Some(last);
        }
    }
}

/// Once: whoever comes second finds nothing.
pub(super) fn taking(name: Name) -> Step {
    Step { table: Table::Grant, name, expect: Expect::Present, effect: Effect::Delete }
}

/// Grants that are looked at, and taken away, at once.
pub(super) const AT_ONCE: usize = 500;

#[cfg(test)]
mod tests;
