//! What is kept of a secret that is only ever verified.
//!
//! `verifier = HMAC-SHA-256(pepper, SHA-256(text))`. A slow hash would buy nothing: our keys carry
//! 190 random bits, and a pepper outside the store makes a stolen store worthless for guessing.
//! The inner SHA-256 lets hashes made elsewhere be imported.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// Names a secret without revealing it; what the store holds in a key's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Verifier([u8; 32]);

impl Verifier {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of what is known by its verifier alone: half of it, which is enough to tell secrets apart
    /// and of no use to whoever has not the secret. So nothing has to say which verifier has which id.
    pub fn id(&self) -> Uuid {
        let half = self.0.first_chunk().expect("32 bytes begin with 16");
        Builder::from_custom_bytes(*half).into_uuid()
    }
}

/// The keyed half of a verifier. Made from a key of the ring, kept ready to be cloned.
#[derive(Clone)]
pub struct Pepper(Hmac<Sha256>);

impl Pepper {
    pub fn new(bytes: &[u8; 32]) -> Self {
        // HMAC pads its key with zeros to one block (RFC 2104), so padding here changes nothing.
        let mut block = [0; 64];
        block[..32].copy_from_slice(bytes);
        Self(Hmac::new(&block.into()))
    }

    /// The verifier of a secret's text.
    pub fn verifier(&self, text: &[u8]) -> Verifier {
        self.verifier_of_sha256(&Sha256::digest(text).into())
    }

    /// The verifier of a secret of which only the SHA-256 is known.
    pub fn verifier_of_sha256(&self, digest: &[u8; 32]) -> Verifier {
        let mut mac = self.0.clone();
        mac.update(digest);
        Verifier(mac.finalize().into_bytes().into())
    }
}

/// One pepper for each key of the ring, the primary first: what is made is made with the primary,
/// what is presented is tried with each.
#[derive(Clone)]
pub struct Peppers {
    ring: Vec<Pepper>,
}

impl Peppers {
    /// Panics never: an empty ring verifies nothing.
    pub fn new(ring: Vec<Pepper>) -> Self {
        Self { ring }
    }

    /// The verifiers that `text` may be stored under, the likeliest first.
    pub fn verifiers(&self, text: &[u8]) -> impl Iterator<Item = Verifier> + '_ {
        let digest: [u8; 32] = Sha256::digest(text).into();
        self.ring.iter().map(move |pepper| pepper.verifier_of_sha256(&digest))
    }
}
