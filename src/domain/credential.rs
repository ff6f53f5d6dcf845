//! What a request presents, and where it was found.

use std::borrow::Cow;

use super::authentication::{ApiKey, KeyName, Place};
use super::authorization::{self, Bearer};
use super::request::{Body, HeaderValue, Request};
use super::{body, cookie, query};

/// What stands under a name in one place of a request (a header, the query, the body, a cookie).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Absent,
    /// The name is there, but what it holds is no text (`?apikey`, a JSON number): not a key, and
    /// yet it hides the places after it, as Kong has it.
    Unusable,
    /// Decoded. May be empty, which also ends the search.
    Text(Cow<'a, [u8]>),
    /// More than one, equal or not.
    Many,
    /// The name is spelled with percent escapes, so that the asker could not remove it.
    Disguised,
}

impl<'a> Found<'a> {
    /// What there is when the same name turns up `again`, once more in the same place.
    pub(super) fn and(self, again: Found<'a>) -> Found<'a> {
        match self {
            Self::Absent => again,
            _ => Self::Many,
        }
    }
}

/// What a request presents to one method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    Nothing,
    Duplicate,
    /// Under a name spelled with percent escapes.
    Disguised,
    Key(Cow<'a, [u8]>),
}

impl ApiKey {
    /// Looks for a key: names in order, for each its places in order. The first place that holds
    /// anything decides, as Kong has it: an empty header hides a good query parameter.
    pub fn present<'a>(&self, request: &Request<'a>, query: Option<&'a [u8]>) -> Presented<'a> {
        let disguised = |name: &KeyName| {
            name.places.contains(&Place::Query)
                && query.is_some_and(|query| query::find(query, &name.name) == Found::Disguised)
        };
        // Wherever the deciding key stands: a disguised one would reach the upstream unremoved.
        if self.names.iter().any(disguised) {
            return Presented::Disguised;
        }
        for name in &self.names {
            for place in &name.places {
                match find(request, query, name, *place) {
                    Found::Absent => {}
                    Found::Unusable => break,
                    Found::Text(text) if text.is_empty() => return Presented::Nothing,
                    Found::Text(text) => return Presented::Key(text),
                    Found::Many => return Presented::Duplicate,
                    Found::Disguised => return Presented::Disguised,
                }
            }
        }
        if self.bearer { bearer_key(request) } else { Presented::Nothing }
    }

    /// The challenges of RFC 9110 section 11.6.1 for callers who presented no proof.
    pub fn challenges(&self) -> impl Iterator<Item = String> {
        let parameters = self.realm.as_ref().map_or_else(String::new, |realm| {
            format!(" realm=\"{}\"", realm.replace('\\', "\\\\").replace('"', "\\\""))
        });
        let bearer = self.bearer.then(|| format!("Bearer{parameters}"));
        std::iter::once(format!("Key{parameters}")).chain(bearer)
    }
}

fn find<'a>(request: &Request<'a>, query: Option<&'a [u8]>, name: &KeyName, place: Place) -> Found<'a> {
    match place {
        Place::Header => match request.header(name.header.as_bytes()) {
            HeaderValue::Absent => Found::Absent,
            // No key of ours or of anyone else's holds a comma, and the asker may have joined two.
            HeaderValue::One(value) if value.contains(&b',') => Found::Many,
            HeaderValue::One(value) => Found::Text(Cow::Borrowed(value)),
            HeaderValue::Many => Found::Many,
        },
        Place::Query => query.map_or(Found::Absent, |query| query::find(query, &name.name)),
        Place::Cookie => cookie::find(request, &name.name),
        Place::Body => match (request.body, request.header(b"content-type").one()) {
            (Body::Whole(body), Some(content_type)) => body::find(content_type, body, &name.name),
            _ => Found::Absent,
        },
    }
}

/// The key in `Authorization: Bearer <key>`. What has the form of a JWT is none.
pub(super) fn bearer_key<'a>(request: &Request<'a>) -> Presented<'a> {
    match request.header(b"authorization") {
        HeaderValue::Absent => Presented::Nothing,
        HeaderValue::Many => Presented::Duplicate,
        HeaderValue::One(value) => match authorization::bearer(value) {
            Bearer::Duplicate => Presented::Duplicate,
            Bearer::Token(token) if has_form_of_jwt(token) => Presented::Nothing,
            Bearer::Token(token) => Presented::Key(Cow::Borrowed(token)),
            Bearer::Absent | Bearer::Malformed => Presented::Nothing,
        },
    }
}

/// Three parts between two dots (RFC 7519 section 7.2). Our own secrets have no dot.
pub fn has_form_of_jwt(token: &[u8]) -> bool {
    token.iter().filter(|byte| **byte == b'.').count() == 2
}
