//! Who a request was proven to be, and by what.

use std::sync::Arc;

use super::consumer::Consumer;
use super::permission::PermissionId;

/// Who is calling.
#[derive(Clone, Debug)]
pub enum Principal {
    /// A public deployment, or a preflight that is not checked: nobody was asked for.
    Nobody,
    /// Nothing was proven, and the deployment takes such callers for this consumer.
    Anonymous(Arc<Consumer>),
    /// Proven by a credential.
    Proven {
        consumer: Arc<Consumer>,
        /// What names the credential without proving it: safe to log and to send upstream.
        credential: String,
        /// The consumer's permissions, less what the credential was not given.
        permissions: Vec<PermissionId>,
    },
}

impl Principal {
    pub fn consumer(&self) -> Option<&Arc<Consumer>> {
        match self {
            Self::Nobody => None,
            Self::Anonymous(consumer) | Self::Proven { consumer, .. } => Some(consumer),
        }
    }
}
