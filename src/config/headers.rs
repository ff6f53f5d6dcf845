//! The names of the headers that tell the upstream who called.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::{Fault, listed, quoted};
use super::place::{At, Place};
use super::scalar::{Scalar, scalar};
use crate::domain::headers::IdentityHeaders;

/// The names of the headers that tell the upstream who called. Each is set or removed on every
/// request that passes, so a name of the application's own would be lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Headers {
    /// Default: `x-consumer-id`.
    pub consumer_id: At<HeaderName>,
    /// Default: `x-consumer-custom-id`.
    pub consumer_custom_id: At<HeaderName>,
    /// Default: `x-consumer-username`.
    pub consumer_username: At<HeaderName>,
    /// Default: `x-consumer-groups`.
    pub consumer_groups: At<HeaderName>,
    /// Default: `x-credential-identifier`.
    pub credential_identifier: At<HeaderName>,
    /// Default: `x-anonymous-consumer`.
    pub anonymous_consumer: At<HeaderName>,
    /// Default: `x-permissions`.
    pub permissions: At<HeaderName>,
    /// Default: `x-user-id`.
    pub user_id: At<HeaderName>,
    /// Default: `x-user-name`.
    pub user_name: At<HeaderName>,
    /// Default: `x-project-id`.
    pub project_id: At<HeaderName>,
    /// Default: `x-project-name`.
    pub project_name: At<HeaderName>,
    /// Default: `x-roles`.
    pub roles: At<HeaderName>,
    /// Those that `claims` of a JWT may be told under, whatever the service. At most 32, each with at most
    /// three `-`, `_` and `.`. Default: none.
    #[serde(skip_serializing_if = "nothing")]
    pub claims: At<Vec<At<HeaderName>>>,
}

fn nothing(claims: &At<Vec<At<HeaderName>>>) -> bool {
    claims.is_empty()
}

/// A header's name in lower case; not one that the connection, the proxy or the application live by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderName(String);

