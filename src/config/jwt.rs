//! The `jwt` method: a signed token of an issuer, as a bearer, in cookies or in the query.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::authentication::Surroundings;
use super::fault::{Fault, quoted};
use super::place::{At, Place};
use crate::domain::authentication;
use crate::domain::issuer::{CONSUMERS, OURS};

/// A JWT of one issuer: in `Authorization: Bearer`, else in a cookie, else in the query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// One of `issuers`; `doorward` for Doorward's own tokens; `consumers` for those that consumers sign
    /// themselves, with a credential of Kong's `jwt` kind.
    pub issuer: At<String>,
    /// Whether `Authorization: Bearer` is read. Default: true.
    #[serde(default = "yes")]
    pub bearer: bool,
    /// The cookies that are read after it, in this order. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<At<String>>,
    /// The query parameters that are read after them, in this order. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<At<String>>,
    /// Whether the token is kept from the upstream. Default: true.
    #[serde(default = "yes")]
    pub hide: bool,
    #[serde(default, skip_serializing_if = "Claims::is_none")]
    pub claims: Claims,
}

/// What a token's claims say about the caller, besides who it is for the issuer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Claims {
    /// Which consumer the caller is. Absent: one that nobody declared, known by its issuer and `sub`
    /// alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<At<ConsumerClaim>>,
    /// Groups that the caller is in, besides the consumer's: a list, or a text with blanks between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<At<ClaimPath>>,
    /// Permissions that the caller has, besides the consumer's, by name or id: a list, or a text with
    /// blanks between them. Those that nobody declared are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<At<ClaimPath>>,
    /// Roles that the caller has, besides the consumer's: a list for each project, by its name or id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<At<ClaimPath>>,
    /// What the upstream is told besides: headers of `headers.claims`, each with a claim. A text, a number,
    /// `true` or `false`, or a list of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, At<ClaimPath>>,
}

/// The claim by which a consumer is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerClaim {
    /// Default: `sub`.
    #[serde(default = "sub")]
    pub claim: At<ClaimPath>,
    /// What of the consumer it is equal to.
    pub by: ConsumerBy,
}

/// What names a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerBy {
    Id,
    Username,
    CustomId,
}

/// Where a claim stands: its name, or a list of names that lead into objects.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimPath(pub Vec<String>);

fn yes() -> bool {
    true
}

fn sub() -> At<ClaimPath> {
    At::assumed(ClaimPath(vec!["sub".to_owned()]))
}

impl Claims {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn headers(&self, around: &mut Surroundings<'_>) -> Vec<(String, Vec<String>)> {
        let mut told: Vec<(String, Vec<String>)> = Vec::new();
        for (name, claim) in &self.headers {
            match around.headers.of_claims(name, claim.place) {
                Err(fault) => around.faults.push(fault),
                Ok(header) if told.iter().any(|(other, _)| *other == header) => {
                    let message = format!("the header {} stands in `headers` twice", quoted(name));
                    around.faults.push(Fault::new(claim.place, message));
                }
                Ok(header) => told.push((header, claim.0.clone())),
            }
        }
        told
    }
}

