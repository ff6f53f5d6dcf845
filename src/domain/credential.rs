//! What a request presents, and where it was found.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smallvec::{SmallVec, smallvec};

use super::authentication::{ApiKey, Basic, Cookie, Jwt, KeyName, Method, Place};
use super::authorization::{self, Bearer};
use super::denial::Denial;
use super::request::{Body, HeaderValue, Request};
use super::secret::{self, Kind, Reading};
use super::step::{Step, Witness};
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
}

impl<'a> Found<'a> {
    /// For whoever asks what was seen.
    fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Unusable => "unusable",
            Self::Text(text) if text.is_empty() => "empty",
            Self::Text(_) => "present",
            Self::Many => "duplicate",
        }
    }

    /// What there is when the same name turns up `again`, once more in the same place.
    pub(super) fn and(self, again: Found<'a>) -> Found<'a> {
        match self {
            Self::Absent => again,
            Self::Unusable | Self::Text(_) | Self::Many => Self::Many,
        }
    }
}

/// What a request presents to one method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented<'a> {
    Nothing,
    Duplicate,
    Key(Cow<'a, [u8]>),
}

/// For methods that take what a place holds as it stands: an empty text is nothing.
impl<'a> From<Found<'a>> for Presented<'a> {
    fn from(found: Found<'a>) -> Self {
        match found {
            Found::Absent | Found::Unusable => Self::Nothing,
            Found::Text(text) if text.is_empty() => Self::Nothing,
            Found::Text(text) => Self::Key(text),
            Found::Many => Self::Duplicate,
        }
    }
}

impl Presented<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "absent",
            Self::Duplicate => "duplicate",
            Self::Key(_) => "present",
        }
    }
}

impl Method {
    /// Looks where this method looks, and lets `witness` see each place.
    pub fn present<'a>(
        &self,
        request: &Request<'a>,
        query: Option<&'a [u8]>,
        witness: &mut impl Witness,
    ) -> Presented<'a> {
        match self {
            Self::ApiKey(api_key) => api_key.present(request, query, witness),
            Self::StaticToken(static_token) => {
                in_headers("static_token", &static_token.headers, request, bearer_key, witness)
            }
            Self::Token(token) => in_headers("token", &token.headers, request, bearer_token, witness),
            Self::Cookie(cookie) => cookie.present(request, witness),
            Self::Jwt(jwt) => jwt.present(request, query, witness),
            Self::Basic(_) => present_basic(request, witness),
        }
    }

    /// Whether a credential of this method is spelled in the query so that the upstream could read it,
    /// and the asker could not remove it.
    pub fn is_disguised_in(&self, query: &[u8]) -> bool {
        let disguised = |name: &str| query::disguises(query, name);
        match self {
            Self::ApiKey(ApiKey { names, .. }) => {
                names.iter().any(|name| name.places.contains(&Place::Query) && disguised(&name.name))
            }
            Self::Jwt(jwt) => jwt.query.iter().any(|name| disguised(name)),
            Self::StaticToken(_) | Self::Token(_) | Self::Cookie(_) | Self::Basic(_) => false,
        }
    }

    /// The challenges of RFC 9110 section 11.6.1 for callers who proved nothing. A bearer's says
    /// what was wrong with the token, and nothing where there was none (RFC 6750 section 3.1).
    pub fn challenges(&self, denial: &Denial) -> Challenges<'_> {
        let error = match denial {
            Denial::InvalidCredential { .. } => Some("invalid_token"),
            Denial::DuplicateCredential => Some("invalid_request"),
            _ => None,
        };
        match self {
            Self::ApiKey(api_key) => api_key.challenges(error),
            Self::StaticToken(_) | Self::Token(_) | Self::Jwt(_) => {
                smallvec![Challenge { scheme: "Bearer", realm: Some(REALM), error }]
            }
            Self::Basic(Basic { realm, .. }) => {
                smallvec![Challenge { scheme: "Basic", realm: Some(realm), error: None }]
            }
            // No scheme of HTTP's has browsers log in to a page of ours.
            Self::Cookie(_) => Challenges::new(),
        }
    }
}

/// Of methods that have no `realm` of their own.
const REALM: &str = "doorward";

fn present_basic<'a>(request: &Request<'a>, witness: &mut impl Witness) -> Presented<'a> {
    let presented = basic(request);
    witness.saw(|| Step::Looked {
        method: "basic",
        name: "Authorization: Basic".to_owned(),
        place: Place::Header.name(),
        found: presented.name(),
    });
    presented
}

