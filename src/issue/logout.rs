//! Logging out: what a login has given ends on every instance.

use uuid::Uuid;

use super::grants::{AT_ONCE as GRANTS_AT_ONCE, taking};
use super::owned::{Credential, ending};
use super::{Act, By, Done, Issuer, Refusal};
use crate::domain::consumer::ConsumerId;
use crate::domain::rights::Caller;
use crate::domain::secret::{self, Kind, Reading};
use crate::domain::session::Session;
use crate::domain::token::{Scope, Token};
use crate::store::record::GrantRecord;
use crate::store::{Name, Step, StoreError, Table};

/// What ends with a logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// What is shown.
    Shown,
    /// All that any login of the same consumer has given.
    Everything,
}

impl Issuer {
    /// Ends what a text is, a session or a dynamic token, and waits until every instance knows; `None`
    /// where it is neither, or over already.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn log_out(
        &self,
        text: &[u8],
        ends: Ends,
        request_id: &str,
    ) -> Result<Option<Done<()>>, Refusal> {
        let Some((consumer, steps)) = self.given_at_login(text).await? else { return Ok(None) };
        let groups = self.known(consumer).map(|it| it.given.groups.clone()).unwrap_or_default();
        let by = By::new(Caller::Consumer { id: consumer, groups }, Some(request_id));
        let act = || by.does("logout", consumer);
        let mut done = self.end_given(act(), steps).await?;
        if ends == Ends::Everything {
            // First: what is exchanged meanwhile is a token by the time that these are ended.
            done = self.end_grants(&consumer, &act).await?.or(done);
            let dynamic = |token: &Token| matches!(token.scope, Scope::Dynamic { .. });
            done = self.end_each(&consumer, &act, dynamic).await?.or(done);
            done = self.end_each(&consumer, &act, |_: &Session| true).await?.or(done);
        }
        if let Some(done) = &done {
            self.heard_elsewhere(done.epoch).await;
        }
        Ok(done)
    }

    /// Whose it is, and what ends it. By what the store holds: it may have been made elsewhere a moment ago.
    async fn given_at_login(&self, text: &[u8]) -> Result<Option<(ConsumerId, Vec<Step>)>, Refusal> {
        let Reading::Ours { kind, .. } = secret::read(text) else { return Ok(None) };
        for verifier in self.ring.peppers().verifiers(text).collect::<Vec<_>>() {
            let id = verifier.id();
            match kind {
                Kind::Session => {
                    if let Some((session, _)) = self.credential::<Session>(&id).await? {
                        return Ok(Some((session.consumer, ending(&session))));
                    }
                }
                Kind::Token => match self.credential::<Token>(&id).await? {
                    Some((token, _)) if matches!(token.scope, Scope::Dynamic { .. }) => {
                        return Ok(Some((token.consumer, ending(&token))));
                    }
                    Some(_) | None => {}
                },
                Kind::Key | Kind::Admin | Kind::App | Kind::Once => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Ends a consumer's credentials of one kind that are of logins, page by page.
    async fn end_each<'b, C: Credential>(
        &self,
        consumer: &ConsumerId,
        act: &impl Fn() -> Act<'b>,
        is: impl Fn(&C) -> bool,
    ) -> Result<Option<Done<()>>, Refusal> {
        // Of each its record, and its place among its owner's.
        let at_once = self.store.most_steps() / 2;
        let (mut done, mut after): (_, Option<Uuid>) = (None, None);
        loop {
            let page: Vec<C> = self.credentials_of(consumer, after, at_once).await?;
            let Some(last) = page.last().map(Credential::id) else { return Ok(done) };
            let steps: Vec<Step> = page.iter().filter(|it| is(it)).flat_map(ending).collect();
            // What others have ended meanwhile is looked at again.
            if !steps.is_empty() {
                match self.end_given(act(), steps).await? {
                    Some(ended) => done = Some(ended),
                    None => continue,
                }
            }
            after = Some(last);
        }
    }

    /// Ends a consumer's grants that nobody has taken yet: few, for they live for a minute.
    async fn end_grants<'b>(
        &self,
        consumer: &ConsumerId,
        act: &impl Fn() -> Act<'b>,
    ) -> Result<Option<Done<()>>, Refusal> {
        let (mut done, mut after): (_, Option<Name>) = (None, None);
        loop {
            let page = self.store.scan(Table::Grant, &[], after.as_ref(), GRANTS_AT_ONCE).await?;
            let Some(last) = page.last().map(|record| record.name.clone()) else { return Ok(done) };
            let mut steps = Vec::new();
            for record in page {
                if GrantRecord::decode(&record.payload)?.consumer == *consumer {
                    steps.push(taking(record.name));
                }
            }
            if !steps.is_empty() {
                match self.end_given(act(), steps).await? {
                    Some(ended) => done = Some(ended),
                    None => continue,
                }
            }
            after = Some(last);
        }
    }

    /// `None` where somebody else has just ended some of it.
    async fn end_given(&self, act: Act<'_>, steps: Vec<Step>) -> Result<Option<Done<()>>, Refusal> {
        match self.write_to(&self.handed_out, act, steps, ()).await {
            Ok(done) => Ok(Some(done)),
            Err(Refusal::Store(StoreError::Conflict { .. })) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}
