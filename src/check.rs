//! The shell of one decision: pins time and catalog, decides, records.

pub mod account;
mod kept;
mod problem;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::authentication::{Authentication, ConsumerBy};
use crate::domain::catalog::{Catalog, OfStore};
use crate::domain::client::Client;
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::credential::Challenges;
use crate::domain::decide::{Decided, Directory, Owned, Token, Trail, World, decide_before};
use crate::domain::denial::{Denial, Notice};
use crate::domain::deployment::Mode;
use crate::domain::headers::{Mutations, mutate, unvouched};
use crate::domain::issuer::{Issuer, Keys, Signer};
use crate::domain::jwt::{self, KeySet, Refused};
use crate::domain::key::{KeyFacts, KeyId};
use crate::domain::password::{self, Account, Login, Mark};
use crate::domain::principal::{CredentialName, Principal};
use crate::domain::request::Request;
use crate::domain::session::Session;
use crate::domain::step::{Unwatched, Witness};
use crate::domain::time::Timestamp;
use crate::domain::token::{AccessKey, Token as OpaqueToken};
use crate::domain::traced::Traced;
use crate::domain::verdict::{Fault, Grant, OnFault, Verdict};
use crate::domain::verifier::{Peppers, Verifier};
use crate::issuers::{self, Answer, Issuers, Pool};
use crate::passwords::{self, Passwords};
use crate::replica::{Replica, Usage};
use crate::telemetry::{DecisionLine, Telemetry, VerdictLabel};
pub use problem::Problem;

/// What was decided, with all that a wire needs to say it.
#[derive(Debug)]
pub struct Decision<'a> {
    pub outcome: Outcome<'a>,
    pub metadata: Metadata<'a>,
    /// What the answer calls the request: `x-request-id` where it is at most 128 visible ASCII
    /// characters, else the asker's id.
    pub request_id: &'a str,
    /// Whether the caller reads `grpc-status`.
    pub grpc: bool,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack: in a box it would be on the heap")]
pub enum Outcome<'a> {
    Allow(Mutations<'a>),
    /// A plain denial, with a `WWW-Authenticate` value for each accepted scheme (401 alone).
    Deny(Notice, Challenges<'a>),
    /// Envoy's typed `error_response`.
    Fault(Notice),
}

/// What is told to Envoy's rate limits and access log (`dynamic_metadata`); `None` is left out.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    pub service: Option<&'a str>,
    pub infrastructure: Option<&'a str>,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    pub consumer: Option<ConsumerId>,
    pub username: Option<&'a str>,
    pub groups: &'a [String],
    pub credential: Option<&'a CredentialName>,
    /// Told as two fields: `client`, the address where it is known, and `client_from`, the hop that
    /// named it ([`Hop::word`](crate::domain::client::Hop::word)).
    pub client: Option<Client>,
    /// `api_key` and so on.
    pub method: Option<&'static str>,
    /// `allow`, `deny` or `fault`.
    pub verdict: &'static str,
    /// The code of a denial or fault.
    pub code: Option<&'static str>,
}

/// Decides requests. One for all connections; cheap to share behind an `Arc`.
pub struct Checker {
    catalog: Arc<ArcSwap<Catalog>>,
    peppers: Peppers,
    replica: Arc<Replica>,
    clock: Clock,
    telemetry: Arc<Telemetry>,
    usage: Arc<Usage>,
    issuers: Arc<Issuers>,
    /// Who verifies signatures; `None`: whoever asks.
    pool: Option<Pool>,
    passwords: Arc<Passwords>,
    on_fault: OnFault,
}

/// What a check cannot know without arithmetic that takes a while.
pub enum Work {
    Signature(issuers::Work),
    Password(Box<passwords::Work>),
}

/// What came of it.
pub enum Done {
    Signature(issuers::Done),
    Password(passwords::Done),
    /// Nothing, and nothing more is tried: what is still not verified ends in this denial.
    GivenUp(Denial),
}

/// Work that is done in its turn.
pub enum Waiting {
    Signature(issuers::Waiting),
    Password(oneshot::Receiver<passwords::Done>),
}

impl Waiting {
    /// `None` where nothing comes of it: too many were before it, or it has panicked.
    pub async fn done(self) -> Option<Done> {
        match self {
            Self::Signature(waiting) => waiting.await.ok().map(Done::Signature),
            Self::Password(waiting) => waiting.await.ok().map(Done::Password),
        }
    }
}

/// How often one check may be decided anew because something was verified: no deployment asks for more.
pub const MOST_WORK: usize = 8;

