//! What is changed about a request on its way to the upstream.

use std::borrow::Cow;

use smallvec::SmallVec;

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
    pub set: SmallVec<[(&'a str, Cow<'a, str>); 8]>,
    /// Header names, lower case, as they stand in the request.
    pub remove: SmallVec<[Cow<'a, str>; 16]>,
    /// Query parameters to take out. Empty unless there is one: any change makes Envoy sort and
    /// write anew the whole query, which breaks signed URLs.
    pub remove_query: SmallVec<[&'a str; 2]>,
}
