//! Passwords: hashed with argon2id, a few at a time, on threads that may be busy for a while.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use tokio::sync::Semaphore;

use super::Refusal;
use crate::domain::secret::Secret;
use crate::store::StoreError;

/// A password as it is given.
pub enum Password {
    Text(Secret),
    /// Its hash, made elsewhere: argon2id as a PHC string.
    Hashed(String),
}

/// Where passwords are hashed. A hash takes 19 MiB and some 30 ms of a core: half of the cores do it,
/// so that the rest of the admin API goes on, and nobody fills the memory.
pub(super) struct Hashing {
    permits: Semaphore,
}

/// Bytes. bcrypt's users know worse limits; what is longer is a file that somebody took for one.
const LONGEST: usize = 1_024;

/// OWASP's least: KiB of memory, passes, lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// What a hash from elsewhere may cost: less can be guessed, more would keep a core busy for too long.
const MEMORY: std::ops::RangeInclusive<u32> = 7 * 1024..=256 * 1024;
const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;

impl Default for Hashing {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Semaphore::new((cores / 2).max(1)) }
    }
}

impl Hashing {
    /// The PHC string of a password.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] where it is empty or too long, or a hash that we do not take.
    pub(super) async fn hash(&self, password: Password) -> Result<String, Refusal> {
        let text = match password {
            Password::Hashed(phc) => return check_hash(&phc).map(|()| phc),
            Password::Text(text) => text,
        };
        if !(1..=LONGEST).contains(&text.expose().len()) {
            let why = format!("has {} bytes, expected 1 to {LONGEST}", text.expose().len());
            return Err(Refusal::Invalid { field: "password", why });
        }
        let busy = |why: String| Refusal::Store(StoreError::Unavailable(why));
        let _permit = self.permits.acquire().await.map_err(|closed| busy(closed.to_string()))?;
        let hashed = tokio::task::spawn_blocking(move || {
            let (memory, passes, lanes) = COST;
            let params = Params::new(memory, passes, lanes, None).expect("costs within argon2's limits");
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password(text.expose().as_bytes()).map(|hash| hash.to_string())
        });
        let hashed = hashed.await.map_err(|panic| busy(format!("a hash was not made: {panic}")))?;
        hashed.map_err(|error| busy(format!("a hash was not made: {error}")))
    }
}

/// Whether a hash from elsewhere can be verified, and at a cost that we take.
fn check_hash(phc: &str) -> Result<(), Refusal> {
    let invalid = |why: String| Refusal::Invalid { field: "password_hash", why };
    let hash = PasswordHash::new(phc).map_err(|_| {
        invalid("is no PHC string, which looks like `$argon2id$v=19$m=…,t=…,p=…$salt$hash`".into())
    })?;
    if hash.algorithm.as_str() != "argon2id" || hash.version.is_some_and(|version| version != 0x13) {
        return Err(invalid("is not of argon2id, version 19, the only one that is taken".into()));
    }
    let params = Params::try_from(&hash).map_err(|error| invalid(format!("has bad parameters: {error}")))?;
    for (name, value, range) in
        [("m", params.m_cost(), MEMORY), ("t", params.t_cost(), PASSES), ("p", params.p_cost(), LANES)]
    {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            return Err(invalid(format!("has `{name}={value}`, expected {least} to {most}")));
        }
    }
    let lengths =
        (hash.salt.as_ref().map_or(0, |salt| salt.len()), hash.hash.as_ref().map_or(0, |hash| hash.len()));
    match lengths {
        (8.., 16..) => Ok(()),
        (salt, hash) => Err(invalid(format!(
            "has a salt of {salt} bytes and a hash of {hash}, expected at least 8 and 16"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use argon2::PasswordVerifier as _;

    use super::*;

    #[tokio::test]
    async fn a_password_is_hashed_so_that_it_verifies_and_never_twice_the_same() {
        let hashing = Hashing::default();
        let hash = async || hashing.hash(Password::Text("a password".to_owned().into())).await.unwrap();
        let (first, second) = (hash().await, hash().await);
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second);
        let parsed = PasswordHash::new(&first).unwrap();
        assert!(Argon2::default().verify_password(b"a password", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"another", &parsed).is_err());
        assert_eq!(hashing.hash(Password::Hashed(first.clone())).await.unwrap(), first);
    }

    #[tokio::test]
    async fn what_is_no_password_is_refused_without_being_repeated() {
        let hashing = Hashing::default();
        let salted = "c29tZXNhbHQ$aGVyZWlzYWhhc2hvZjE2Ynl0ZXM";
        for (field, password) in [
            ("password", Password::Text(String::new().into())),
            ("password", Password::Text("secret".repeat(200).into())),
            ("password_hash", Password::Hashed("secret".into())),
            ("password_hash", Password::Hashed(format!("$argon2i$v=19$m=19456,t=2,p=1${salted}"))),
            ("password_hash", Password::Hashed(format!("$argon2id$v=16$m=19456,t=2,p=1${salted}"))),
            ("password_hash", Password::Hashed(format!("$argon2id$v=19$m=64,t=2,p=1${salted}"))),
            ("password_hash", Password::Hashed(format!("$argon2id$v=19$m=4194304,t=2,p=1${salted}"))),
            ("password_hash", Password::Hashed(format!("$argon2id$v=19$m=19456,t=99,p=1${salted}"))),
            ("password_hash", Password::Hashed("$argon2id$v=19$m=19456,t=2,p=1".into())),
        ] {
            let refusal = hashing.hash(password).await.unwrap_err();
            assert!(matches!(&refusal, Refusal::Invalid { field: it, .. } if *it == field), "{refusal}");
            assert!(!refusal.to_string().contains("secret"), "{refusal}");
        }
        let good = format!("$argon2id$v=19$m=19456,t=2,p=1${salted}");
        assert!(hashing.hash(Password::Hashed(good)).await.is_ok());
    }
}