/// When a decision began.
#[derive(Clone, Copy)]
struct Began {
    now: Timestamp,
    /// CLOCK_BOOTTIME: the lease is asked about this moment, and the duration counts from it.
    boottime: Duration,
}

impl Checker {
    pub fn new(
        catalog: Arc<ArcSwap<Catalog>>,
        peppers: Peppers,
        replica: Arc<Replica>,
        clock: Clock,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let issuers = Issuers::new(clock.clone(), Arc::clone(&telemetry), None, 0);
        issuers.follow(catalog.load().issuers());
        let (issuers, pool, usage) = (Arc::new(issuers), None, Arc::default());
        let passwords = Arc::new(Passwords::default());
        let on_fault = OnFault::default();
        Self { catalog, peppers, replica, clock, telemetry, usage, issuers, pool, passwords, on_fault }
    }

    /// Has every use of a key counted there.
    pub fn with_usage(self, usage: Arc<Usage>) -> Self {
        Self { usage, ..self }
    }

    /// With issuers whose keys are fetched, and threads for signatures.
    pub fn with_issuers(self, issuers: Arc<Issuers>, pool: Pool) -> Self {
        Self { issuers, pool: Some(pool), ..self }
    }

    /// With threads for passwords.
    pub fn with_passwords(self, passwords: Arc<Passwords>) -> Self {
        Self { passwords, ..self }
    }

    pub fn with_on_fault(self, on_fault: OnFault) -> Self {
        Self { on_fault, ..self }
    }

    /// Decides one request and hands the decision to `render`, whatever happens: a panic while
    /// deciding becomes the denial `internal`. What has to be verified is, on the way: for whoever has no
    /// other checks to think of.
    pub fn check<T>(&self, request: &Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        let inquiry = Inquiry { done: &[], at_once: true };
        let decided = self.decide(request, inquiry, &mut Unwatched, |decision, line, told| {
            self.record((request, inquiry), (decision, line), told);
            render(decision)
        });
        decided.unwrap_or_else(|_| unreachable!("{NOTHING_LEFT}"))
    }

