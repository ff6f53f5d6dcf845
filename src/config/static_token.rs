//! The `static_token` method: Kuroco's static access token, a key that names its service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authentication::Surroundings;
use super::fault::{Fault, quoted};
use super::headers::{folded, may_hold_a_key};
use super::place::At;
use crate::domain;

/// A key that was made for this service (its `services` name it), in a header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StaticToken {
    /// Looked through in this order; in `Authorization` the token follows `Bearer`. Default:
    /// `[Authorization, X-Auth-Token]`.
    pub headers: At<Vec<At<String>>>,
}

impl Default for StaticToken {
    fn default() -> Self {
        Self { headers: usual_headers() }
    }
}

/// `[Authorization, X-Auth-Token]`.
pub(super) fn usual_headers() -> At<Vec<At<String>>> {
    let headers = ["Authorization", "X-Auth-Token"];
    At::assumed(headers.map(|name| At::assumed(name.to_owned())).to_vec())
}

impl StaticToken {
    pub(super) fn resolve(&self, around: &mut Surroundings<'_>) -> domain::authentication::StaticToken {
        domain::authentication::StaticToken { headers: token_headers(&self.headers, around) }
    }
}

/// The headers that a token may stand in, lower case.
pub(super) fn token_headers(headers: &At<Vec<At<String>>>, around: &mut Surroundings<'_>) -> Vec<String> {
    if headers.is_empty() {
        let message = "`headers` is empty, expected some such as `[Authorization, X-Auth-Token]`";
        around.faults.push(Fault::new(headers.place, message));
    }
    let mut taken = Vec::new();
    for header in &headers.value {
        let name = folded(header);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let wrong = if name.is_empty() || name.len() > 128 || !header.bytes().all(plain) {
            Some("is none that a token may stand in, expected letters, digits, `_` and `-`")
        } else if around.headers.claim(header) {
            Some("is, but for case and dashes, a header that tells the upstream who called; choose another")
        } else if !may_hold_a_key(header) {
            Some("is a header that requests need for something else; choose another")
        } else if taken.contains(&name) {
            Some("stands in `headers` twice")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let message = format!("the name {} {wrong}", quoted(header));
            around.faults.push(Fault::new(header.place, message));
        }
        taken.push(name);
    }
    headers.iter().map(|header| header.to_ascii_lowercase()).collect()
}
