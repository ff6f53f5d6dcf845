//! A request in words.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::domain::network::address;
use crate::domain::request::{Body, Header, Request, Route, is_grpc};

/// A request as somebody describes it: the body of `POST /explain`, a case of `doorward test`.
///
/// What is left out is taken from [`or`](Self::or)'s other, or is as Envoy has it where there is none.
// Has no `Debug`: it holds credentials.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// Default: `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Path and query, as the client writes them. Default: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `:authority`, or the `Host` header. Default: none, and then only a route finds a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Lines of name and value, in order; a name may stand there twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<(String, String)>>,
    /// Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The address at the other end of the connection to Envoy, or `unix` where that is a Unix
    /// socket. Default: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the route's `context_extensions` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<String>,
    /// Whether Envoy sends headers as a map, lines of one name joined by commas: its own default,
    /// without `encode_raw_headers`. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<bool>,
    /// Envoy's `allowed_headers`: the names that it shows. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_headers: Option<Vec<String>>,
}

/// Why a description is none of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {why}")]
pub struct Misdescribed {
    pub field: &'static str,
    pub why: String,
}

/// A request that could have been made.
pub struct Described {
    method: String,
    target: String,
    host: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: String,
    source: Option<IpAddr>,
    unix: bool,
    service: Option<String>,
    infrastructure: Option<String>,
    joined: bool,
    filtered: bool,
}

impl Description {
    /// This one, and where it says nothing, what the other says.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let this = self.clone();
        let other = other.clone();
        Self {
            method: this.method.or(other.method),
            target: this.target.or(other.target),
            host: this.host.or(other.host),
            headers: this.headers.or(other.headers),
            body: this.body.or(other.body),
            source: this.source.or(other.source),
            service: this.service.or(other.service),
            infrastructure: this.infrastructure.or(other.infrastructure),
            joined: this.joined.or(other.joined),
            allowed_headers: this.allowed_headers.or(other.allowed_headers),
        }
    }

    /// The request that it describes.
    ///
    /// # Errors
    ///
    /// A source that is no address, a header that no HTTP message can carry.
    pub fn understood(&self) -> Result<Described, Misdescribed> {
        let mut headers = Vec::new();
        for (name, value) in self.headers.iter().flatten() {
            headers.push((header_name(name)?, header_value(name, value)?));
        }
        let allowed = self.allowed_headers.as_ref();
        if let Some(allowed) = allowed {
            headers.retain(|(name, _)| allowed.iter().any(|shown| shown.eq_ignore_ascii_case(name)));
        }
        if self.joined == Some(true) {
            headers = joined(headers);
        }
        let (source, unix) = match self.source.as_deref() {
            None => (None, false),
            Some("unix") => (None, true),
            Some(text) => {
                let why = || format!("expected an IP address or `unix`, found `{}`", text.escape_debug());
                let source = address(text.as_bytes());
                (Some(source.ok_or_else(|| Misdescribed { field: "source", why: why() })?), false)
            }
        };
        let text = |text: &Option<String>, usual: &str| text.clone().unwrap_or_else(|| usual.to_owned());
        Ok(Described {
            method: text(&self.method, "GET"),
            target: text(&self.target, "/"),
            host: text(&self.host, ""),
            headers,
            body: text(&self.body, ""),
            source,
            unix,
            service: self.service.clone(),
            infrastructure: self.infrastructure.clone(),
            joined: self.joined == Some(true),
            filtered: allowed.is_some(),
        })
    }
}

impl Described {
    pub fn request(&self) -> Request<'_> {
        let mut request = Request {
            method: self.method.as_bytes(),
            target: self.target.as_bytes(),
            host: self.host.as_bytes(),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| Header { name: name.as_bytes(), value: value.as_bytes() })
                .collect(),
            joined: self.joined,
            filtered: self.filtered,
            hops_hidden: false,
            body: if self.body.is_empty() { Body::Absent } else { Body::Whole(self.body.as_bytes()) },
            source: self.source,
            unix: self.unix,
            route: Route {
                service: self.service.as_deref().map(str::as_bytes),
                infrastructure: self.infrastructure.as_deref().map(str::as_bytes),
            },
            id: b"",
            grpc: false,
            traced: None,
        };
        request.grpc = request.header(b"content-type").one().is_some_and(is_grpc);
        request
    }
}

