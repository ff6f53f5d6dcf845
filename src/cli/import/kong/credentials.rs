//! What the file has of consumers' credentials: keys, groups, names with passwords, keys of JWTs.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use serde_json::Value;

use super::Named;
use crate::cli::import::twins::Twins;
use crate::issue::Refusal;

/// A consumer as others name it.
#[derive(Clone, Default, Serialize)]
pub(in crate::cli::import) struct Owner {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) custom_id: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::import) struct Key {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) consumer: Option<Owner>,
    #[serde(rename = "created_at", skip_serializing)]
    pub(super) _created_at: Option<IgnoredAny>,
    #[serde(skip_deserializing, skip_serializing_if = "std::ops::Not::not")]
    pub(super) insecure_allow_weak: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::import) struct Acl {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) consumer: Option<Owner>,
    #[serde(rename = "created_at", skip_serializing)]
    pub(super) _created_at: Option<IgnoredAny>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::import) struct Basic {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) username: String,
    pub(super) password: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) consumer: Option<Owner>,
    #[serde(rename = "created_at", skip_serializing)]
    pub(super) _created_at: Option<IgnoredAny>,
    /// Whether the password is its hash already.
    #[serde(skip_serializing)]
    pub(super) skip_hash: Option<bool>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli::import) struct Jwt {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rsa_public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<String>>,
    pub(super) consumer: Option<Owner>,
    #[serde(rename = "created_at", skip_serializing)]
    pub(super) _created_at: Option<IgnoredAny>,
}

pub(super) fn called(owner: Option<&Owner>) -> String {
    let name = owner.and_then(|it| it.username.as_ref().or(it.custom_id.as_ref()).or(it.id.as_ref()));
    name.map_or_else(|| "nobody".to_owned(), |name| format!("consumer `{name}`"))
}

fn name_of(owner: Option<&Owner>) -> Option<String> {
    owner.and_then(|it| it.username.clone().or_else(|| it.custom_id.clone()).or_else(|| it.id.clone()))
}

impl Basic {
    pub(super) fn is_hashed(&self) -> bool {
        // `deck gateway dump` writes hashes and says nothing.
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self.skip_hash == Some(true) || (self.password.len() == 40 && self.password.bytes().all(hex))
    }
}

impl Named for Key {
    fn called(&self) -> String {
        let id = self.id.as_ref().map(|id| format!(" `{id}`")).unwrap_or_default();
        format!("a key{id} of {}", called(self.consumer.as_ref()))
    }

    fn owner(&self) -> Option<String> {
        name_of(self.consumer.as_ref())
    }

    fn beside(&self, twins: &mut Twins) -> Value {
        twins.credential(("key", &self.key), self.owner(), Refusal::KeyInUse)
    }
}

impl Named for Acl {
    fn called(&self) -> String {
        format!("group `{}` of {}", self.group, called(self.consumer.as_ref()))
    }

    fn owner(&self) -> Option<String> {
        name_of(self.consumer.as_ref())
    }

    fn beside(&self, twins: &mut Twins) -> Value {
        twins.membership(&self.group, self.owner())
    }
}

impl Named for Basic {
    fn called(&self) -> String {
        format!("basic-auth `{}` of {}", self.username, called(self.consumer.as_ref()))
    }

    fn owner(&self) -> Option<String> {
        name_of(self.consumer.as_ref())
    }

    fn beside(&self, twins: &mut Twins) -> Value {
        let taken = Refusal::Taken { what: "username", name: self.username.clone() };
        twins.credential(("basic", &self.username), self.owner(), taken)
    }
}

impl Named for Jwt {
    fn called(&self) -> String {
        let key = self.key.as_ref().map(|key| format!(" `{key}`")).unwrap_or_default();
        format!("a JWT credential{key} of {}", called(self.consumer.as_ref()))
    }

    fn owner(&self) -> Option<String> {
        name_of(self.consumer.as_ref())
    }

    fn beside(&self, twins: &mut Twins) -> Value {
        // One without a key is given its own.
        let Some(key) = &self.key else { return "made".into() };
        let taken = Refusal::Taken { what: "key", name: key.clone() };
        twins.credential(("jwt", key), self.owner(), taken)
    }
}

/// A name, an id, or a map with one of them.
impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Owner;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a consumer: its username or id, or a map with `id`, `username` or `custom_id`",
                )
            }

            fn visit_str<E>(self, name: &str) -> Result<Owner, E> {
                let name = Some(name.to_owned());
                Ok(match name.as_deref().and_then(crate::issue::id_of) {
                    Some(_) => Owner { id: name, ..Owner::default() },
                    None => Owner { username: name, ..Owner::default() },
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Owner, A::Error> {
                let mut owner = Owner::default();
                while let Some(name) = map.next_key::<String>()? {
                    match &name[..] {
                        "id" => owner.id = map.next_value()?,
                        "username" => owner.username = map.next_value()?,
                        "custom_id" => owner.custom_id = map.next_value()?,
                        _ => {
                            return Err(serde::de::Error::unknown_field(
                                &name,
                                &["id", "username", "custom_id"],
                            ));
                        }
                    }
                }
                Ok(owner)
            }
        }

        deserializer.deserialize_any(Either)
    }
}
