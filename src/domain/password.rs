//! Passwords as they are known: by their hashes, each under the name that it is given with.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::consumer::ConsumerId;

/// The hash of a password: argon2id, as a PHC string. Has no `Debug`: passwords can be guessed by it.
pub struct Hash {
    phc: Box<str>,
    mark: Mark,
}

/// Tells one hash from every other and says nothing else: what was proven by a password that is not there
/// any more is known by it. Of salt and hash, so that the same password set anew has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; 12]);

/// A name with a password.
pub struct Account {
    pub id: Uuid,
    pub consumer: ConsumerId,
    pub username: Arc<str>,
    pub hash: Hash,
    pub enabled: bool,
}

/// What is known of a password that was presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Right,
    Wrong,
    /// Too often wrong before, by this name or from this address: not before so long.
    Throttled(Duration),
    /// It has to be hashed first: whoever decides has that done, and decides again.
    Unhashed,
}

/// Bytes of a name with a password.
pub const LONGEST_USERNAME: usize = 256;

/// A name and a password as they are presented. Has no `Debug`.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    pub username: &'a str,
    pub password: &'a str,
    /// `None`: nobody can say.
    pub from: Option<IpAddr>,
}

impl<'a> Login<'a> {
    /// What stands in `Authorization: Basic`, decoded (RFC 7617 section 2): a name without a colon, a colon,
    /// and the password.
    pub fn read(text: &'a [u8], from: Option<IpAddr>) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| !text.chars().any(char::is_control))?;
        let (username, password) = text.split_once(':')?;
        // Nobody has a longer one, and nobody is to remember it.
        if username.len() > LONGEST_USERNAME {
            return None;
        }
        Some(Self { username, password, from })
    }
}

impl Hash {
    /// Of a PHC string that was found to be good.
    pub fn new(phc: &str) -> Self {
        let digest = Sha256::digest(phc.as_bytes());
        let mut mark = [0; 12];
        mark.copy_from_slice(&digest[..12]);
        Self { phc: phc.into(), mark: Mark(mark) }
    }

    pub fn phc(&self) -> &str {
        &self.phc
    }

    pub fn mark(&self) -> Mark {
        self.mark
    }
}

impl Mark {
    /// As it is stored.
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }

    /// As it was shown.
    pub fn parse(text: &str) -> Option<Self> {
        let mut mark = [0; 12];
        let digits = text.as_bytes();
        if digits.len() != 24 || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        for (byte, pair) in mark.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(mark))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_the_first_colon() {
        let read = |text: &'static [u8]| Login::read(text, None).map(|it| (it.username, it.password));
        assert_eq!(read(b"alice:a:b"), Some(("alice", "a:b")));
        assert_eq!(read(b":"), Some(("", "")));
        for text in [&b""[..], b"alice", b"al\xffice:x", b"alice:x\n", b"a\0:x"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_that_is_longer_than_any_is_not_read() {
        let presented = |length: usize| format!("{}:x", "n".repeat(length));
        assert!(Login::read(presented(LONGEST_USERNAME).as_bytes(), None).is_some());
        assert!(Login::read(presented(LONGEST_USERNAME + 1).as_bytes(), None).is_none());
    }

    #[test]
    fn a_mark_is_read_as_it_is_shown_and_is_of_one_hash_alone() {
        let (one, other) = (Hash::new("$argon2id$one"), Hash::new("$argon2id$other"));
        assert_ne!(one.mark(), other.mark());
        let shown = one.mark().to_string();
        assert_eq!((shown.len(), Mark::parse(&shown)), (24, Some(one.mark())));
        for text in ["", "0", "zz", &shown[1..], &shown.to_uppercase(), &format!("{shown}0")] {
            assert!(Mark::parse(text).is_none() || text == shown, "{text}");
        }
    }
}
