//! How the callers of a service prove who they are.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::api_key::ApiKey;
use super::basic::Basic;
use super::compiled::by_id;
use super::cookie::{Cookie, InCookie};
use super::fault::{Fault, quoted};
use super::headers::Headers;
use super::jwt::Jwt;
use super::names::Names;
use super::place::At;
use super::static_token::StaticToken;
use super::token::Token;
use crate::domain;
use crate::domain::authentication::Combine;
use crate::domain::issuer::Issuer;

/// `none`, or a map that says what proves a caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// Everybody passes, unnamed.
    None,
    Required(Required),
}

/// What proves a caller: exactly one of `any` and `all`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// Methods in their order: the first that proves wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<At<Vec<At<Method>>>>,
    /// Methods in their order: each must prove, and the last one's identity stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<At<Vec<At<Method>>>>,
    /// The consumer (username or id) that a request without proof becomes. Absent: it is denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<At<String>>,
}

/// One way to prove who is calling: a bare word for all its defaults, or a map of its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    ApiKey(ApiKey),
    StaticToken(StaticToken),
    Token(Token),
    Jwt(Jwt),
    Basic(Basic),
    Cookie(InCookie),
}

/// What a policy is resolved with.
pub(super) struct Surroundings<'c> {
    pub names: &'c Names,
    pub headers: &'c Headers,
    pub issuers: &'c [Arc<Issuer>],
    pub cookie: &'c Cookie,
    pub faults: &'c mut Vec<Fault>,
    pub warnings: &'c mut Vec<Fault>,
}

impl At<Authentication> {
    /// Has the anonymous consumer named by id, where the file declares it.
    pub(super) fn refer_by_id(&mut self, names: &Names) {
        if let Some(anonymous) = self.anonymous() {
            by_id(anonymous, &names.consumers);
        }
    }

    pub(super) fn anonymous(&mut self) -> Option<&mut At<String>> {
        match &mut self.value {
            Authentication::None => None,
            Authentication::Required(required) => required.anonymous.as_mut(),
        }
    }

    pub(super) fn resolve(&self, around: &mut Surroundings<'_>) -> domain::authentication::Authentication {
        match &self.value {
            Authentication::None => domain::authentication::Authentication::None,
            Authentication::Required(required) => {
                let (combine, methods) = required.methods(self, around.faults);
                domain::authentication::Authentication::Required {
                    combine,
                    methods: methods.iter().map(|method| method.resolve(around)).collect(),
                    anonymous: required.anonymous.as_ref().and_then(|name| anonymous(name, around)),
                }
            }
        }
    }
}

impl Required {
    fn methods(&self, whole: &At<Authentication>, faults: &mut Vec<Fault>) -> (Combine, &[At<Method>]) {
        let (word, combine, methods) = match (&self.any, &self.all) {
            (Some(any), None) => ("any", Combine::Any, any),
            (None, Some(all)) => ("all", Combine::All, all),
            (any, _) => {
                let found = if any.is_some() { "both" } else { "neither" };
                let message = format!(
                    "`authentication` has {found} of `any` and `all`, expected exactly one of them, \
                     or `authentication: none` for a public service"
                );
                faults.push(Fault::new(whole.place, message));
                return (Combine::All, &[]);
            }
        };
        if methods.is_empty() {
            let message = format!(
                "`{word}` is empty, expected a method such as `api_key`; for a public service write \
                 `authentication: none`"
            );
            faults.push(Fault::new(methods.place, message));
        }
        (combine, methods)
    }
}

impl At<Method> {
    fn resolve(&self, around: &mut Surroundings<'_>) -> domain::authentication::Method {
        match &self.value {
            Method::ApiKey(options) => {
                domain::authentication::Method::ApiKey(options.resolve(self.place, around))
            }
            Method::StaticToken(options) => {
                domain::authentication::Method::StaticToken(options.resolve(around))
            }
            Method::Token(options) => domain::authentication::Method::Token(options.resolve(around)),
            Method::Jwt(options) => domain::authentication::Method::Jwt(options.resolve(self.place, around)),
            Method::Basic(options) => domain::authentication::Method::Basic(options.resolve(around)),
            Method::Cookie(options) => domain::authentication::Method::Cookie(options.resolve(around)),
        }
    }
}

fn anonymous(name: &At<String>, around: &mut Surroundings<'_>) -> Option<uuid::Uuid> {
    let found = around.names.consumers.lookup(name);
    match (found, uuid::Uuid::try_parse(name)) {
        (Some(id), _) => Some(id),
        // Ids may be those of consumers in the store, which is not read here.
        (None, Ok(id)) => {
            let message = format!(
                "the anonymous consumer {} is not in this file; where the store does not have it either, \
                 requests without proof are denied with `internal`",
                quoted(name)
            );
            around.warnings.push(Fault::new(name.place, message));
            Some(id)
        }
        (None, Err(_)) => {
            around.faults.push(around.names.consumers.dangling(name));
            None
        }
    }
}

impl<'de> Deserialize<'de> for Authentication {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AuthenticationVisitor;

        impl<'de> Visitor<'de> for AuthenticationVisitor {
            type Value = Authentication;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`none`, or a map with `any` or `all` and a list of methods")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Authentication, E> {
                match word {
                    "none" => Ok(Authentication::None),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Authentication, A::Error> {
                Required::deserialize(MapAccessDeserializer::new(map)).map(Authentication::Required)
            }
        }

        deserializer.deserialize_any(AuthenticationVisitor)
    }
}

impl Serialize for Authentication {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Required(required) => required.serialize(serializer),
        }
    }
}

impl JsonSchema for Authentication {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Authentication".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let required = generator.subschema_for::<Required>();
        schemars::json_schema!({
            "description": "`none`, or a map with exactly one of `any` and `all`.",
            "oneOf": [
                { "const": "none" },
                { "allOf": [required, { "oneOf": [{ "required": ["any"] }, { "required": ["all"] }] }] },
            ],
        })
    }
}

impl JsonSchema for Method {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Method".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let with_options = |name: &str, options: schemars::Schema| {
            schemars::json_schema!({
                "type": "object",
                "properties": { name: options },
                "required": [name],
                "additionalProperties": false,
            })
        };
        let api_key = with_options("api_key", generator.subschema_for::<ApiKey>());
        let static_token = with_options("static_token", generator.subschema_for::<StaticToken>());
        let token = with_options("token", generator.subschema_for::<Token>());
        let jwt = with_options("jwt", generator.subschema_for::<Jwt>());
        let basic = with_options("basic", generator.subschema_for::<Basic>());
        let cookie = with_options("cookie", generator.subschema_for::<InCookie>());
        schemars::json_schema!({
            "description": "One way to prove who is calling: a bare word, or a map of its options.",
            "oneOf": [
                { "enum": ["api_key", "static_token", "token", "basic", "cookie"] },
                api_key, static_token, token, jwt, basic, cookie,
            ],
        })
    }
}
