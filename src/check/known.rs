//! What this instance knows at the moment of a check.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Done, Work};
use crate::domain::authentication::ConsumerBy;
use crate::domain::catalog::{Catalog, OfStore};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::decide::{Decided, Directory, Judged, Owned};
use crate::domain::denial::Denial;
use crate::domain::issuer::{Issuer, Keys, Signer};
use crate::domain::jwt::{self, KeySet, Refused};
use crate::domain::password::{self, Account, Login, Mark};
use crate::domain::request::Request;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::domain::token::{AccessKey, Token};
use crate::domain::verdict::{Fault, Verdict};
use crate::domain::verifier::Verifier;
use crate::issuers::{Answer, Issuers};
use crate::passwords::Passwords;
use crate::replica::Replica;

/// What this instance knows at the moment of a check: the file's objects always, the store's under
/// the lease.
pub(super) struct Known<'k> {
    pub(super) catalog: &'k Catalog,
    pub(super) replica: &'k Replica,
    pub(super) issuers: &'k Issuers,
    pub(super) passwords: &'k Passwords,
    /// CLOCK_BOOTTIME, pinned for the whole check.
    pub(super) boottime: Duration,
    pub(super) inquiry: Inquiry<'k>,
    /// The first signature or password that was asked about and is not verified.
    pub(super) undone: Cell<Option<Work>>,
}

impl Known<'_> {
    /// What a decision comes to, with what was known while it was made.
    pub(super) fn settle<'w, 'r>(
        &self,
        decided: Decided<'w, 'r>,
        request: &Request<'_>,
    ) -> Result<Decided<'w, 'r>, Work> {
        let Decided { verdict, mut trail } = decided;
        // Whatever came out: it was decided without knowing what was presented.
        let verdict = match (self.undone.take(), self.inquiry.given_up()) {
            (None, _) => verdict,
            (Some(_), Some(denial)) => Ok(Verdict::Deny(denial)),
            (Some(work), None) => return Err(work),
        };
        // What the store has a part in is only as good as what is known of the store. Where it has
        // deployments, that is also which one a host and path belongs to; the route's words need no store.
        let Some(deployment) = trail.deployment else { return Ok(Decided { verdict, trail }) };
        let by_place = request.route.service.is_none() && self.catalog.of_store() != OfStore::None;
        if !by_place && !deployment.stored {
            return Ok(Decided { verdict, trail });
        }
        let trusted = self.replica.trust(self.boottime);
        if by_place && trusted.is_err() {
            // It may be another's, so this one's shadow mode says nothing.
            trail.deployment = None;
        }
        Ok(Decided { verdict: trusted.and(verdict), trail })
    }

    fn leave_undone(&self, work: Work) {
        let first = self.undone.take().unwrap_or(work);
        self.undone.set(Some(first));
    }
}

/// What to do about signatures and passwords that are not verified yet.
#[derive(Clone, Copy)]
pub(super) struct Inquiry<'k> {
    /// What was verified for this very check.
    pub(super) done: &'k [Done],
    /// Whether the rest is verified here and now, for whoever can wait.
    pub(super) at_once: bool,
}

impl Inquiry<'_> {
    fn given_up(&self) -> Option<Denial> {
        self.done.iter().find_map(|done| match done {
            Done::GivenUp(denial) => Some(denial.clone()),
            Done::Signature(_) | Done::Password(_) => None,
        })
    }
}

