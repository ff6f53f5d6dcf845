//! Other issuers' keys: fetched off the way of checks, refreshed, kept while an issuer is away; and what
//! was verified with them.
//!
//! A check asks [`Issuers::loaded`] and [`Loaded::ask`], and never waits. Where a signature has not been
//! seen before it gets [`Work`] back, which the pool of threads for such arithmetic does.

mod fetch;
mod pool;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

pub use self::pool::{Pool, Waiting};
use self::source::Source;
use crate::clock::Clock;
use crate::domain::issuer::{Issuer, Keys};
use crate::domain::jwt::{self, Claims, KeySet, Refused};
use crate::domain::verdict::Fault;
use crate::telemetry::Telemetry;

/// The key sets of all issuers. One for the process, shared.
pub struct Issuers {
    /// By the issuer's name. Of one name there are two while a reload is under way.
    sources: ArcSwap<HashMap<String, Vec<Arc<Source>>>>,
    ours: ArcSwapOption<Loaded>,
    /// What was verified of consumers' own tokens, all of them together.
    of_consumers: Arc<Memory>,
    with: Means,
}

/// What following an issuer takes.
#[derive(Clone)]
struct Means {
    clock: Clock,
    telemetry: Arc<Telemetry>,
    /// Where fetches run: never where checks do. `None`: nothing is fetched.
    runtime: Option<Handle>,
    /// Bytes of verified tokens that are remembered of each issuer.
    remembered: usize,
    /// Between two fetches for keys that a token named and nobody had, at least.
    gap: Duration,
}

/// A key set, and what was verified with it. Another set begins with nothing remembered.
pub struct Loaded {
    keys: Arc<KeySet>,
    verified: Arc<Memory>,
    /// To be told of a key that is not in the set; `None` where nothing is fetched.
    wanted: Option<Arc<Notify>>,
}

type Memory = Cache<Fingerprint, Remembered, Bytes>;

/// A token that was verified, and with what: with other keys it would be another question.
#[derive(Clone)]
struct Remembered {
    claims: Arc<Claims>,
    keys: Arc<KeySet>,
}

/// SHA-256 of a whole token.
type Fingerprint = [u8; 32];

/// Weighs what is remembered by the bytes it takes, roughly.
#[derive(Clone)]
struct Bytes;

/// What can be said of a token at once.
pub enum Answer {
    Genuine(Arc<Claims>),
    Refused(Refused),
    /// Its signature has to be verified first.
    Unverified(Work),
}

/// A signature that has to be verified.
pub struct Work {
    token: Box<[u8]>,
    issuer: Arc<Issuer>,
    loaded: Arc<Loaded>,
    fingerprint: Fingerprint,
}

/// What came of it.
#[derive(Clone)]
pub struct Done {
    issuer: Arc<Issuer>,
    /// With which it was verified: a name may come to mean somebody else while one waits.
    keys: Arc<KeySet>,
    fingerprint: Fingerprint,
    found: Result<Arc<Claims>, Refused>,
}

impl Issuers {
    /// `remembered`: bytes of verified tokens that are remembered of each issuer.
    pub fn new(clock: Clock, telemetry: Arc<Telemetry>, runtime: Option<Handle>, remembered: usize) -> Self {
        let with = Means { clock, telemetry, runtime, remembered, gap: GAP };
        let of_consumers = Arc::new(memory(remembered));
        Self { sources: ArcSwap::default(), ours: ArcSwapOption::empty(), of_consumers, with }
    }

