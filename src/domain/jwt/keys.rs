//! What signatures are verified with: the keys of one issuer (RFC 7517).

use std::fmt;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RsaPublicKeyComponents};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Arithmetic};
use super::compact::decode;

/// The usable keys of one issuer. Shows how many there are, and no key.
pub struct KeySet {
    keys: Vec<Key>,
    /// How many were left out, because they cannot be used or not be told apart.
    left_out: usize,
}

struct Key {
    id: Option<String>,
    /// One for each algorithm that the key may be used with.
    verifiers: Vec<Verifier>,
}

struct Verifier {
    algorithm: Algorithm,
    material: Material,
}

enum Material {
    Known(jsonwebtoken::Algorithm, DecodingKey),
    /// Of ES512, which `jsonwebtoken` does not know.
    P521(ParsedPublicKey),
}

/// Why a document is no key set that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeySet {
    #[error("it is not a JSON object with a list of `keys`")]
    Malformed,
    #[error("it has {found} keys, and `limits.jwks_keys` is {most}")]
    TooMany { found: usize, most: usize },
    /// `found`: those that are keys at all.
    #[error("none of its {found} keys can be used with the issuer's `algorithms`")]
    NothingUsable { found: usize },
}

/// A public key of ours.
pub struct PublicKey<'k> {
    pub id: &'k str,
    pub algorithm: Algorithm,
    /// As its algorithm has it: a point in SEC1's uncompressed form for ES, 32 bytes for EdDSA, PKCS#1
    /// for RS and PS; for HS the secret.
    pub bytes: &'k [u8],
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// The members of a JWK that are read; whatever else there is does not matter.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

impl KeySet {
    pub const NONE: Self = Self { keys: Vec::new(), left_out: 0 };

    /// The keys of a JWK Set that may be used with `algorithms`. What cannot be used is left out.
    ///
    /// # Errors
    ///
    /// Where nothing can be used, or there are more than `most`.
    pub fn parse(json: &[u8], algorithms: &[Algorithm], most: usize) -> Result<Self, NoKeySet> {
        let document: Document = serde_json::from_slice(json).map_err(|_| NoKeySet::Malformed)?;
        let found = document.keys.len();
        if found > most {
            return Err(NoKeySet::TooMany { found, most });
        }
        let jwks: Vec<Jwk> =
            document.keys.into_iter().filter_map(|jwk| serde_json::from_value(jwk).ok()).collect();
        let nothing = NoKeySet::NothingUsable { found: jwks.len() };
        let set = Self::of(jwks.into_iter().filter_map(|jwk| Key::read(jwk, algorithms)).collect(), found);
        if set.keys.is_empty() { Err(nothing) } else { Ok(set) }
    }

    /// The one public key of a SubjectPublicKeyInfo (RFC 5280), or the one secret; nothing where it is none
    /// for this algorithm.
    pub fn of_one(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let material = match algorithm.is_symmetric() {
            true => algorithm.key(bytes),
            false => algorithm.parsed(bytes),
        };
        let key =
            material.map(|material| Key { id: None, verifiers: vec![Verifier { algorithm, material }] });
        Self::of(key.into_iter().collect(), 1)
    }

