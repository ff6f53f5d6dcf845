//! The shell of one decision: pins time and catalog, decides, records.

use smallvec::SmallVec;

use crate::domain::denial::Notice;
use crate::domain::headers::Mutations;

/// What was decided, with all that a wire needs to say it.
#[derive(Debug)]
pub struct Decision<'a> {
    pub outcome: Outcome<'a>,
    pub metadata: Metadata<'a>,
    /// What the answer calls the request: `x-request-id` where it is at most 128 visible ASCII
    /// characters, else the asker's id.
    pub request_id: &'a str,
    /// Whether the caller reads `grpc-status`.
    pub grpc: bool,
}

#[derive(Debug)]
pub enum Outcome<'a> {
    Allow(Mutations<'a>),
    /// A plain denial, with a `WWW-Authenticate` value for each accepted scheme (401 alone).
    Deny(Notice, SmallVec<[&'a str; 2]>),
    /// Envoy's typed `error_response`, with `Retry-After` in seconds.
    Fault(Notice, u32),
}

/// What is told to Envoy's rate limits and access log (`dynamic_metadata`); `None` is left out.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    pub service: Option<&'a str>,
    pub infrastructure: Option<&'a str>,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    /// The consumer's id.
    pub consumer: Option<String>,
    pub username: Option<String>,
    pub groups: Vec<String>,
    pub credential: Option<String>,
    /// `api_key` and so on.
    pub method: Option<&'static str>,
    /// `allow`, `deny` or `fault`.
    pub verdict: &'static str,
    /// The code of a denial or fault.
    pub code: Option<&'static str>,
}

/// Decides requests. One for all connections; cheap to share behind an `Arc`.
pub struct Checker {}

impl Checker {
    /// Decides one request and hands the decision to `render`, whatever happens: a panic while
    /// deciding becomes the denial `internal`. Never waits.
    pub fn check<T>(
        &self,
        _request: &crate::domain::request::Request<'_>,
        _render: impl FnOnce(&Decision<'_>) -> T,
    ) -> T {
        unreachable!("being written")
    }

    /// The answer where no request could be read or decided about (`malformed_request`,
    /// `check_too_large`, `overloaded`, `deadline`, `internal`): counted and logged like any other.
    pub fn refuse<T>(
        &self,
        _denial: crate::domain::denial::Denial,
        _render: impl FnOnce(&Decision<'_>) -> T,
    ) -> T {
        unreachable!("being written")
    }
}
