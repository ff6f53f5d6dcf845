//! The signature algorithms of RFC 7518 section 3.1 and RFC 8037, and what keys of each have to be.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};

/// How a token is signed. There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// What an algorithm computes with. As aws-lc has it, which says of a key whether it is one before any
/// token needs it.
#[derive(Clone, Copy)]
pub(super) enum Arithmetic {
    /// A secret that both sides know, of at least so many bytes (RFC 7518 section 3.2).
    Hmac(usize),
    Rsa(&'static RsaParameters),
    /// On a curve of this name, with coordinates of so many bytes.
    Curve {
        name: &'static str,
        bytes: usize,
        algorithm: &'static EcdsaVerificationAlgorithm,
    },
    Ed25519,
}

impl Algorithm {
    pub const ALL: [Self; 13] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// As it stands in a header and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// By its name, compared by case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether whoever can verify can also sign.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// As `jsonwebtoken` calls it, which signs and verifies; `None` where it does not know it.
    pub const fn known(self) -> Option<jsonwebtoken::Algorithm> {
        Some(match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::Es512 => return None,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        })
    }

    pub(super) fn arithmetic(self) -> Arithmetic {
        let curve = |name, bytes, algorithm| Arithmetic::Curve { name, bytes, algorithm };
        match self {
            Self::Hs256 => Arithmetic::Hmac(32),
            Self::Hs384 => Arithmetic::Hmac(48),
            Self::Hs512 => Arithmetic::Hmac(64),
            Self::Rs256 => Arithmetic::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Arithmetic::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Arithmetic::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Arithmetic::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Arithmetic::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Arithmetic::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => curve("P-256", 32, &ECDSA_P256_SHA256_FIXED),
            Self::Es384 => curve("P-384", 48, &ECDSA_P384_SHA384_FIXED),
            Self::Es512 => curve("P-521", 66, &ECDSA_P521_SHA512_FIXED),
            Self::EdDsa => Arithmetic::Ed25519,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
