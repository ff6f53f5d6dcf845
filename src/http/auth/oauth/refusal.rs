//! What OAuth 2 says to a request that it refuses (RFC 6749 section 5.2).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use tracing::error;

use crate::http::problem::Said;
use crate::issue::{Refusal, Unknowing};
use crate::store::StoreError;

#[derive(Debug)]
pub(super) enum Refused {
    /// Why it is not a request that could be understood.
    Request(&'static str),
    /// The client is unknown, or did not prove to be who it says.
    Client,
    /// No role of the access key is left to its owner.
    NothingLeft,
    GrantType,
    Scope,
    /// Of a token that nothing can take back.
    TokenType,
    TooMany,
    /// Nothing can be known or written at the moment.
    Unavailable,
    Internal,
}

impl Refused {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Request(_) => "invalid_request",
            Self::Client => "invalid_client",
            Self::NothingLeft => "unauthorized_client",
            Self::GrantType => "unsupported_grant_type",
            Self::Scope => "invalid_scope",
            Self::TokenType => "unsupported_token_type",
            Self::TooMany | Self::Unavailable => "temporarily_unavailable",
            Self::Internal => "server_error",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Client => StatusCode::UNAUTHORIZED,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Request(_) | Self::NothingLeft | Self::GrantType | Self::Scope | Self::TokenType => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Request(why) => why,
            Self::Client => "the access key or its secret is not good",
            Self::NothingLeft => "no role of the access key is left to its owner",
            Self::GrantType => "expected client_credentials",
            Self::Scope => "scope has roles that the access key does not have",
            Self::TokenType => "a signed token ends by itself and cannot be revoked",
            Self::TooMany => "the client has too many tokens; revoke some, or use the ones there are",
            Self::Unavailable => "try again",
            Self::Internal => "this went wrong, and is in the log",
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code(), "error_description": self.description() });
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        match self {
            // Of the two ways to show who one is the one that HTTP has a scheme for.
            Self::Client => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"doorward\""));
            }
            Self::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Request(_)
            | Self::NothingLeft
            | Self::GrantType
            | Self::Scope
            | Self::TokenType
            // Waiting helps nobody, but giving some back does.
            | Self::TooMany
            | Self::Internal => {}
        }
        response
    }
}

/// Whether what is refused there is told in this form: also a body that is too large.
pub(in crate::http::auth) fn is_path(path: &str) -> bool {
    path.strip_prefix("/oauth2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A refusal by those who stand before these paths, in this form; any other response as it is.
pub(in crate::http::auth) fn as_error(mut response: Response) -> Response {
    let Some(said) = response.extensions_mut().remove::<Said>() else { return response };
    let error = if response.status().is_server_error() { "server_error" } else { "invalid_request" };
    let body = Json(json!({ "error": error, "error_description": said.body["message"] }));
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, body.into_response().into_body())
}

impl From<Unknowing> for Refused {
    fn from(_: Unknowing) -> Self {
        Self::Unavailable
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unproven => Self::NothingLeft,
            Refusal::Full { .. } => Self::TooMany,
            Refusal::Raced
            | Refusal::Store(
                StoreError::Unavailable(_) | StoreError::Foreign(_) | StoreError::Unconfirmed(_),
            ) => Self::Unavailable,
            other => {
                error!(error = %other, "a request at /oauth2 went wrong");
                Self::Internal
            }
        }
    }
}
