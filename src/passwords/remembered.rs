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

pub(super) struct Remembered {
    key: Hmac<Sha256>,
    /// Until when, on the clock that counts suspension.
    right: Cache<Fingerprint, (Mark, Duration)>,
}

/// A MAC and a moment each: 2 MiB, at most.
const MOST: usize = 20_000;

/// Long beside a hash, short beside the life of whatever was done with it.
const LIVES: Duration = Duration::from_secs(300);

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

    pub(super) fn has(&self, fingerprint: &Fingerprint, account: &Arc<Account>, now: Duration) -> bool {
        match self.right.get(fingerprint) {
            Some((mark, until)) if mark == account.hash.mark() && now < until => true,
            Some(_) => {
                self.right.remove(fingerprint);
                false
            }
            None => false,
        }
    }

    pub(super) fn keep(&self, fingerprint: Fingerprint, account: &Arc<Account>, now: Duration) {
        self.right.insert(fingerprint, (account.hash.mark(), now + LIVES));
    }
}
