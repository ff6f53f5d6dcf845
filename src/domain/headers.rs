//! What is changed about a request on its way to the upstream.

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;
use uuid::Uuid;
use uuid::fmt::{Hyphenated, Simple};

use super::authentication::{ApiKey, Authentication, Jwt, KeyName, Method, Place};
use super::catalog::Catalog;
use super::consumer::Consumer;
use super::cookie::{self, Rest};
use super::credential::{self, Presented};
use super::denial::Denial;
use super::permission::PermissionId;
use super::principal::{CredentialName, Principal};
use super::query;
use super::request::Request;
use super::role::{ProjectId, Roles};
use super::token::{Scope, Token};
use super::verdict::Grant;

/// The names under which the upstream is told who called. Lower case, token characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    pub consumer_id: String,
    pub consumer_custom_id: String,
    pub consumer_username: String,
    pub consumer_groups: String,
    pub credential_identifier: String,
    pub anonymous_consumer: String,
    pub permissions: String,
    pub user_id: String,
    pub user_name: String,
    pub project_id: String,
    pub project_name: String,
    pub roles: String,
    /// Those that claims of JWTs may be told under, at whatever deployment: wherever a client may write one,
    /// some upstream may believe it.
    pub claims: Vec<String>,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            consumer_id: "x-consumer-id".into(),
            consumer_custom_id: "x-consumer-custom-id".into(),
            consumer_username: "x-consumer-username".into(),
            consumer_groups: "x-consumer-groups".into(),
            credential_identifier: "x-credential-identifier".into(),
            anonymous_consumer: "x-anonymous-consumer".into(),
            permissions: "x-permissions".into(),
            user_id: "x-user-id".into(),
            user_name: "x-user-name".into(),
            project_id: "x-project-id".into(),
            project_name: "x-project-name".into(),
            roles: "x-roles".into(),
            claims: Vec::new(),
        }
    }
}

/// Changes to a request that may pass. `set` and `remove` share no name, because askers differ in
/// which of the two they do first.
#[derive(Clone, Debug, Default)]
pub struct Mutations<'a> {
    /// Overwrites every line of that name. Values are visible ASCII and spaces, and never empty.
    pub set: SmallVec<[(&'a str, Value<'a>); 13]>,
    /// Header names, lower case, as they stand in the request.
    pub remove: SmallVec<[Cow<'a, str>; 24]>,
    /// Query parameters to take out. Empty unless there is one: any change makes Envoy sort and
    /// write anew the whole query, which breaks signed URLs.
    pub remove_query: SmallVec<[&'a str; 2]>,
}

/// What a header is set to: put into words where the answer is written, and nowhere before.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// As it is.
    Plain(Cow<'a, str>),
    /// Bytes outside visible ASCII as percent escapes, and `%` too, so that no two values become one.
    Text(&'a str),
    /// Commas too: they stand between the items.
    Texts(&'a [String]),
    /// The same: what another issuer says of its subject.
    Claims(&'a [String]),
    /// As it is: the cookies of other applications.
    Cookies(String),
    Id(Uuid),
    /// Those of `had` that were `given`; `None`: all.
    Permissions {
        had: &'a [PermissionId],
        given: Option<&'a [PermissionId]>,
    },
    /// Without hyphens, as KakaoCloud's document writes ids.
    Hex(Uuid),
    /// Those that the token's bearer acts with.
    Roles {
        token: &'a Token,
        consumer: &'a Consumer,
        roles: &'a Roles,
    },
}

/// The longest value of an identity header, in bytes. A longer one is never cut: the request is denied.
pub const LONGEST_VALUE: usize = 1024;

/// The same of all that an answer sets, names and values.
const LONGEST_TOGETHER: usize = 8 << 10;

/// Says that Envoy let a request pass because we did not answer; no client may claim it.
const FAILED_OPEN: &str = "x-envoy-auth-failure-mode-allowed";

impl IdentityHeaders {
    /// Every name that a grant sets or removes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let known = [
            &self.consumer_id,
            &self.consumer_custom_id,
            &self.consumer_username,
            &self.consumer_groups,
            &self.credential_identifier,
            &self.anonymous_consumer,
            &self.permissions,
            &self.user_id,
            &self.user_name,
            &self.project_id,
            &self.project_name,
            &self.roles,
        ];
        known.into_iter().chain(&self.claims).map(String::as_str)
    }
}

/// What changes about a request that may pass: the identity told, everything that looks like an
/// identity taken out, the credential kept back.
///
/// # Errors
///
/// [`Denial::Internal`] where an identity is too long for a header: it is never cut.
pub fn mutate<'a>(
    grant: &'a Grant<'_>,
    catalog: &'a Catalog,
    request: &Request<'_>,
    query: Option<&[u8]>,
) -> Result<Mutations<'a>, Denial> {
    let mut mutations = Mutations::default();
    vouch(&mut mutations, Some(&grant.principal), catalog)?;
    remove_look_alikes(&mut mutations, catalog, request);
    // All cookies leave the one header together: written once for each method, it would bring back what the
    // one before had taken out. A session goes to no upstream of the host, whatever its own deployment takes.
    let mut cookies: SmallVec<[&str; 4]> = catalog.session_cookie().into_iter().collect();
    if let Authentication::Required { methods, .. } = &*grant.deployment.policy.authentication {
        for method in methods {
            match method {
                Method::ApiKey(api_key) if api_key.hide => {
                    hide(&mut mutations, api_key, request, query);
                    let names = api_key.names.iter().filter(|name| name.places.contains(&Place::Cookie));
                    cookies.extend(names.map(|name| name.name.as_str()));
                }
                Method::ApiKey(_) => {}
                Method::StaticToken(it) => {
                    hide_token(&mut mutations, &it.headers, credential::bearer_key(request));
                }
                Method::Token(it) => {
                    hide_token(&mut mutations, &it.headers, credential::bearer_token(request));
                }
                Method::Cookie(_) => {}
                Method::Jwt(jwt) if jwt.hide => {
                    hide_jwt(&mut mutations, jwt, request, query);
                    cookies.extend(jwt.cookies.iter().map(String::as_str));
                }
                Method::Jwt(_) => {}
                Method::Basic(basic) if basic.hide && credential::basic(request) != Presented::Nothing => {
                    mutations.remove.push(Cow::Borrowed("authorization"));
                }
                Method::Basic(_) => {}
            }
        }
    }
    hide_cookies(&mut mutations, request, &cookies);
    debug_assert!(mutations.set.iter().all(|(name, _)| !mutations.remove.iter().any(|gone| gone == name)));
    Ok(mutations)
}

