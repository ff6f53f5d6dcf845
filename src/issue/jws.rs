//! Signing: what makes a JWT (RFC 7515), and the public half that others verify it with (RFC 7517).

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::domain::jwt::{self, Algorithm, Audiences, KeySet, PublicKey, Refused, Rules, Whose};

/// A key that signs. Has no `Debug`: nothing of it may reach a log.
pub struct SigningKey {
    id: String,
    algorithm: Algorithm,
    /// As [`PublicKey`] has it; of HS the secret.
    public: Zeroizing<Vec<u8>>,
    private: Private,
}

enum Private {
    Known(jsonwebtoken::Algorithm, EncodingKey),
    /// Of ES512, which `jsonwebtoken` does not know.
    P521(EcdsaKeyPair),
}

impl SigningKey {
    /// Makes a new key. `jsonwebtoken` makes none, aws-lc does.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bytes.
    pub fn generate(id: String, algorithm: Algorithm) -> Result<Self, Unspecified> {
        let (public, key) = match algorithm {
            Algorithm::Hs256 => secret(32)?,
            Algorithm::Hs384 => secret(48)?,
            Algorithm::Hs512 => secret(64)?,
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
                let pkcs8 = Zeroizing::new(pair.as_der()?.as_ref().to_vec());
                let pkcs1 = pkcs8.get(PKCS8_OF_RSA_2048..).ok_or(Unspecified)?;
                (pair.public_key().as_ref().to_vec(), EncodingKey::from_rsa_der(pkcs1))
            }
            Algorithm::Es256 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            Algorithm::Es384 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING)?,
            Algorithm::Es512 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING)?;
                let public = Zeroizing::new(pair.public_key().as_ref().to_vec());
                return Ok(Self { id, algorithm, public, private: Private::P521(pair) });
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate()?;
                let pkcs8 = Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec());
                (pair.public_key().as_ref().to_vec(), EncodingKey::from_ed_der(&pkcs8))
            }
        };
        let known = algorithm.known().ok_or(Unspecified)?;
        Ok(Self { id, algorithm, public: Zeroizing::new(public), private: Private::Known(known, key) })
    }

    /// Makes a new ES256 key, and gives what it can be read from again.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bytes.
    pub fn generate_es256(id: String) -> Result<(Self, Zeroizing<Vec<u8>>), Unspecified> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec());
        Ok((Self::es256(id, &pair, &pkcs8), pkcs8))
    }

    /// Reads what [`SigningKey::generate_es256`] gave.
    ///
    /// # Errors
    ///
    /// Where it is something else.
    pub fn read_es256(id: String, pkcs8: &[u8]) -> Result<Self, KeyRejected> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?;
        Ok(Self::es256(id, &pair, pkcs8))
    }

    fn es256(id: String, pair: &EcdsaKeyPair, pkcs8: &[u8]) -> Self {
        Self {
            id,
            algorithm: Algorithm::Es256,
            public: Zeroizing::new(pair.public_key().as_ref().to_vec()),
            private: Private::Known(jsonwebtoken::Algorithm::ES256, EncodingKey::from_ec_der(pkcs8)),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the signatures are verified with.
    pub fn public(&self) -> PublicKey<'_> {
        PublicKey { id: &self.id, algorithm: self.algorithm, bytes: &self.public }
    }

    /// A token of these claims.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bytes.
    pub fn sign(&self, claims: &Value) -> Result<String, Unspecified> {
        let header = json!({ "alg": self.algorithm.name(), "typ": "JWT", "kid": self.id });
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A token of this header and payload, whatever they are.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bytes.
    pub fn sign_bytes(&self, header: &[u8], payload: &[u8]) -> Result<String, Unspecified> {
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn signature(&self, signed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match &self.private {
            // The backend by its name: where a tree has two of them, the library's own choice panics.
            Private::Known(algorithm, key) => (DEFAULT_PROVIDER.signer_factory)(algorithm, key)
                .map_err(|_| Unspecified)?
                .try_sign(signed)
                .map_err(|_| Unspecified),
            Private::P521(pair) => Ok(pair.sign(&SystemRandom::new(), signed)?.as_ref().to_vec()),
        }
    }
}

/// Bytes that PKCS#8 puts before the PKCS#1 of an RSA key of 2048 bits (RFC 5958): two headers of four
/// bytes, a version of three, and fifteen that say `rsaEncryption`.
const PKCS8_OF_RSA_2048: usize = 26;

fn secret(length: usize) -> Result<(Vec<u8>, EncodingKey), Unspecified> {
    let mut secret = vec![0; length];
    aws_lc_rs::rand::fill(&mut secret)?;
    let key = EncodingKey::from_secret(&secret);
    Ok((secret, key))
}

fn curve(of: &'static EcdsaSigningAlgorithm) -> Result<(Vec<u8>, EncodingKey), Unspecified> {
    let pair = EcdsaKeyPair::generate(of)?;
    let pkcs8 = Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec());
    Ok((pair.public_key().as_ref().to_vec(), EncodingKey::from_ec_der(&pkcs8)))
}

/// Whether signing and verifying work for these algorithms in this process: a token of each is signed
/// and verified, and with one flipped bit it must not verify.
///
/// # Errors
///
/// The first algorithm that fails.
pub fn self_test(algorithms: impl IntoIterator<Item = Algorithm>) -> Result<(), Broken> {
    let verify = |token: &[u8], rules: &Rules, keys: &KeySet| jwt::verify(token, rules, keys).map(drop);
    algorithms
        .into_iter()
        .try_for_each(|algorithm| if works(algorithm, verify) { Ok(()) } else { Err(Broken(algorithm)) })
}

/// An algorithm whose signatures must not be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not work on this machine: a good signature was refused, or a bad one taken")]
pub struct Broken(Algorithm);

fn works(algorithm: Algorithm, verify: impl Fn(&[u8], &Rules, &KeySet) -> Result<(), Refused>) -> bool {
    let rules = Rules {
        issuer: "self-test".to_owned(),
        whose: Whose::Subject,
        audiences: Audiences::AskedLater,
        algorithms: vec![algorithm],
        typ: None,
        leeway: 0,
        longest_life: 1,
        longest: 8192,
    };
    let claims = json!({ "iss": "self-test", "sub": "self-test", "aud": "self-test", "exp": 1 });
    let Ok(key) = SigningKey::generate("self-test".to_owned(), algorithm) else { return false };
    let keys = KeySet::of_ours([key.public()]);
    let Ok(token) = key.sign(&claims) else { return false };
    let mut other = token.clone().into_bytes();
    // The first character of the signature: A is 000000 and B 000001.
    if let Some(first) = token.rfind('.').and_then(|dot| other.get_mut(dot + 1)) {
        *first = if *first == b'A' { b'B' } else { b'A' };
    }
    verify(token.as_bytes(), &rules, &keys).is_ok()
        && verify(&other, &rules, &keys) == Err(Refused::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn j20_an_algorithm_that_refuses_or_takes_everything_is_found_out() {
        assert!(!works(Algorithm::Es256, |_, _, _| Err(Refused::Signature)));
        assert!(!works(Algorithm::Es256, |_, _, _| Ok(())));
    }
}