impl Jwt {
    pub(super) fn resolve(&self, whole: Place, around: &mut Surroundings<'_>) -> authentication::Jwt {
        if !around.issuers.iter().any(|issuer| issuer.name == self.issuer.value) {
            around.faults.push(self.unknown_issuer(around));
        }
        if self.issuer.value == OURS && !self.claims.is_none() {
            let message = "`claims` says nothing of Doorward's own tokens: they name their consumer, whose rights count";
            around.faults.push(Fault::new(whole, message));
        }
        if self.issuer.value == CONSUMERS && !self.claims.is_none() {
            let message = "`claims` cannot be of tokens that consumers sign themselves: they would give rights to themselves";
            around.faults.push(Fault::new(whole, message));
        }
        if !self.bearer && self.cookies.is_empty() && self.query.is_empty() {
            let message = "`jwt` looks nowhere, expected `bearer: true` or names in `cookies` or `query`";
            around.faults.push(Fault::new(whole, message));
        }
        check_names("cookies", &self.cookies, around.faults);
        check_names("query", &self.query, around.faults);
        if let Some(first) = self.query.first() {
            let message =
                "a token in the query stands in every log on the way; a header or a cookie does not";
            around.warnings.push(Fault::new(first.place, message));
        }
        let names = |names: &[At<String>]| names.iter().map(|name| name.value.clone()).collect();
        let path = |path: &Option<At<ClaimPath>>| path.as_ref().map(|path| path.value.0.clone());
        authentication::Jwt {
            issuer: self.issuer.value.clone(),
            bearer: self.bearer,
            cookies: names(&self.cookies),
            query: names(&self.query),
            hide: self.hide,
            claims: authentication::Claims {
                consumer: self.claims.consumer.as_ref().map(|consumer| {
                    let by = match consumer.by {
                        ConsumerBy::Id => authentication::ConsumerBy::Id,
                        ConsumerBy::Username => authentication::ConsumerBy::Username,
                        ConsumerBy::CustomId => authentication::ConsumerBy::CustomId,
                    };
                    (consumer.claim.0.clone(), by)
                }),
                groups: path(&self.claims.groups),
                permissions: path(&self.claims.permissions),
                roles: path(&self.claims.roles),
                headers: self.claims.headers(around),
            },
        }
    }

    fn unknown_issuer(&self, around: &Surroundings<'_>) -> Fault {
        let name = quoted(&self.issuer);
        let message = if self.issuer.value == OURS {
            "`doorward` makes no tokens without a `public_url`, which is their `iss`; set it".to_owned()
        } else {
            let declared = around.issuers.iter().filter(|issuer| issuer.name != CONSUMERS);
            let known: Vec<_> = declared.map(|issuer| format!("`{}`", issuer.name)).collect();
            match known.is_empty() {
                true => format!("there is no issuer {name}; `issuers` declares none"),
                false => format!("there is no issuer {name}, only {}", known.join(", ")),
            }
        };
        Fault::new(self.issuer.place, message)
    }
}

fn check_names(setting: &str, names: &[At<String>], faults: &mut Vec<Fault>) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    for (at, name) in names.iter().enumerate() {
        let wrong = if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
            "is none that a token may stand under, expected letters, digits, `_`, `-` and `.`".to_owned()
        } else if names[..at].iter().any(|other| other.value == name.value) {
            format!("stands in `{setting}` twice")
        } else {
            continue;
        };
        faults.push(Fault::new(name.place, format!("the name {} {wrong}", quoted(name))));
    }
}

impl<'de> Deserialize<'de> for ClaimPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathVisitor;

        impl<'de> Visitor<'de> for PathVisitor {
            type Value = ClaimPath;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a claim, or a list of names that lead into objects")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ClaimPath, E> {
                match name.is_empty() {
                    true => Err(E::invalid_value(serde::de::Unexpected::Str(name), &self)),
                    false => Ok(ClaimPath(vec![name.to_owned()])),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<ClaimPath, A::Error> {
                let names = Vec::<String>::deserialize(SeqAccessDeserializer::new(names))?;
                match names.is_empty() || names.iter().any(String::is_empty) {
                    true => Err(serde::de::Error::invalid_value(serde::de::Unexpected::Seq, &self)),
                    false => Ok(ClaimPath(names)),
                }
            }
        }

        deserializer.deserialize_any(PathVisitor)
    }
}

impl Serialize for ClaimPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [name] => serializer.serialize_str(name),
            names => names.serialize(serializer),
        }
    }
}

impl JsonSchema for ClaimPath {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimPath".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The name of a claim, or a list of names that lead into objects.",
            "oneOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 },
            ],
        })
    }
}
