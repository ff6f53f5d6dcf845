//! Who a request was proven to be, and by what.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::consumer::Consumer;
use super::permission::PermissionId;
use super::token::Token;

/// Who is calling. Making one copies nothing of what is known of the caller.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A public deployment, or a preflight that is not checked: nobody was asked for.
    Nobody,
    /// Nothing was proven, and the deployment takes such callers for this consumer.
    Anonymous(Arc<Consumer>),
    /// Proven by a credential.
    Proven {
        consumer: Arc<Consumer>,
        credential: CredentialName,
        /// What the credential was given at most; `None`: all that its consumer may.
        given: Option<Arc<[PermissionId]>>,
        /// What its claims say under names of the operator's.
        claims: Told,
        /// The opaque token, where it was one: the upstream is told its project and roles.
        token: Option<Arc<Token>>,
    },
}

/// Headers by their names, each with a list.
pub type Told = Vec<(String, Vec<String>)>;

/// What names a credential without proving it: safe to log and to send upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialName {
    /// Of a key, or an opaque token of ours.
    Id(Uuid),
    Session(Uuid),
    /// What a JWT says of itself: the subject of another issuer's, the id of ours. Or the name that a
    /// password belongs to.
    Text(Arc<str>),
}

impl Principal {
    pub fn consumer(&self) -> Option<&Arc<Consumer>> {
        match self {
            Self::Nobody => None,
            Self::Anonymous(consumer) | Self::Proven { consumer, .. } => Some(consumer),
        }
    }

    pub fn credential(&self) -> Option<&CredentialName> {
        match self {
            Self::Nobody | Self::Anonymous(_) => None,
            Self::Proven { credential, .. } => Some(credential),
        }
    }
}

impl CredentialName {
    /// Of the record, where it is one.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Id(id) | Self::Session(id) => Some(*id),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) | Self::Session(id) => id.fmt(f),
            Self::Text(name) => name.fmt(f),
        }
    }
}