/// Looks through headers; the first that holds anything decides. `bearer` reads `Authorization`.
fn in_headers<'a>(
    method: &'static str,
    headers: &[String],
    request: &Request<'a>,
    bearer: impl Fn(&Request<'a>) -> Presented<'a>,
    witness: &mut impl Witness,
) -> Presented<'a> {
    for header in headers {
        let presented = match header.as_str() {
            "authorization" => bearer(request),
            header => find_header(request, header).into(),
        };
        let (name, place) = (header, Place::Header.name());
        let found = presented.name();
        witness.saw(|| Step::Looked { method, name: name.clone(), place, found });
        if presented != Presented::Nothing {
            return presented;
        }
    }
    Presented::Nothing
}

impl Cookie {
    fn present<'a>(&self, request: &Request<'a>, witness: &mut impl Witness) -> Presented<'a> {
        let presented = Presented::from(cookie::find(request, &self.name));
        let (method, place, found) = ("cookie", Place::Cookie.name(), presented.name());
        witness.saw(|| Step::Looked { method, name: self.name.clone(), place, found });
        presented
    }
}

impl Jwt {
    /// The bearer, then the cookies, then the query: the first place that holds anything decides.
    fn present<'a>(
        &self,
        request: &Request<'a>,
        query: Option<&'a [u8]>,
        witness: &mut impl Witness,
    ) -> Presented<'a> {
        let in_query = |name: &String| query.map_or(Found::Absent, |query| query::find(query, name));
        let mut saw = |name: &str, place: Place, presented: Presented<'a>| {
            let found = presented.name();
            witness.saw(|| Step::Looked { method: "jwt", name: name.to_owned(), place: place.name(), found });
            presented
        };
        if self.bearer {
            let presented = saw("Authorization: Bearer", Place::Header, bearer_jwt(request));
            if presented != Presented::Nothing {
                return presented;
            }
        }
        let cookies = self.cookies.iter().map(|name| (name, Place::Cookie, cookie::find(request, name)));
        let parameters = self.query.iter().map(|name| (name, Place::Query, in_query(name)));
        for (name, place, found) in cookies.chain(parameters) {
            let presented = saw(name, place, found.into());
            if presented != Presented::Nothing {
                return presented;
            }
        }
        Presented::Nothing
    }
}

impl ApiKey {
    /// Looks for a key: names in order, for each its places in order. The first place that holds
    /// anything decides, as Kong has it: an empty header hides a good query parameter.
    fn present<'a>(
        &self,
        request: &Request<'a>,
        query: Option<&'a [u8]>,
        witness: &mut impl Witness,
    ) -> Presented<'a> {
        let may_be_in_query = query.map(query::Names::of);
        let query = |name: &KeyName| {
            query.filter(|_| may_be_in_query.is_some_and(|names| names.may_have(&name.name)))
        };
        for name in &self.names {
            for place in &name.places {
                let found = find(request, query(name), name, *place);
                witness.saw(|| Step::Looked {
                    method: "api_key",
                    name: name.name.clone(),
                    place: place.name(),
                    found: found.name(),
                });
                match found {
                    Found::Absent => {}
                    Found::Unusable => break,
                    Found::Text(text) if text.is_empty() => return Presented::Nothing,
                    Found::Text(text) => return Presented::Key(text),
                    Found::Many => return Presented::Duplicate,
                }
            }
        }
        if !self.bearer {
            return Presented::Nothing;
        }
        let presented = bearer_key(request);
        witness.saw(|| Step::Looked {
            method: "api_key",
            name: "Authorization: Bearer".to_owned(),
            place: Place::Header.name(),
            found: presented.name(),
        });
        presented
    }

    fn challenges(&self, error: Option<&'static str>) -> Challenges<'_> {
        let realm = self.realm.as_deref();
        let bearer = self.bearer.then_some(Challenge { scheme: "Bearer", realm, error });
        std::iter::once(Challenge { scheme: "Key", realm, error: None }).chain(bearer).collect()
    }
}

/// A way to prove who one is, as a caller who did not is told of it.
///
/// Shown as in `WWW-Authenticate`: `Scheme realm="…", error="…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    pub scheme: &'static str,
    pub realm: Option<&'a str>,
    pub error: Option<&'static str>,
}