    /// The same without ever waiting.
    ///
    /// # Errors
    ///
    /// Nothing is decided yet, because a signature or a password has to be verified: have it done
    /// ([`Checker::verify`]), and ask again with what came of it among `done`. Never so once
    /// [`Done::GivenUp`] is among it: then it is decided about this deployment like everything else.
    pub fn attempt<T>(
        &self,
        request: &Request<'_>,
        done: &[Done],
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> Result<T, Work> {
        let inquiry = Inquiry { done, at_once: false };
        self.decide(request, inquiry, &mut Unwatched, |decision, line, told| {
            self.record((request, inquiry), (decision, line), told);
            render(decision)
        })
    }

    /// Counts a decision that was made, and the use of the key that opened; keeps it where it has a line.
    fn record(
        &self,
        asked: (&Request<'_>, Inquiry<'_>),
        (decision, line): (&Decision<'_>, &DecisionLine<'_>),
        Told { pinned, used }: Told<'_>,
    ) {
        let now = pinned.began.now;
        if self.telemetry.record(line, now) {
            self.keep(asked, (decision, line), pinned);
        }
        for used in used {
            match used {
                Used::Key(id) => self.usage.note(id, now),
                Used::Session(id) => {
                    self.replica.touch(&id, now);
                    self.usage.note(id, now);
                }
            }
        }
    }

    /// Has a signature verified or a password hashed, in its turn; `None` where too many wait already.
    pub fn verify(&self, work: Work) -> Option<Waiting> {
        match (work, &self.pool) {
            (Work::Signature(work), Some(pool)) => pool.submit(work).map(Waiting::Signature),
            (Work::Signature(work), None) => Some(Waiting::Signature(work.done_already())),
            (Work::Password(work), _) => self.passwords.work(work).ok().map(Waiting::Password),
        }
    }

    /// Decides a request that was only described, and gives every step to `witness`; `render` gets
    /// the line that would have been logged too. Neither counted nor logged: it did not happen.
    pub fn explain<T>(
        &self,
        request: &Request<'_>,
        witness: &mut impl Witness,
        render: impl FnOnce(&Decision<'_>, &DecisionLine<'_>) -> T,
    ) -> T {
        let inquiry = Inquiry { done: &[], at_once: true };
        let decided = self.decide(request, inquiry, witness, |decision, line, _| render(decision, line));
        decided.unwrap_or_else(|_| unreachable!("{NOTHING_LEFT}"))
    }

    /// The answer where no request could be read or decided about (`malformed_request`,
    /// `check_too_large`, `overloaded`, `deadline`, `internal`): counted, logged and traced like any other.
    pub fn refuse<T>(
        &self,
        denial: Denial,
        traced: Option<&Traced>,
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> T {
        let case = Concluded {
            began: self.begin(),
            request: &Request { traced, ..Request::default() },
            trail: &Trail::default(),
            catalog: &self.catalog.load(),
        };
        self.conclude(case, Conclusion::Deny(denial), |decision, line, Told { pinned, .. }| {
            // There is no request by whose name it could be asked for, so it is not kept.
            self.telemetry.record(line, pinned.began.now);
            render(decision)
        })
    }

    fn decide<T>(
        &self,
        request: &Request<'_>,
        inquiry: Inquiry<'_>,
        witness: &mut impl Witness,
        tell: impl FnOnce(&Decision<'_>, &DecisionLine<'_>, Told<'_>) -> T,
    ) -> Result<T, Work> {
        let began = self.begin();
        let catalog = self.catalog.load();
        let known = self.known(Pinned { began, catalog: &catalog }, inquiry);
        let world = World { catalog: &catalog, peppers: &self.peppers, directory: &known, now: began.now };
        let decided = catch_unwind(AssertUnwindSafe(|| decide_before(world, request, witness)))
            .unwrap_or_else(|_| panicked());
        let Decided { verdict, trail } = known.settle(decided, request)?;
        let case = Concluded { began, request, trail: &trail, catalog: &catalog };
        Ok(match verdict {
            Ok(Verdict::Allow(grant)) => {
                let mutated =
                    catch_unwind(AssertUnwindSafe(|| mutate(&grant, &catalog, request, trail.query())));
                match mutated {
                    Ok(Ok(mutations)) => self.conclude(case, Conclusion::Allow(&grant, mutations), tell),
                    Ok(Err(denial)) => self.conclude(case, Conclusion::Deny(denial), tell),
                    Err(_) => self.conclude(case, Conclusion::Deny(PANICKED), tell),
                }
            }
            Ok(Verdict::Deny(denial)) => self.conclude(case, Conclusion::Deny(denial), tell),
            Err(fault) => self.conclude(case, Conclusion::Fault(fault), tell),
        })
    }

    fn known<'k>(&'k self, Pinned { began, catalog }: Pinned<'k>, inquiry: Inquiry<'k>) -> Known<'k> {
        Known {
            catalog,
            replica: &self.replica,
            issuers: &self.issuers,
            passwords: &self.passwords,
            boottime: began.boottime,
            inquiry,
            undone: Cell::new(None),
        }
    }

    fn begin(&self) -> Began {
        Began { now: self.clock.now_or_just_before(), boottime: self.clock.boottime() }
    }

    /// Answer, metric, log line and metadata of a decision come from one value.
    fn conclude<'a, T>(
        &self,
        case: Concluded<'a, '_>,
        conclusion: Conclusion<'a>,
        tell: impl FnOnce(&Decision<'_>, &DecisionLine<'_>, Told<'_>) -> T,
    ) -> T {
        let Concluded { began, request, trail, catalog } = case;
        let (label, code, why) = conclusion.face();
        let mistake = conclusion.is_a_mistake();
        // Who passes is the principal, whatever was tried on the way; who does not is what was tried.
        let (credential, consumer) = match conclusion.grant().map(|grant| &grant.principal) {
            Some(principal) => (principal.credential(), principal.consumer()),
            None => (trail.credential.as_ref(), trail.consumer.as_ref()),
        };
        let used = conclusion.grant().map_or_else(SmallVec::new, used);
        let outcome = match conclusion {
            Conclusion::Allow(_, mutations) => Outcome::Allow(mutations),
            refused if refused.is_only_told(trail) => Outcome::Allow(unvouched(catalog, request)),
            Conclusion::Deny(denial) => Outcome::Deny(denial.notice(), challenges(trail, &denial)),
            Conclusion::Fault(fault) => match fault.form(self.on_fault) {
                OnFault::Error => Outcome::Fault(fault.notice()),
                OnFault::Deny => Outcome::Deny(fault.notice(), Challenges::new()),
            },
        };
        let decision = Decision {
            outcome,
            metadata: metadata(trail, consumer, credential, (label, code)),
            request_id: request_id(request),
            grpc: request.grpc,
        };
        let line = DecisionLine {
            request_id: decision.request_id,
            verdict: label,
            mode: decision.metadata.mode,
            traced: request.traced,
            mistake,
            code,
            why,
            service: decision.metadata.service,
            infrastructure: decision.metadata.infrastructure,
            method: request.method,
            path: trail.readings.as_ref().map_or(request.target, |readings| &readings.path),
            host: request.host,
            client: trail.client,
            presented: decision.metadata.method,
            credential,
            consumer: consumer.map(|consumer| consumer.id),
            username: consumer.and_then(|consumer| consumer.username.as_deref()),
            duration: self.clock.boottime().saturating_sub(began.boottime),
        };
        tell(&decision, &line, Told { pinned: Pinned { began, catalog }, used })
    }
}

/// By what it was decided, besides the request and what the store holds.
#[derive(Clone, Copy)]
struct Pinned<'k> {
    began: Began,
    catalog: &'k Catalog,
}