    /// Keys that we made ourselves.
    pub fn of_ours<'k>(keys: impl IntoIterator<Item = PublicKey<'k>>) -> Self {
        let mut found = 0;
        let keys = keys.into_iter().inspect(|_| found += 1).filter_map(|key| {
            let material = key.algorithm.key(key.bytes)?;
            let verifiers = vec![Verifier { algorithm: key.algorithm, material }];
            Some(Key { id: Some(key.id.to_owned()), verifiers })
        });
        let keys = keys.collect();
        Self::of(keys, found)
    }

    /// Two keys that one token could mean are both left out: whichever was taken would be a guess.
    fn of(mut keys: Vec<Key>, found: usize) -> Self {
        let clashes: Vec<bool> = (0..keys.len())
            .map(|at| (0..keys.len()).any(|other| other != at && keys[at].clashes(&keys[other])))
            .collect();
        let mut clashes = clashes.into_iter();
        keys.retain(|_| !clashes.next().unwrap_or(true));
        let left_out = found - keys.len();
        Self { keys, left_out }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether both would verify the same tokens.
    pub fn same_as(&self, other: &Self) -> bool {
        let of = |set: &Self| -> Vec<_> {
            let verifiers = set.keys.iter().flat_map(|key| {
                key.verifiers.iter().map(|one| (key.id.clone(), one.algorithm, one.material.public_bytes()))
            });
            let mut all: Vec<_> = verifiers.collect();
            all.sort();
            all
        };
        let known = |set: &Self| set.keys.iter().flat_map(|key| &key.verifiers).all(Verifier::is_public);
        known(self) && known(other) && of(self) == of(other)
    }

    /// Whether there is a key that this token may have been signed with.
    pub(super) fn has(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.find(id, algorithm).is_some()
    }

    /// Whether the signature is the one of the key `id`; without an id, of the only one there is for
    /// this algorithm.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: Vec<u8>,
    ) -> bool {
        self.find(id, algorithm).is_some_and(|verifier| verifier.material.verify(signed, signature))
    }

    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Verifier> {
        let fits = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut found = self
            .keys
            .iter()
            .filter(fits)
            .filter_map(|key| key.verifiers.iter().find(|verifier| verifier.algorithm == algorithm));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

impl Key {
    fn read(jwk: Jwk, algorithms: &[Algorithm]) -> Option<Self> {
        let signs = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && jwk.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        if !signs {
            return None;
        }
        let meant = |algorithm: &&Algorithm| jwk.alg.as_deref().is_none_or(|alg| alg == algorithm.name());
        let verifiers: Vec<_> = algorithms
            .iter()
            .filter(meant)
            .filter_map(|algorithm| {
                Some(Verifier { algorithm: *algorithm, material: algorithm.material(&jwk)? })
            })
            .collect();
        (!verifiers.is_empty()).then_some(Self { id: jwk.kid, verifiers })
    }

    fn clashes(&self, other: &Self) -> bool {
        let shared = |one: &Verifier| other.verifiers.iter().any(|two| one.algorithm == two.algorithm);
        self.id.is_some() && self.id == other.id && self.verifiers.iter().any(shared)
    }
}

impl Algorithm {
    /// What to verify with, if the key is one for this algorithm.
    fn material(self, jwk: &Jwk) -> Option<Material> {
        let bytes = |text: &Option<String>| decode(text.as_deref()?.as_bytes()).ok();
        match (self.arithmetic(), jwk.kty.as_str()) {
            (Arithmetic::Hmac(_), "oct") => {
                self.key(&Zeroizing::new(decode(jwk.k.as_ref()?.as_bytes()).ok()?))
            }
            (Arithmetic::Rsa(parameters), "RSA") => {
                let (n, e) = (without_zeros(bytes(&jwk.n)?), without_zeros(bytes(&jwk.e)?));
                if !(2048..=8192).contains(&bits(&n)) || !is_odd_and_at_least_3(&e) {
                    return None;
                }
                RsaPublicKeyComponents { n: &n, e: &e }.to_parsed_public_key(parameters).ok()?;
                Some(Material::Known(self.known()?, DecodingKey::from_rsa_raw_components(&n, &e)))
            }
            (Arithmetic::Curve { name, bytes: length, .. }, "EC") if jwk.crv.as_deref() == Some(name) => {
                let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
                if x.len() != length || y.len() != length {
                    return None;
                }
                self.key(&[&[UNCOMPRESSED], &x[..], &y[..]].concat())
            }
            (Arithmetic::Ed25519, "OKP") if jwk.crv.as_deref() == Some("Ed25519") => {
                self.key(&bytes(&jwk.x)?)
            }
            _ => None,
        }
    }

    /// A key in the form that its algorithm has; a point is checked to be on its curve.
    fn key(self, bytes: &[u8]) -> Option<Material> {
        let fits = match self.arithmetic() {
            Arithmetic::Hmac(least) => bytes.len() >= least,
            Arithmetic::Rsa(_) => true,
            Arithmetic::Curve { bytes: length, .. } => bytes.len() == 2 * length + 1,
            Arithmetic::Ed25519 => bytes.len() == 32,
        };
        fits.then(|| self.parsed(bytes)).flatten()
    }

    /// The same, or a whole SubjectPublicKeyInfo.
    fn parsed(self, bytes: &[u8]) -> Option<Material> {
        let (parsed, key) = match self.arithmetic() {
            Arithmetic::Hmac(_) => {
                return Some(Material::Known(self.known()?, DecodingKey::from_secret(bytes)));
            }
            Arithmetic::Rsa(parameters) => {
                (ParsedPublicKey::new(parameters, bytes), DecodingKey::from_rsa_der(bytes))
            }
            Arithmetic::Curve { algorithm, .. } => {
                (ParsedPublicKey::new(algorithm, bytes), DecodingKey::from_ec_der(bytes))
            }
            Arithmetic::Ed25519 => (ParsedPublicKey::new(&ED25519, bytes), DecodingKey::from_ed_der(bytes)),
        };
        let parsed = parsed.ok()?;
        Some(match self.known() {
            Some(known) => Material::Known(known, key),
            None => Material::P521(parsed),
        })
    }
}

impl Verifier {
    fn is_public(&self) -> bool {
        match &self.material {
            Material::Known(_, key) => key.family() != AlgorithmFamily::Hmac,
            Material::P521(_) => true,
        }
    }
}

impl Material {
    /// The fixed-length algorithms take no other length and no DER, and check the range of r and s
    /// (CVE-2022-21449); secrets are compared in constant time.
    fn verify(&self, signed: &[u8], signature: Vec<u8>) -> bool {
        match self {
            // The backend by its name: where a tree has two of them, the library's own choice panics.
            Self::Known(algorithm, key) => (DEFAULT_PROVIDER.verifier_factory)(algorithm, key)
                .is_ok_and(|verifier| verifier.verify(signed, &signature).is_ok()),
            Self::P521(key) => key.verify_sig(signed, &signature).is_ok(),
        }
    }

    /// Empty for secrets, which nobody compares.
    fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::P521(key) => key.as_ref().to_vec(),
            Self::Known(_, key) if key.family() == AlgorithmFamily::Hmac => Vec::new(),
            Self::Known(_, key) => match key.kind() {
                DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
                DecodingKeyKind::RsaModulusExponent { n, e } => [&n[..], &[0], &e[..]].concat(),
            },
        }
    }
}

/// SEC1 2.3.3.
const UNCOMPRESSED: u8 = 4;

/// Some write numbers with zeros before them, against RFC 7518 section 6.3.1.1.
fn without_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd_and_at_least_3(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last % 2 == 1) && number != [1]
}
