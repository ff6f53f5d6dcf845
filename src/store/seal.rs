//! Seals of texts that we must read again, such as the secret that another signs its JWTs with.
//!
//! AES-256-GCM under a key that is derived from the ring for this use alone. What a text is about is
//! part of what its seal covers, so that it cannot be put into another record.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::ring::{Ring, Use};

/// A text under seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key of the ring that it was sealed with.
    pub ring_key: u32,
    pub nonce: [u8; NONCE_LEN],
    pub bytes: Vec<u8>,
}

/// Why a text cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(
        "it was sealed with key {0}, which the key ring does not have; put that line back into secret_file"
    )]
    UnknownRingKey(u32),
    #[error("the seal is broken: its bytes were changed or moved, or made with another key ring")]
    Broken,
    #[error("the system gives no random bytes; nothing is sealed without them")]
    NoRandomness,
}

impl Sealed {
    /// Seals `text` with the ring's primary key. `about` says what it is of, and is not in the seal.
    ///
    /// # Errors
    ///
    /// [`SealError::NoRandomness`].
    pub fn new(ring: &Ring, about: &[u8], text: &[u8]) -> Result<Self, SealError> {
        let ring_key = ring.primary_id();
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let mut bytes = text.to_vec();
        key(ring, ring_key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut bytes)
            .map_err(|_| SealError::Broken)?;
        Ok(Self { ring_key, nonce, bytes })
    }

    /// # Errors
    ///
    /// The ring lacks the key, or the seal does not fit these bytes and `about`.
    pub fn open(&self, ring: &Ring, about: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut bytes = Zeroizing::new(self.bytes.clone());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = key(ring, self.ring_key)?.open_in_place(nonce, Aad::from(about), &mut bytes);
        let length = opened.map_err(|_| SealError::Broken)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn key(ring: &Ring, id: u32) -> Result<LessSafeKey, SealError> {
    let secret = ring.derive(id, Use::Seal).ok_or(SealError::UnknownRingKey(id))?;
    let key = UnboundKey::new(&AES_256_GCM, &secret[..]).map_err(|_| SealError::Broken)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;

    fn ring(text: &str) -> Ring {
        Ring::parse(Path::new("ring"), text.as_bytes()).unwrap()
    }

    #[test]
    fn a_sealed_text_is_opened_by_its_ring_for_what_it_is_about_alone() {
        let (old, new) = ("1f2e".repeat(16), "3d4c".repeat(16));
        let before = ring(&format!("1 {old}"));
        let sealed = Sealed::new(&before, b"one", b"a secret").unwrap();
        assert!(!sealed.bytes.windows(8).any(|window| window == b"a secret"));
        assert_ne!(Sealed::new(&before, b"one", b"a secret").unwrap(), sealed, "never twice the same");
        assert_eq!(&sealed.open(&before, b"one").unwrap()[..], b"a secret");
        let rotated = ring(&format!("2 {new}\n1 {old}"));
        assert_eq!(&sealed.open(&rotated, b"one").unwrap()[..], b"a secret");

        assert_eq!(sealed.open(&before, b"two").unwrap_err(), SealError::Broken);
        assert_eq!(sealed.open(&ring(&format!("1 {new}")), b"one").unwrap_err(), SealError::Broken);
        assert_eq!(
            sealed.open(&ring(&format!("2 {old}")), b"one").unwrap_err(),
            SealError::UnknownRingKey(1)
        );
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert_eq!(changed.open(&before, b"one").unwrap_err(), SealError::Broken);
        }
        assert_eq!(
            Sealed { bytes: Vec::new(), ..sealed }.open(&before, b"one").unwrap_err(),
            SealError::Broken
        );
    }
}
