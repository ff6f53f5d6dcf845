//! Logins: who somebody is, by a name and a password.
//!
//! Attempts are counted in the store before anything is hashed, so for all instances together; what came of
//! one is in the audit log before anybody hears of it. Without the store nobody logs in. Whoever is refused
//! hears the same after the same time, whatever was wrong.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::audit::{Chain, Event};
use super::consumers::EMAIL;
use super::{Attempts, Issuer, Refusal};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::password::{Account, Mark};
use crate::domain::secret::Secret;
use crate::domain::verdict::Fault;
use crate::passwords::{DAY, Network, WINDOW};
use crate::store::ring::Use;
use crate::store::{Batch, Count, Counted, StoreError};
use crate::telemetry::{LoginBy, LoginOutcome};

/// Somebody who wants to log in.
pub struct Login<'a> {
    pub name: LoginName<'a>,
    pub password: Secret,
    pub from: IpAddr,
    /// Fit for logs.
    pub request_id: &'a str,
}

/// By what an account is named.
#[derive(Clone, Copy)]
pub enum LoginName<'a> {
    Username(&'a str),
    Email(&'a str),
    /// Who has logged in with the password of this mark, and is asked for it again.
    Again(ConsumerId, Mark),
}

/// Who it was.
pub struct LoggedIn {
    pub consumer: Arc<Consumer>,
    /// By whose password; its mark binds what is made for the login to it.
    pub account: Arc<Account>,
}

/// Why nobody was logged in.
#[derive(Debug)]
pub enum Declined {
    /// A wrong name, a wrong password, a consumer or password that is switched off, or one that may not be
    /// used from there: nobody is told which.
    Wrong,
    /// Tried too often, by the name or from the address: not before so long.
    Throttled(Duration),
    /// Too many passwords wait to be hashed.
    Busy,
    /// Whether the password still counts is not known at this moment.
    Unknown(Fault),
    /// The store, without which nobody is counted.
    Store(StoreError),
}

impl Declined {
    fn outcome(&self) -> LoginOutcome {
        match self {
            Self::Wrong => LoginOutcome::Refused,
            Self::Throttled(_) => LoginOutcome::Throttled,
            Self::Busy => LoginOutcome::Busy,
            Self::Unknown(_) | Self::Store(_) => LoginOutcome::Unavailable,
        }
    }
}

/// How many failures are let pass.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    /// Of an account, within 15 minutes.
    pub of_account: u64,
    /// The same within a day: NIST SP 800-63B allows 100.
    pub of_account_a_day: u64,
    /// From an address (of an IPv6 network of 64 bits), within 15 minutes.
    pub of_address: u64,
}

impl Default for Tries {
    fn default() -> Self {
        Self { of_account: 10, of_account_a_day: 100, of_address: 100 }
    }
}

impl Issuer {
    /// Logs somebody in, or does not. `attempts` counts it, and is told of those that are not even looked at.
    ///
    /// # Errors
    ///
    /// [`Declined`].
    pub async fn log_in(&self, login: Login<'_>, attempts: &Attempts) -> Result<LoggedIn, Declined> {
        let login = self.let_in(login, attempts).await;
        attempts
            .count(LoginBy::Password, login.as_ref().err().map_or(LoginOutcome::Granted, Declined::outcome));
        login
    }

    async fn let_in(&self, login: Login<'_>, attempts: &Attempts) -> Result<LoggedIn, Declined> {
        if let Some(replica) = &self.replica {
            replica.trust(self.clock.boottime()).map_err(Declined::Unknown)?;
        }
        let account = self.account_of(login.name).await?;
        // Before anything is written: a storm of logins is turned away without the store.
        let Ok(place) = self.passwords.place() else { return Err(Declined::Busy) };
        // Whoever is turned away has guessed nothing, and is not counted: else a hundred requests would shut
        // somebody out for a day.
        let counts = self.counts(&login, account.as_deref());
        let counted = self.count(&counts).await?;
        let over = counted.iter().zip(counts).filter(|(counted, count)| counted.total > count.most);
        if let Some(left) = over.map(|(counted, _)| counted.left).max() {
            attempts.note("login.throttled", login.from);
            return Err(Declined::Throttled(left));
        }
        let Login { password, from, request_id, .. } = login;
        let Ok(right) = self.passwords.verify(place, account.clone(), password).await else {
            // Nothing was guessed.
            self.count(&counts.map(|count| less(count, 1))).await?;
            return Err(Declined::Busy);
        };
        let known = account.as_ref().and_then(|account| self.known(account.consumer));
        let let_in = account.clone().zip(known);
        let let_in = let_in.filter(|(account, consumer)| right && account.enabled && may_be(consumer, from));
        let event = Event {
            caller: if let_in.is_some() { "consumer" } else { "unknown" }.into(),
            caller_id: let_in.as_ref().map(|(account, _)| account.consumer),
            action: if let_in.is_some() { "login.granted" } else { "login.refused" }.into(),
            object: account.as_ref().map(|account| account.consumer),
            request_id: request_id.to_owned(),
            count: 1,
            addresses: vec![from.to_string()],
            operation: None,
        };
        // Those who are refused displace none who were let in, nor either of them a change.
        let chain = if let_in.is_some() { &self.handed_out } else { &self.attempts };
        self.record(chain, &event).await?;
        let (account, consumer) = let_in.ok_or(Declined::Wrong)?;
        self.forgive(counts, &counted).await?;
        Ok(LoggedIn { consumer, account })
    }

