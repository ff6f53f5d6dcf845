//! The decision: the order of the doors is the order of the lines.

mod authorize;
mod basic;
mod find;
mod issued;
mod jwt;
mod prove;

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use uuid::Uuid;

use super::authentication::{Authentication, Combine, ConsumerBy, Method};
use super::catalog::Catalog;
use super::client::{self, Client};
use super::consumer::{Consumer, ConsumerId};
use super::denial::Denial;
use super::deployment::{Deployment, Policy};
use super::issuer::{Issuer, Signer};
use super::key::KeyFacts;
use super::password::{Account, Known, Login, Mark};
use super::principal::{CredentialName, Principal};
use super::query;
use super::request::Request;
use super::session::Session;
use super::step::{Step, Witness};
use super::time::Timestamp;
use super::token::{AccessKey, Token};
use super::verdict::{Fault, Grant, Verdict};
use super::verifier::{Peppers, Verifier};
use find::Readings;
pub use jwt::Judged;
use prove::{Proof, Proofs};

/// Whom a decision asks what it needs to know: memory, never a store that would have to be waited for.
pub trait Directory {
    /// The key with this verifier, and whose it is.
    ///
    /// # Errors
    ///
    /// A [`Fault`] where absence cannot be told from not knowing.
    fn key_and_consumer(&self, verifier: &Verifier) -> Result<Option<Owned>, Fault>;

    /// The consumer with this id, under the same condition.
    fn consumer(&self, id: ConsumerId) -> Result<Option<Arc<Consumer>>, Fault>;

    /// The consumer that has this text for its id, username or `custom_id`, under the same condition.
    fn consumer_by(&self, by: ConsumerBy, text: &str) -> Result<Option<Arc<Consumer>>, Fault>;

    /// By which credential the consumer signs whose tokens have this `iss`, under the same condition.
    fn signer(&self, key: &str) -> Result<Option<Arc<Signer>>, Fault>;

    /// The account of this name, under the same condition.
    fn account(&self, username: &str) -> Result<Option<Arc<Account>>, Fault>;

    /// What is known of a password that somebody presents from there, whether or not there is an account.
    fn password(&self, account: Option<&Arc<Account>>, presented: Login<'_>) -> Known;

    /// Whether the password with this mark is still one of the consumer's, under the same condition.
    fn password_stands(&self, consumer: ConsumerId, mark: Mark) -> Result<bool, Fault>;

    /// What is known of a JWT of this issuer. A [`Fault`] where its keys are not known.
    fn jwt(&self, issuer: &Arc<Issuer>, text: &[u8]) -> Result<Judged, Fault>;

    /// The token of ours with this id, under the same condition as a key; and so the next ones.
    fn token(&self, id: Uuid) -> Result<Option<Arc<Token>>, Fault>;

    fn access_key(&self, id: Uuid) -> Result<Option<Arc<AccessKey>>, Fault>;

    /// A session, and when it was last used.
    fn session(&self, id: Uuid) -> Result<Option<(Arc<Session>, Timestamp)>, Fault>;
}

/// A key, and its consumer where that is known.
pub type Owned = (KeyFacts, Option<Arc<Consumer>>);

/// All that a decision depends on besides the request.
#[derive(Clone, Copy)]
pub struct World<'w> {
    pub catalog: &'w Catalog,
    pub peppers: &'w Peppers,
    pub directory: &'w dyn Directory,
    pub now: Timestamp,
}

/// A verdict, and what was learned on the way to it.
#[derive(Debug)]
pub struct Decided<'w, 'r> {
    pub verdict: Result<Verdict<'w>, Fault>,
    pub trail: Trail<'w, 'r>,
}

/// What was learned on the way, whatever the verdict: for the log and for metadata.
#[derive(Debug, Default)]
pub struct Trail<'w, 'r> {
    /// The readings of the path, where it has any.
    pub readings: Option<Readings<'r>>,
    pub deployment: Option<&'w Deployment>,
    /// Whom it comes from, as far as those whom we trust can say. `None` where nothing was asked at
    /// all: no request could be read, or the decision broke off.
    pub client: Option<Client>,
    /// The method that presented the credential that decided.
    pub method: Option<&'static str>,
    /// What was presented, where it is known.
    pub credential: Option<CredentialName>,
    /// Whose it is.
    pub consumer: Option<Arc<Consumer>>,
}

impl<'r> Trail<'_, 'r> {
    /// The query, once the target was understood.
    pub fn query(&self) -> Option<&'r [u8]> {
        self.readings.as_ref().and_then(|readings| readings.query)
    }
}

/// Why there is no grant.
enum Refusal {
    Denied(Denial),
    Faulted(Fault),
}