/// Those of a deployment; mostly two.
pub type Challenges<'a> = SmallVec<[Challenge<'a>; 2]>;

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, realm, error } = self;
        f.write_str(scheme)?;
        if let Some(realm) = realm {
            f.write_str(" realm=\"")?;
            for piece in realm.split_inclusive(['\\', '"']) {
                match piece.char_indices().next_back() {
                    Some((at, special @ ('\\' | '"'))) => write!(f, "{}\\{special}", &piece[..at])?,
                    _ => f.write_str(piece)?,
                }
            }
            f.write_str("\"")?;
        }
        match (realm, error) {
            (_, None) => Ok(()),
            (Some(_), Some(error)) => write!(f, ", error=\"{error}\""),
            (None, Some(error)) => write!(f, " error=\"{error}\""),
        }
    }
}

fn find<'a>(request: &Request<'a>, query: Option<&'a [u8]>, name: &KeyName, place: Place) -> Found<'a> {
    match place {
        Place::Header => find_header(request, &name.header),
        Place::Query => query.map_or(Found::Absent, |query| query::find(query, &name.name)),
        Place::Cookie => cookie::find(request, &name.name),
        Place::Body => match (request.body, request.header(b"content-type").one()) {
            (Body::Whole(body), Some(content_type)) => body::find(content_type, body, &name.name),
            _ => Found::Absent,
        },
    }
}

/// The value of a header whose name is in lower case.
fn find_header<'a>(request: &Request<'a>, name: &str) -> Found<'a> {
    match request.header(name.as_bytes()) {
        HeaderValue::Absent => Found::Absent,
        // No key of ours or of anyone else's holds a comma, and the asker may have joined two.
        HeaderValue::One(value) if value.contains(&b',') => Found::Many,
        HeaderValue::One(value) => Found::Text(Cow::Borrowed(value)),
        HeaderValue::Many => Found::Many,
    }
}

/// The key in `Authorization: Bearer <key>`.
pub(super) fn bearer_key<'a>(request: &Request<'a>) -> Presented<'a> {
    match authorization::find_bearer(request) {
        Bearer::Duplicate => Presented::Duplicate,
        Bearer::Token(token) if has_form_of_key(token) => Presented::Key(Cow::Borrowed(token)),
        Bearer::Token(_) | Bearer::Absent | Bearer::Malformed => Presented::Nothing,
    }
}

/// The opaque token of ours in `Authorization: Bearer <token>`.
pub(super) fn bearer_token<'a>(request: &Request<'a>) -> Presented<'a> {
    match authorization::find_bearer(request) {
        Bearer::Duplicate => Presented::Duplicate,
        Bearer::Token(token) if has_form_of_token(token) => Presented::Key(Cow::Borrowed(token)),
        Bearer::Token(_) | Bearer::Absent | Bearer::Malformed => Presented::Nothing,
    }
}

/// The JWT in `Authorization: Bearer <token>`.
pub(super) fn bearer_jwt<'a>(request: &Request<'a>) -> Presented<'a> {
    match authorization::find_bearer(request) {
        Bearer::Duplicate => Presented::Duplicate,
        Bearer::Token(token) if has_form_of_jwt(token) => Presented::Key(Cow::Borrowed(token)),
        Bearer::Token(_) | Bearer::Absent | Bearer::Malformed => Presented::Nothing,
    }
}

/// The name and the password in `Authorization: Basic <…>`, decoded: `alice:secret`. What cannot be decoded
/// is presented all the same, and proves nothing.
pub(super) fn basic<'a>(request: &Request<'a>) -> Presented<'a> {
    match authorization::find_basic(request) {
        Bearer::Duplicate => Presented::Duplicate,
        Bearer::Token(token) => Presented::Key(Cow::Owned(STANDARD.decode(token).unwrap_or_default())),
        Bearer::Malformed => Presented::Key(Cow::Borrowed(b"")),
        Bearer::Absent => Presented::Nothing,
    }
}

/// What is neither a JWT nor a secret of ours of another kind: those are other methods' to judge.
fn has_form_of_key(token: &[u8]) -> bool {
    match secret::read(token) {
        Reading::Ours { kind, .. } => kind == Kind::Key,
        Reading::Broken => true,
        Reading::Foreign => !has_form_of_jwt(token),
    }
}

/// One of ours, or something that began as one.
fn has_form_of_token(token: &[u8]) -> bool {
    match secret::read(token) {
        Reading::Ours { kind, .. } => kind == Kind::Token,
        Reading::Broken => true,
        Reading::Foreign => false,
    }
}

/// Three parts between two dots (RFC 7519 section 7.2). Our own secrets have no dot.
pub fn has_form_of_jwt(token: &[u8]) -> bool {
    token.iter().filter(|byte| **byte == b'.').count() == 2
}