    /// What a name leads to, by what this instance knows.
    async fn account_of(&self, name: LoginName<'_>) -> Result<Option<Arc<Account>>, Declined> {
        let consumer = match name {
            LoginName::Username(username) => return Ok(self.account(username)),
            LoginName::Again(consumer, mark) => return Ok(self.account_by_mark(consumer, mark)),
            LoginName::Email(email) => match self.catalog.load().consumer_with_email(email) {
                Some(id) => Some(id),
                None => self.owner_of(EMAIL, email.as_bytes()).await.map_err(|refusal| match refusal {
                    Refusal::Store(error) => Declined::Store(error),
                    other => Declined::Store(StoreError::Unavailable(other.to_string())),
                })?,
            },
        };
        let consumer = consumer.and_then(|id| self.known(id));
        let username = consumer.as_ref().and_then(|consumer| consumer.username.as_deref());
        let account = username.and_then(|username| self.account(username));
        Ok(account.filter(|account| consumer.is_some_and(|consumer| consumer.id == account.consumer)))
    }

    /// A consumer, by what this instance knows: the file's goes first.
    pub(super) fn known(&self, id: ConsumerId) -> Option<Arc<Consumer>> {
        let declared = self.catalog.load().consumers().get(&id).cloned();
        declared.or_else(|| self.replica.as_ref().and_then(|replica| replica.consumer(id)))
    }

    /// What a login is counted under.
    fn counts(&self, login: &Login<'_>, account: Option<&Account>) -> [Count; 3] {
        let network = Network::of(login.from);
        let who: (&[u8], Vec<u8>) = match (account, login.name) {
            // One account, whatever it goes by.
            (Some(account), _) => (b"account", account.id.as_bytes().to_vec()),
            (None, LoginName::Username(name)) => self.crowd(b"username", name.as_bytes()),
            (None, LoginName::Email(email)) => self.crowd(b"email", email.as_bytes()),
            (None, LoginName::Again(consumer, _)) => self.crowd(b"consumer", consumer.as_bytes()),
        };
        let name = |what, kind, of| self.counter([what, kind, of]);
        let count = |name, lives, most| Count { name, add: 1, lives, most };
        let Tries { of_account, of_account_a_day, of_address } = self.tries;
        [
            count(name(b"quarter", who.0, &who.1), WINDOW, of_account),
            count(name(b"day", who.0, &who.1), DAY, of_account_a_day),
            count(name(b"quarter", b"address", network.bytes()), WINDOW, of_address),
        ]
    }

    /// What nobody's name is counted under: one of 65536, each for many. There are as many of those names
    /// as somebody cares to send, and whoever sends them does not know which of them go together.
    fn crowd(&self, kind: &[u8], name: &[u8]) -> (&'static [u8], Vec<u8>) {
        let [first, second, ..] = self.counter([b"crowd", kind, name]);
        (b"nobody", vec![first, second])
    }

    /// The name of a counter, which says nothing of what is counted.
    fn counter(&self, parts: [&[u8]; 3]) -> [u8; 16] {
        let key = self.ring.derive(self.ring.primary_id(), Use::Counter);
        let key = key.expect("the ring has its primary");
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        let mut name = [0; 16];
        name.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        name
    }

    async fn count(&self, counts: &[Count]) -> Result<Vec<Counted>, Declined> {
        self.store.count(counts, self.clock.now()).await.map_err(Declined::Store)
    }

    /// The right password ends what was wrong before it. Of the address it is one less, no more: else
    /// whoever has one account would have as many guesses at others as he likes.
    async fn forgive(&self, counts: [Count; 3], counted: &[Counted]) -> Result<(), Declined> {
        let [quarter, day, address] = counts;
        let total = |at: usize| counted.get(at).map_or(1, |counted| counted.total);
        let counts = [less(quarter, total(0)), less(day, total(1)), less(address, 1)];
        self.count(&counts).await.map(drop)
    }

    /// Durably.
    async fn record(&self, chain: &Chain, event: &Event) -> Result<(), Declined> {
        let batch = Batch { operation: Uuid::new_v4(), steps: Vec::new() };
        let written = chain.write(&*self.store, batch, event, self.clock.now()).await;
        written.map(drop).map_err(Declined::Store)
    }
}

/// Whether a consumer is let in at all, and from there.
pub(super) fn may_be(consumer: &Consumer, from: IpAddr) -> bool {
    consumer.enabled && consumer.given.networks.admits(Some(from)).is_ok()
}

/// Takes so much away.
fn less(count: Count, by: u64) -> Count {
    let by = i64::try_from(by).unwrap_or(i64::MAX);
    Count { add: -by, most: u64::MAX, ..count }
}

#[cfg(test)]
mod tests;
