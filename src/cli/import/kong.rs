//! Kong's declarative file, as much of it as we take over.

mod credentials;
mod plugins;

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use self::credentials::{Acl, Basic, Jwt, Key, Owner, called};
use self::plugins::{NewPlugin, Plugin, Service};
use super::twins::Twins;

/// The whole file.
#[derive(Default)]
pub(super) struct Document {
    consumers: Vec<Consumer>,
    keys: Vec<Key>,
    acls: Vec<Acl>,
    basics: Vec<Basic>,
    jwts: Vec<Jwt>,
    services: Vec<Service>,
    routes: Vec<Service>,
    plugins: Vec<Plugin>,
    /// What we do not know, and how many there are of it.
    others: Vec<(String, usize)>,
}

/// What the file comes to, as `POST /import` takes it.
pub(super) struct Parts {
    pub(super) consumers: Vec<NewConsumer>,
    pub(super) acls: Vec<Acl>,
    pub(super) keys: Vec<Key>,
    pub(super) basics: Vec<Basic>,
    pub(super) jwts: Vec<Jwt>,
    pub(super) plugins: Vec<NewPlugin>,
    pub(super) left_out: Vec<LeftOut>,
}

/// What is not carried over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct LeftOut {
    pub(super) what: String,
    pub(super) why: String,
}

/// As a person would call it, without any secret.
pub(super) trait Named {
    fn called(&self) -> String;

    /// The consumer that it is of, or that it names.
    fn owner(&self) -> Option<String>;

    /// What comes of one that the server would make, beside what the same import would have made by then.
    fn beside(&self, twins: &mut Twins) -> Value;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Consumer {
    id: Option<String>,
    username: Option<String>,
    custom_id: Option<String>,
    tags: Option<Vec<String>>,
    #[serde(rename = "created_at")]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
    #[serde(default)]
    keyauth_credentials: Vec<Key>,
    #[serde(default)]
    acls: Vec<Acl>,
    #[serde(default)]
    basicauth_credentials: Vec<Basic>,
    #[serde(default)]
    jwt_secrets: Vec<Jwt>,
    #[serde(default)]
    plugins: Vec<IgnoredAny>,
    #[serde(default)]
    groups: Vec<IgnoredAny>,
    #[serde(default)]
    hmacauth_credentials: Vec<IgnoredAny>,
    #[serde(default)]
    oauth2_credentials: Vec<IgnoredAny>,
    #[serde(default)]
    mtls_auth_credentials: Vec<IgnoredAny>,
}

#[derive(Serialize)]
pub(super) struct NewConsumer {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    username: Option<String>,
    custom_id: Option<String>,
    tags: Option<Vec<String>>,
}

impl Document {
    /// # Errors
    ///
    /// Say what is wrong, and where.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: 32,
                flow_nesting_limit: 32,
                // A million keys with their consumers, several times over.
                max_nodes: 100_000_000,
                max_events: 200_000_000,
                max_total_scalar_bytes: 4 << 30,
                max_aliases: 10_000,
                max_anchors: 10_000,
            },
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
    }

    /// Whether there is nothing in it that could be taken over or be left out of that.
    pub(super) fn is_empty(&self) -> bool {
        let credentials = self.keys.len() + self.acls.len() + self.basics.len() + self.jwts.len();
        let plugins = self.plugins.len() + plugins::count(&self.services) + plugins::count(&self.routes);
        self.consumers.len() + credentials + plugins == 0
    }

    pub(super) fn into_parts(self, allow_weak: bool) -> Parts {
        let Self { consumers, keys, acls, basics, jwts, services, routes, plugins, others } = self;
        let mut left_out = Vec::new();
        let known = [("services", services.len()), ("routes", plugins::routes(&services, &routes))];
        let plugins = plugins::collect(services, routes, plugins, &mut left_out);
        let mut parts = Parts { consumers: Vec::new(), acls, keys, basics, jwts, plugins, left_out };
        for consumer in consumers {
            parts.take(consumer);
        }
        let known = known.into_iter().filter(|(_, count)| *count > 0);
        let others = known.map(|(name, count)| (name.to_owned(), count)).chain(others);
        parts.left_out.extend(others.map(|(name, count)| LeftOut {
            why: why_left_out(&name).to_owned(),
            what: format!("{name} ({count})"),
        }));
        parts.keys.iter_mut().for_each(|key| key.insecure_allow_weak = allow_weak);
        let (hashed, basics): (Vec<_>, Vec<_>) = parts.basics.into_iter().partition(Basic::is_hashed);
        parts.basics = basics;
        parts.left_out.extend(hashed.iter().map(|basic| LeftOut {
            what: basic.called(),
            why: "its password is there as Kong's SHA-1 hash alone, which cannot be verified here; set a new one".into(),
        }));
        // A secret and a public key side by side is how Kong writes it; one of the two is used.
        for jwt in &mut parts.jwts {
            match jwt.algorithm.as_deref().unwrap_or("HS256").starts_with("HS") {
                true => jwt.rsa_public_key = None,
                false => jwt.secret = None,
            }
        }
        parts
    }
}

