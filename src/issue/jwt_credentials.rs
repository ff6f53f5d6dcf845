//! What the JWTs of consumers that sign their own are verified with: public keys as they are, and
//! shared secrets under seal.

use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use uuid::Uuid;

use super::owned::{Claim, Credential, NamedCredential, Owned};
use super::{By, Done, Refusal, Registrar, check_label, check_tags};
use crate::domain::consumer::ConsumerId;
use crate::domain::secret::Secret;
use crate::store::StoreError;
use crate::store::record::{JwtRecord, JwtSecret};
use crate::store::seal::Sealed;

/// A JWT credential to be made.
#[derive(Default)]
pub struct NewJwt {
    /// `None`: a random one.
    pub id: Option<Uuid>,
    /// What tokens name it by; `None`: a random text.
    pub key: Option<String>,
    /// `None`: HS256.
    pub algorithm: Option<String>,
    /// Of HS algorithms alone; `None`: one is made.
    pub secret: Option<Secret>,
    /// Of all others: PEM.
    pub public_key: Option<String>,
    pub tags: Vec<String>,
}

/// What becomes different about one; `None` stays as it is. Who changes the algorithm to one of
/// another kind gives what that one needs.
#[derive(Default)]
pub struct JwtChange {
    pub key: Option<String>,
    pub algorithm: Option<String>,
    pub secret: Option<Secret>,
    pub public_key: Option<String>,
    pub tags: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// A credential that was just made or changed. Where it has a new shared secret it is nowhere else.
pub struct MadeJwt {
    pub record: JwtRecord,
    pub secret: Option<Secret>,
}

/// What an algorithm verifies with. ES512 and Ed448 are left out: what verifies has neither.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// So many bytes of secret are the hash's, and the least (RFC 7518, 3.2).
    Shared(usize),
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[rustfmt::skip] // A table is read by its columns.
const ALGORITHMS: [(&str, Kind); 12] = [
    ("HS256", Kind::Shared(32)), ("HS384", Kind::Shared(48)), ("HS512", Kind::Shared(64)),
    ("RS256", Kind::Rsa),        ("RS384", Kind::Rsa),        ("RS512", Kind::Rsa),
    ("PS256", Kind::Rsa),        ("PS384", Kind::Rsa),        ("PS512", Kind::Rsa),
    ("ES256", Kind::P256),       ("ES384", Kind::P384),       ("EdDSA", Kind::Ed25519),
];

const KEY: &str = "jwt.key";

/// Bytes. A public RSA key of 8192 bits takes 1.4 KiB.
const LONGEST: usize = 8 * 1024;

/// Letters and digits of a text that is made: 190 bits of 32.
const MADE: usize = 32;

impl Credential for JwtRecord {
    const KIND: Owned = Owned::Jwt;
    const WHAT: &'static str = "jwt credential";
    const CREATE: &'static str = "jwt.create";
    const CHANGE: &'static str = "jwt.change";
    const END: &'static str = "jwt.delete";

    fn id(&self) -> Uuid {
        self.id
    }

    fn consumer(&self) -> ConsumerId {
        self.consumer
    }

    fn claims(&self) -> Vec<Claim> {
        vec![(KEY, self.key.as_bytes().to_vec())]
    }

    fn taken(&self) -> Refusal {
        Refusal::Taken { what: "key", name: self.key.clone() }
    }

    fn encode(&self) -> Vec<u8> {
        self.encode()
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode(bytes)
    }
}

impl NamedCredential for JwtRecord {
    const NAME: &'static str = KEY;
}

impl Registrar {
    /// # Errors
    ///
    /// [`Refusal::NotFound`] without its consumer, [`Refusal::Taken`] where somebody has that key.
    pub async fn create_jwt(&self, by: &By, consumer: &str, new: NewJwt) -> Result<Done<MadeJwt>, Refusal> {
        let owner = self.owner(consumer).await?;
        let (record, secret) = self.jwt_to_make(owner.id(), new)?;
        let done = self.make_credential(by, owner, record).await?;
        Ok(done.map(|record| MadeJwt { record, secret }))
    }

    /// One that is nowhere yet, and its secret, to be shown the one time.
    pub(super) fn jwt_to_make(
        &self,
        consumer: ConsumerId,
        new: NewJwt,
    ) -> Result<(JwtRecord, Option<Secret>), Refusal> {
        let id = new.id.unwrap_or_else(Uuid::new_v4);
        let key = new.key.map_or_else(|| made_text(MADE), Ok)?;
        check_label("key", &key)?;
        let (algorithm, kind) = algorithm(new.algorithm.as_deref().unwrap_or("HS256"))?;
        let (verifies, secret) = self.verifies(&id, kind, (new.secret, new.public_key))?;
        let record = JwtRecord {
            id,
            consumer,
            key,
            algorithm: algorithm.to_owned(),
            secret: verifies,
            tags: check_tags(&new.tags)?,
            enabled: true,
            created_at: self.clock.now(),
        };
        Ok((record, secret))
    }