/// Decides one request, before a witness of every step.
pub fn decide<'w, 'r>(
    world: World<'w>,
    request: &Request<'r>,
    witness: &mut impl Witness,
) -> Decided<'w, 'r> {
    let mut case = Case { world, request, witness, trail: Trail::default() };
    let verdict = match case.grant() {
        Ok(grant) => Ok(Verdict::Allow(grant)),
        Err(Refusal::Denied(denial)) => Ok(Verdict::Deny(denial)),
        Err(Refusal::Faulted(fault)) => Err(fault),
    };
    Decided { verdict, trail: case.trail }
}

/// One request before the doors.
struct Case<'c, 'w, 'r, W> {
    world: World<'w>,
    request: &'c Request<'r>,
    witness: &'c mut W,
    trail: Trail<'w, 'r>,
}

impl<'w, W: Witness> Case<'_, 'w, '_, W> {
    fn grant(&mut self) -> Result<Grant<'w>, Refusal> {
        let client = client::client(self.request, self.world.catalog.trusted());
        // Before anything is refused: whoever knocks at no door of ours is known in the log too.
        self.trail.client = Some(client);
        let deployment = self.find()?;
        if !deployment.enabled {
            return Err(Denial::DeploymentDisabled.into());
        }
        self.admit(deployment, client)?;
        let proofs = self.authenticate(&deployment.policy)?;
        self.authorize(deployment, &proofs)?;
        let mut proofs = proofs.into_iter().map(Proof::into_principal);
        let principal = proofs.next_back().unwrap_or(Principal::Nobody);
        Ok(Grant { deployment, principal, besides: proofs.collect() })
    }

    /// The door that asks from where.
    fn admit(&mut self, deployment: &Deployment, client: Client) -> Result<(), Refusal> {
        self.witness.saw(|| Step::Client { address: client.address, hop: client.hop.to_string() });
        Ok(self.admit_from("deployment", &deployment.policy.networks)?)
    }

    /// Every proof that was asked for, the one that names the caller last; none where nobody was
    /// asked.
    fn authenticate(&mut self, policy: &'w Policy) -> Result<Proofs, Refusal> {
        let Authentication::Required { combine, methods, anonymous } = &*policy.authentication else {
            let (demands, methods) = ("none", Vec::new());
            self.witness.saw(|| Step::Authentication { demands, methods, anonymous: None });
            return Ok(Proofs::new());
        };
        self.refuse_disguises(methods)?;
        let methods: SmallVec<[_; 4]> = methods.iter().filter(|method| self.applies(method)).collect();
        self.witness.saw(|| Step::Authentication {
            demands: combine.name(),
            methods: methods.iter().map(|method| method.name()).collect(),
            anonymous: *anonymous,
        });
        let proofs = match combine {
            Combine::Any => self.first_that_proves(&methods),
            Combine::All => methods.iter().map(|method| self.prove(method)).collect(),
        };
        match (proofs, anonymous) {
            (Err(Refusal::Denied(denial)), Some(anonymous)) if is_failure_to_prove(&denial) => {
                self.fall_back(*anonymous, denial).map(|proof| smallvec![proof])
            }
            // None at all: no method applies to this preflight.
            (proofs, _) => proofs,
        }
    }

    /// Wherever the credential stands that decides, and though nobody asks its method: one whose name is
    /// spelled with escapes would reach the upstream unremoved.
    fn refuse_disguises(&self, methods: &[Method]) -> Result<(), Denial> {
        let query = self.trail.query().filter(|query| query::is_encoded(query));
        if query.is_some_and(|query| methods.iter().any(|method| method.is_disguised_in(query))) {
            let why = "a credential's name is spelled with percent escapes in the query";
            return Err(Denial::MalformedRequest { why });
        }
        Ok(())
    }

    fn fall_back(&mut self, anonymous: ConsumerId, denial: Denial) -> Result<Proof, Refusal> {
        let consumer = self.world.directory.consumer(anonymous)?;
        match consumer {
            Some(consumer) if consumer.enabled => {
                let username = || consumer.username.as_deref().map(str::to_owned);
                self.witness.saw(|| Step::Anonymous { consumer: anonymous, username: username() });
                Ok(Proof::anonymous(consumer))
            }
            // Switched off: as if the deployment took no anonymous callers.
            Some(_) => Err(denial.into()),
            None => Err(Denial::Internal { why: "the anonymous consumer does not exist" }.into()),
        }
    }
}

fn is_failure_to_prove(denial: &Denial) -> bool {
    matches!(
        denial,
        Denial::MissingCredential | Denial::DuplicateCredential | Denial::InvalidCredential { .. }
    )
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Faulted(fault)
    }
}

#[cfg(test)]
mod tests;