impl Directory for Known<'_> {
    fn key_and_consumer(&self, verifier: &Verifier) -> Result<Option<Owned>, Fault> {
        if let Some(key) = self.catalog.key(verifier) {
            return Ok(Some((key.clone(), self.consumer(key.consumer)?)));
        }
        self.replica.trust(self.boottime)?;
        let Some((key, consumer)) = self.replica.key_and_consumer(verifier) else { return Ok(None) };
        // The file wins.
        let of_file = self.catalog.consumers().get(&key.consumer).map(Arc::clone);
        Ok(Some((key, of_file.or(consumer))))
    }

    fn consumer(&self, id: ConsumerId) -> Result<Option<Arc<Consumer>>, Fault> {
        if let Some(consumer) = self.catalog.consumers().get(&id) {
            return Ok(Some(Arc::clone(consumer)));
        }
        self.replica.trust(self.boottime)?;
        Ok(self.replica.consumer(id))
    }

    fn consumer_by(&self, by: ConsumerBy, text: &str) -> Result<Option<Arc<Consumer>>, Fault> {
        if let Some(consumer) = self.catalog.consumer_by(by, text) {
            return Ok(Some(Arc::clone(consumer)));
        }
        self.replica.trust(self.boottime)?;
        Ok(self.replica.consumer_by(by, text))
    }

    fn signer(&self, key: &str) -> Result<Option<Arc<Signer>>, Fault> {
        self.replica.trust(self.boottime)?;
        Ok(self.replica.signer(key))
    }

    fn account(&self, username: &str) -> Result<Option<Arc<Account>>, Fault> {
        if let Some(account) = self.catalog.account(username) {
            return Ok(Some(Arc::clone(account)));
        }
        self.replica.trust(self.boottime)?;
        Ok(self.replica.account(username))
    }

    fn password(&self, account: Option<&Arc<Account>>, presented: Login<'_>) -> password::Known {
        let done = self.inquiry.done.iter().filter_map(|done| match done {
            Done::Password(done) => Some(done),
            Done::Signature(_) | Done::GivenUp(_) => None,
        });
        match self.passwords.ask(account, presented, done) {
            Ok(known) => known,
            Err(work) if self.inquiry.at_once => {
                let done = self.passwords.described(&work);
                self.passwords.ask(account, presented, [&done]).unwrap_or(password::Known::Wrong)
            }
            Err(work) => {
                self.leave_undone(Work::Password(work));
                password::Known::Unhashed
            }
        }
    }

    fn password_stands(&self, consumer: ConsumerId, mark: Mark) -> Result<bool, Fault> {
        if self.catalog.account_by_mark(consumer, mark).is_some() {
            return Ok(true);
        }
        self.replica.trust(self.boottime)?;
        Ok(self.replica.account_by_mark(self.catalog, consumer, mark).is_some())
    }

    fn token(&self, id: Uuid) -> Result<Option<Arc<Token>>, Fault> {
        self.replica.trust(self.boottime)?;
        Ok(self.replica.token(&id))
    }

    fn access_key(&self, id: Uuid) -> Result<Option<Arc<AccessKey>>, Fault> {
        self.replica.trust(self.boottime)?;
        Ok(self.replica.access_key(&id))
    }

    fn session(&self, id: Uuid) -> Result<Option<(Arc<Session>, Timestamp)>, Fault> {
        self.replica.trust(self.boottime)?;
        Ok(self.replica.session(&id))
    }

    fn jwt(&self, issuer: &Arc<Issuer>, token: &[u8]) -> Result<Judged, Fault> {
        let loaded = match &issuer.keys {
            Keys::Read(_) | Keys::Published(_) => match self.issuers.loaded(issuer) {
                Ok(loaded) => loaded,
                // What could be no token of this issuer, whatever its keys, is the caller's to mend.
                Err(fault) => match jwt::screen(token, &issuer.rules, &KeySet::NONE) {
                    Err(refused) => return Ok(Judged::Refused(refused)),
                    Ok(_) => return Err(fault),
                },
            },
            Keys::OfConsumer(keys) => self.issuers.of_consumer(keys),
            Keys::Ours => {
                self.replica.trust(self.boottime)?;
                match self.replica.signing_keys() {
                    Some(keys) => self.issuers.ours(&keys.set),
                    None => return Ok(Judged::Refused(Refused::UnknownKey)),
                }
            }
        };
        let done = self.inquiry.done.iter().filter_map(|done| match done {
            Done::Signature(done) => Some(done),
            Done::Password(_) | Done::GivenUp(_) => None,
        });
        let done = match loaded.ask(issuer, token, done) {
            Answer::Genuine(claims) => return Ok(Judged::Genuine(claims)),
            Answer::Refused(refused) => return Ok(Judged::Refused(refused)),
            Answer::Unverified(work) if self.inquiry.at_once => work.run(),
            Answer::Unverified(work) => {
                self.leave_undone(Work::Signature(work));
                return Ok(Judged::Unverified);
            }
        };
        Ok(match done.found() {
            Ok(claims) => Judged::Genuine(Arc::clone(claims)),
            Err(refused) => Judged::Refused(refused),
        })
    }
}
