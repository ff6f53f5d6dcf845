//! Where records live.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::{Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::place::At;

/// Where records live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `redb:` and a file: the embedded store. Default: `redb:doorward.redb`.
    pub url: At<StoreUrl>,
}

/// Which store, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded store's file.
    Redb(PathBuf),
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Redb("doorward.redb".into())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redb(path) => write!(formatter, "redb:{}", path.display()),
        }
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StoreUrlVisitor;

        impl Visitor<'_> for StoreUrlVisitor {
            type Value = StoreUrl;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`redb:` and a file, such as `redb:doorward.redb`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StoreUrl, E> {
                match text.split_once(':') {
                    // `redb://…` looks like a host, which a file has not.
                    Some(("redb", path)) if !path.is_empty() && !path.starts_with("//") => {
                        Ok(StoreUrl::Redb(path.into()))
                    }
                    // An URL of another store may hold its password.
                    Some((scheme, _)) if scheme != "redb" => {
                        let shown = format!("{scheme}:…");
                        Err(E::invalid_value(Unexpected::Str(&shown), &self))
                    }
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(StoreUrlVisitor)
    }
}

impl JsonSchema for StoreUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StoreUrl".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^redb:.+$" })
    }
}