/// What else there is to tell of a decision.
struct Told<'k> {
    pinned: Pinned<'k>,
    /// The credentials by which the request passed, of those whose uses are counted.
    used: SmallVec<[Used; 1]>,
}

#[derive(Clone, Copy)]
enum Used {
    Key(KeyId),
    Session(Uuid),
}

fn used(grant: &Grant<'_>) -> SmallVec<[Used; 1]> {
    let used = |principal: &Principal| match principal {
        Principal::Proven { credential: CredentialName::Id(id), token: None, .. } => Some(Used::Key(*id)),
        Principal::Proven { credential: CredentialName::Session(id), .. } => Some(Used::Session(*id)),
        Principal::Proven { .. } | Principal::Nobody | Principal::Anonymous(_) => None,
    };
    std::iter::once(&grant.principal).chain(&grant.besides).filter_map(used).collect()
}

/// A request about which something was concluded.
struct Concluded<'a, 'r> {
    began: Began,
    request: &'a Request<'r>,
    trail: &'a Trail<'a, 'r>,
    catalog: &'a Catalog,
}

/// A decision that still has its reasons.
#[allow(clippy::large_enum_variant, reason = "as the outcome's")]
enum Conclusion<'a> {
    Allow(&'a Grant<'a>, Mutations<'a>),
    Deny(Denial),
    Fault(Fault),
}

impl<'a> Conclusion<'a> {
    fn face(&self) -> (VerdictLabel, Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Allow(..) => (VerdictLabel::Allow, None, None),
            Self::Deny(denial) => (VerdictLabel::Deny, Some(denial.notice().code), denial.why()),
            Self::Fault(fault) => (VerdictLabel::Fault, Some(fault.notice().code), Some(fault.why())),
        }
    }

    /// Whether the deployment is in shadow mode, so that a refusal is told and not carried out.
    fn is_only_told(&self, trail: &Trail<'_, '_>) -> bool {
        let shadow = trail.deployment.is_some_and(|deployment| deployment.policy.mode == Mode::Shadow);
        match self {
            Self::Allow(..) => false,
            Self::Deny(denial) => shadow && !denial.is_always_enforced(),
            Self::Fault(_) => shadow,
        }
    }

    fn is_a_mistake(&self) -> bool {
        match self {
            Self::Allow(..) => false,
            Self::Deny(denial) => denial.is_a_mistake(),
            Self::Fault(_) => true,
        }
    }

    fn grant(&self) -> Option<&'a Grant<'a>> {
        match self {
            Self::Allow(grant, _) => Some(grant),
            Self::Deny(_) | Self::Fault(_) => None,
        }
    }
}

/// How the caller may prove itself, where that is what it lacked: each way once.
fn challenges<'a>(trail: &Trail<'a, '_>, denial: &Denial) -> Challenges<'a> {
    let mut challenges = Challenges::new();
    let Some(deployment) = trail.deployment.filter(|_| denial.challenges()) else { return challenges };
    let Authentication::Required { methods, .. } = &*deployment.policy.authentication else {
        return challenges;
    };
    for challenge in methods.iter().flat_map(|method| method.challenges(denial)) {
        if !challenges.contains(&challenge) {
            challenges.push(challenge);
        }
    }
    challenges
}

fn metadata<'a>(
    trail: &Trail<'a, '_>,
    consumer: Option<&'a Arc<Consumer>>,
    credential: Option<&'a CredentialName>,
    (label, code): (VerdictLabel, Option<&'static str>),
) -> Metadata<'a> {
    let deployment = trail.deployment;
    Metadata {
        service: deployment.map(|deployment| deployment.service_name.as_str()),
        infrastructure: deployment
            .and_then(|deployment| deployment.infrastructure.as_ref().map(|(_, name)| name.as_str())),
        mode: deployment.map_or(Mode::Enforce, |deployment| deployment.policy.mode).name(),
        consumer: consumer.map(|consumer| consumer.id),
        username: consumer.and_then(|consumer| consumer.username.as_deref()),
        groups: consumer.map_or(&[], |consumer| &consumer.given.groups),
        credential,
        client: trail.client,
        method: trail.method,
        verdict: label.name(),
        code,
    }
}

