//! JSON Web Tokens: what one is, and when it is believed.
//!
//! The arithmetic of a signature is `jsonwebtoken`'s, by aws-lc. Every other rule stands here, and each has a test named
//! after it in `tests.rs`; the numbers are those of the project's security rules (J1 to J20).
//!
//! Nothing in a token chooses how it is judged: algorithm, issuer and keys come from [`Rules`] and a
//! [`KeySet`], and the token only has to agree.

mod algorithm;
mod claims;
mod compact;
mod keys;
mod members;

use serde_json::{Map, Value};

pub use self::algorithm::Algorithm;
use self::claims::{ACCESS_TOKEN, issuer};
pub use self::claims::{Claims, PASSWORD};
use self::compact::{Compact, Header};
pub use self::keys::{KeySet, NoKeySet, PublicKey};

/// What is demanded of an issuer's tokens. The operator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `iss`, byte for byte.
    pub issuer: String,
    pub whose: Whose,
    pub audiences: Audiences,
    /// Never both symmetric and asymmetric ones.
    pub algorithms: Vec<Algorithm>,
    /// `typ`, in lower case and without `application/`; `None`: none, `JWT` or `at+jwt`.
    pub typ: Option<String>,
    /// By how many seconds the clocks of the issuer and ours may differ; at most 60.
    pub leeway: i64,
    /// Seconds from `iat` to `exp`, at most.
    pub longest_life: i64,
    /// Bytes of a whole token.
    pub longest: usize,
}

/// What of a token says whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// `sub`, which must be there, and `aud` with it.
    Subject,
    /// `iss`: its signer speaks of nobody but itself. It has one key, whatever the token calls it.
    Issuer,
}

/// Whom a token must be meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// At least one of these.
    OneOf(Vec<String>),
    /// That depends on what is asked for, and whoever asks looks at [`Claims::audiences`].
    AskedLater,
}

/// Why a token proves nothing. For the log: callers are told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// More bytes than a token may have.
    TooLong,
    /// Not three parts of base64url between two dots.
    Form,
    /// The header is not one JSON object, or a member of it is not what it has to be.
    Header,
    /// The payload is not one JSON object, or a member of it is not what it has to be.
    Payload,
    /// A header that says how the payload is to be understood: `crit`, `b64`, `zip`, `enc`, `cty`.
    Extension,
    /// Not an algorithm of this issuer.
    Algorithm,
    /// A token of another kind.
    Type,
    Issuer,
    Audience,
    Subject,
    /// `exp` is not there, or a time is not a number that is not negative.
    Times,
    /// Bound to a key of its sender (`cnf`), which nobody checks here.
    Bound,
    /// The issuer has no such key.
    UnknownKey,
    Signature,
    Expired,
    NotYetValid,
    /// Good for longer than the issuer's tokens may be.
    TooLongLived,
}

/// What a token that may be good says before its signature is known.
#[derive(Debug)]
pub struct Screened {
    /// Whether the issuer's keys have one that it may have been signed with.
    pub key_is_known: bool,
}

/// Refuses what can be refused without arithmetic. What is read here leads to a refusal or to
/// nothing.
///
/// # Errors
///
/// [`Refused`], but never for a key, a signature or a time.
pub fn screen(token: &[u8], rules: &Rules, keys: &KeySet) -> Result<Screened, Refused> {
    let (compact, _) = open(token, rules)?;
    let header = &compact.header;
    Ok(Screened { key_is_known: keys.has(rules.key(header), header.algorithm) })
}

/// Whose word a token claims to be, for whoever has to look up first who that is.
///
/// # Errors
///
/// [`Refused`], where it is no token at all.
pub fn signer(token: &[u8], longest: usize) -> Result<String, Refused> {
    if token.len() > longest {
        return Err(Refused::TooLong);
    }
    let payload = Compact::parse(token)?.payload()?;
    issuer(&payload).map(str::to_owned)
}

/// What a token claims, if it is genuine. Takes as long as a signature does.
///
/// # Errors
///
/// [`Refused`], but for what [`Claims::judge`] is asked.
pub fn verify(token: &[u8], rules: &Rules, keys: &KeySet) -> Result<Claims, Refused> {
    let (compact, payload) = open(token, rules)?;
    let (id, algorithm) = (rules.key(&compact.header), compact.header.algorithm);
    if !keys.has(id, algorithm) {
        return Err(Refused::UnknownKey);
    }
    if !keys.verify(id, algorithm, compact.signed, compact.signature()?) {
        return Err(Refused::Signature);
    }
    let length = compact.payload_length();
    Claims::read(compact.header, payload, length, rules.whose)
}

/// The parts of a token that agrees with the rules in its header and its issuer, and its payload.
fn open<'t>(token: &'t [u8], rules: &Rules) -> Result<(Compact<'t>, Map<String, Value>), Refused> {
    if token.len() > rules.longest {
        return Err(Refused::TooLong);
    }
    let compact = Compact::parse(token)?;
    rules.take(compact.header.algorithm, compact.header.typ.as_deref())?;
    let payload = compact.payload()?;
    if issuer(&payload)? == rules.issuer { Ok((compact, payload)) } else { Err(Refused::Issuer) }
}

/// The audience of a token of ours that is for every service.
pub const EVERY_SERVICE: &str = "all";
/// The audience of a token of ours that is for the admin API.
pub const ADMIN_AUDIENCE: &str = "doorward-admin";

impl Rules {
    /// Whether tokens of this algorithm and type are ones that the issuer makes for this.
    fn take(&self, algorithm: Algorithm, typ: Option<&str>) -> Result<(), Refused> {
        if !self.algorithms.contains(&algorithm) {
            return Err(Refused::Algorithm);
        }
        let fits = match &self.typ {
            Some(pinned) => typ == Some(pinned.as_str()),
            None => matches!(typ, None | Some("jwt" | ACCESS_TOKEN)),
        };
        if fits { Ok(()) } else { Err(Refused::Type) }
    }

    /// Which key a token names, where that says anything.
    fn key<'h>(&self, header: &'h Header) -> Option<&'h str> {
        header.key.as_deref().filter(|_| self.whose == Whose::Subject)
    }

    /// For tokens of our own, with the service still to be asked about.
    pub fn ours(public_url: &str) -> Self {
        Self {
            issuer: public_url.to_owned(),
            whose: Whose::Subject,
            audiences: Audiences::AskedLater,
            algorithms: vec![Algorithm::Es256],
            typ: Some("jwt".to_owned()),
            leeway: 30,
            // We made it, and no longer than was meant.
            longest_life: i64::MAX,
            longest: 8192,
        }
    }
}

impl Refused {
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "jwt_too_long",
            Self::Form => "jwt_form",
            Self::Header => "jwt_header",
            Self::Payload => "jwt_payload",
            Self::Extension => "jwt_extension",
            Self::Algorithm => "jwt_algorithm",
            Self::Type => "jwt_type",
            Self::Issuer => "jwt_issuer",
            Self::Audience => "jwt_audience",
            Self::Subject => "jwt_subject",
            Self::Times => "jwt_times",
            Self::Bound => "jwt_bound",
            Self::UnknownKey => "jwt_unknown_key",
            Self::Signature => "jwt_signature",
            Self::Expired => "jwt_expired",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::TooLongLived => "jwt_too_long_lived",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
