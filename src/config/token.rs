//! The `token` method: an opaque token that Doorward issued.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authentication::Surroundings;
use super::fault::Fault;
use super::place::At;
use super::static_token::{token_headers, usual_headers};
use crate::domain;
use crate::domain::token;

/// An opaque token of Doorward's, in a header: from a login, or bought with an access key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Token {
    /// Looked through in this order; in `Authorization` the token follows `Bearer`. Default:
    /// `[Authorization, X-Auth-Token]`.
    pub headers: At<Vec<At<String>>>,
    /// `dynamic` ones are of a login at this service, `subject` ones of an access key. Default: both.
    pub kinds: At<Vec<TokenKind>>,
}

/// What a token was bought with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    Dynamic,
    Subject,
}

impl Default for Token {
    fn default() -> Self {
        Self { headers: usual_headers(), kinds: At::assumed(vec![TokenKind::Dynamic, TokenKind::Subject]) }
    }
}

impl Token {
    pub(super) fn resolve(&self, around: &mut Surroundings<'_>) -> domain::authentication::Token {
        if self.kinds.is_empty() {
            let message = "`kinds` is empty; leave it out for both, or name `dynamic` or `subject`";
            around.faults.push(Fault::new(self.kinds.place, message));
        }
        let kinds = self.kinds.iter().map(|kind| match kind {
            TokenKind::Dynamic => token::Kind::Dynamic,
            TokenKind::Subject => token::Kind::Subject,
        });
        domain::authentication::Token {
            kinds: kinds.collect(),
            headers: token_headers(&self.headers, around),
        }
    }
}