/// In lower case, as every asker sends them.
fn header_name(name: &str) -> Result<String, Misdescribed> {
    let refuse =
        |why: &str| Misdescribed { field: "headers", why: format!("`{}` {why}", name.escape_debug()) };
    if name.eq_ignore_ascii_case("host") || name.starts_with(':') {
        return Err(refuse("is no header here: `host`, `method` and `target` say it"));
    }
    // RFC 9110 section 5.6.2: the characters of a token.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(refuse("is no name of a header"));
    }
    Ok(name.to_ascii_lowercase())
}

/// Without the blanks around it, which are no part of a value (RFC 9110 section 5.5).
fn header_value(name: &str, value: &str) -> Result<String, Misdescribed> {
    let value = value.trim_matches([' ', '\t']);
    // The value is not shown: it may be a credential.
    if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
        let why = format!("the value of `{name}` has a control character, which Envoy refuses");
        return Err(Misdescribed { field: "headers", why });
    }
    Ok(value.to_owned())
}

/// Lines of one name as one, as Envoy's map has them.
fn joined(lines: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut map: Vec<(String, String)> = Vec::new();
    for (name, value) in lines {
        match map.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(&value);
            }
            None => map.push((name, value)),
        }
    }
    map
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::request::HeaderValue;

    fn lines(lines: &[(&str, &str)]) -> Description {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Description { headers: Some(lines.iter().map(owned).collect()), ..Description::default() }
    }

    #[test]
    fn lines_of_one_name_are_joined_where_the_asker_joins_them() {
        let twice = lines(&[("ApiKey", " one "), ("x", "y"), ("apikey", "two")]);
        let apart = twice.understood().unwrap();
        assert_eq!(apart.request().header(b"apikey"), HeaderValue::Many);
        let together = Description { joined: Some(true), ..twice }.understood().unwrap();
        assert_eq!(together.request().header(b"apikey"), HeaderValue::One(b"one,two"));
        assert!(together.request().joined);
    }

    #[test]
    fn only_allowed_headers_are_seen() {
        let some = Description {
            allowed_headers: Some(vec!["ApiKey".into()]),
            ..lines(&[("apikey", "one"), ("x-consumer-id", "evil")])
        };
        let described = some.understood().unwrap();
        assert_eq!(described.request().headers.len(), 1);
        assert!(described.request().filtered);
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_source_is_an_address_or_the_word_unix() {
        let source = |text: &str| {
            let described = Description { source: Some(text.into()), ..Description::default() }.understood();
            described.ok().map(|described| (described.source.map(|address| address.to_string()), described.unix))
        };
        assert_eq!(source("198.51.100.7"),         Some((Some("198.51.100.7".into()), false)));
        assert_eq!(source("::ffff:198.51.100.7"),  Some((Some("198.51.100.7".into()), false)));
        assert_eq!(source("unix"),                 Some((None, true)));
        for text in ["", "198.51.100.07", "198.51.100.7:80", "somewhere"] {
            assert_eq!(source(text), None, "{text}");
        }
    }

    #[test]
    fn what_no_message_can_carry_is_refused_without_its_value() {
        for (name, value) in [("", "x"), ("a b", "x"), ("Host", "x"), (":path", "/"), ("x", "sec\r\nret")] {
            let refused = lines(&[(name, value)]).understood().err().unwrap().to_string();
            assert!(refused.starts_with("`headers`: ") && !refused.contains("sec"), "{refused}");
        }
    }

    #[test]
    fn what_a_description_leaves_out_the_other_says() {
        let defaults = Description {
            host: Some("a.example".into()),
            method: Some("PUT".into()),
            ..lines(&[("a", "b")])
        };
        let this = Description { method: Some("POST".into()), ..lines(&[]) }.or(&defaults);
        assert_eq!(this.method.as_deref(), Some("POST"));
        assert_eq!(this.host.as_deref(), Some("a.example"));
        assert_eq!(this.headers, Some(vec![]), "lines are replaced, never added to");
    }

    #[test]
    fn a_word_that_is_not_known_is_refused() {
        assert!(serde_json::from_str::<Description>(r#"{"path": "/"}"#).is_err());
    }
}
