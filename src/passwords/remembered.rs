//! Passwords that were right a moment ago, so that `Authorization: Basic` does not cost a hash with every
//! request. What is remembered is which hash they were of: where the account has another by now, or none,
//! it is worth nothing.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use quick_cache::sync::Cache;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::domain::password::{Account, Mark};

/// HMAC of name and password under a key that this process made: of no use to anybody who reads it.
pub(super) type Fingerprint = [u8; 32];

/// HMAC of a name under the same key: as short as every other, whatever somebody sends.
pub(super) type Name = [u8; 16];

pub(super) struct Remembered {
    key: Hmac<Sha256>,
    /// When it was hashed, on the clock that counts suspension.
    right: Cache<Fingerprint, (Mark, Duration)>,
}

/// What a password is that was right before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Fresh,
    /// To be hashed again.
    Stale,
}

/// A MAC and a moment each: 2 MiB, at most.
const MOST: usize = 20_000;

/// Long beside a hash, short beside the life of whatever was done with it.
const FRESH: Duration = Duration::from_secs(300);

/// For so long it is known that a password was right, so that hashing it again is no guess.
const KNOWN: Duration = Duration::from_secs(86_400);

impl Remembered {
    pub(super) fn new() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).expect("a system without random bytes gives no keys to serve with");
        let key = Hmac::new_from_slice(&*key).expect("HMAC takes a key of any length");
        Self { key, right: Cache::new(MOST) }
    }

    pub(super) fn fingerprint(&self, username: &str, password: &str) -> Fingerprint {
        let mut mac = self.key.clone();
        mac.update(&(username.len() as u64).to_le_bytes());
        mac.update(username.as_bytes());
        mac.update(password.as_bytes());
        mac.finalize().into_bytes().into()
    }

    pub(super) fn name(&self, username: &str) -> Name {
        let mut mac = self.key.clone();
        // No fingerprint begins like this: a name is no longer than memory.
        mac.update(&u64::MAX.to_le_bytes());
        mac.update(username.as_bytes());
        let mut name = [0; 16];
        name.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        name
    }

    /// `None`: it was not right before, not lately, or not for this hash.
    pub(super) fn standing(
        &self,
        fingerprint: &Fingerprint,
        account: &Arc<Account>,
        now: Duration,
    ) -> Option<Standing> {
        let (mark, hashed) = self.right.get(fingerprint)?;
        if mark != account.hash.mark() || now >= hashed + KNOWN {
            self.right.remove(fingerprint);
            return None;
        }
        Some(if now < hashed + FRESH { Standing::Fresh } else { Standing::Stale })
    }

    pub(super) fn keep(&self, fingerprint: Fingerprint, account: &Arc<Account>, now: Duration) {
        self.right.insert(fingerprint, (account.hash.mark(), now));
    }
}