    /// Follows these issuers from now on, and no others. One that is the same as before keeps what is known
    /// of it, and one that is fetched otherwise from the same address its keys.
    pub fn follow<'i>(&self, issuers: impl IntoIterator<Item = &'i Arc<Issuer>>) {
        let before = self.sources.load();
        let mut sources: HashMap<String, Vec<Arc<Source>>> = HashMap::new();
        for issuer in issuers {
            if !matches!(issuer.keys, Keys::Read(_) | Keys::Published(_)) {
                continue;
            }
            let of_name = sources.entry(issuer.name.clone()).or_default();
            let known = before.get(&issuer.name).into_iter().flatten();
            let mut same = of_name.iter().chain(known.clone()).filter(|source| source.is_of(issuer));
            let source = same.next().cloned().unwrap_or_else(|| {
                let heir_of = known.clone().find(|source| source.speaks_for(issuer));
                Source::begin(issuer, heir_of.map(Arc::as_ref), self.with.clone())
            });
            if !of_name.iter().any(|one| Arc::ptr_eq(one, &source)) {
                of_name.push(source);
            }
        }
        self.sources.store(Arc::new(sources));
    }

    /// The keys of an issuer that is not Doorward.
    ///
    /// # Errors
    ///
    /// They were never loaded, or so long ago that they are not believed any more.
    pub fn loaded(&self, issuer: &Issuer) -> Result<Arc<Loaded>, Fault> {
        let sources = self.sources.load();
        let mut of_name = sources.get(&issuer.name).into_iter().flatten();
        // Of its own: for a moment there are those of the one before or after it, which has the same name.
        match of_name.find(|source| source.speaks_for(issuer)) {
            Some(source) => source.loaded(),
            None => Err(Fault::KeysNotLoaded),
        }
    }

    /// The same for a consumer that signs its own tokens.
    pub fn of_consumer(&self, keys: &Arc<KeySet>) -> Arc<Loaded> {
        let (keys, verified) = (Arc::clone(keys), Arc::clone(&self.of_consumers));
        Arc::new(Loaded { keys, verified, wanted: None })
    }

    /// The same for Doorward's own tokens, whose keys the replica has.
    pub fn ours(&self, keys: &Arc<KeySet>) -> Arc<Loaded> {
        if let Some(loaded) = &*self.ours.load()
            && Arc::ptr_eq(&loaded.keys, keys)
        {
            return Arc::clone(loaded);
        }
        let loaded = Arc::new(Loaded::new(Arc::clone(keys), self.with.remembered, None));
        self.ours.store(Some(Arc::clone(&loaded)));
        loaded
    }
}

fn memory(bytes: usize) -> Memory {
    Cache::with_weighter(bytes / TYPICAL, bytes as u64, Bytes)
}

impl Loaded {
    fn new(keys: Arc<KeySet>, remembered: usize, wanted: Option<Arc<Notify>>) -> Self {
        Self { keys, verified: Arc::new(memory(remembered)), wanted }
    }

    /// What this token says, as far as that is known. `done` is what was verified for this very
    /// check, and counts like what is remembered.
    pub fn ask<'d>(
        self: &Arc<Self>,
        issuer: &Arc<Issuer>,
        token: &[u8],
        done: impl IntoIterator<Item = &'d Done>,
    ) -> Answer {
        if token.len() > issuer.rules.longest {
            return Answer::Refused(Refused::TooLong);
        }
        let fingerprint = Sha256::digest(token).into();
        let is_this = |one: &&Done| {
            one.fingerprint == fingerprint
                && one.issuer.name == issuer.name
                && Arc::ptr_eq(&one.keys, &self.keys)
        };
        if let Some(done) = done.into_iter().find(is_this) {
            return match &done.found {
                Ok(claims) => Answer::Genuine(Arc::clone(claims)),
                Err(refused) => Answer::Refused(*refused),
            };
        }
        let remembered = self.verified.get(&fingerprint);
        if let Some(Remembered { claims, .. }) = remembered.filter(|it| Arc::ptr_eq(&it.keys, &self.keys)) {
            return Answer::Genuine(claims);
        }
        match jwt::screen(token, &issuer.rules, &self.keys) {
            Err(refused) => Answer::Refused(refused),
            Ok(screened) if !screened.key_is_known => {
                if let Some(wanted) = &self.wanted {
                    wanted.notify_one();
                }
                Answer::Refused(Refused::UnknownKey)
            }
            Ok(_) => Answer::Unverified(Work {
                token: token.into(),
                issuer: Arc::clone(issuer),
                loaded: Arc::clone(self),
                fingerprint,
            }),
        }
    }
}

impl Work {
    /// Takes as long as a signature does.
    pub fn run(self) -> Done {
        let Self { token, issuer, loaded, fingerprint } = self;
        let found = jwt::verify(&token, &issuer.rules, &loaded.keys).map(Arc::new);
        if let Ok(claims) = &found {
            let remembered = Remembered { claims: Arc::clone(claims), keys: Arc::clone(&loaded.keys) };
            loaded.verified.insert(fingerprint, remembered);
        }
        Done { issuer, keys: Arc::clone(&loaded.keys), fingerprint, found }
    }
}

impl Work {
    /// For whoever has nobody else to do it.
    pub fn done_already(self) -> Waiting {
        let (answer, waiting) = oneshot::channel();
        let _ = answer.send(self.run());
        waiting
    }
}

impl Done {
    pub fn found(&self) -> Result<&Arc<Claims>, Refused> {
        self.found.as_ref().map_err(|refused| *refused)
    }
}

impl Weighter<Fingerprint, Remembered> for Bytes {
    fn weight(&self, _: &Fingerprint, remembered: &Remembered) -> u64 {
        remembered.claims.size() as u64
    }
}

/// Whoever sends tokens of keys that are nowhere causes one fetch in so long, and no more.
const GAP: Duration = Duration::from_secs(10);

/// Bytes that a verified token takes, mostly.
const TYPICAL: usize = 2048;

#[cfg(test)]
pub(crate) mod tests;
