//! What is changed about a request on its way to the upstream.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::authentication::{ApiKey, Authentication, Method, Place, StaticToken};
use super::catalog::Catalog;
use super::cookie::{self, Rest};
use super::credential::{self, Presented};
use super::denial::Denial;
use super::principal::Principal;
use super::query;
use super::request::Request;
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
        }
    }
}

/// Changes to a request that may pass. `set` and `remove` share no name, because askers differ in
/// which of the two they do first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutations<'a> {
    /// Overwrites every line of that name. Values are visible ASCII and spaces, and never empty.
    pub set: Vec<(&'a str, Cow<'a, str>)>,
    /// Header names, lower case, as they stand in the request.
    pub remove: Vec<Cow<'a, str>>,
    /// Query parameters to take out. Empty unless there is one: any change makes Envoy sort and
    /// write anew the whole query, which breaks signed URLs.
    pub remove_query: Vec<&'a str>,
}

/// The longest value of an identity header, in bytes. A longer one is never cut: the request is denied.
pub const LONGEST_VALUE: usize = 1024;

/// Says that Envoy let a request pass because we did not answer; no client may claim it.
const FAILED_OPEN: &str = "x-envoy-auth-failure-mode-allowed";

impl IdentityHeaders {
    /// Every name that a grant sets or removes.
    pub fn names(&self) -> [&str; 12] {
        [
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
        ]
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
    vouch(&mut mutations, grant, catalog.headers())?;
    remove_unvouched(&mut mutations, catalog, request);
    if let Authentication::Required { methods, .. } = &grant.deployment.policy.authentication {
        // All methods' cookies leave the one header together: written once for each method, it
        // would bring back what the one before had taken out.
        let mut cookies: SmallVec<[&str; 4]> = SmallVec::new();
        for method in methods {
            match method {
                Method::ApiKey(api_key) if api_key.hide => {
                    hide(&mut mutations, api_key, request, query);
                    let names = api_key.names.iter().filter(|name| name.places.contains(&Place::Cookie));
                    cookies.extend(names.map(|name| name.name.as_str()));
                }
                Method::ApiKey(_) => {}
                Method::StaticToken(static_token) => hide_token(&mut mutations, static_token, request),
            }
        }
        hide_cookies(&mut mutations, request, &cookies);
    }
    debug_assert!(mutations.set.iter().all(|(name, _)| !mutations.remove.iter().any(|gone| gone == name)));
    Ok(mutations)
}

fn vouch<'a>(
    mutations: &mut Mutations<'a>,
    grant: &'a Grant<'_>,
    headers: &'a IdentityHeaders,
) -> Result<(), Denial> {
    let Some(consumer) = grant.principal.consumer() else { return Ok(()) };
    let mut set = |name: &'a str, value: Cow<'a, str>| -> Result<(), Denial> {
        if value.len() > LONGEST_VALUE {
            return Err(Denial::Internal { why: "an identity header would be longer than 1 KiB" });
        }
        if !value.is_empty() {
            mutations.set.push((name, value));
        }
        Ok(())
    };
    set(&headers.consumer_id, Cow::Owned(consumer.id.to_string()))?;
    if let Some(custom_id) = &consumer.custom_id {
        set(&headers.consumer_custom_id, printable(custom_id))?;
    }
    if let Some(username) = &consumer.username {
        set(&headers.consumer_username, printable(username))?;
    }
    set(&headers.consumer_groups, list(consumer.groups.iter().map(|group| printable(group))))?;
    match &grant.principal {
        Principal::Nobody => {}
        Principal::Anonymous(_) => set(&headers.anonymous_consumer, Cow::Borrowed("true"))?,
        Principal::Proven { credential, permissions, .. } => {
            set(&headers.credential_identifier, printable(credential))?;
            set(&headers.permissions, list(permissions.iter().map(|id| Cow::Owned(id.to_string()))))?;
        }
    }
    Ok(())
}

