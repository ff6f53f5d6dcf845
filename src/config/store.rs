//! Where records live.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::place::At;
use super::scalar::{Scalar, scalar};

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

impl Scalar for StoreUrl {
    const EXPECTED: &'static str = "`redb:` and a file, such as `redb:doorward.redb`";

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            // `redb://…` looks like a host, which a file has not.
            Some(("redb", path)) if !path.is_empty() && !path.starts_with("//") => {
                Some(Self::Redb(path.into()))
            }
            _ => None,
        }
    }

    /// An URL of another store may hold its password.
    fn shown(text: &str) -> Cow<'_, str> {
        match text.split_once(':') {
            Some((scheme, _)) if scheme != "redb" => format!("{scheme}:…").into(),
            _ => text.into(),
        }
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^redb:.+$" })
    }
}

scalar!(StoreUrl);