impl Parts {
    fn take(&mut self, it: Consumer) {
        let owner =
            Owner { id: it.id.clone(), username: it.username.clone(), custom_id: it.custom_id.clone() };
        // Another consumer of that name would have another id: then the name counts.
        let owner = match owner.username {
            Some(_) => Owner { id: None, custom_id: None, ..owner },
            None => owner,
        };
        let called = called(Some(&owner));
        for (name, count) in [
            ("plugins", it.plugins.len()),
            ("groups", it.groups.len()),
            ("hmacauth_credentials", it.hmacauth_credentials.len()),
            ("oauth2_credentials", it.oauth2_credentials.len()),
            ("mtls_auth_credentials", it.mtls_auth_credentials.len()),
        ] {
            if count > 0 {
                let why = why_left_out(name).to_owned();
                self.left_out.push(LeftOut { what: format!("{name} ({count}) of {called}"), why });
            }
        }
        let owned = || Some(owner.clone());
        self.keys.extend(it.keyauth_credentials.into_iter().map(|key| Key { consumer: owned(), ..key }));
        self.acls.extend(it.acls.into_iter().map(|acl| Acl { consumer: owned(), ..acl }));
        self.basics
            .extend(it.basicauth_credentials.into_iter().map(|basic| Basic { consumer: owned(), ..basic }));
        self.jwts.extend(it.jwt_secrets.into_iter().map(|jwt| Jwt { consumer: owned(), ..jwt }));
        let Consumer { id, username, custom_id, tags, .. } = it;
        self.consumers.push(NewConsumer { id, username, custom_id, tags });
    }
}

fn why_left_out(name: &str) -> &'static str {
    match name {
        "services" | "routes" => {
            "make services here first: hosts and paths come from Envoy's routes. What their plugins ask \
             for is carried over to the services of the same names"
        }
        "plugins" => "policies are of services, whoever calls them",
        "consumer_groups" | "groups" => {
            "groups that limit rates have no counterpart; `acls` are carried over"
        }
        "upstreams" | "targets" | "certificates" | "ca_certificates" | "snis" => "that is Envoy's",
        _ => "has no counterpart here",
    }
}

impl Named for NewConsumer {
    fn called(&self) -> String {
        let Self { id, username, custom_id, .. } = self;
        called(Some(&Owner { id: id.clone(), username: username.clone(), custom_id: custom_id.clone() }))
    }

    fn owner(&self) -> Option<String> {
        None
    }