/// Sets or removes every name of ours; where there is no grant, removes them all.
fn vouch<'a>(
    mutations: &mut Mutations<'a>,
    principal: Option<&'a Principal>,
    catalog: &'a Catalog,
) -> Result<(), Denial> {
    let names = catalog.headers();
    let consumer = principal.and_then(Principal::consumer);
    let mut left = LONGEST_TOGETHER;
    let mut tell = |name: &'a str, value: Option<Value<'a>>| {
        match value.map(|value| (value.len(), value)) {
            None | Some((0, _)) => mutations.remove.push(Cow::Borrowed(name)),
            Some((length @ 1..=LONGEST_VALUE, value)) => {
                let why = "the identity headers would be longer than 8 KiB together";
                left = left.checked_sub(name.len() + length).ok_or(Denial::Internal { why })?;
                mutations.set.push((name, value));
            }
            Some(_) => {
                return Err(Denial::Internal { why: "an identity header would be longer than 1 KiB" });
            }
        }
        Ok(())
    };
    let text = |text: Option<&'a str>| text.map(Value::Text);
    tell(&names.consumer_id, consumer.map(|consumer| Value::Id(consumer.id)))?;
    tell(&names.consumer_custom_id, text(consumer.and_then(|consumer| consumer.custom_id.as_deref())))?;
    tell(&names.consumer_username, text(consumer.and_then(|consumer| consumer.username.as_deref())))?;
    tell(&names.consumer_groups, consumer.map(|consumer| Value::Texts(&consumer.given.groups)))?;
    let (anonymous, credential, permissions, claims) = match principal {
        None | Some(Principal::Nobody) => (None, None, None, &[][..]),
        Some(Principal::Anonymous(_)) => (Some("true".into()), None, None, &[][..]),
        Some(Principal::Proven { consumer, credential, given, claims, .. }) => {
            let (had, given) = (consumer.given.permissions.as_slice(), given.as_deref());
            (None, Some(credential.into()), Some(Value::Permissions { had, given }), claims.as_slice())
        }
    };
    tell(&names.credential_identifier, credential)?;
    tell(&names.anonymous_consumer, anonymous)?;
    tell(&names.permissions, permissions)?;
    let subject = principal.and_then(subject);
    let user = subject.map(|(consumer, ..)| consumer);
    let project = subject.and_then(|(.., project)| catalog.project(project));
    let roles = subject.map(|(consumer, token, _)| Value::Roles { token, consumer, roles: catalog.roles() });
    tell(&names.user_id, user.map(|user| Value::Hex(user.id)))?;
    tell(&names.user_name, text(user.and_then(|user| user.username.as_deref())))?;
    tell(&names.project_id, project.map(|project| Value::Hex(project.id)))?;
    tell(&names.project_name, project.map(|project| Value::Text(&project.name)))?;
    tell(&names.roles, roles)?;
    names.claims.iter().try_for_each(|name| {
        let told = claims.iter().find(|(header, _)| header == name);
        tell(name, told.map(|(_, values)| Value::Claims(values)))
    })?;
    mutations.remove.push(Cow::Borrowed(FAILED_OPEN));
    Ok(())
}

