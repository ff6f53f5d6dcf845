//! What a payload claims, once its signature was found good.

use serde_json::{Map, Number, Value};

use super::{Audiences, Refused, Rules};
use crate::domain::time::Timestamp;

/// What a genuine token says. It is a fact about the token: whether it is good at a moment, and for
/// what, is judged anew by every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    pub subject: String,
    pub audiences: Vec<String>,
    /// The token's own id.
    pub id: Option<String>,
    expires_at: i64,
    not_before: Option<i64>,
    issued_at: Option<i64>,
    /// All of them, as they stand.
    pub members: Map<String, Value>,
}

impl Claims {
    /// # Errors
    ///
    /// Where a claim that must be there is not, or one is not what it has to be.
    pub(super) fn read(
        members: Map<String, Value>,
        typ: Option<&str>,
        rules: &Rules,
    ) -> Result<Self, Refused> {
        check_issuer(&members, rules)?;
        // Bound to a key that its sender has to prove (RFC 8705, RFC 9449): nobody proved it here.
        if members.contains_key("cnf") {
            return Err(Refused::Bound);
        }
        if typ == Some(ACCESS_TOKEN) && OF_ID_TOKENS.iter().any(|claim| members.contains_key(*claim)) {
            return Err(Refused::Type);
        }
        let claims = Self {
            subject: subject(&members)?,
            audiences: audiences(&members)?,
            id: match members.get("jti") {
                None => None,
                Some(Value::String(id)) => Some(id.clone()),
                Some(_) => return Err(Refused::Payload),
            },
            // A fraction of a second counts for the stricter side.
            expires_at: date(&members, "exp", f64::floor)?.ok_or(Refused::Times)?,
            not_before: date(&members, "nbf", f64::ceil)?,
            issued_at: date(&members, "iat", f64::floor)?,
            members,
        };
        match &rules.audiences {
            Audiences::OneOf(ours) if !claims.is_for_any(ours) => Err(Refused::Audience),
            Audiences::OneOf(_) | Audiences::AskedLater => Ok(claims),
        }
    }

    /// Whether one of its audiences is one of these, byte for byte.
    pub fn is_for_any<S: AsRef<str>>(&self, audiences: &[S]) -> bool {
        self.audiences.iter().any(|audience| audiences.iter().any(|ours| ours.as_ref() == audience))
    }

    /// Whether it is good at this moment.
    ///
    /// # Errors
    ///
    /// [`Refused::Expired`], [`Refused::NotYetValid`], [`Refused::TooLongLived`].
    pub fn judge(&self, rules: &Rules, now: Timestamp) -> Result<(), Refused> {
        let (now, leeway) = (now.unix(), rules.leeway);
        // RFC 7519 section 4.1.4: on or after.
        if now >= self.expires_at.saturating_add(leeway) {
            return Err(Refused::Expired);
        }
        if self.not_before.is_some_and(|from| now < from.saturating_sub(leeway)) {
            return Err(Refused::NotYetValid);
        }
        // Issued in the future is as good as now: else its life could begin when it likes.
        let begin = self.issued_at.map_or(now, |at| at.min(now));
        if self.expires_at.saturating_sub(begin) > rules.longest_life.saturating_add(leeway) {
            return Err(Refused::TooLongLived);
        }
        Ok(())
    }

    /// From when on it is good for nothing any more.
    pub fn ends(&self, rules: &Rules) -> Timestamp {
        Timestamp::from_unix(self.expires_at.saturating_add(rules.leeway))
    }
}

/// Exactly one string, equal by bytes.
pub(super) fn check_issuer(members: &Map<String, Value>, rules: &Rules) -> Result<(), Refused> {
    match members.get("iss") {
        Some(Value::String(issuer)) if *issuer == rules.issuer => Ok(()),
        _ => Err(Refused::Issuer),
    }
}

fn subject(members: &Map<String, Value>) -> Result<String, Refused> {
    match members.get("sub") {
        Some(Value::String(subject))
            if (1..=LONGEST_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control) =>
        {
            Ok(subject.clone())
        }
        _ => Err(Refused::Subject),
    }
}

/// A string, or an array of nothing but strings.
fn audiences(members: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(Refused::Audience);
    match members.get("aud") {
        Some(Value::Array(all)) if !all.is_empty() => all.iter().map(text).collect(),
        Some(one) => text(one).map(|one| vec![one]),
        None => Err(Refused::Audience),
    }
}

/// A NumericDate: seconds since the Unix epoch, perhaps with a fraction, not negative.
fn date(
    members: &Map<String, Value>,
    name: &str,
    round: impl FnOnce(f64) -> f64,
) -> Result<Option<i64>, Refused> {
    let seconds = |number: &Number| {
        if let Some(seconds) = number.as_i64() {
            return (seconds >= 0).then_some(seconds);
        }
        let seconds = number.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
        // Saturates: the end of time is far enough.
        #[allow(clippy::cast_possible_truncation, reason = "saturates")]
        Some(round(seconds) as i64)
    };
    match members.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => seconds(number).map(Some).ok_or(Refused::Times),
        Some(_) => Err(Refused::Times),
    }
}

/// Bytes.
const LONGEST_SUBJECT: usize = 256;

/// RFC 9068.
pub(super) const ACCESS_TOKEN: &str = "at+jwt";
/// What only OpenID Connect's ID tokens have.
const OF_ID_TOKENS: [&str; 2] = ["nonce", "at_hash"];
