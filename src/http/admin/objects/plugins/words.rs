//! Each plugin's `config`: in Kong's words with Kong's defaults, and the same in ours.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Plugin;
use crate::domain::issuer::CONSUMERS;
use crate::issue::Refusal;

/// A plugin's `config`, every field of it.
pub(super) type Config = Map<String, Value>;

/// What cannot be carried out is refused when it is asked for, never kept and left undone.
type Settings = Result<Value, Refusal>;

impl Plugin {
    /// With every field as Kong has it where it is not sent.
    pub(super) fn defaults(self) -> Config {
        match self {
            Self::KeyAuth => fields(&KeyAuth::default()),
            Self::Acl => fields(&Acl::default()),
            Self::Jwt => fields(&Jwt::default()),
            Self::BasicAuth => fields(&BasicAuth::default()),
            Self::IpRestriction => fields(&IpRestriction::default()),
        }
    }

    /// The same in the words of a service's settings; `anonymous` is not of a method there.
    pub(super) fn settings(self, config: Config) -> Settings {
        match self {
            Self::KeyAuth => typed::<KeyAuth>(config)?.settings(),
            Self::Acl => typed::<Acl>(config)?.settings(),
            Self::Jwt => typed::<Jwt>(config)?.settings(),
            Self::BasicAuth => typed::<BasicAuth>(config)?.settings(),
            Self::IpRestriction => typed::<IpRestriction>(config)?.settings(),
        }
    }

    /// What a service's settings come to in Kong's words, as far as these reach.
    pub(super) fn config(self, settings: &Value, anonymous: Option<&str>) -> Config {
        let mut config = match self {
            Self::KeyAuth => fields(&KeyAuth::of(settings)),
            Self::Acl => fields(&Acl::of(settings)),
            Self::Jwt => fields(&Jwt::of(settings)),
            Self::BasicAuth => fields(&BasicAuth::of(settings)),
            Self::IpRestriction => fields(&IpRestriction::of(settings)),
        };
        if let Some(known) = config.get_mut("anonymous") {
            *known = json!(anonymous);
        }
        config
    }
}

#[derive(Serialize, Deserialize)]
struct KeyAuth {
    key_names: Vec<String>,
    key_in_header: bool,
    key_in_query: bool,
    key_in_body: bool,
    hide_credentials: bool,
    run_on_preflight: bool,
    realm: Option<String>,
    anonymous: Option<String>,
}

impl Default for KeyAuth {
    fn default() -> Self {
        Self {
            key_names: vec!["apikey".to_owned()],
            key_in_header: true,
            key_in_query: true,
            key_in_body: false,
            hide_credentials: false,
            run_on_preflight: true,
            realm: None,
            anonymous: None,
        }
    }
}

impl KeyAuth {
    fn settings(self) -> Settings {
        let places =
            [("header", self.key_in_header), ("query", self.key_in_query), ("body", self.key_in_body)];
        let places: Vec<&str> = places.into_iter().filter(|(_, on)| *on).map(|(place, _)| place).collect();
        if places.is_empty() {
            return refuse(
                "config.key_in_header",
                "a key must be looked for somewhere: in the header, query or body",
            );
        }
        let mut method = json!({
            "names": self.key_names,
            "in": places,
            "hide": self.hide_credentials,
            "preflight": self.run_on_preflight,
            "bearer": false,
        });
        if let Some(realm) = self.realm {
            method["realm"] = json!(realm);
        }
        Ok(method)
    }

