//! The shapes of answers that all paths share: one object, and what a write comes to.

use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::tag::etag;
use crate::http::everywhere::WrittenAt;
use crate::issue::{Done, Seen};

/// Where a write stands in the store's history: `<term>-<number>`.
const EPOCH: HeaderName = HeaderName::from_static("doorward-epoch");

/// One object, and in which state it is.
pub(super) fn shown<T>(seen: &Seen<T>, body: impl Serialize) -> Response {
    tagged(Some(seen.revision), body)
}

/// The same of what may have no state of its own: the file declares it.
pub(super) fn tagged(revision: Option<u64>, body: impl Serialize) -> Response {
    let mut response = axum::Json(body).into_response();
    response.headers_mut().extend(revision.and_then(etag).map(|tag| (ETAG, tag)));
    response
}

/// The answer to a write, with the object as it was written, if there is one: 202 where this instance's
/// checks do not know of it yet.
pub(super) fn written<T>(status: StatusCode, done: &Done<T>, body: Option<Value>) -> Response {
    let response = match body {
        // A record's revision is the number of the write.
        Some(body) => {
            (status, etag(done.epoch.number).map(|tag| [(ETAG, tag)]), axum::Json(body)).into_response()
        }
        None => status.into_response(),
    };
    placed(response, done)
}

/// An answer that says where the write stands that it is about.
pub(super) fn placed<T>(mut response: Response, done: &Done<T>) -> Response {
    let written = WrittenAt { epoch: done.epoch, done: response.status() };
    if !done.applied {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    if let Ok(epoch) = HeaderValue::try_from(format!("{}-{}", done.epoch.term, done.epoch.number)) {
        response.headers_mut().insert(EPOCH, epoch);
    }
    response.extensions_mut().insert(written);
    response
}

/// As Kong shows a list that nothing was put into.
pub(super) fn nothing_if_empty(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

/// A path segment or a value of a query, percent-encoded.
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