/// Takes out every identity header that is not set, every look-alike of one in the request, and
/// where the asker shows only some headers, every look-alike there could be.
fn remove_unvouched<'a>(mutations: &mut Mutations<'a>, catalog: &'a Catalog, request: &Request<'_>) {
    let names = catalog.headers().names();
    for name in names {
        if !mutations.set.iter().any(|(set, _)| *set == name) {
            mutations.remove.push(Cow::Borrowed(name));
        }
    }
    mutations.remove.push(Cow::Borrowed(FAILED_OPEN));
    for header in &request.headers {
        if names.iter().any(|name| looks_like(header.name, name.as_bytes()))
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

/// Whether a backend that folds punctuation (CGI, WSGI, PHP) reads `header` as `name`, although it
/// is not `name`.
fn looks_like(header: &[u8], name: &[u8]) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    header.len() == name.len()
        && header != name
        && header.iter().zip(name).all(|(theirs, ours)| fold(*theirs) == fold(*ours))
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
    for name in &api_key.names {
        for place in &name.places {
            match place {
                Place::Header => mutations.remove.push(Cow::Borrowed(&name.header)),
                Place::Query if query.is_some_and(|query| query::has(query, &name.name)) => {
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

/// Keeps a static token from the upstream, and leaves alone an `Authorization` that holds none.
fn hide_token<'a>(mutations: &mut Mutations<'a>, static_token: &'a StaticToken, request: &Request<'_>) {
    let held = |header: &&String| {
        *header != "authorization" || credential::bearer_key(request) != Presented::Nothing
    };
    let headers = static_token.headers.iter().filter(held);
    mutations.remove.extend(headers.map(|header| Cow::Borrowed(header.as_str())));
}

/// What is left of a request that passes although it was denied (shadow mode): no identity of
/// ours, whatever the client wrote under our names; the credential stays.
pub fn unvouched<'a>(catalog: &'a Catalog, request: &Request<'_>) -> Mutations<'a> {
    let mut mutations = Mutations::default();
    remove_unvouched(&mut mutations, catalog, request);
    mutations
}

fn hide_cookies(mutations: &mut Mutations<'_>, request: &Request<'_>, names: &[&str]) {
    match cookie::without(request, names) {
        Rest::Unchanged => {}
        Rest::Nothing => mutations.remove.push(Cow::Borrowed("cookie")),
        Rest::Left(value) => mutations.set.push(("cookie", Cow::Owned(value))),
    }
}

/// Bytes outside visible ASCII as percent escapes, and `%` too, so that no two values become one.
fn printable(text: &str) -> Cow<'_, str> {
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(escaped)
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'%'
}

/// Bytes that a list takes in an identity header, so that one that is too long can be told before
/// requests are denied for it.
pub fn list_length<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> usize {
    let written = |item: T| item.as_ref().bytes().map(|byte| if plain(byte) { 1 } else { 3 }).sum::<usize>();
    items.into_iter().map(|item| written(item) + BETWEEN.len()).sum::<usize>().saturating_sub(BETWEEN.len())
}

/// What stands between the items of a list.
const BETWEEN: &str = ", ";

fn list<'a>(items: impl Iterator<Item = Cow<'a, str>>) -> Cow<'static, str> {
    let mut joined = String::new();
    for item in items {
        if !joined.is_empty() {
            joined.push_str(BETWEEN);
        }
        joined.push_str(&item);
    }
    Cow::Owned(joined)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever warns of long lists, and whoever refuses them, goes by the length.
        #[test]
        fn the_length_of_a_list_is_that_of_what_is_sent(items in prop::collection::vec("\\PC{1,9}|[%, -~]{1,9}", 0..5)) {
            let sent = list(items.iter().map(|item| printable(item)));
            prop_assert_eq!(list_length(&items), sent.len());
            prop_assert!(sent.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
        }
    }
}
