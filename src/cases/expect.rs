//! What is expected of a decision, as far as somebody says it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::explain::{Account, Description};

/// `allow`, `deny`, the code of a denial, or a map of these fields. What is left out is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default, deny_unknown_fields)]
pub struct Expect {
    /// Whether the request goes on to the upstream, which in shadow mode it does although denied.
    pub passes: Option<bool>,
    /// `allow`, `deny` or `fault`.
    pub verdict: Option<String>,
    pub code: Option<String>,
    /// What only the log is told.
    pub why: Option<String>,
    /// What the caller gets; 200 where the request passes.
    pub status: Option<u16>,
    /// `enforce` or `shadow`.
    pub mode: Option<String>,
    /// The deployment: `orders/production`, or `orders`.
    pub deployment: Option<String>,
    /// The client's address, or `unknown`.
    pub client: Option<String>,
    /// The hop that named it: `connection`, `x-forwarded-for[-2]`.
    pub client_from: Option<String>,
    /// Username or id.
    pub consumer: Option<String>,
    /// Headers that the upstream gets with these values.
    pub set: BTreeMap<String, String>,
    /// Headers that the upstream does not get.
    pub absent: Vec<String>,
    /// The query parameters that are taken out, in any order.
    pub remove_query: Option<Vec<String>>,
    /// The values of `WWW-Authenticate`, in order.
    pub challenges: Option<Vec<String>>,
}

impl Expect {
    /// What is not as expected: `code: expected …, found …`.
    pub fn differences(&self, account: &Account, request: &Description) -> Vec<String> {
        let mut found = Differences(Vec::new());
        found.compare("passes", self.passes, account.passes());
        found.compare("verdict", self.verdict.as_deref(), account.verdict);
        found.compare("code", self.code.as_deref(), account.code.unwrap_or(NONE));
        found.compare("why", self.why.as_deref(), account.why.unwrap_or(NONE));
        found.compare("status", self.status, account.status);
        found.compare("mode", self.mode.as_deref(), account.mode);
        found.compare("deployment", self.deployment.as_deref(), &*deployment(account));
        found.compare("client", self.client.as_deref(), account.client.as_deref().unwrap_or("unknown"));
        found.compare(
            "client_from",
            self.client_from.as_deref(),
            account.client_from.as_deref().unwrap_or(NONE),
        );
        // By id only where the id is what is asked for.
        let id = account.consumer.as_deref().filter(|id| self.consumer.as_deref() == Some(id));
        let consumer = id.or(account.username.as_deref()).or(account.consumer.as_deref());
        found.compare("consumer", self.consumer.as_deref(), consumer.unwrap_or(NONE));
        let challenges = account.answer.as_ref().map_or(&[][..], |answer| &answer.challenges);
        found.compare_lists("challenges", self.challenges.as_deref(), challenges);
        self.compare_upstream(account, request, &mut found);
        found.0
    }

    fn compare_upstream(&self, account: &Account, request: &Description, found: &mut Differences) {
        let upstream = account.upstream.as_ref();
        let set = |name: &str| {
            let set = upstream.and_then(|upstream| upstream.set.get(&name.to_ascii_lowercase()));
            set.map(String::as_str)
        };
        for (name, value) in &self.set {
            found.compare(&format!("set {name}"), Some(value.as_str()), set(name).unwrap_or(NONE));
        }
        for name in &self.absent {
            let removed = upstream
                .is_some_and(|upstream| upstream.remove.iter().any(|gone| gone.eq_ignore_ascii_case(name)));
            let sent = request.headers.iter().flatten().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
            if let Some(value) = set(name) {
                found.0.push(format!("absent {name}: expected none, found `{value}`"));
            } else if sent && !removed && upstream.is_some() {
                found.0.push(format!("absent {name}: expected none, found the client's own"));
            }
        }
        let mut gone = upstream.map_or_else(Vec::new, |upstream| upstream.remove_query.clone());
        let mut wanted = self.remove_query.clone();
        gone.sort_unstable();
        wanted.iter_mut().for_each(|wanted| wanted.sort_unstable());
        found.compare_lists("remove_query", wanted.as_deref(), &gone);
    }
}

const NONE: &str = "none";

fn deployment(account: &Account) -> String {
    match (&account.service, &account.infrastructure) {
        (Some(service), Some(on)) => format!("{service}/{on}"),
        (Some(service), None) => service.clone(),
        (None, _) => NONE.to_owned(),
    }
}

struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + Display>(&mut self, what: &str, expected: Option<T>, found: T) {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.0.push(format!("{what}: expected {expected}, found {found}"));
        }
    }

    fn compare_lists(&mut self, what: &str, expected: Option<&[String]>, found: &[String]) {
        let shown = |list: &[String]| if list.is_empty() { NONE.to_owned() } else { list.join("; ") };
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            self.0.push(format!("{what}: expected {}, found {}", shown(expected), shown(found)));
        }
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExpectVisitor;

        impl<'de> Visitor<'de> for ExpectVisitor {
            type Value = Expect;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`allow`, `deny`, the code of a denial, or a map of expectations")
            }

            fn visit_str<E>(self, word: &str) -> Result<Expect, E> {
                let word = Some(word.to_owned());
                let passes = Some(word.as_deref() == Some("allow"));
                Ok(match word.as_deref() {
                    Some("allow" | "deny") => Expect { verdict: word, passes, ..Expect::default() },
                    _ => Expect { code: word, passes, ..Expect::default() },
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expect, A::Error> {
                // The derived one, which `remote` makes no trait's.
                Expect::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(ExpectVisitor)
    }
}
