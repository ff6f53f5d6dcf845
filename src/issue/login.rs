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
use super::{Attempts, Refusal, Registrar};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::password::{Account, Mark};
use crate::domain::secret::Secret;
use crate::domain::verdict::Fault;
use crate::passwords::{DAY, Network, Tries, WINDOW};
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
    /// Tried too often, by the name or from the address, whether or not somebody has that name: not before so long.
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

/// One counter of a login.
struct Counter {
    count: Count,
    of_address: bool,
}

/// What counters came to.
#[derive(Default)]
struct Tally {
    counters: Vec<(Counter, Counted)>,
    /// Until one of them begins anew, where one is over; none was counted then.
    over: Option<Duration>,
}

impl Registrar {
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
        self.trust().map_err(Declined::Unknown)?;
        let account = self.account_of(login.name).await?;
        // Before anything is written: a storm of logins is turned away without the store.
        let Ok(place) = self.passwords.place() else { return Err(Declined::Busy) };
        // Whoever is turned away has guessed nothing, and is not counted: else a hundred requests would shut
        // somebody out for a day.
        let sent = self.count(self.as_sent(&login)).await?;
        let owned = match sent.over {
            None => self.count(self.of_account(&login, account.as_deref())).await?,
            Some(_) => Tally::default(),
        };
        let known_already = matches!(login.name, LoginName::Again(..));
        if let Some(left) = sent.over.or(owned.over.filter(|_| known_already)) {
            attempts.note("login.throttled", login.from);
            return Err(Declined::Throttled(left));
        }
        // Guessed at by another name that it has: whoever is told that learns that the names are of one account.
        // It is a wrong password, after the same time.
        let shut = owned.over.is_some();
        if shut {
            attempts.note("login.throttled", login.from);
        }
        let account = account.filter(|_| !shut);
        let Login { password, from, request_id, .. } = login;
        let Ok(right) = self.passwords.verify(place, account.clone(), password).await else {
            // Nothing was guessed.
            self.uncount(&[&sent, &owned], |_, _| 1).await?;
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
        // The right password ends what was wrong before it. Of the address it is one less, no more: else
        // whoever has one account would have as many guesses at others as he likes.
        let forgiven = |counter: &Counter, total| if counter.of_address { 1 } else { total };
        self.uncount(&[&sent, &owned], forgiven).await?;
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

    /// What a login is counted under as it was sent: of names that are there and of those that nobody has
    /// alike, or the difference could be told. They share 2^18 counters, for there are as many names as somebody
    /// cares to send, and whoever sends them does not know which of them go together.
    fn as_sent(&self, login: &Login<'_>) -> Vec<Counter> {
        let network = Network::of(login.from);
        let name = match login.name {
            LoginName::Username(name) | LoginName::Email(name) => Some(name.as_bytes()),
            LoginName::Again(..) => None,
        };
        let of_key = |key| {
            let shared = name.map(|name| {
                let [first, second, third, ..] = self.counter(key, [b"shared", b"name", name]);
                [first, second, third & 0b11]
            });
            let names = shared.into_iter().flat_map(move |name| self.of_name(key, b"name", &name));
            let address = self.counter(key, [b"quarter", b"address", network.bytes()]);
            let address = Count { name: address, add: 1, lives: WINDOW, most: self.tries.of_address.into() };
            names.chain([Counter { count: address, of_address: true }])
        };
        self.ring.ids().flat_map(of_key).collect()
    }

    /// What it is counted under besides: one account, whatever it goes by.
    fn of_account(&self, login: &Login<'_>, account: Option<&Account>) -> Vec<Counter> {
        let (kind, id, add): (&[u8], _, _) = match (account, login.name) {
            (Some(account), _) => (b"account", account.id, 1),
            (None, LoginName::Again(consumer, _)) => (b"consumer", consumer, 1),
            // As much work as for an account.
            (None, LoginName::Username(_) | LoginName::Email(_)) => (b"nobody", Uuid::nil(), 0),
        };
        let counters = self.ring.ids().flat_map(|key| self.of_name(key, kind, id.as_bytes()));
        counters.map(|counter| Counter { count: Count { add, ..counter.count }, ..counter }).collect()
    }

    fn of_name(&self, key: u32, kind: &[u8], name: &[u8]) -> [Counter; 2] {
        let Tries { of_account, of_account_a_day, .. } = self.tries;
        [(&b"quarter"[..], WINDOW, of_account), (b"day", DAY, of_account_a_day)].map(|(what, lives, most)| {
            let name = self.counter(key, [what, kind, name]);
            let count = Count { name, add: 1, lives, most: most.into() };
            Counter { count, of_address: false }
        })
    }

    /// The name of a counter, which says nothing of what is counted. One for each key of the ring: while that is
    /// rotated instances differ in which is the first, and nobody has guesses under each of them.
    fn counter(&self, key: u32, parts: [&[u8]; 3]) -> [u8; 16] {
        let key = self.ring.derive(key, Use::Counter).expect("a key of the ring");
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        let mut name = [0; 16];
        name.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        name
    }

    /// Nothing is counted where one of them is over.
    async fn count(&self, counters: Vec<Counter>) -> Result<Tally, Declined> {
        let counted = self.counted(&counters.iter().map(|counter| counter.count).collect::<Vec<_>>()).await?;
        let over =
            counters.iter().zip(&counted).filter(|(counter, counted)| counted.total > counter.count.most);
        let over = over.map(|(_, counted)| counted.left).max();
        Ok(Tally { counters: counters.into_iter().zip(counted).collect(), over })
    }

    /// Takes so much of each counter away, by what it had come to; of what was not counted nothing.
    async fn uncount(&self, tallies: &[&Tally], by: impl Fn(&Counter, u64) -> u64) -> Result<(), Declined> {
        let counted = tallies.iter().filter(|tally| tally.over.is_none());
        let counters = counted.flat_map(|tally| &tally.counters);
        let less = counters.map(|(counter, counted)| {
            let by = i64::try_from(by(counter, counted.total)).unwrap_or(i64::MAX);
            Count { add: -by, most: u64::MAX, ..counter.count }
        });
        self.counted(&less.collect::<Vec<_>>()).await.map(drop)
    }

    async fn counted(&self, counts: &[Count]) -> Result<Vec<Counted>, Declined> {
        self.store.count(counts, self.clock.now()).await.map_err(Declined::Store)
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

#[cfg(test)]
mod tests;