    fn beside(&self, twins: &mut Twins) -> Value {
        twins.consumer(self.id.as_deref(), self.username.as_deref(), self.custom_id.as_deref())
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Document;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .write_str("Kong's declarative file: a map with `_format_version`, `consumers` and so on")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut document = Document::default();
                while let Some(name) = map.next_key::<String>()? {
                    match &name[..] {
                        "consumers" => document.consumers = map.next_value()?,
                        "keyauth_credentials" => document.keys = map.next_value()?,
                        "acls" => document.acls = map.next_value()?,
                        "basicauth_credentials" => document.basics = map.next_value()?,
                        "jwt_secrets" => document.jwts = map.next_value()?,
                        "services" => document.services = map.next_value()?,
                        "routes" => document.routes = map.next_value()?,
                        "plugins" => document.plugins = map.next_value()?,
                        // About the file itself.
                        name if name.starts_with('_') => drop(map.next_value::<IgnoredAny>()?),
                        _ => {
                            let count = match map.next_value::<Value>()? {
                                Value::Array(items) => items.len(),
                                _ => 1,
                            };
                            document.others.push((name, count));
                        }
                    }
                }
                Ok(document)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_comes_to_what_the_api_takes_and_says_what_it_leaves_out() {
        let text = "\
_format_version: '3.0'
_transform: true
services:
- {name: orders, url: http://orders.example, routes: [{name: r, paths: [/orders]}]}
upstreams: [{name: u}]
consumers:
- username: alice
  custom_id: '42'
  tags: [a]
  keyauth_credentials: [{key: alice-key-0123456789, ttl: 60}]
  acls: [{group: gold}]
  basicauth_credentials:
  - {username: alice, password: hunter2}
  - {username: old, password: 5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8}
  jwt_secrets: [{key: iss, algorithm: RS256, secret: unused, rsa_public_key: PEM}]
  hmacauth_credentials: [{username: a, secret: b}]
- {custom_id: only}
keyauth_credentials:
- {key: other-key-0123456789, consumer: alice}
- {key: third-key-0123456789, consumer: {id: 7d2f5c0e-4a7a-4c8e-9d5d-3f1f7a0c9b11}}
";
        let parts = Document::parse(text).unwrap().into_parts(true);
        fn value(it: &impl Serialize) -> Value {
            serde_json::to_value(it).unwrap()
        }
        assert_eq!(
            value(&parts.consumers),
            json!([
                {"username": "alice", "custom_id": "42", "tags": ["a"]},
                {"username": null, "custom_id": "only", "tags": null},
            ])
        );
        assert_eq!(
            value(&parts.keys),
            json!([
                {"key": "other-key-0123456789", "consumer": {"username": "alice"}, "insecure_allow_weak": true},
                {"key": "third-key-0123456789", "consumer": {"id": "7d2f5c0e-4a7a-4c8e-9d5d-3f1f7a0c9b11"}, "insecure_allow_weak": true},
                {"key": "alice-key-0123456789", "ttl": 60, "consumer": {"username": "alice"}, "insecure_allow_weak": true},
            ])
        );
        assert_eq!(value(&parts.acls), json!([{"group": "gold", "consumer": {"username": "alice"}}]));
        assert_eq!(
            value(&parts.basics),
            json!([{"username": "alice", "password": "hunter2", "consumer": {"username": "alice"}}])
        );
        assert_eq!(
            value(&parts.jwts),
            json!([{"key": "iss", "algorithm": "RS256", "rsa_public_key": "PEM", "consumer": {"username": "alice"}}])
        );
        let left_out: Vec<&str> = parts.left_out.iter().map(|it| &it.what[..]).collect();
        assert_eq!(
            left_out,
            [
                "hmacauth_credentials (1) of consumer `alice`",
                "services (1)",
                "routes (1)",
                "upstreams (1)",
                "basic-auth `old` of consumer `alice`",
            ]
        );
    }

    #[test]
    fn a_file_that_is_none_is_refused_by_its_place() {
        for (text, expected) in [
            ("- a", "expected"),
            ("consumers: [{username: alice, keyauth_credentials: [{kei: x}]}]", "kei"),
            ("consumers: [{user: alice}]", "user"),
            ("keyauth_credentials: [{key: x, consumer: {name: y}}]", "name"),
        ] {
            let error = Document::parse(text).err().unwrap();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
