//! The key ring of `secret_file`: what the store's contents can be checked with, kept outside it.
//!
//! A text file, one key a line, `<id> <64 hex digits>`; `#` begins a comment. The first key is the
//! primary: what is made is made with it. The others still verify what was made before, so a ring
//! is rotated by adding a line on top. A key is never used itself: every use has a key of its own,
//! derived with HKDF-SHA-256 (RFC 5869) under a label.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::durable;
use crate::domain::verifier::{Pepper, Peppers};

/// The keys, the primary first. Has no `Debug`: nothing of it may reach a log.
pub struct Ring {
    /// Never empty.
    keys: Vec<RingKey>,
}

/// What a key of the ring is put to. One label each, so that no use can stand in for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Verifiers of secrets that are only ever verified.
    Verifier,
    /// MACs of stored records.
    RecordMac,
    /// Seals of secrets that we must read again.
    Seal,
    /// What the store keeps to notice another ring.
    Fingerprint,
    /// The chain of the audit log.
    Audit,
    /// The seal of what an instance keeps on disk of what it knows.
    Snapshot,
    /// The names of counters.
    Counter,
}

/// Why there is no ring. Never shows a secret's bytes.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error(
        "secret_file {} does not exist; name the file with the key ring, or make one with `(umask 077; \
         printf '1 %s\\n' \"$(openssl rand -hex 32)\" > {})`", path.display(), path.display()
    )]
    Missing { path: PathBuf },
    #[error("secret_file {} exists already and is not overwritten; remove it, or name another", path.display())]
    Exists { path: PathBuf },
    #[error(
        "secret_file {} has mode {mode:04o}, so others than its owner may use it; run `chmod 600 {}`",
        path.display(), path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "secret_file {} belongs to user {owner}, but Doorward runs as user {ours}; run `chown {ours} {}`",
        path.display(), path.display()
    )]
    Owner { path: PathBuf, owner: u32, ours: u32 },
    #[error("secret_file {} is not a regular file of at most {LIMIT} bytes; name the file with the key ring", path.display())]
    NotAFile { path: PathBuf },
    #[error(
        "secret_file {}, line {line}: {fault}; expected `<id> <64 hex digits>`, the id a number from 1 to \
         4294967295; restore the file from your backup", path.display()
    )]
    Malformed { path: PathBuf, line: usize, fault: LineFault },
    #[error("secret_file {} holds no key; restore the file from your backup, or remove it where there is no store yet", path.display())]
    Empty { path: PathBuf },
    #[error("secret_file {} cannot be {doing}: {error}", path.display())]
    Io { path: PathBuf, doing: &'static str, error: io::Error },
    #[error("the system gives no random bytes: {error}; a secret is not made without them")]
    NoRandomness { error: getrandom::Error },
}

/// What is wrong with a line of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    #[error("not UTF-8 text")]
    NotText,
    #[error("not two words")]
    Words,
    #[error("the id is not a number from 1 to 4294967295")]
    Id,
    #[error("the key is not 64 hex digits")]
    Key,
    #[error("the key is one byte repeated")]
    Weak,
    #[error("an id that an earlier line has")]
    SameId,
    #[error("a key that an earlier line has")]
    SameKey,
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
}

struct RingKey {
    id: u32,
    secret: Zeroizing<[u8; 32]>,
    /// Ready to be cloned: every read of a record needs one.
    record_mac: Hmac<Sha256>,
}