/// What the caller, or else the asker, calls the request.
fn request_id<'a>(request: &Request<'a>) -> &'a str {
    let usable = |id: &'a [u8]| {
        let plain = (1..=LONGEST_REQUEST_ID).contains(&id.len())
            && id.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
        plain.then(|| std::str::from_utf8(id).ok()).flatten()
    };
    request.header(b"x-request-id").one().and_then(usable).or_else(|| usable(request.id)).unwrap_or_default()
}

/// Characters.
const LONGEST_REQUEST_ID: usize = 128;

const NOTHING_LEFT: &str = "a signature that is verified at once is not left to be verified";

const PANICKED: Denial = Denial::Internal { why: "a panic while deciding" };

fn panicked<'w, 'r>() -> Decided<'w, 'r> {
    Decided { verdict: Ok(Verdict::Deny(PANICKED)), trail: Trail::default() }
}

/// What this instance knows at the moment of a check: the file's objects always, the store's under
/// the lease.
struct Known<'k> {
    catalog: &'k Catalog,
    replica: &'k Replica,
    issuers: &'k Issuers,
    passwords: &'k Passwords,
    /// CLOCK_BOOTTIME, pinned for the whole check.
    boottime: Duration,
    inquiry: Inquiry<'k>,
    /// The first signature or password that was asked about and is not verified.
    undone: Cell<Option<Work>>,
}

impl Known<'_> {
    /// What a decision comes to, with what was known while it was made.
    fn settle<'w, 'r>(
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
struct Inquiry<'k> {
    /// What was verified for this very check.
    done: &'k [Done],
    /// Whether the rest is verified here and now, for whoever can wait.
    at_once: bool,
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
    fn key(&self, verifier: &Verifier) -> Result<Option<KeyFacts>, Fault> {
        if let Some(key) = self.catalog.key(verifier) {
            return Ok(Some(key.clone()));
        }
        self.replica.trust(self.boottime)?;
        Ok(self.replica.key(verifier))
    }

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
        if self.catalog.password_stands(consumer, mark) {
            return Ok(true);
        }
        self.replica.trust(self.boottime)?;
        Ok(self.replica.password_stands(consumer, mark))
    }

    fn opaque_token(&self, id: Uuid) -> Result<Option<Arc<OpaqueToken>>, Fault> {
        self.replica.trust(self.boottime)?;
        Ok(self.replica.opaque_token(&id))
    }

    fn access_key(&self, id: Uuid) -> Result<Option<Arc<AccessKey>>, Fault> {
        self.replica.trust(self.boottime)?;
        Ok(self.replica.access_key(&id))
    }

    fn session(&self, id: Uuid) -> Result<Option<(Arc<Session>, Timestamp)>, Fault> {
        self.replica.trust(self.boottime)?;
        Ok(self.replica.session(&id))
    }

    fn token(&self, issuer: &Arc<Issuer>, token: &[u8]) -> Result<Token, Fault> {
        let loaded = match &issuer.keys {
            Keys::Read(_) | Keys::Published(_) => match self.issuers.loaded(issuer) {
                Ok(loaded) => loaded,
                // What could be no token of this issuer, whatever its keys, is the caller's to mend.
                Err(fault) => match jwt::screen(token, &issuer.rules, &KeySet::NONE) {
                    Err(refused) => return Ok(Token::Refused(refused)),
                    Ok(_) => return Err(fault),
                },
            },
            Keys::OfConsumer(keys) => self.issuers.of_consumer(keys),
            Keys::Ours => {
                self.replica.trust(self.boottime)?;
                match self.replica.signing_keys() {
                    Some(keys) => self.issuers.ours(&keys.set),
                    None => return Ok(Token::Refused(Refused::UnknownKey)),
                }
            }
        };
        let done = self.inquiry.done.iter().filter_map(|done| match done {
            Done::Signature(done) => Some(done),
            Done::Password(_) | Done::GivenUp(_) => None,
        });
        let done = match loaded.ask(issuer, token, done) {
            Answer::Genuine(claims) => return Ok(Token::Genuine(claims)),
            Answer::Refused(refused) => return Ok(Token::Refused(refused)),
            Answer::Unverified(work) if self.inquiry.at_once => work.run(),
            Answer::Unverified(work) => {
                self.leave_undone(Work::Signature(work));
                return Ok(Token::Unverified);
            }
        };
        Ok(match done.found() {
            Ok(claims) => Token::Genuine(Arc::clone(claims)),
            Err(refused) => Token::Refused(refused),
        })
    }
}

#[cfg(test)]
mod tests;