    fn of(method: &Value) -> Self {
        let name = |name: &Value| name.as_str().or(name["name"].as_str()).map(str::to_owned);
        let places = texts(&method["in"]);
        let is_in = |place: &str| places.iter().any(|it| it == place);
        Self {
            key_names: method["names"].as_array().into_iter().flatten().filter_map(name).collect(),
            key_in_header: is_in("header"),
            key_in_query: is_in("query"),
            key_in_body: is_in("body"),
            hide_credentials: method["hide"] == true,
            run_on_preflight: method["preflight"] == true,
            realm: text(&method["realm"]),
            anonymous: None,
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Acl {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    hide_groups_header: bool,
    always_use_authenticated_groups: bool,
}

impl Acl {
    fn settings(self) -> Settings {
        if self.hide_groups_header {
            let why = "cannot be true: the upstream is told of groups, or a client could tell it of others";
            return refuse("config.hide_groups_header", why);
        }
        if self.always_use_authenticated_groups {
            let why = "cannot be true: groups are the consumer's, or the claim's that `jwt` names";
            return refuse("config.always_use_authenticated_groups", why);
        }
        match (listed(self.allow), listed(self.deny)) {
            (Some(allow), None) => Ok(json!({ "allow": allow })),
            (None, Some(deny)) => Ok(json!({ "deny": deny })),
            _ => refuse("config.allow", "expected exactly one of `allow` and `deny`, with a group at least"),
        }
    }

    fn of(groups: &Value) -> Self {
        Self { allow: list(&groups["allow"]), deny: list(&groups["deny"]), ..Self::default() }
    }
}

#[derive(Serialize, Deserialize)]
struct Jwt {
    /// Ours: whose tokens are believed.
    issuer: String,
    uri_param_names: Vec<String>,
    cookie_names: Vec<String>,
    header_names: Vec<String>,
    key_claim_name: String,
    secret_is_base64: bool,
    claims_to_verify: Option<Vec<String>>,
    maximum_expiration: u64,
    run_on_preflight: bool,
    realm: Option<String>,
    anonymous: Option<String>,
}

/// Where Kong looks, unless told otherwise, in the header and in the query.
const AUTHORIZATION: &str = "authorization";

impl Default for Jwt {
    fn default() -> Self {
        Self {
            issuer: CONSUMERS.to_owned(),
            uri_param_names: vec!["jwt".to_owned()],
            cookie_names: Vec::new(),
            header_names: vec![AUTHORIZATION.to_owned()],
            key_claim_name: "iss".to_owned(),
            secret_is_base64: false,
            claims_to_verify: None,
            maximum_expiration: 0,
            run_on_preflight: true,
            realm: None,
            anonymous: None,
        }
    }
}

impl Jwt {
    fn settings(self) -> Settings {
        let bearer = match &self.header_names[..] {
            [] => false,
            [name] if name.eq_ignore_ascii_case(AUTHORIZATION) => true,
            _ => return refuse("config.header_names", "expected `authorization` alone, or none"),
        };
        // Whether they are verified is no choice here.
        let claims = self.claims_to_verify.as_deref().unwrap_or_default();
        if claims.iter().any(|claim| !["exp", "nbf"].contains(&&claim[..])) {
            return refuse("config.claims_to_verify", "expected `exp` and `nbf`, which are verified always");
        }
        let fixed = [
            ("config.key_claim_name", self.key_claim_name == "iss", "expected `iss`"),
            ("config.secret_is_base64", !self.secret_is_base64, "cannot be true: an issuer has its keys"),
            ("config.maximum_expiration", self.maximum_expiration == 0, "expected 0: it is the issuer's"),
            ("config.run_on_preflight", self.run_on_preflight, "cannot be false: OPTIONS is checked too"),
            ("config.realm", self.realm.is_none(), "cannot be set for tokens"),
        ];
        if let Some((field, _, why)) = fixed.into_iter().find(|(_, good, _)| !good) {
            return refuse(field, why);
        }
        let mut method = json!({ "issuer": self.issuer, "bearer": bearer, "hide": false });
        for (place, names) in [("query", self.uri_param_names), ("cookies", self.cookie_names)] {
            if !names.is_empty() {
                method[place] = json!(names);
            }
        }
        Ok(method)
    }

    fn of(method: &Value) -> Self {
        let header_names = if method["bearer"] == true { vec![AUTHORIZATION.to_owned()] } else { Vec::new() };
        Self {
            issuer: text(&method["issuer"]).unwrap_or_default(),
            uri_param_names: texts(&method["query"]),
            cookie_names: texts(&method["cookies"]),
            header_names,
            ..Self::default()
        }
    }
}

#[derive(Serialize, Deserialize)]
struct BasicAuth {
    realm: String,
    hide_credentials: bool,
    anonymous: Option<String>,
}

impl Default for BasicAuth {
    fn default() -> Self {
        Self { realm: "service".to_owned(), hide_credentials: false, anonymous: None }
    }
}

impl BasicAuth {
    fn settings(self) -> Settings {
        Ok(json!({ "realm": self.realm, "hide": self.hide_credentials }))
    }

    /// What is not written is ours, not Kong's.
    fn of(method: &Value) -> Self {
        Self {
            realm: text(&method["realm"]).unwrap_or_else(|| "doorward".to_owned()),
            hide_credentials: method["hide"] != false,
            anonymous: None,
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct IpRestriction {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    status: Option<u16>,
    message: Option<String>,
}

impl IpRestriction {
    fn settings(self) -> Settings {
        if self.status.is_some() {
            return refuse("config.status", "cannot be set: an address that may not pass is a 403");
        }
        if self.message.is_some() {
            return refuse("config.message", "cannot be set: every refusal has its own code and message");
        }
        let mut networks = Map::new();
        let lists = [("allow", listed(self.allow)), ("deny", listed(self.deny))];
        networks.extend(lists.into_iter().filter_map(|(word, list)| Some((word.to_owned(), json!(list?)))));
        match networks.is_empty() {
            true => refuse("config.allow", "expected one of `allow` and `deny` at least, with an address"),
            false => Ok(Value::Object(networks)),
        }
    }

    fn of(networks: &Value) -> Self {
        Self { allow: list(&networks["allow"]), deny: list(&networks["deny"]), ..Self::default() }
    }
}

fn refuse<T>(field: &'static str, why: &str) -> Result<T, Refusal> {
    Err(Refusal::Invalid { field, why: why.to_owned() })
}

/// Every field is there and of its type: it came through the body, or is a default.
fn typed<T: DeserializeOwned>(config: Config) -> Result<T, Refusal> {
    let invalid = |error: serde_json::Error| Refusal::Invalid { field: "config", why: error.to_string() };
    serde_json::from_value(Value::Object(config)).map_err(invalid)
}

fn fields(config: &impl Serialize) -> Config {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

fn list(value: &Value) -> Option<Vec<String>> {
    value.is_array().then(|| texts(value))
}

/// An empty list restricts nothing in Kong, and everything here.
fn listed(list: Option<Vec<String>>) -> Option<Vec<String>> {
    list.filter(|list| !list.is_empty())
}
