//! What an instance keeps on disk of what it knows, to start from when the store is away.
//!
//! A pack in a file, sealed with AES-256-GCM under a key derived from the ring, so that nobody who
//! reads the disk learns who there is, and nobody who writes to it can let anybody in. What they can
//! do is put back an older file of ours; `max_age` bounds that like any other age.
//!
//! The header stands in the clear and is covered by every seal: first by an empty one, then, each
//! with its length before it, by those of the pieces. Numbers are big-endian.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use uuid::Uuid;

use crate::store::durable;
use crate::store::ring::{Ring, Use};
use crate::store::{Epoch, Head, Mark};

/// Where what is known is kept, and for how long it may be believed.
#[derive(Clone)]
pub struct SnapshotFile {
    pub path: PathBuf,
    /// How long after it was true it may decide; within that, what was revoked since is not known.
    pub max_age: Duration,
    pub ring: Arc<Ring>,
}

/// What was in a file.
pub(super) struct Saved {
    pub(super) head: Head,
    pub(super) pieces: Vec<Bytes>,
    /// How much longer it may be believed.
    pub(super) remaining: Duration,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("there is none")]
    Missing,
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    #[error("it is damaged, or no snapshot of this version: {0}")]
    Damaged(&'static str),
    #[error("it was made with key {0} of another secret_file")]
    OtherRing(u32),
    #[error("it is {} s old, and may be believed for {} s (`store.snapshot.max_age`)", .age.as_secs(), .max.as_secs())]
    TooOld { age: Duration, max: Duration },
    #[error("it was written {} s from now; one of the two times is wrong", .0.as_secs())]
    FromTheFuture(Duration),
}

/// What stands before the seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    ring_key: u32,
    fingerprint: [u8; 8],
    head: Head,
    /// When it was true, in milliseconds since the Unix epoch.
    true_at: i64,
    /// Random, so that pieces of two files cannot be mixed.
    file: Uuid,
    pieces: u32,
}

const MAGIC: &[u8; 8] = b"DWSNAP1\n";
const HEADER: usize = 92;
const TAG: usize = 16;

/// How far the wall clock may have been set back since a file was written.
const SKEW: Duration = Duration::from_secs(60);

impl SnapshotFile {
    /// Writes what was true at `true_at`, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// The disk's.
    pub(super) fn save(&self, head: Head, true_at: i64, pieces: &[Bytes]) -> io::Result<()> {
        let ring_key = self.ring.primary_id();
        let header = Header {
            ring_key,
            fingerprint: fingerprint(&self.ring, ring_key).unwrap_or_default(),
            head,
            true_at,
            file: Uuid::new_v4(),
            pieces: u32::try_from(pieces.len()).map_err(io::Error::other)?,
        };
        let seal = Seal::new(&self.ring, &header).ok_or_else(|| io::Error::other("no key to seal with"))?;
        durable::replace(&self.path, |file| {
            let mut file = BufWriter::new(file);
            file.write_all(&seal.header)?;
            file.write_all(&seal.seal(0, &[])?)?;
            for (number, piece) in (1..).zip(pieces) {
                let sealed = seal.seal(number, piece)?;
                file.write_all(&u32::try_from(sealed.len()).map_err(io::Error::other)?.to_be_bytes())?;
                file.write_all(&sealed)?;
            }
            file.flush()
        })
    }

