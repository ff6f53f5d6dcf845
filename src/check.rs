//! The shell of one decision: pins time and catalog, decides, records.

pub mod account;
mod conclusion;
mod kept;
mod known;
mod problem;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use self::conclusion::{Conclusion, Told, Used, challenges, metadata, request_id, used};
use self::known::{Inquiry, Known};
pub use self::problem::Problem;
use crate::clock::Clock;
use crate::domain::catalog::Catalog;
use crate::domain::client::Client;
use crate::domain::consumer::ConsumerId;
use crate::domain::credential::Challenges;
use crate::domain::decide::{Decided, Trail, World, decide};
use crate::domain::denial::{Denial, Notice};
use crate::domain::headers::{Mutations, mutate, unvouched};
use crate::domain::principal::CredentialName;
use crate::domain::request::Request;
use crate::domain::step::{Unwatched, Witness};
use crate::domain::time::Timestamp;
use crate::domain::traced::Traced;
use crate::domain::verdict::{OnFault, Verdict};
use crate::domain::verifier::Peppers;
use crate::issuers::{self, Issuers, Pool};
use crate::passwords::{self, Passwords};
use crate::replica::{Replica, Usage};
use crate::telemetry::{DecisionLine, Telemetry};

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
        let decided =
            catch_unwind(AssertUnwindSafe(|| decide(world, request, witness))).unwrap_or_else(|_| panicked());
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

/// A request about which something was concluded.
struct Concluded<'a, 'r> {
    began: Began,
    request: &'a Request<'r>,
    trail: &'a Trail<'a, 'r>,
    catalog: &'a Catalog,
}

const NOTHING_LEFT: &str = "a signature that is verified at once is not left to be verified";

const PANICKED: Denial = Denial::Internal { why: "a panic while deciding" };

fn panicked<'w, 'r>() -> Decided<'w, 'r> {
    Decided { verdict: Ok(Verdict::Deny(PANICKED)), trail: Trail::default() }
}

#[cfg(test)]
mod tests;
