//! Who does what: what every write says of itself.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::{Condition, Done};
use crate::domain::request::id_for_logs;
use crate::domain::rights::Caller;

/// Who asks, and in which request.
#[derive(Clone, Debug)]
pub struct By {
    pub caller: Caller,
    /// Fit for logs, as [`id_for_logs`] has it.
    pub request_id: String,
    /// Names what the caller makes, so that asking twice makes it once (`Idempotency-Key`).
    pub operation: Option<Uuid>,
    /// What must be true of the object that it changes.
    pub condition: Option<Condition>,
    /// The last that was written for the request; all clones know of it.
    written: Arc<Mutex<Option<Done<()>>>>,
}

/// Under which named requests become operations. Never change it: a name that is used again would make
/// a second object.
const OPERATIONS: Uuid = Uuid::from_u128(0x4f0c_2b6e_91d7_4c55_8a3e_6d21_f0b9_7c14);

/// What a write does, for the audit log.
#[derive(Clone, Copy)]
pub(super) struct Act<'b> {
    pub(super) by: &'b By,
    /// `<kind of object>.<verb>`: one of ours, never a user's text.
    pub(super) action: &'static str,
    pub(super) object: Option<Uuid>,
    /// The operation that the write is, where its caller has named it.
    pub(super) operation: Option<Uuid>,
}

impl By {
    pub fn new(caller: Caller, request_id: Option<&str>) -> Self {
        let request_id = self::request_id(request_id);
        Self { caller, request_id, operation: None, condition: None, written: Arc::default() }
    }

    /// Where the last stands that was written for the request, if anything was: whoever knows of that knows
    /// of all of it.
    pub fn written(&self) -> Option<Done<()>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn wrote(&self, done: Done<()>) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
    }

    /// The same, of a request that its caller has given a name: `what` is its method and path.
    #[must_use]
    pub fn named(self, what: &str, name: &str) -> Self {
        let caller = self.caller.id().unwrap_or_default();
        let of = [self.caller.kind(), &caller.to_string(), what, name].join("\n");
        Self { operation: Some(Uuid::new_v5(&OPERATIONS, of.as_bytes())), ..self }
    }

    /// The same, where what it changes must be as it is told.
    #[must_use]
    pub fn provided(self, condition: Option<Condition>) -> Self {
        Self { condition, ..self }
    }

    /// Doorward itself, tidying up.
    pub(super) fn doorward() -> Self {
        Self::new(Caller::Doorward, None)
    }

    pub(super) fn does(&self, action: &'static str, object: Uuid) -> Act<'_> {
        Act { by: self, action, object: Some(object), operation: None }
    }

    /// The same for what makes something: asked again under the same name, it makes nothing.
    pub(super) fn makes(&self, action: &'static str, object: Uuid) -> Act<'_> {
        Act { operation: self.operation, ..self.does(action, object) }
    }
}

/// The one that was given where it is one that may stand in a log; else a new one.
pub fn request_id(given: Option<&str>) -> String {
    let given = given.and_then(|id| id_for_logs(id.as_bytes()));
    given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_taken_only_where_they_can_do_no_harm_in_a_log() {
        let long = "x".repeat(129);
        for (given, kept) in [
            (Some("abc-1"), true),
            (Some(&"x".repeat(128)[..]), true),
            (Some(&long[..]), false),
            (Some(""), false),
            (Some("a b"), false),
            (Some("a\nb"), false),
            (Some("é"), false),
            (None, false),
        ] {
            let id = By::new(Caller::Socket, given).request_id;
            assert_eq!(Some(&id[..]) == given, kept, "{given:?}");
            assert!(kept || Uuid::parse_str(&id).is_ok(), "{id}");
        }
    }
}
