//! The cookie that a session stands in, and the `cookie` method.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::authentication::Surroundings;
use super::deployments::Part;
use super::fault::{Fault, quoted};
use super::place::At;
use crate::domain;
use crate::domain::origin::is_on_this_machine;

/// The cookie of all sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cookie {
    /// Sent as `__Host-<name>`, and with a `domain` as `__Secure-<name>`. Default: `doorward_session`.
    pub name: At<String>,
    /// Every host in it shares its sessions: whoever runs one of them can take over a session for all.
    /// Absent or `null`: the services of one host share theirs.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Part<At<String>>")]
    pub domain: Option<At<String>>,
    /// Pages that may have browsers send requests with a session, besides those of the service's own
    /// host: `https://app.example.com`. Default: none.
    pub origins: Vec<At<String>>,
}

/// The `cookie` method: a session, in its cookie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InCookie {
    /// Whether requests are refused that a page of another origin had the browser send, and those that
    /// would change something and do not tell their origin. Default: true.
    pub csrf: At<bool>,
}

/// The word `null` says that there is none.
fn or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<At<String>>, D::Error> {
    Part::deserialize(deserializer).map(|part| match part {
        Part::Removed => None,
        Part::Is(value) => Some(value),
    })
}

impl Default for Cookie {
    fn default() -> Self {
        Self { name: At::assumed("doorward_session".to_owned()), domain: None, origins: Vec::new() }
    }
}

impl Default for InCookie {
    fn default() -> Self {
        Self { csrf: At::assumed(true) }
    }
}

impl Cookie {
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let fits = (1..=64).contains(&self.name.len()) && self.name.bytes().all(plain);
        if !fits || self.name.starts_with("__") {
            let message = format!(
                "`cookie.name` is {}, expected letters, digits, `_` and `-`, without the prefix",
                quoted(&self.name)
            );
            faults.push(Fault::new(self.name.place, message));
        }
        if let Some(domain) = &self.domain
            && !is_domain(domain)
        {
            let message = format!(
                "`cookie.domain` is {}, expected a domain such as `example.com`, lower case, without a dot before it",
                quoted(domain)
            );
            faults.push(Fault::new(domain.place, message));
        }
        for origin in &self.origins {
            if !is_origin(origin) {
                let message = format!(
                    "{} is no origin, expected the form `https://app.example.com`, with a port where it \
                     is not the usual one, and nothing after it; each by itself, for there are no patterns",
                    quoted(origin)
                );
                faults.push(Fault::new(origin.place, message));
            }
        }
    }

    /// Its name as it is sent.
    pub fn sent_name(&self) -> String {
        let prefix = if self.domain.is_some() { "__Secure-" } else { "__Host-" };
        format!("{prefix}{}", self.name.value)
    }
}

impl InCookie {
    pub(super) fn resolve(&self, around: &mut Surroundings<'_>) -> domain::authentication::Cookie {
        if !self.csrf.value {
            let message = "`csrf` is off: every page on the web can have its visitors' browsers send requests \
                           with their sessions";
            around.warnings.push(Fault::new(self.csrf.place, message));
        }
        for origin in &around.cookie.origins {
            if origin.strip_prefix("http://").is_some_and(|host| !is_on_this_machine(host.as_bytes())) {
                let message = format!(
                    "{} is without TLS: whoever is on the way between it and its visitors can write its pages, and \
                     so use their sessions",
                    quoted(origin)
                );
                around.warnings.push(Fault::new(origin.place, message));
            }
        }
        let origins = around.cookie.origins.iter().map(|origin| origin.to_ascii_lowercase());
        domain::authentication::Cookie {
            name: around.cookie.sent_name(),
            domain: around.cookie.domain.as_ref().map(|domain| domain.value.clone()),
            csrf: self.csrf.value,
            origins: origins.collect(),
        }
    }
}

/// Of two labels at least: browsers take none of one.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let named = text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && text.contains('.') && text.split('.').all(label) && named
}

fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let scheme = uri.scheme_str().unwrap_or_default();
    let bare = text.len() == scheme.len() + "://".len() + uri.authority().map_or(0, |it| it.as_str().len());
    let usual = if scheme == "https" { 443 } else { 80 };
    matches!(scheme, "https" | "http")
        && bare
        && !text.contains('*')
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && uri.port_u16() != Some(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn domains_and_origins_are_what_browsers_take_them_for() {
        for (text, expected) in [
            ("example.com", true), ("a.b-c.example", true), ("xn--bcher-kva.example", true),
            ("example", false), (".example.com", false), ("example.com.", false), ("Example.com", false),
            ("192.0.2.1", false), ("-a.example", false), ("a..b", false), ("a b.c", false), ("", false),
            ("example.com:80", false),
        ] {
            assert_eq!(is_domain(text), expected, "{text}");
        }
        for (text, expected) in [
            ("https://app.example.com", true), ("https://app.example.com:8443", true), ("http://localhost:3000", true),
            ("https://[::1]:8443", true),
            ("https://app.example.com/", false), ("https://app.example.com:443", false), ("app.example.com", false),
            ("https://", false), ("https://*.example.com", false), ("https://*", false), ("*", false), ("null", false), ("ftp://a.example", false),
            ("https://u@a.example", false), ("https://a.example?x", false), ("https://a.example/x", false),
        ] {
            assert_eq!(is_origin(text), expected, "{text}");
        }
    }
}
