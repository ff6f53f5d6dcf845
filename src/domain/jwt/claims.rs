//! What a payload claims, once its signature was found good.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::compact::Header;
use super::{Algorithm, Audiences, Refused, Rules, Whose};
use crate::domain::password::Mark;
use crate::domain::time::Timestamp;

/// What a genuine token says. It is a fact about the token: whether it is good at a moment, and for
/// what, is judged anew by every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    algorithm: Algorithm,
    typ: Option<String>,
    issuer: String,
    /// Empty where there is none, and none is needed.
    pub subject: Arc<str>,
    pub audiences: Vec<String>,
    /// The token's own id.
    pub id: Option<Arc<str>>,
    expires_at: i64,
    not_before: Option<i64>,
    issued_at: Option<i64>,
    /// All of them, as they stand.
    pub members: Map<String, Value>,
    size: usize,
}

impl Claims {
    /// # Errors
    ///
    /// Where a claim that must be there is not, or one is not what it has to be.
    pub(super) fn read(
        header: Header,
        members: Map<String, Value>,
        length: usize,
        whose: Whose,
    ) -> Result<Self, Refused> {
        let Header { algorithm, typ, .. } = header;
        // Bound to a key that its sender has to prove (RFC 8705, RFC 9449): nobody proved it here.
        if members.contains_key("cnf") {
            return Err(Refused::Bound);
        }
        if typ.as_deref() == Some(ACCESS_TOKEN)
            && OF_ID_TOKENS.iter().any(|claim| members.contains_key(*claim))
        {
            return Err(Refused::Type);
        }
        Ok(Self {
            algorithm,
            typ,
            issuer: issuer(&members)?.to_owned(),
            subject: match whose {
                Whose::Issuer if !members.contains_key("sub") => "".into(),
                Whose::Issuer | Whose::Subject => subject(&members)?.into(),
            },
            audiences: match whose {
                Whose::Issuer if !members.contains_key("aud") => Vec::new(),
                Whose::Issuer | Whose::Subject => audiences(&members)?,
            },
            id: match members.get("jti") {
                None => None,
                Some(Value::String(id)) => Some(id.as_str().into()),
                Some(_) => return Err(Refused::Payload),
            },
            // A fraction of a second counts for the stricter side.
            expires_at: date(&members, "exp", f64::floor)?.ok_or(Refused::Times)?,
            not_before: date(&members, "nbf", f64::ceil)?,
            issued_at: date(&members, "iat", f64::floor)?,
            // Every member costs a node, its name and its value.
            size: 512 + 3 * length + 64 * members.len(),
            members,
        })
    }

    /// Bytes that this takes in memory, roughly.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether one of its audiences is one of these, byte for byte.
    pub fn is_for_any<S: AsRef<str>>(&self, audiences: &[S]) -> bool {
        self.audiences.iter().any(|audience| audiences.iter().any(|ours| ours.as_ref() == audience))
    }

    /// Whether it is good for these rules, at this moment. Asked anew whenever the token is presented:
    /// that its signature is good is all that may be remembered of it.
    ///
    /// # Errors
    ///
    /// [`Refused`], whatever a genuine token may lack.
    pub fn judge(&self, rules: &Rules, now: Timestamp) -> Result<(), Refused> {
        rules.take(self.algorithm, self.typ.as_deref())?;
        if self.issuer != rules.issuer {
            return Err(Refused::Issuer);
        }
        match &rules.audiences {
            Audiences::OneOf(ours) if !self.is_for_any(ours) => return Err(Refused::Audience),
            Audiences::OneOf(_) | Audiences::AskedLater => {}
        }
        self.judge_times(rules, now)
    }

    fn judge_times(&self, rules: &Rules, now: Timestamp) -> Result<(), Refused> {
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

    /// What stands at the end of this path of names; `None` where it leads nowhere.
    pub fn at(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.members.get(first)?, |value, name| value.get(name))
    }

    /// Of a token of ours: the mark of the password at whose login it was made. `Some(None)`: what stands
    /// there is none.
    pub fn password(&self) -> Option<Option<Mark>> {
        self.members.get(PASSWORD).map(|mark| mark.as_str().and_then(Mark::parse))
    }
}

/// The claim that binds a token of ours to a password: changed, it is over with the token.
pub const PASSWORD: &str = "pwd";

/// Exactly one string.
pub(super) fn issuer(members: &Map<String, Value>) -> Result<&str, Refused> {
    members.get("iss").and_then(Value::as_str).ok_or(Refused::Issuer)
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
