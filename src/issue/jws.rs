//! Signing: what makes a JWT (RFC 7515), and the public half that others verify it with (RFC 7517).

use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::domain::jwt::{self, Algorithm, Audiences, KeySet, PublicKey, Refused, Rules};

/// A key that signs. Has no `Debug`: nothing of it may reach a log.
pub struct SigningKey {
    id: String,
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Hmac(Box<hmac::Key>, Zeroizing<Vec<u8>>),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Curve(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What the private half of an algorithm is made with.
enum Making {
    Hmac(hmac::Algorithm, usize),
    Rsa(&'static dyn RsaEncoding),
    Curve(&'static EcdsaSigningAlgorithm),
    Ed25519,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bytes.
    pub fn generate(id: String, algorithm: Algorithm) -> Result<Self, Unspecified> {
        let pair = match making(algorithm) {
            Making::Hmac(of, length) => {
                let mut secret = Zeroizing::new(vec![0; length]);
                aws_lc_rs::rand::fill(&mut secret)?;
                Pair::Hmac(Box::new(hmac::Key::new(of, &secret)), secret)
            }
            Making::Rsa(encoding) => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048)?, encoding),
            Making::Curve(of) => Pair::Curve(EcdsaKeyPair::generate(of)?),
            Making::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate()?),
        };
        Ok(Self { id, algorithm, pair })
    }

    /// Makes a new ES256 key, and gives what it can be read from again.
    ///
    /// # Errors
    ///
    /// Where the system gives no random bytes.
    pub fn generate_es256(id: String) -> Result<(Self, Zeroizing<Vec<u8>>), Unspecified> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec());
        Ok((Self { id, algorithm: Algorithm::Es256, pair: Pair::Curve(pair) }, pkcs8))
    }

    /// Reads what [`SigningKey::generate_es256`] gave.
    ///
    /// # Errors
    ///
    /// Where it is something else.
    pub fn read_es256(id: String, pkcs8: &[u8]) -> Result<Self, KeyRejected> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?;
        Ok(Self { id, algorithm: Algorithm::Es256, pair: Pair::Curve(pair) })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the signatures are verified with.
    pub fn public(&self) -> PublicKey<'_> {
        let bytes = match &self.pair {
            Pair::Hmac(_, secret) => secret.as_slice(),
            Pair::Rsa(pair, _) => pair.public_key().as_ref(),
            Pair::Curve(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        PublicKey { id: &self.id, algorithm: self.algorithm, bytes }
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
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Hmac(key, _) => hmac::sign(key, signed).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, signed, &mut signature)?;
                signature
            }
            Pair::Curve(pair) => pair.sign(&random, signed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.try_sign(signed)?.as_ref().to_vec(),
        })
    }
}

fn making(algorithm: Algorithm) -> Making {
    match algorithm {
        Algorithm::Hs256 => Making::Hmac(hmac::HMAC_SHA256, 32),
        Algorithm::Hs384 => Making::Hmac(hmac::HMAC_SHA384, 48),
        Algorithm::Hs512 => Making::Hmac(hmac::HMAC_SHA512, 64),
        Algorithm::Rs256 => Making::Rsa(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Making::Rsa(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Making::Rsa(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => Making::Rsa(&RSA_PSS_SHA256),
        Algorithm::Ps384 => Making::Rsa(&RSA_PSS_SHA384),
        Algorithm::Ps512 => Making::Rsa(&RSA_PSS_SHA512),
        Algorithm::Es256 => Making::Curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => Making::Curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => Making::Curve(&ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa => Making::Ed25519,
    }
}

/// Whether signing and verifying work for these algorithms in this process: a token of each is signed
/// and verified, and with one flipped bit it must not verify.
///
/// # Errors
///
/// The first algorithm that fails.
pub fn self_test(algorithms: &[Algorithm]) -> Result<(), Algorithm> {
    algorithms.iter().try_for_each(|algorithm| if works(*algorithm) { Ok(()) } else { Err(*algorithm) })
}

fn works(algorithm: Algorithm) -> bool {
    let rules = Rules {
        issuer: "self-test".to_owned(),
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
    let good = jwt::verify(token.as_bytes(), &rules, &keys).is_ok();
    good && jwt::verify(&other, &rules, &keys) == Err(Refused::Signature)
}