    /// # Errors
    ///
    /// [`Refusal::NotFound`]; [`Refusal::Taken`] where somebody has the new key.
    pub async fn change_jwt(
        &self,
        by: &By,
        before: &JwtRecord,
        change: JwtChange,
    ) -> Result<Done<MadeJwt>, Refusal> {
        change.key.iter().try_for_each(|key| check_label("key", key))?;
        let tags = change.tags.as_deref().map(check_tags).transpose()?;
        let (named, kind) = algorithm(change.algorithm.as_deref().unwrap_or(&before.algorithm))?;
        let (_, kind_before) = algorithm(&before.algorithm)?;
        let given = change.secret.is_some() || change.public_key.is_some();
        let (verifies, secret) = match given || kind != kind_before {
            false => (before.secret.clone(), None),
            true => self.verifies(&before.id, kind, (change.secret, change.public_key))?,
        };
        let done = self.alter_credential(by, &before.id, |it: JwtRecord| {
            if (&it.algorithm, &it.secret) != (&before.algorithm, &before.secret) {
                return Err(Refusal::Raced);
            }
            Ok(JwtRecord {
                key: change.key.clone().unwrap_or(it.key),
                algorithm: named.to_owned(),
                secret: verifies.clone(),
                tags: tags.clone().unwrap_or(it.tags),
                enabled: change.enabled.unwrap_or(it.enabled),
                ..it
            })
        });
        Ok(done.await?.map(|record| MadeJwt { record, secret }))
    }

    /// What an algorithm verifies with, of a secret and a public key that may have been given; and the
    /// secret, to be shown the one time.
    fn verifies(
        &self,
        id: &Uuid,
        kind: Kind,
        given: (Option<Secret>, Option<String>),
    ) -> Result<(JwtSecret, Option<Secret>), Refusal> {
        let invalid = |field, why: String| Err(Refusal::Invalid { field, why });
        match (kind, given) {
            (Kind::Shared(least), (secret, None)) => {
                let secret = match secret {
                    Some(secret) => secret,
                    None => made_text(least.max(MADE))?.into(),
                };
                if secret.expose().contains("-----BEGIN ") {
                    let why = "is a key in PEM, and whoever has a public one could make tokens with it; a key pair's \
                               public half is an `rsa_public_key` of RS, PS, ES or EdDSA algorithms";
                    return invalid("secret", why.into());
                }
                let length = secret.expose().len();
                if !(least..=LONGEST).contains(&length) {
                    let why = format!(
                        "has {length} bytes, expected at least {least}, as many as the hash of the algorithm \
                         (RFC 7518, 3.2); leave it out and one is made"
                    );
                    return invalid("secret", why);
                }
                let sealed = Sealed::new(&self.ring, id.as_bytes(), secret.expose().as_bytes());
                let sealed = sealed.map_err(|error| StoreError::Unavailable(error.to_string()))?;
                Ok((JwtSecret::Shared(sealed), Some(secret)))
            }
            (Kind::Shared(_), (_, Some(_))) => {
                invalid("rsa_public_key", "is not of HS algorithms, which have a `secret`".into())
            }
            (_, (Some(_), _)) => {
                invalid("secret", "is of HS algorithms alone; this one has an `rsa_public_key`".into())
            }
            (_, (None, None)) => invalid("rsa_public_key", "required field missing".into()),
            (_, (None, Some(pem))) => {
                check_public_key(kind, &pem)?;
                Ok((JwtSecret::Public(pem), None))
            }
        }
    }
}

fn algorithm(named: &str) -> Result<(&'static str, Kind), Refusal> {
    ALGORITHMS.into_iter().find(|(name, _)| *name == named).ok_or_else(|| {
        let names: Vec<_> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
        Refusal::Invalid { field: "algorithm", why: format!("expected one of: {}", names.join(", ")) }
    })
}

/// Whether the algorithm can verify with this key.
fn check_public_key(kind: Kind, pem: &str) -> Result<(), Refusal> {
    let invalid = |why: &str| Refusal::Invalid { field: "rsa_public_key", why: why.into() };
    if pem.len() > LONGEST {
        return Err(invalid("is too long for a public key"));
    }
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| invalid("is no public key in PEM; expected `-----BEGIN PUBLIC KEY-----`"))?;
    let (parsed, expected) = match kind {
        Kind::Shared(_) => return Err(invalid("is not of HS algorithms")),
        Kind::Rsa => (
            PublicEncryptingKey::from_der(&der).is_ok_and(|key| (2048..=8192).contains(&key.key_size_bits())),
            "is no RSA key of 2048 to 8192 bits",
        ),
        Kind::P256 => {
            (ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &*der).is_ok(), "is no key of the curve P-256")
        }
        Kind::P384 => {
            (ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &*der).is_ok(), "is no key of the curve P-384")
        }
        Kind::Ed25519 => (ParsedPublicKey::new(&ED25519, &*der).is_ok(), "is no Ed25519 key"),
    };
    if parsed { Ok(()) } else { Err(invalid(expected)) }
}

/// Random letters and digits.
fn made_text(length: usize) -> Result<String, Refusal> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)
            .map_err(|error| StoreError::Unavailable(format!("no random bytes: {error}")))?;
        // 248 is the greatest multiple of 62 in a byte: what lies above would favour some digits.
        let digits = bytes.iter().filter(|byte| **byte < 248).map(|byte| DIGITS[usize::from(byte % 62)]);
        text.extend(digits.take(length - text.len()).map(char::from));
    }
    Ok(text)
}
