//! The `api_key` method: Kong's `key-auth`, with Kala's names among the defaults.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::authentication::Surroundings;
use super::fault::{Fault, quoted};
use super::headers::may_hold_a_key;
use super::place::{At, Place};
use crate::domain;

/// An API key in a header, the query, the body or a cookie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKey {
    /// The names that a key goes by, in the order in which they are tried: letters, digits, `_` and
    /// `-`. Default: `apikey`, `X-API-Key`, and `key` in the query alone.
    pub names: At<Vec<At<KeyName>>>,
    /// Where a key may stand, in the order in which places are tried. Default: `[header, query]`.
    pub r#in: At<Vec<At<KeyIn>>>,
    /// Whether the key is kept from the upstream. A key in a body stays there: Envoy's external
    /// authorization cannot rewrite bodies. Default: true.
    pub hide: bool,
    /// The `realm` of the challenge in `WWW-Authenticate`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<At<String>>,
    /// Whether OPTIONS requests are checked too. Default: true.
    pub preflight: bool,
    /// Whether `Authorization: Bearer <key>` is read after the names. Default: false.
    pub bearer: bool,
}

/// A name that a key goes by: a word, or a map that also says where.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyName {
    pub name: At<String>,
    /// `None`: the method's own places.
    pub r#in: Option<At<Vec<At<KeyIn>>>>,
}

/// A name with places of its own.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlacedName {
    name: At<String>,
    r#in: At<Vec<At<KeyIn>>>,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyIn {
    Header,
    Query,
    /// A form, JSON or multipart.
    Body,
    Cookie,
}

impl KeyName {
    fn anywhere(name: &str) -> At<Self> {
        At::assumed(Self { name: At::assumed(name.to_owned()), r#in: None })
    }
}

impl Default for ApiKey {
    fn default() -> Self {
        let places =
            |places: &[KeyIn]| At::assumed(places.iter().copied().map(At::assumed).collect::<Vec<_>>());
        let key = KeyName { name: At::assumed("key".to_owned()), r#in: Some(places(&[KeyIn::Query])) };
        Self {
            names: At::assumed(vec![
                KeyName::anywhere("apikey"),
                KeyName::anywhere("X-API-Key"),
                At::assumed(key),
            ]),
            r#in: places(&[KeyIn::Header, KeyIn::Query]),
            hide: true,
            realm: None,
            preflight: true,
            bearer: false,
        }
    }
}

impl ApiKey {
    pub(super) fn resolve(
        &self,
        whole: Place,
        around: &mut Surroundings<'_>,
    ) -> domain::authentication::ApiKey {
        let places = places(&self.r#in, around.faults);
        let mut names: Vec<domain::authentication::KeyName> = Vec::new();
        for name in &self.names.value {
            let resolved = name.resolve(&places, around);
            if names.iter().any(|other| other.name == resolved.name) {
                let message = format!("the name {} stands in `names` twice", quoted(&resolved.name));
                around.faults.push(Fault::new(name.place, message));
            }
            names.push(resolved);
        }
        if names.is_empty() && !self.bearer {
            let message = "`names` is empty, expected a name such as `X-API-Key`, or `bearer: true`";
            around.faults.push(Fault::new(self.names.place, message));
        }
        let in_body = |name: &domain::authentication::KeyName| {
            name.places.contains(&domain::authentication::Place::Body)
        };
        if self.hide && names.iter().any(in_body) {
            let message = "a key in a body reaches the upstream in spite of `hide: true`: \
                           Envoy's external authorization cannot rewrite bodies; `hide: false` says so";
            around.warnings.push(Fault::new(self.r#in.place.or(self.names.place).or(whole), message));
        }
        if let Some(realm) = &self.realm {
            check_realm(realm, around.faults);
        }
        domain::authentication::ApiKey {
            names,
            bearer: self.bearer,
            hide: self.hide,
            realm: self.realm.as_ref().map(|realm| realm.value.clone()),
            preflight: self.preflight,
        }
    }
}

impl At<KeyName> {
    fn resolve(
        &self,
        common: &[domain::authentication::Place],
        around: &mut Surroundings<'_>,
    ) -> domain::authentication::KeyName {
        let places = match &self.r#in {
            Some(own) => places(own, around.faults),
            None => common.to_vec(),
        };
        let name = &self.name.value;
        let in_header = places.contains(&domain::authentication::Place::Header);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let wrong = if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
            Some("is none that a key may go by, expected letters, digits, `_` and `-`")
        } else if around.headers.claim(name) {
            Some("is, but for case and dashes, a header that tells the upstream who called; choose another")
        } else if in_header && !may_hold_a_key(name) {
            Some("is a header that requests need for something else; choose another, or leave out `header`")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            around.faults.push(Fault::new(
                self.name.place.or(self.place),
                format!("the name {} {wrong}", quoted(name)),
            ));
        }
        domain::authentication::KeyName { name: name.clone(), header: name.to_ascii_lowercase(), places }
    }
}

fn places(list: &At<Vec<At<KeyIn>>>, faults: &mut Vec<Fault>) -> Vec<domain::authentication::Place> {
    if list.is_empty() {
        faults.push(Fault::new(
            list.place,
            "`in` is empty, expected some of `header`, `query`, `body`, `cookie`",
        ));
    }
    let mut places = Vec::new();
    for place in &list.value {
        let resolved = match place.value {
            KeyIn::Header => domain::authentication::Place::Header,
            KeyIn::Query => domain::authentication::Place::Query,
            KeyIn::Body => domain::authentication::Place::Body,
            KeyIn::Cookie => domain::authentication::Place::Cookie,
        };
        if places.contains(&resolved) {
            faults.push(Fault::new(place.place, "a place stands in `in` twice"));
        }
        places.push(resolved);
    }
    places
}

/// A realm stands in a quoted string of a header, which we do not escape.
pub(super) fn check_realm(realm: &At<String>, faults: &mut Vec<Fault>) {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if realm.is_empty() || realm.len() > 256 || !realm.bytes().all(plain) {
        let message = format!(
            "the realm {} cannot stand in a header, expected 1 to 256 ASCII characters without `\"` and `\\`",
            quoted(realm)
        );
        faults.push(Fault::new(realm.place, message));
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyNameVisitor;

        impl<'de> Visitor<'de> for KeyNameVisitor {
            type Value = KeyName;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name such as `X-API-Key`, or a map such as `{name: key, in: [query]}`")
            }

            fn visit_str<E>(self, name: &str) -> Result<KeyName, E> {
                Ok(KeyName { name: At::assumed(name.to_owned()), r#in: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeyName, A::Error> {
                let PlacedName { name, r#in } = PlacedName::deserialize(MapAccessDeserializer::new(map))?;
                Ok(KeyName { name, r#in: Some(r#in) })
            }
        }

        deserializer.deserialize_any(KeyNameVisitor)
    }
}

impl Serialize for KeyName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.r#in {
            None => self.name.serialize(serializer),
            Some(places) => {
                PlacedName { name: self.name.clone(), r#in: places.clone() }.serialize(serializer)
            }
        }
    }
}

impl JsonSchema for KeyName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyName".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let placed = generator.subschema_for::<PlacedName>();
        schemars::json_schema!({
            "description": "A name that a key goes by: a word, or a map that also says where.",
            "oneOf": [{ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }, placed],
        })
    }
}
