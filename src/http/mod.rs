//! The HTTP listeners.

pub mod admin;
pub mod auth;
mod body;
pub mod decisions;
mod everywhere;
pub mod explain;
pub mod forward;
mod peer;
mod problem;
pub mod status;

use http::HeaderName;

pub use peer::Peer;

/// By what a request is found again, in its answer and in the logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
