//! Passwords: which are taken, how they are hashed, and whether one that is presented is right.
//!
//! Hashing takes a while on purpose, so all of it is done by a few threads of their own. Logins wait for
//! them, and so does a check that shows a password which was not verified a moment ago; nothing else does.

mod flights;
mod memory;
mod pool;
mod remembered;
pub mod rules;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use tokio::sync::oneshot;

use self::flights::{Flight, Flights};
use self::memory::Memory;
pub use self::pool::Place;
use self::pool::Pool;
use self::remembered::{Fingerprint, Name, Remembered, Standing};
use self::throttle::Throttle;
pub use self::throttle::{DAY, Network, Tries, WINDOW};
use crate::clock::Clock;
use crate::domain::password::{Account, Hash, Known, Login, Mark};
use crate::domain::secret::Secret;

/// Makes and verifies hashes. One for the process, shared.
pub struct Passwords {
    pool: Pool,
    remembered: Remembered,
    throttle: Throttle,
    flights: Flights,
    /// What a password is held against where there is none to hold it against, so that it takes as long.
    decoy: Arc<Account>,
    clock: Clock,
}

/// A password as it is given.
pub enum Password {
    Text(Secret),
    /// Its hash, made elsewhere: argon2id as a PHC string.
    Hashed(String),
}

/// Too many wait to be hashed: try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// A password that has to be hashed before a check can go on.
pub struct Work {
    fingerprint: Fingerprint,
    /// `None`: nobody's.
    account: Option<Arc<Account>>,
    name: Name,
    from: Option<IpAddr>,
    password: Secret,
    /// It was right before, for this very hash: to hash it again is no guess.
    was_right: bool,
}

/// What came of it.
#[derive(Clone, Copy)]
pub struct Done {
    fingerprint: Fingerprint,
    /// Of which hash it is the password; `None`: of none.
    of: Option<Mark>,
}

/// Work that waits for its turn. It was counted as a guess; where nobody comes to look at it, it was none.
struct Guess {
    passwords: Arc<Passwords>,
    flight: Flight,
    /// `None` once it is looked at.
    work: Option<Box<Work>>,
    done: Option<Done>,
    /// Whoever comes meanwhile waits for it.
    is_up: bool,
}

/// OWASP's least: KiB of memory, passes, lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// What a hash from elsewhere may cost: less can be guessed, more would keep a core busy for too long.
const MEMORY: std::ops::RangeInclusive<u32> = 7 * 1024..=256 * 1024;
const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;

/// Of no password, at our own cost.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBpdA$uV0ZBkfXGQd2ZwEjmaJ3bcnMdcTMCM9nE4u3Q0xqJzw";

impl Passwords {
    /// So many threads and waiting passwords. `tries`: what is allowed to checks, which ask no store.
    pub fn new(threads: usize, waiting: usize, tries: Tries, clock: Clock) -> Self {
        let nobody = Account {
            id: uuid::Uuid::nil(),
            consumer: uuid::Uuid::nil(),
            username: "".into(),
            hash: Hash::new(DECOY),
            enabled: false,
        };
        Self {
            pool: Pool::new(threads, waiting, clock.clone()),
            remembered: Remembered::new(),
            throttle: Throttle::new(tries),
            flights: Flights::default(),
            decoy: Arc::new(nobody),
            clock,
        }
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub async fn hash(&self, text: Secret) -> Result<String, Busy> {
        let (answer, hashed) = oneshot::channel();
        self.pool.submit(Box::new(move |_| {
            let (memory, passes, lanes) = COST;
            let params = Params::new(memory, passes, lanes, None).expect("costs within argon2's limits");
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let hash = argon2.hash_password(text.expose().as_bytes()).map(|hash| hash.to_string());
            let _ = answer.send(hash);
        }))?;
        // No hash: the system gives no random bytes.
        in_time(hashed).await?.map_err(|_| Busy)
    }

    /// A place among those that wait, for whoever has something to do before.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn place(&self) -> Result<Place, Busy> {
        self.pool.place()
    }

    /// Whether it is the account's password; it takes as long where there is no account.
    ///
    /// # Errors
    ///
    /// [`Busy`]: it was not its turn in time.
    pub async fn verify(
        &self,
        place: Place,
        account: Option<Arc<Account>>,
        password: Secret,
    ) -> Result<bool, Busy> {
        let (answer, verified) = oneshot::channel();
        let known = account.is_some();
        let account = account.unwrap_or_else(|| Arc::clone(&self.decoy));
        place.submit(Box::new(move |memory| {
            // Whoever asked may be gone.
            if !answer.is_closed() {
                let _ = answer.send(memory.verify(&account.hash, &password));
            }
        }));
        in_time(verified).await.map(|right| right && known)
    }