/// Who acts in which project, by a subject token.
fn subject(principal: &Principal) -> Option<(&Consumer, &Token, ProjectId)> {
    match principal {
        Principal::Proven { consumer, token: Some(token), .. } => match &token.scope {
            Scope::Subject { project, .. } => Some((consumer, token, *project)),
            Scope::Dynamic { .. } => None,
        },
        Principal::Proven { token: None, .. } | Principal::Nobody | Principal::Anonymous(_) => None,
    }
}

/// Takes out every look-alike of an identity header in the request, and where the asker shows only
/// some headers, every look-alike there could be.
fn remove_look_alikes<'a>(mutations: &mut Mutations<'a>, catalog: &'a Catalog, request: &Request<'_>) {
    for header in &request.headers {
        if catalog.impersonates(header.name)
            && let Ok(name) = std::str::from_utf8(header.name)
        {
            // Owned, because this is rare, and the answer then outlives the request's bytes.
            mutations.remove.push(Cow::Owned(name.to_owned()));
        }
    }
    if request.filtered {
        mutations.remove.extend(catalog.look_alikes().iter().map(|name| Cow::Borrowed(name.as_str())));
    }
}

/// A bit for each of some headers' names, by its length and how its last byte is folded: most headers
/// of a request are of no such shape, and then need no other look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shapes(u64);

impl Shapes {
    pub fn of<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self(names.fold(0, |shapes, name| shapes | Self::bit(name.as_bytes())))
    }

    /// False only where `header` looks like none of the names.
    pub fn may_have(self, header: &[u8]) -> bool {
        self.0 & Self::bit(header) != 0
    }

    fn bit(name: &[u8]) -> u64 {
        let last = name.last().map_or(0, |last| usize::from(fold(*last)));
        1 << ((name.len().wrapping_mul(11) ^ last) & 63)
    }
}

/// Whether a backend that folds punctuation (CGI, WSGI, PHP) reads `header` as `name`, although it
/// is not `name`.
pub(super) fn looks_like(header: &[u8], name: &[u8]) -> bool {
    header.len() == name.len()
        && header != name
        && header.iter().zip(name).all(|(theirs, ours)| fold(*theirs) == fold(*ours))
}

/// A byte of a name as such a backend reads it.
fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// The other spellings of a name that reach an upstream: with `_` or `.` for any of its `-`.
pub fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for character in name.chars() {
        let choices: &[char] = if character.is_alphanumeric() { &[character] } else { &['-', '_', '.'] };
        all = all
            .iter()
            .flat_map(|start| choices.iter().map(move |choice| format!("{start}{choice}")))
            .collect();
    }
    all.retain(|spelling| spelling != name);
    all
}

/// Keeps a method's credential from the upstream: every configured name in every configured place
/// but cookies, not only the one that decided. A body cannot be changed by an ext_authz server.
fn hide<'a>(mutations: &mut Mutations<'a>, api_key: &'a ApiKey, request: &Request<'_>, query: Option<&[u8]>) {
    let may_be_in_query = query.map(query::Names::of);
    let query =
        |name: &KeyName| query.filter(|_| may_be_in_query.is_some_and(|names| names.may_have(&name.name)));
    for name in &api_key.names {
        for place in &name.places {
            match place {
                Place::Header => mutations.remove.push(Cow::Borrowed(&name.header)),
                Place::Query if query(name).is_some_and(|query| query::has(query, &name.name)) => {
                    mutations.remove_query.push(&name.name);
                }
                Place::Query | Place::Cookie | Place::Body => {}
            }
        }
    }
    if api_key.bearer && credential::bearer_key(request) != Presented::Nothing {
        mutations.remove.push(Cow::Borrowed("authorization"));
    }
}