/// Names that carry the message itself, or a credential; what sets or removes them breaks requests.
const FRAMING: [&str; 17] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Names by which proxies tell each other of the request.
const PROXY: [&str; 7] = [
    "forwarded",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// Names that browsers, clients and their libraries send for the application to read, besides those of
/// [`FAMILIES`].
const REQUEST: [&str; 26] = [
    "accept",
    "baggage",
    "cache-control",
    "date",
    "dnt",
    "from",
    "idempotency-key",
    "last-event-id",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "signature",
    "signature-input",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-csrf-token",
    "x-forwarded-prefix",
    "x-http-method-override",
    "x-hub-signature",
    "x-hub-signature-256",
    "x-real-ip",
    "x-requested-with",
];

/// How names begin that the web, gRPC and Envoy go on adding to.
const FAMILIES: [&str; 9] =
    ["accept-", "access-control-", "content-", "grpc-", "if-", "sec-", "x-amz-", "x-b3-", "x-envoy-"];

/// The most `-`, `_` and `.` of a name: each makes three times as many look-alikes, all of which
/// stand in an answer where the asker shows us only some headers.
const MOST_MARKS: usize = 6;

/// The same of a name for claims: there may be many of these.
const MOST_MARKS_OF_CLAIMS: usize = 3;

/// The most names for claims: every answer sets or removes each of them.
const MOST_CLAIMS: usize = 32;

/// How an upstream may see a name: many read `X_User`, `x.user` and `X-User` as one (CGI's
/// `HTTP_X_USER`).
pub(super) fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Whether a credential may be looked for, and removed, under that header name.
pub(super) fn may_hold_a_key(name: &str) -> bool {
    let name = folded(name);
    // Some send a bare key as `Authorization: <key>`.
    name == "authorization" || !(FRAMING.contains(&name.as_str()) || PROXY.contains(&name.as_str()))
}

impl Default for Headers {
    fn default() -> Self {
        let IdentityHeaders {
            consumer_id,
            consumer_custom_id,
            consumer_username,
            consumer_groups,
            credential_identifier,
            anonymous_consumer,
            permissions,
            user_id,
            user_name,
            project_id,
            project_name,
            roles,
            claims: _,
        } = IdentityHeaders::default();
        let assumed = |name| At::assumed(HeaderName(name));
        Self {
            consumer_id: assumed(consumer_id),
            consumer_custom_id: assumed(consumer_custom_id),
            consumer_username: assumed(consumer_username),
            consumer_groups: assumed(consumer_groups),
            credential_identifier: assumed(credential_identifier),
            anonymous_consumer: assumed(anonymous_consumer),
            permissions: assumed(permissions),
            user_id: assumed(user_id),
            user_name: assumed(user_name),
            project_id: assumed(project_id),
            project_name: assumed(project_name),
            roles: assumed(roles),
            claims: At::assumed(Vec::new()),
        }
    }
}

impl Headers {
    /// Every name with its setting.
    fn all(&self) -> impl Iterator<Item = (&'static str, &At<HeaderName>)> {
        let known = [
            ("consumer_id", &self.consumer_id),
            ("consumer_custom_id", &self.consumer_custom_id),
            ("consumer_username", &self.consumer_username),
            ("consumer_groups", &self.consumer_groups),
            ("credential_identifier", &self.credential_identifier),
            ("anonymous_consumer", &self.anonymous_consumer),
            ("permissions", &self.permissions),
            ("user_id", &self.user_id),
            ("user_name", &self.user_name),
            ("project_id", &self.project_id),
            ("project_name", &self.project_name),
            ("roles", &self.roles),
        ];
        known.into_iter().chain(self.claims.iter().map(|name| ("claims", name)))
    }

    /// Whether an upstream may take that name for one of these.
    pub(super) fn claim(&self, name: &str) -> bool {
        let name = folded(name);
        self.all().any(|(_, header)| folded(&header.0) == name)
    }

    /// The header that claims are told under by this name.
    ///
    /// # Errors
    ///
    /// Why there is none: the store cannot declare any, since each is taken from the requests to every
    /// service.
    pub(super) fn of_claims(&self, name: &str, place: Place) -> Result<String, Fault> {
        let found = self.claims.iter().find(|header| header.0.eq_ignore_ascii_case(name));
        found.map(|header| header.0.clone()).ok_or_else(|| {
            let known: Vec<&str> = self.claims.iter().map(|header| header.0.as_str()).collect();
            let has = match known.as_slice() {
                [] => "has none".to_owned(),
                known => format!("has {}", listed(known)),
            };
            let message = format!(
                "the header {} is not declared: claims are told under those of `headers.claims` in the file, which {has}",
                quoted(name)
            );
            Fault::new(place, message).hint(name, known)
        })
    }

    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        if self.claims.len() > MOST_CLAIMS {
            let message =
                format!("`headers.claims` has {} names, expected at most {MOST_CLAIMS}", self.claims.len());
            faults.push(Fault::new(self.claims.place, message));
        }
        for name in self.claims.iter().filter(|name| name.marks() > MOST_MARKS_OF_CLAIMS) {
            let message = format!(
                "`headers.claims` has `{}`, expected names with at most {MOST_MARKS_OF_CLAIMS} of `-`, `_` and `.`",
                name.0
            );
            faults.push(Fault::new(name.place, message));
        }
        let mut taken: HashMap<String, (&str, &At<HeaderName>)> = HashMap::new();
        for (setting, header) in self.all() {
            if let Some((other, first)) = taken.insert(folded(&header.0), (setting, header)) {
                let message = format!(
                    "`headers.{setting}` and `headers.{other}` are both `{}`: case, `_`, `.` and `-` make no difference",
                    header.0
                );
                faults.push(Fault::new(header.place.or(first.place), message));
            }
        }
    }

    pub fn identity(&self) -> IdentityHeaders {
        let name = |header: &At<HeaderName>| header.0.clone();
        IdentityHeaders {
            consumer_id: name(&self.consumer_id),
            consumer_custom_id: name(&self.consumer_custom_id),
            consumer_username: name(&self.consumer_username),
            consumer_groups: name(&self.consumer_groups),
            credential_identifier: name(&self.credential_identifier),
            anonymous_consumer: name(&self.anonymous_consumer),
            permissions: name(&self.permissions),
            user_id: name(&self.user_id),
            user_name: name(&self.user_name),
            project_id: name(&self.project_id),
            project_name: name(&self.project_name),
            roles: name(&self.roles),
            claims: self.claims.iter().map(name).collect(),
        }
    }
}

impl HeaderName {
    fn marks(&self) -> usize {
        self.0.bytes().filter(|byte| !byte.is_ascii_alphanumeric()).count()
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Scalar for HeaderName {
    const EXPECTED: &'static str = "the name of a header that nobody else uses, such as `X-Consumer-ID`";

    fn parse(text: &str) -> Option<Self> {
        // Of RFC 9110's tokens those that every upstream takes, and that an answer of ours may hold.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let name = text.to_ascii_lowercase();
        let ours = folded(&name);
        let taken = [&FRAMING[..], &PROXY, &REQUEST].iter().any(|names| names.contains(&ours.as_str()))
            || FAMILIES.iter().any(|start| ours.starts_with(start));
        let plain = !name.is_empty() && name.len() <= 128 && name.bytes().all(token);
        Some(Self(name)).filter(|name| plain && !taken && name.marks() <= MOST_MARKS)
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[._0-9A-Za-z-]+$" })
    }
}

scalar!(HeaderName);