    /// Reads what may be believed at `now`, in milliseconds since the Unix epoch.
    pub(super) fn open(&self, now: i64) -> Result<Saved, Refused> {
        let file = File::open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Refused::Missing,
            _ => Refused::Io(error),
        })?;
        let mut rest = file.metadata().map_err(Refused::Io)?.len();
        let mut file = BufReader::new(file);
        let mut read = |length: u64| {
            // No more than there is, whatever a length says.
            rest = rest.checked_sub(length).ok_or(Refused::Damaged("it ends too early"))?;
            let mut bytes = vec![0; usize::try_from(length).map_err(|_| Refused::Damaged("a length"))?];
            file.read_exact(&mut bytes).map_err(Refused::Io)?;
            Ok::<_, Refused>(bytes)
        };
        let header = Header::parse(&read(HEADER as u64)?)?;
        if fingerprint(&self.ring, header.ring_key) != Some(header.fingerprint) {
            return Err(Refused::OtherRing(header.ring_key));
        }
        let seal = Seal::new(&self.ring, &header).ok_or(Refused::OtherRing(header.ring_key))?;
        seal.open(0, read((NONCE_LEN + TAG) as u64)?)?;
        let remaining = self.remaining(header.true_at, now)?;
        let mut pieces = Vec::new();
        for number in 1..=header.pieces {
            let length = read(4)?.try_into().map_or(0, u32::from_be_bytes);
            pieces.push(seal.open(number, read(length.into())?)?);
        }
        if rest != 0 {
            return Err(Refused::Damaged("it goes on after its end"));
        }
        Ok(Saved { head: header.head, pieces, remaining })
    }

    fn remaining(&self, true_at: i64, now: i64) -> Result<Duration, Refused> {
        let ahead = Duration::from_millis(u64::try_from(true_at.saturating_sub(now)).unwrap_or(0));
        let age = Duration::from_millis(u64::try_from(now.saturating_sub(true_at)).unwrap_or(0));
        if ahead > SKEW {
            return Err(Refused::FromTheFuture(ahead));
        }
        self.max_age.checked_sub(age).ok_or(Refused::TooOld { age, max: self.max_age })
    }
}

fn fingerprint(ring: &Ring, id: u32) -> Option<[u8; 8]> {
    ring.fingerprint().into_iter().find(|(key, _)| *key == id).map(|(_, fingerprint)| fingerprint)
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let Epoch { store, term, number } = self.head.epoch;
        let parts: [&[u8]; 10] = [
            MAGIC,
            &self.ring_key.to_be_bytes(),
            &self.fingerprint,
            store.as_bytes(),
            &term.to_be_bytes(),
            &number.to_be_bytes(),
            &self.head.mark.0,
            &self.true_at.to_be_bytes(),
            self.file.as_bytes(),
            &self.pieces.to_be_bytes(),
        ];
        parts.concat()
    }

    fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Refused::Damaged("it begins otherwise"))?;
        let mut rest = Fields(rest);
        let header = (|| {
            let (ring_key, fingerprint) = (u32::from_be_bytes(rest.next()?), rest.next()?);
            let store = Uuid::from_bytes(rest.next()?);
            let epoch = Epoch {
                store,
                term: u32::from_be_bytes(rest.next()?),
                number: u64::from_be_bytes(rest.next()?),
            };
            let head = Head { epoch, mark: Mark(rest.next()?) };
            let true_at = i64::from_be_bytes(rest.next()?);
            let file = Uuid::from_bytes(rest.next()?);
            let pieces = u32::from_be_bytes(rest.next()?);
            Some(Self { ring_key, fingerprint, head, true_at, file, pieces })
        })();
        header.ok_or(Refused::Damaged("its header is too short"))
    }
}

struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

/// Seals and opens the parts of one file.
struct Seal {
    key: LessSafeKey,
    header: Vec<u8>,
}

impl Seal {
    fn new(ring: &Ring, header: &Header) -> Option<Self> {
        let secret = ring.derive(header.ring_key, Use::Snapshot)?;
        let key = UnboundKey::new(&AES_256_GCM, &secret[..]).ok()?;
        Some(Self { key: LessSafeKey::new(key), header: header.bytes() })
    }

    /// Nonce, bytes, tag. A nonce is random: a file a minute of a thousand pieces each makes 2^32 of
    /// them, the most that one key may have (NIST SP 800-38D section 8.3), in eight years.
    fn seal(&self, number: u32, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + bytes.len() + TAG);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(bytes);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, self.covered(number), &mut sealed[NONCE_LEN..])
            .map_err(|_| io::Error::other("it cannot be sealed"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    fn open(&self, number: u32, mut sealed: Vec<u8>) -> Result<Bytes, Refused> {
        let broken = Refused::Damaged("a seal does not fit");
        let Some((nonce, bytes)) = sealed.split_first_chunk_mut::<NONCE_LEN>() else { return Err(broken) };
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let Ok(opened) = self.key.open_in_place(nonce, self.covered(number), bytes) else {
            return Err(broken);
        };
        let length = opened.len();
        Ok(Bytes::from(sealed).slice(NONCE_LEN..NONCE_LEN + length))
    }

    fn covered(&self, number: u32) -> Aad<Vec<u8>> {
        Aad::from([&self.header[..], &number.to_be_bytes()].concat())
    }
}
