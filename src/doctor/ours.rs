//! What an Envoy has to fit to: Doorward's own settings.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::config::Config;

/// What of Doorward's settings an Envoy in front of it has to fit to.
pub struct Ours {
    /// `limits.check_bytes`.
    pub check_bytes: u64,
    /// Whether addresses are judged anywhere.
    pub networks: bool,
    /// Whether anybody's word about a client's address is believed.
    pub proxies: bool,
    /// Whether keys are read from bodies.
    pub bodies: bool,
    /// Names of the headers that Doorward stands for, in lower case.
    pub headers: Vec<String>,
    /// Names of the headers that the file's services read, in lower case.
    pub reads: BTreeSet<String>,
    /// `drain_delay`: between "not serving" and the end of the connections.
    pub drain_delay: Duration,
    /// The port of `listen.auth`.
    pub auth_port: u64,
}

/// Read, and left as they are.
const LEFT: [&str; 3] = ["origin", "sec-fetch-site", "x-forwarded-for"];

impl Ours {
    /// Names of the headers that Doorward sets or removes, in lower case.
    pub fn changed(&self) -> impl Iterator<Item = &str> {
        let credentials = self.reads.iter().map(String::as_str).filter(|name| !LEFT.contains(name));
        self.headers.iter().map(String::as_str).chain(credentials).chain(["authorization"])
    }
}

impl From<&Config> for Ours {
    fn from(config: &Config) -> Self {
        let settings = serde_json::to_value(config).unwrap_or_default();
        Self {
            check_bytes: config.limits.check_bytes.value.0,
            networks: any(&settings, &|name, value| name == "networks" && !value.is_null()),
            proxies: !config.client_address.trusted_proxies.is_empty(),
            bodies: any(&settings, &|name, value| {
                name == "in" && value.as_array().is_some_and(|places| places.contains(&"body".into()))
            }),
            headers: config.headers.identity().names().map(str::to_owned).collect(),
            reads: ["services", "deployments"].into_iter().flat_map(|part| reads(&settings[part])).collect(),
            drain_delay: config.drain_delay.0,
            auth_port: config.listen.auth.port.into(),
        }
    }
}

/// Whether something under some name, however deep, is as asked.
fn any(value: &Value, asked: &dyn Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| asked(name, value) || any(value, asked)),
        Value::Array(items) => items.iter().any(|item| any(item, asked)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The headers in which something of a policy may stand.
fn reads(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Value::Object(fields) = value {
        for (name, options) in fields.iter().filter(|(_, options)| !options.is_null()) {
            found.extend(method(name, options));
        }
    }
    let inner = value.as_object().into_iter().flat_map(|fields| fields.values());
    let inner = inner.chain(value.as_array().into_iter().flatten());
    found.extend(inner.flat_map(reads));
    found
}

fn method(name: &str, options: &Value) -> Vec<String> {
    let words = |name: &str| {
        let words = options[name].as_array().into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_ascii_lowercase).collect::<Vec<_>>()
    };
    match name {
        "api_key" => key(options, &words("in")),
        "token" | "static_token" => words("headers"),
        "jwt" if !words("cookies").is_empty() => vec!["cookie".into()],
        "cookie" => ["cookie", "origin", "sec-fetch-site"].map(str::to_owned).to_vec(),
        "networks" => vec!["x-forwarded-for".into()],
        _ => Vec::new(),
    }
}

/// Each name of a key is a word, or a map that says where it stands.
fn key(options: &Value, places: &[String]) -> Vec<String> {
    let names = options["names"].as_array().into_iter().flatten();
    let headers = names.flat_map(|name| {
        let own = |place: &str| match name["in"].as_array() {
            Some(own) => own.contains(&place.into()),
            None => places.iter().any(|usual| usual == place),
        };
        let text = name.as_str().or_else(|| name["name"].as_str()).map(str::to_ascii_lowercase);
        let header = text.filter(|_| own("header"));
        header.into_iter().chain(own("cookie").then(|| "cookie".to_owned())).collect::<Vec<_>>()
    });
    headers.collect()
}