    /// What is known at once of a password in a check, `done` being what was hashed for that very check.
    /// Where it has to be hashed there is work to be done first.
    pub fn ask<'d>(
        &self,
        account: Option<&Arc<Account>>,
        presented: Login<'_>,
        done: impl IntoIterator<Item = &'d Done>,
    ) -> Result<Known, Box<Work>> {
        let Login { username, password, from } = presented;
        let fingerprint = self.remembered.fingerprint(username, password);
        if let Some(done) = done.into_iter().find(|done| done.fingerprint == fingerprint) {
            let right = account.is_some_and(|account| done.of == Some(account.hash.mark()));
            return Ok(if right { Known::Right } else { Known::Wrong });
        }
        let now = self.clock.boottime();
        let standing = account.and_then(|account| self.remembered.standing(&fingerprint, account, now));
        if standing == Some(Standing::Fresh) {
            return Ok(Known::Right);
        }
        if password.len() > rules::LONGEST {
            return Ok(Known::Wrong);
        }
        let work = Work {
            fingerprint,
            account: account.map(Arc::clone),
            name: self.remembered.name(username),
            from,
            password: Secret::from(password.to_owned()),
            was_right: standing == Some(Standing::Stale),
        };
        // Neither what was right before nor what is being hashed already is one more guess. So nobody is
        // shut out of what they use by others who guess at their name.
        if !work.was_right
            && !self.flights.is_up(&work.flight())
            && let Some(left) = self.throttle.shut_for(&work.name, from, now)
        {
            return Ok(Known::Throttled(left));
        }
        Err(Box::new(work))
    }

    /// Has a check's password hashed, in its turn; what comes of it, or the end of the channel where
    /// nothing does. Whoever shows the same at the same time waits for the same hash.
    ///
    /// # Errors
    ///
    /// [`Busy`].
    pub fn work(self: &Arc<Self>, work: Box<Work>) -> Result<oneshot::Receiver<Done>, Busy> {
        let (answer, waiting) = oneshot::channel();
        let flight = work.flight();
        if self.flights.join(flight, answer) {
            return Ok(waiting);
        }
        let now = self.clock.boottime();
        // It may have landed since it was asked about.
        let landed = work.account.as_ref().filter(|account| {
            self.remembered.standing(&work.fingerprint, account, now) == Some(Standing::Fresh)
        });
        if let Some(account) = landed {
            let of = Some(account.hash.mark());
            self.flights.land(&flight, Some(Done { fingerprint: work.fingerprint, of }));
            return Ok(waiting);
        }
        // Counted before it is hashed: whoever asks often at once is counted as often.
        if !work.was_right {
            self.throttle.count(&work.name, work.from, now);
        }
        let guess = Guess { passwords: Arc::clone(self), flight, work: Some(work), done: None, is_up: true };
        self.pool.submit(Box::new(move |memory| guess.look(memory)))?;
        Ok(waiting)
    }

    /// The same here and now, for whoever only describes a request: no guess, and nothing is remembered.
    pub fn described(&self, work: &Work) -> Done {
        self.hashed(work, &mut Memory::default())
    }

    fn hashed(&self, work: &Work, memory: &mut Memory) -> Done {
        let account = work.account.as_ref();
        let right = memory.verify(&account.unwrap_or(&self.decoy).hash, &work.password);
        let of = account.filter(|_| right).map(|account| account.hash.mark());
        Done { fingerprint: work.fingerprint, of }
    }

    fn run(&self, work: &Work, memory: &mut Memory) -> Done {
        let done = self.hashed(work, memory);
        if let Some(account) = work.account.as_ref().filter(|_| done.of.is_some()) {
            let now = self.clock.boottime();
            if !work.was_right {
                self.throttle.forgive(&work.name, work.from, now);
            }
            self.remembered.keep(work.fingerprint, account, now);
        }
        done
    }
}

impl Work {
    fn flight(&self) -> Flight {
        (self.fingerprint, self.account.as_ref().map(|account| account.hash.mark()))
    }
}

impl Guess {
    fn look(mut self, memory: &mut Memory) {
        // Whoever asked may be gone: Envoy waits for 200 ms.
        self.is_up = !self.passwords.flights.is_forsaken(&self.flight);
        if self.is_up
            && let Some(work) = self.work.take()
        {
            self.done = Some(self.passwords.run(&work, memory));
        }
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        let passwords = &self.passwords;
        if let Some(work) = self.work.as_ref().filter(|work| !work.was_right) {
            passwords.throttle.take_back(&work.name, work.from, passwords.clock.boottime());
        }
        if self.is_up {
            passwords.flights.land(&self.flight, self.done);
        }
    }
}

/// Longer, queue and hash together, and whoever waits is told to come back: where processors are wanted by
/// others a hash takes a multiple of its 30 ms.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

async fn in_time<T>(answer: oneshot::Receiver<T>) -> Result<T, Busy> {
    tokio::time::timeout(LONGEST_WAIT, answer).await.map_err(|_| Busy)?.map_err(|_| Busy)
}

/// Why a hash from elsewhere cannot be verified, or not at a cost that we take. Never repeats it.
pub fn hash_refusal(phc: &str) -> Option<String> {
    let Ok(hash) = PasswordHash::new(phc) else {
        return Some("is no PHC string, which looks like `$argon2id$v=19$m=…,t=…,p=…$salt$hash`".into());
    };
    if hash.algorithm.as_str() != "argon2id" || hash.version.is_some_and(|version| version != 0x13) {
        return Some("is not of argon2id, version 19, the only one that is taken".into());
    }
    let params = match Params::try_from(&hash) {
        Ok(params) => params,
        Err(error) => return Some(format!("has bad parameters: {error}")),
    };
    for (name, value, range) in
        [("m", params.m_cost(), MEMORY), ("t", params.t_cost(), PASSES), ("p", params.p_cost(), LANES)]
    {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            return Some(format!("has `{name}={value}`, expected {least} to {most}"));
        }
    }
    let lengths =
        (hash.salt.as_ref().map_or(0, |salt| salt.len()), hash.hash.as_ref().map_or(0, |hash| hash.len()));
    match lengths {
        (8.., 16..) => None,
        (salt, hash) => {
            Some(format!("has a salt of {salt} bytes and a hash of {hash}, expected at least 8 and 16"))
        }
    }
}

impl Default for Passwords {
    /// For commands, which have nobody else to think of.
    fn default() -> Self {
        Self::new(1, 64, Tries::default(), Clock::system())
    }
}

#[cfg(test)]
mod tests;
