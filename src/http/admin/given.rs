//! What bodies of several paths have in common: what is set to null, and whose a credential is.

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::problem::Problem;
use crate::issue::{Owner, Refusal, Registrar, Set};

/// For `#[serde(default, deserialize_with = "set")]`: absent is `None`, null is `Some(None)`.
pub(super) fn set<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Set<T>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// A consumer as bodies name it: by one of these.
#[derive(Clone, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumerNamed {
    id: Option<Uuid>,
    username: Option<String>,
    custom_id: Option<String>,
}

impl ConsumerNamed {
    pub(super) fn is_one_of(&self, names: &[String]) -> bool {
        let id = self.id.map(|id| id.to_string());
        let ours = [id.as_ref(), self.username.as_ref(), self.custom_id.as_ref()];
        ours.into_iter().flatten().any(|name| names.contains(name))
    }

    /// # Errors
    ///
    /// There is no such consumer, or it is named by nothing.
    pub(super) async fn resolve(self, registrar: &Registrar) -> Result<Owner, Problem> {
        let invalid = |why: String| Refusal::Invalid { field: "consumer", why };
        let (name, found) = match (self.id, self.username, self.custom_id) {
            (Some(id), _, _) => (id.to_string(), registrar.owner(&id.to_string()).await),
            (None, Some(username), _) => {
                let found = registrar.owner(&username).await;
                (username, found)
            }
            (None, None, Some(custom_id)) => {
                let found = registrar.consumer_with_custom_id(&custom_id).await?;
                let absent = || Refusal::NotFound { what: "consumer", name: custom_id.clone() };
                let found = found.map(|consumer| Owner::Stored(consumer.id)).ok_or_else(absent);
                (custom_id, found)
            }
            (None, None, None) => {
                return Err(invalid("expected `id`, `username` or `custom_id`".into()).into());
            }
        };
        match found {
            Err(Refusal::NotFound { .. }) => Err(Refusal::NoConsumer { name }.into()),
            found => Ok(found?),
        }
    }
}

/// Whose credential a body on a flat path makes.
///
/// # Errors
///
/// It names nobody.
pub(super) async fn owner(registrar: &Registrar, named: Set<ConsumerNamed>) -> Result<Owner, Problem> {
    match named.flatten() {
        Some(named) => named.resolve(registrar).await,
        None => Err(Refusal::Invalid { field: "consumer", why: "required field missing".into() }.into()),
    }
}

/// That a body, where it names a consumer, means the one whose credential it is: a credential is not
/// moved, or who may make ones for bob could take alice's.
///
/// # Errors
///
/// It names another.
pub(super) async fn stays(
    registrar: &Registrar,
    named: Set<ConsumerNamed>,
    with: Uuid,
) -> Result<(), Problem> {
    let Some(named) = named.flatten() else { return Ok(()) };
    if named.resolve(registrar).await?.id() == with {
        return Ok(());
    }
    let why = "a credential stays with its consumer; delete it, and make one for the other".into();
    Err(Refusal::Invalid { field: "consumer", why }.into())
}
