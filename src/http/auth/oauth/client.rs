//! What a client asks, and how it shows who it is (RFC 6749 section 2.3.1): in `Authorization: Basic`, or in the
//! body, and never in both.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::refusal::Refused;
use crate::domain::secret::Secret;

/// A request by a client, whoever it is.
pub(super) struct Asked {
    pub(super) client: Uuid,
    pub(super) secret: Secret,
    fields: HashMap<String, String>,
}

impl Asked {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refused> {
        let mut fields = form(headers, body)?;
        let in_body = (fields.remove("client_id"), fields.remove("client_secret"));
        let (client, secret) = match (basic(headers)?, in_body) {
            (Some(shown), (None, None)) => shown,
            // Again, and the same one.
            (Some((client, secret)), (Some(named), None)) if id(&named).ok() == Some(id(&client)?) => {
                (client, secret)
            }
            (Some(_), _) => {
                return Err(Refused::Request("the client is named both in a header and in the body"));
            }
            (None, (Some(client), Some(secret))) => (client, secret),
            (None, _) => return Err(Refused::Client),
        };
        Ok(Self { client: id(&client)?, secret: secret.into(), fields })
    }
}

impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let headers = request.headers().clone();
        let body = Bytes::from_request(request, state).await;
        Self::read(&headers, &body.map_err(|_| Refused::Request("the body did not arrive whole"))?)
    }
}

/// With hyphens or without. What is no id is no client's.
fn id(text: &str) -> Result<Uuid, Refused> {
    Uuid::try_parse(text).map_err(|_| Refused::Client)
}

/// The parameters, and one without a value is none (RFC 6749 section 3.2). Of one that comes twice nobody
/// could say which counts.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<HashMap<String, String>, Refused> {
    let is_form = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if !is_form {
        return Err(Refused::Request("the body has to be application/x-www-form-urlencoded"));
    }
    let mut fields = HashMap::new();
    for (name, value) in form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Refused::Request("a parameter comes twice"));
        }
    }
    Ok(fields)
}

/// Id and secret of `Authorization`, each form-encoded before they were joined; `None` without that header.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, Refused> {
    let mut lines = headers.get_all(AUTHORIZATION).into_iter();
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(Refused::Client);
    }
    let read = || {
        let (scheme, encoded) = line.to_str().ok()?.split_once(' ')?;
        let bytes = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded).ok())??;
        let (client, secret) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
        Some((decoded(client)?, decoded(secret)?))
    };
    read().map(Some).ok_or(Refused::Client)
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    const CLIENT: &str = "00000000-0000-0000-0000-000000000007";
    const FORM: &str = "application/x-www-form-urlencoded";

    /// Whom a request names and with which secret, or the error that it gets.
    #[track_caller]
    fn check(authorization: &[&str], body: &str, expected: Result<&str, &str>) {
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(FORM))]);
        for line in authorization {
            headers.append(AUTHORIZATION, HeaderValue::from_str(line).unwrap());
        }
        let asked = Asked::read(&headers, body.as_bytes());
        let found = match &asked {
            Ok(asked) => {
                assert_eq!(asked.client.as_u128(), 7);
                Ok(asked.secret.expose())
            }
            Err(refused) => Err(refused.code()),
        };
        assert_eq!(found, expected, "{authorization:?} {body}");
    }

    fn basic_of(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn a_client_is_named_in_one_place() {
        let good = basic_of(&format!("{CLIENT}:s%2Bx+y"));
        let named = format!("client_id={CLIENT}&client_secret=s%2Bx+y");
        check(&[&good], "", Ok("s+x y"));
        check(&[&good.replace("Basic", "bASIC")], "", Ok("s+x y"));
        check(&[], &named, Ok("s+x y"));
        check(&[], &named.replace('-', ""), Ok("s+x y"));
        check(&[&good], &format!("client_id={CLIENT}"), Ok("s+x y"));
        check(&[&good], &format!("client_id={}", CLIENT.replace('-', "")), Ok("s+x y"));
        check(&[&good], "client_id=other", Err("invalid_request"));
        check(&[&good], &named, Err("invalid_request"));
        check(&[&good, &good], "", Err("invalid_client"));
        for bad in
            ["Basic", "Basic ", "Bearer x", "Basic !", &basic_of(CLIENT), &basic_of("x:y"), &basic_of(":")]
        {
            check(&[bad], "", Err("invalid_client"));
        }
        check(&[], "", Err("invalid_client"));
        check(&[], &format!("client_id={CLIENT}"), Err("invalid_client"));
        check(&[], "client_id=x&client_secret=y", Err("invalid_client"));
    }

    #[test]
    fn a_parameter_without_a_value_counts_as_left_out() {
        let good = basic_of(&format!("{CLIENT}:s"));
        for body in ["client_id=&client_secret=", "client_id", "client_secret=", "a=&a=1&a"] {
            check(&[&good], body, Ok("s"));
        }
        check(&[], &format!("client_id={CLIENT}&client_secret="), Err("invalid_client"));
        check(&[], "client_id=&client_secret=s", Err("invalid_client"));
    }

    #[test]
    fn parameters_come_once_in_a_form() {
        let good = basic_of(&format!("{CLIENT}:s"));
        check(&[&good], "a=1&b=2", Ok("s"));
        check(&[&good], "a=1&a=1", Err("invalid_request"));
        check(&[&good], "a=1&%61=2", Err("invalid_request"));
        for kind in ["application/json", "text/plain", ""] {
            let headers = HeaderMap::from_iter([
                (CONTENT_TYPE, HeaderValue::from_static(kind)),
                (AUTHORIZATION, HeaderValue::from_str(&good).unwrap()),
            ]);
            let refused = Asked::read(&headers, b"a=1").err().map(|refused| refused.code());
            assert_eq!(refused, Some("invalid_request"), "{kind}");
        }
        let headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("APPLICATION/x-www-form-urlencoded ; charset=utf-8")),
            (AUTHORIZATION, HeaderValue::from_str(&good).unwrap()),
        ]);
        let asked = Asked::read(&headers, b"a=1&b=").unwrap();
        assert_eq!((asked.field("a"), asked.field("b"), asked.field("c")), (Some("1"), None, None));
    }
}
