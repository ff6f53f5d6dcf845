//! Logging out: what a login has given ends on every instance.

use std::net::IpAddr;

use uuid::Uuid;

use super::grants::{AT_ONCE as GRANTS_AT_ONCE, taking};
use super::login::may_be;
use super::owned::{Credential, ending};
use super::{Act, By, Done, Refusal, Registrar};
use crate::domain::consumer::ConsumerId;
use crate::domain::password::Mark;
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

/// Somebody who logs out.
pub struct Leaving<'a> {
    /// Texts that logins may have given.
    pub shown: &'a [&'a [u8]],
    pub ends: Ends,
    pub from: IpAddr,
    /// Fit for logs.
    pub request_id: &'a str,
}

/// Texts that this instance does not know and asks the store about, at one logout: what was opened elsewhere a
/// moment ago. Those that it knows have no bound but the request's.
const ASKED_ABOUT: usize = 16;

/// What a login has given, as it is stored.
struct Given {
    id: Uuid,
    consumer: ConsumerId,
    /// That it was logged in by.
    password: Mark,
    /// Whether it is neither expired nor idle.
    holds: bool,
    ending: Vec<Step>,
}

impl Registrar {
    /// Ends what is shown as far as it is a session or a dynamic token, whether or not it holds, and waits until
    /// every instance knows; `None` where there is none, or none any more.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unproven`] where everything is to end and nothing shown opens anything: all that is left of
    /// what was shown has ended then, and nothing besides. The store's: not all has ended then, and what is shown
    /// is the last to, so that whoever asks again is heard.
    pub async fn log_out(&self, leaving: Leaving<'_>) -> Result<Option<Done<()>>, Refusal> {
        let Leaving { shown, ends, from, request_id } = leaving;
        let found = self.given_at_logins(&self.likely(shown)).await?;
        let owners = match ends {
            Ends::Shown => Vec::new(),
            Ends::Everything => self.owners(&found, from)?,
        };
        let mut done = None;
        let last: Vec<Uuid> = found.iter().map(|given| given.id).collect();
        for owner in &owners {
            done = self.end_everything_but(&last, *owner, request_id).await?.or(done);
        }
        for given in found {
            let by = self.owner_of_given(given.consumer, request_id);
            done = self.end_given(by.does("logout", given.consumer), given.ending).await?.or(done);
        }
        if let Some(done) = &done {
            self.heard_elsewhere(done.epoch).await;
        }
        if ends == Ends::Everything && owners.is_empty() { Err(Refusal::Unproven) } else { Ok(done) }
    }

    /// What the texts may be, each once. First what is known here: however many others a stranger has planted in
    /// a browser, they crowd none of its own out.
    fn likely(&self, shown: &[&[u8]]) -> Vec<(Kind, Uuid)> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for text in shown {
            let Reading::Ours { kind: kind @ (Kind::Session | Kind::Token), .. } = secret::read(text) else {
                continue;
            };
            for verifier in self.ring.peppers().verifiers(text) {
                let id = verifier.id();
                let into = if self.is_known(kind, &id) { &mut known } else { &mut unknown };
                if !into.contains(&(kind, id)) {
                    into.push((kind, id));
                }
            }
        }
        unknown.truncate(ASKED_ABOUT);
        known.append(&mut unknown);
        known
    }

    fn is_known(&self, kind: Kind, id: &Uuid) -> bool {
        let Some(replica) = &self.replica else { return false };
        if kind == Kind::Session { replica.session(id).is_some() } else { replica.token(id).is_some() }
    }

    /// By what the store holds: it may have been made elsewhere a moment ago. One question for each kind, however
    /// many there are.
    async fn given_at_logins(&self, likely: &[(Kind, Uuid)]) -> Result<Vec<Given>, Refusal> {
        let now = self.clock.now();
        let all =
            |wanted: Kind| likely.iter().filter(move |(kind, _)| *kind == wanted).map(|(_, id)| Name::of(id));
        let (sessions, tokens) = (all(Kind::Session).collect(), all(Kind::Token).collect());
        let mut given = Vec::new();
        for session in self.credentials_named::<Session>(sessions).await? {
            let known = self.replica.as_ref().and_then(|replica| replica.session(&session.id));
            let holds = session.holds(known.map_or(session.created_at, |(_, last)| last), now);
            let Session { id, consumer, password, .. } = session;
            given.push(Given { id, consumer, password, holds, ending: ending(&session, None) });
        }
        for token in self.credentials_named::<Token>(tokens).await? {
            let Scope::Dynamic { password, .. } = token.scope else { continue };
            let (id, consumer, holds) = (token.id, token.consumer, now < token.expires_at);
            given.push(Given { id, consumer, password, holds, ending: ending(&token, None) });
        }
        Ok(given)
    }

    /// Whose everything may end: theirs who show something that opens services. What is over, or was got by
    /// another password, ends nothing but itself.
    fn owners(&self, found: &[Given], from: IpAddr) -> Result<Vec<ConsumerId>, Refusal> {
        self.trust()?;
        let mut owners = Vec::new();
        for given in found.iter().filter(|given| given.holds) {
            let stands = self.password_stands(given.consumer, given.password)
                && self.known(given.consumer).is_some_and(|consumer| may_be(&consumer, from));
            if stands && !owners.contains(&given.consumer) {
                owners.push(given.consumer);
            }
        }
        Ok(owners)
    }

    fn owner_of_given(&self, id: ConsumerId, request_id: &str) -> By {
        let groups = self.known(id).map(|it| it.given.groups.clone()).unwrap_or_default();
        By::new(Caller::Consumer { id, groups }, Some(request_id))
    }

    /// All that a consumer's logins have given, except for these.
    async fn end_everything_but(
        &self,
        these: &[Uuid],
        of: ConsumerId,
        request_id: &str,
    ) -> Result<Option<Done<()>>, Refusal> {
        let by = self.owner_of_given(of, request_id);
        let act = || by.does("logout", of);
        // First: what is exchanged meanwhile is a token by the time that these are ended.
        let mut done = self.end_grants(&of, &act).await?;
        let dynamic =
            |token: &Token| matches!(token.scope, Scope::Dynamic { .. }) && !these.contains(&token.id);
        done = self.end_each(&of, &act, dynamic).await?.or(done);
        let session = |session: &Session| !these.contains(&session.id);
        Ok(self.end_each(&of, &act, session).await?.or(done))
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
            let steps: Vec<Step> = page.iter().filter(|it| is(it)).flat_map(|it| ending(it, None)).collect();
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

#[cfg(test)]
mod tests;