impl Ring {
    /// Makes a ring of one new key and writes it to `path`, readable by its owner alone, durably.
    ///
    /// # Errors
    ///
    /// [`RingError::Exists`] where there is a file; `NoRandomness`; `Io`.
    pub fn create(path: &Path) -> Result<Self, RingError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *secret).map_err(|error| RingError::NoRandomness { error })?;
        // Whole before it has its name: half a ring would only be refused later, and with a worse
        // explanation.
        let beside = durable::Unfinished::beside(path);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside.path())?;
            file.write_all(new_file_text(&secret).as_bytes())?;
            file.sync_all()?;
            durable::publish_new(beside.path(), path)
        };
        write().map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RingError::Exists { path: path.to_owned() },
            _ => RingError::Io { path: path.to_owned(), doing: "written", error },
        })?;
        Ok(Self { keys: vec![RingKey::new(FIRST_ID, secret)] })
    }

    /// Reads the ring from `path`, if nobody else may read it.
    ///
    /// # Errors
    ///
    /// Every variant of [`RingError`] but `Exists` and `NoRandomness`.
    pub fn load(path: &Path) -> Result<Self, RingError> {
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => RingError::Missing { path: path.to_owned() },
            _ => RingError::Io { path: path.to_owned(), doing: "read", error },
        };
        // Opened without waiting: a named pipe would have us wait for somebody to write to it.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(io)?;
        // Of the open file, not of the path: the two may differ by the time we read.
        let about = file.metadata().map_err(io)?;
        if !about.is_file() || about.len() > LIMIT {
            return Err(RingError::NotAFile { path: path.to_owned() });
        }
        let mode = about.mode() & 0o7777;
        let ours = rustix::process::geteuid().as_raw();
        if is_exposed(mode, about.uid(), ours) {
            return Err(RingError::Exposed { path: path.to_owned(), mode });
        }
        if about.uid() != ours && about.uid() != 0 {
            return Err(RingError::Owner { path: path.to_owned(), owner: about.uid(), ours });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(LIMIT as usize));
        file.take(LIMIT).read_to_end(&mut text).map_err(io)?;
        Self::parse(path, &text)
    }

    /// Reads the ring from the file's bytes; `path` is only for the errors.
    ///
    /// # Errors
    ///
    /// [`RingError::Malformed`], [`RingError::Empty`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, RingError> {
        let mut keys: Vec<RingKey> = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            match RingKey::parse(line, &keys) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {}
                Err(fault) => {
                    return Err(RingError::Malformed { path: path.to_owned(), line: index + 1, fault });
                }
            }
        }
        if keys.is_empty() {
            return Err(RingError::Empty { path: path.to_owned() });
        }
        Ok(Self { keys })
    }

    /// The id of the key that everything new is made with.
    pub fn primary_id(&self) -> u32 {
        self.keys[0].id
    }

    /// Every key's id, the primary's first.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.keys.iter().map(|key| key.id)
    }

    /// The pepper of the primary: a verifier made with it is stored with [`Ring::primary_id`].
    pub fn primary_pepper(&self) -> Pepper {
        self.keys[0].pepper()
    }

    /// The pepper of one key; `None` where the ring has no such key.
    pub fn pepper(&self, id: u32) -> Option<Pepper> {
        self.key(id).map(RingKey::pepper)
    }

    /// A pepper for each key, the primary's first.
    pub fn peppers(&self) -> Peppers {
        Peppers::new(self.keys.iter().map(RingKey::pepper).collect())
    }

    /// An HMAC ready to take a record; `None` where the ring has no such key.
    pub fn record_mac(&self, id: u32) -> Option<Hmac<Sha256>> {
        self.key(id).map(|key| key.record_mac.clone())
    }

    /// The key of one use, derived from the ring's key `id`; `None` where the ring has no such key.
    pub fn derive(&self, id: u32, purpose: Use) -> Option<Zeroizing<[u8; 32]>> {
        self.key(id).map(|key| derive(&key.secret, purpose))
    }

    /// What names each key without revealing it. The store keeps it to notice another ring.
    pub fn fingerprint(&self) -> Vec<(u32, [u8; 8])> {
        self.keys.iter().map(|key| (key.id, key.fingerprint())).collect()
    }

    fn key(&self, id: u32) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl RingKey {
    fn new(id: u32, secret: Zeroizing<[u8; 32]>) -> Self {
        let record_mac = mac(&derive(&secret, Use::RecordMac));
        Self { id, secret, record_mac }
    }

    /// The key on a line; `None` for a blank line or a comment.
    fn parse(line: &[u8], earlier: &[Self]) -> Result<Option<Self>, LineFault> {
        let line = std::str::from_utf8(line).map_err(|_| LineFault::NotText)?;
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let (id, digits) = match (words.next(), words.next(), words.next()) {
            (None, ..) => return Ok(None),
            (Some(id), Some(digits), None) => (id, digits),
            _ => return Err(LineFault::Words),
        };
        let id = id.bytes().all(|byte| byte.is_ascii_digit()).then(|| id.parse().ok()).flatten();
        let id = id.filter(|id| *id != 0).ok_or(LineFault::Id)?;
        let secret = secret_from_hex(digits.as_bytes()).ok_or(LineFault::Key)?;
        if secret.iter().all(|byte| *byte == secret[0]) {
            return Err(LineFault::Weak);
        }
        if earlier.len() >= MAX_KEYS {
            return Err(LineFault::TooMany);
        }
        if earlier.iter().any(|key| key.id == id) {
            return Err(LineFault::SameId);
        }
        if earlier.iter().any(|key| key.secret == secret) {
            return Err(LineFault::SameKey);
        }
        Ok(Some(Self::new(id, secret)))
    }

    fn pepper(&self) -> Pepper {
        Pepper::new(&derive(&self.secret, Use::Verifier))
    }

    fn fingerprint(&self) -> [u8; 8] {
        let whole = derive(&self.secret, Use::Fingerprint);
        let mut short = [0; 8];
        short.copy_from_slice(&whole[..8]);
        short
    }
}