/// Keeps a token from the upstream, and leaves alone an `Authorization` that holds none.
fn hide_token<'a>(mutations: &mut Mutations<'a>, headers: &'a [String], bearer: Presented<'_>) {
    let held = |header: &&String| *header != "authorization" || bearer != Presented::Nothing;
    let headers = headers.iter().filter(held);
    mutations.remove.extend(headers.map(|header| Cow::Borrowed(header.as_str())));
}

/// Keeps a JWT from the upstream: wherever one may stand but in cookies.
fn hide_jwt<'a>(mutations: &mut Mutations<'a>, jwt: &'a Jwt, request: &Request<'_>, query: Option<&[u8]>) {
    if jwt.bearer && credential::bearer_jwt(request) != Presented::Nothing {
        mutations.remove.push(Cow::Borrowed("authorization"));
    }
    let there = |name: &&String| query.is_some_and(|query| query::has(query, name));
    mutations.remove_query.extend(jwt.query.iter().filter(there).map(String::as_str));
}

/// What is left of a request that passes although it was denied (shadow mode): no identity of
/// ours, whatever the client wrote under our names; the credential stays.
pub fn unvouched<'a>(catalog: &'a Catalog, request: &Request<'_>) -> Mutations<'a> {
    let mut mutations = Mutations::default();
    vouch(&mut mutations, None, catalog).expect("a name that is removed has no length");
    remove_look_alikes(&mut mutations, catalog, request);
    mutations
}

fn hide_cookies(mutations: &mut Mutations<'_>, request: &Request<'_>, names: &[&str]) {
    match cookie::without(request, names) {
        Rest::Unchanged => {}
        Rest::Nothing => mutations.remove.push(Cow::Borrowed("cookie")),
        Rest::Left(value) => mutations.set.push(("cookie", Value::Cookies(value))),
    }
}

impl Value<'_> {
    /// In bytes, as it is written.
    pub fn len(&self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Text(text) => written_length(text, plain),
            Self::Cookies(text) => text.len(),
            Self::Texts(texts) | Self::Claims(texts) => list_length(*texts),
            Self::Id(_) => Hyphenated::LENGTH,
            Self::Hex(_) => Simple::LENGTH,
            Self::Roles { token, consumer, roles } => list_length(token.roles(consumer, roles)),
            Self::Permissions { had, given } => {
                let ids = both(had, *given).count();
                (ids * (Hyphenated::LENGTH + BETWEEN.len())).saturating_sub(BETWEEN.len())
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(text) => out.extend_from_slice(text.as_bytes()),
            Self::Text(text) => escape(text, out, plain),
            Self::Cookies(text) => out.extend_from_slice(text.as_bytes()),
            Self::Texts(texts) | Self::Claims(texts) => {
                list(texts.iter(), out, |text, out| escape(text, out, plain_in_list));
            }
            Self::Id(id) => write_id(id, out),
            Self::Permissions { had, given } => list(both(had, *given), out, write_id),
            Self::Hex(id) => {
                out.extend_from_slice(id.simple().encode_lower(&mut [0; Simple::LENGTH]).as_bytes());
            }
            Self::Roles { token, consumer, roles } => {
                list(token.roles(consumer, roles), out, |role, out| escape(role, out, plain_in_list));
            }
        }
    }

    /// For whoever asks afterwards: of what only the upstream may read, how much there is.
    pub fn counted(&self) -> String {
        match self {
            Self::Claims(values) => format!("(values of claims: {})", values.len()),
            Self::Cookies(text) => format!("(cookies that are left: {})", text.split("; ").count()),
            Self::Plain(_)
            | Self::Text(_)
            | Self::Texts(_)
            | Self::Id(_)
            | Self::Permissions { .. }
            | Self::Hex(_)
            | Self::Roles { .. } => self.to_string(),
        }
    }
}