impl Use {
    /// Never change one: everything made under it would cease to verify.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Verifier => b"doorward verifier",
            Self::RecordMac => b"doorward record mac",
            Self::Seal => b"doorward seal",
            Self::Fingerprint => b"doorward fingerprint",
            Self::Audit => b"doorward audit",
            Self::Snapshot => b"doorward snapshot",
            Self::Counter => b"doorward counter",
        }
    }
}

fn derive(secret: &[u8; 32], purpose: Use) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret)
        .expand(purpose.label(), &mut *key)
        .expect("32 bytes are within the 8160 that HKDF-SHA-256 gives");
    key
}

fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC pads its key with zeros to one block (RFC 2104), so padding here changes nothing.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mac = Hmac::new(&block.into());
    block.zeroize();
    mac
}

fn secret_from_hex(digits: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16);
    if digits.len() != 64 {
        return None;
    }
    let mut secret = Zeroizing::new([0; 32]);
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(nibble(pair[0])? * 16 + nibble(pair[1])?).ok()?;
    }
    Some(secret)
}

fn new_file_text(secret: &[u8; 32]) -> Zeroizing<String> {
    // As long as it will get: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(HEAD.len() + 80));
    text.push_str(HEAD);
    text.push_str(&format!("{FIRST_ID} "));
    for byte in secret {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    text.push('\n');
    text
}

/// Whether others than the user `ours` may use the file. Its group may read one that is root's: so
/// Kubernetes mounts secrets for a process that is not root's.
fn is_exposed(mode: u32, owner: u32, ours: u32) -> bool {
    let others = if owner == 0 && ours != 0 { 0o037 } else { 0o077 };
    mode & others != 0
}

const FIRST_ID: u32 = 1;
/// Bytes. 64 lines of 80 are 5 KiB; the rest is room for comments.
const LIMIT: u64 = 64 * 1024;
/// Every key is tried against every unknown credential, so there must be few.
const MAX_KEYS: usize = 16;
const HEAD: &str = "\
# Doorward's key ring: one key a line, `<id> <64 hex digits>`. The first is the primary; the
# others still verify what was made with them. Keep a copy apart from the store's backups: without
# this file the store cannot be read, and no credential in it verifies.
";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const A: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const B: &str = "AA0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eFF";

    fn parse(text: &str) -> Result<Ring, RingError> {
        Ring::parse(Path::new("the.secret"), text.as_bytes())
    }

    fn ring(text: &str) -> Ring {
        parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refusal<T>(result: Result<T, RingError>) -> RingError {
        match result {
            Ok(_) => panic!("was not refused"),
            Err(error) => error,
        }
    }

    #[test]
    fn malformed_rings_are_refused_by_line_and_without_their_bytes() {
        #[track_caller]
        fn check(text: &str, line: usize, fault: LineFault) {
            let error = refusal(parse(text));
            assert!(
                matches!(&error, RingError::Malformed { line: l, fault: f, .. } if *l == line && *f == fault),
                "{error}"
            );
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(!shown.contains("0203") && !shown.contains("secret-word"), "{shown}");
            }
        }
        check("1", 1, LineFault::Words);
        check(&format!("# c\n\n1 {A} x"), 3, LineFault::Words);
        check(&format!("x {A}"), 1, LineFault::Id);
        check(&format!("0 {A}"), 1, LineFault::Id);
        check(&format!("+1 {A}"), 1, LineFault::Id);
        check(&format!("4294967296 {A}"), 1, LineFault::Id);
        check(&format!("1 {}", &A[1..]), 1, LineFault::Key);
        check("1 secret-word", 1, LineFault::Key);
        check(&format!("1 {}g", &A[1..]), 1, LineFault::Key);
        check(&format!("1 {}", "7f".repeat(32)), 1, LineFault::Weak);
        check(&format!("1 {A}\n1 {B}"), 2, LineFault::SameId);
        check(&format!("1 {A}\n2 {A}"), 2, LineFault::SameKey);
        assert!(matches!(refusal(parse("# nothing\n")), RingError::Empty { .. }));
        assert!(matches!(
            refusal(Ring::parse(Path::new("s"), b"1 \xff")),
            RingError::Malformed { fault: LineFault::NotText, .. }
        ));
        let many: String = (1..=17).map(|i| format!("{i} {i:064x}\n")).collect();
        check(&many, 17, LineFault::TooMany);
    }

    #[test]
    fn first_key_is_primary_and_the_others_still_verify() {
        let before = ring(&format!("1 {A}\n"));
        let after = ring(&format!("2 {B} # new\r\n1\t{A}"));
        assert_eq!(after.primary_id(), 2);
        assert_eq!(after.ids().collect::<Vec<_>>(), [2, 1]);
        let old = before.primary_pepper().verifier(b"text");
        assert_ne!(after.primary_pepper().verifier(b"text"), old);
        assert_eq!(after.peppers().verifiers(b"text").nth(1), Some(old));
        assert_eq!(after.pepper(1).unwrap().verifier(b"text"), old);
        assert_eq!(after.fingerprint()[1], before.fingerprint()[0]);
        assert!(after.pepper(3).is_none() && after.record_mac(3).is_none());
    }

    #[test]
    fn every_use_has_a_key_of_its_own() {
        let ring = ring(&format!("1 {A}"));
        let uses = [Use::Verifier, Use::RecordMac, Use::Seal, Use::Fingerprint, Use::Audit, Use::Counter];
        let keys: std::collections::HashSet<[u8; 32]> =
            uses.iter().map(|purpose| *ring.derive(1, *purpose).unwrap()).collect();
        assert_eq!(keys.len(), uses.len());
    }

    #[test]
    fn created_ring_is_the_owners_alone_and_loads_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("the.secret");
        let made = Ring::create(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let loaded = Ring::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.fingerprint(), made.fingerprint());
        assert!(matches!(refusal(Ring::create(&path)), RingError::Exists { .. }));
        let other = Ring::create(&folder.path().join("other")).unwrap_or_else(|error| panic!("{error}"));
        assert_ne!(other.fingerprint(), made.fingerprint());
    }

    #[test]
    fn the_ring_is_its_owners_and_a_group_may_read_roots() {
        let check = |mode, owner, expected| {
            assert_eq!(is_exposed(mode, owner, 65532), expected, "{mode:o} of {owner}");
        };
        check(0o600, 65532, false);
        check(0o400, 65532, false);
        check(0o440, 65532, true);
        check(0o440, 0, false);
        check(0o640, 0, false);
        check(0o660, 0, true);
        check(0o444, 0, true);
        assert!(is_exposed(0o440, 0, 0), "root's own group needs no ring of root's");
    }

    #[test]
    fn ring_that_others_may_use_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("the.secret");
        std::fs::write(&path, format!("1 {A}\n")).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = refusal(Ring::load(&path));
            assert!(matches!(error, RingError::Exposed { mode: m, .. } if m == mode), "{error}");
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Ring::load(&path).is_ok());
        assert!(matches!(refusal(Ring::load(folder.path())), RingError::NotAFile { .. }));
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        assert!(matches!(refusal(Ring::load(&pipe)), RingError::NotAFile { .. }), "and nobody waits");
        assert!(matches!(refusal(Ring::load(&folder.path().join("none"))), RingError::Missing { .. }));
    }
}