/// What the consumer has and the key was given; without a word of the key, all.
fn both<'p>(
    had: &'p [PermissionId],
    given: Option<&'p [PermissionId]>,
) -> impl Iterator<Item = &'p PermissionId> {
    had.iter().filter(move |id| given.is_none_or(|given| given.contains(id)))
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(self.len());
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Plain(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Plain(Cow::Owned(text))
    }
}

impl<'a> From<&'a CredentialName> for Value<'a> {
    fn from(name: &'a CredentialName) -> Self {
        match name {
            CredentialName::Id(id) | CredentialName::Session(id) => Self::Id(*id),
            CredentialName::Text(name) => Self::Text(name),
        }
    }
}

/// The text of a UUID.
pub fn write_id(id: &Uuid, out: &mut Vec<u8>) {
    out.extend_from_slice(id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]).as_bytes());
}

fn escape(text: &str, out: &mut Vec<u8>, plain: impl Fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if text.bytes().all(&plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        if plain(byte) {
            out.push(byte);
        } else {
            out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'%'
}

fn plain_in_list(byte: u8) -> bool {
    plain(byte) && byte != b','
}

fn written_length(text: &str, plain: impl Fn(u8) -> bool) -> usize {
    text.bytes().map(|byte| if plain(byte) { 1 } else { 3 }).sum()
}

/// Bytes that a list takes in an identity header, so that one that is too long can be told before
/// requests are denied for it.
pub fn list_length<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> usize {
    let written = |item: T| written_length(item.as_ref(), plain_in_list) + BETWEEN.len();
    items.into_iter().map(written).sum::<usize>().saturating_sub(BETWEEN.len())
}

/// What stands between the items of a list.
const BETWEEN: &str = ", ";

fn list<T>(items: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.extend_from_slice(BETWEEN.as_bytes());
        }
        write(item, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever warns of long lists, and whoever refuses them, goes by the length.
        #[test]
        fn the_length_of_a_list_is_that_of_what_is_sent(items in prop::collection::vec("\\PC{1,9}|[%, -~]{1,9}", 0..5)) {
            let sent = Value::Texts(&items).to_string();
            prop_assert_eq!(list_length(&items), sent.len());
            prop_assert!(sent.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
        }

        #[test]
        fn of_others_cookies_and_claims_whoever_asks_afterwards_hears_the_number_alone(secrets in prop::collection::vec("[a-z]{12}", 1..5)) {
            let pairs: Vec<String> = secrets.iter().map(|secret| format!("{secret}={secret}")).collect();
            for value in [Value::Claims(&secrets), Value::Cookies(pairs.join("; "))] {
                let told = value.counted();
                prop_assert!(told.ends_with(&format!(": {})", secrets.len())), "{}", told);
                prop_assert!(secrets.iter().all(|secret| !told.contains(secret) && value.to_string().contains(secret)));
            }
            let groups = Value::Texts(&secrets);
            prop_assert_eq!(groups.counted(), groups.to_string());
        }

        #[test]
        fn whatever_looks_like_a_name_has_its_shape(at in 0..12_usize, with in "[-_.~]{12}", capital: bool) {
            let headers = IdentityHeaders::default();
            let mut with = with.chars().cycle();
            let name = headers.names().nth(at).unwrap_or_default();
            let other: String = name.chars().map(|letter| if letter == '-' { with.next().unwrap_or(letter) } else { letter }).collect();
            let other = if capital { other.to_ascii_uppercase() } else { other };
            prop_assert!(other == name || looks_like(other.as_bytes(), name.as_bytes()));
            prop_assert!(Shapes::of(headers.names()).may_have(other.as_bytes()));
        }

        #[test]
        fn permissions_are_those_that_were_had_and_given(had in prop::collection::vec(0..6_u128, 0..5), given in prop::option::of(prop::collection::vec(0..6_u128, 0..5))) {
            let ids = |numbers: &[u128]| numbers.iter().copied().map(Uuid::from_u128).collect::<Vec<_>>();
            let (had, given) = (ids(&had), given.as_deref().map(ids));
            let value = Value::Permissions { had: &had, given: given.as_deref() };
            let both = had.iter().filter(|id| given.as_ref().is_none_or(|given| given.contains(id)));
            let expected = both.map(Uuid::to_string).collect::<Vec<_>>().join(", ");
            prop_assert_eq!(value.len(), expected.len());
            prop_assert_eq!(value.to_string(), expected);
        }
    }
}
