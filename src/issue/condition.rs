//! What a writer may ask: that an object still is as the writer has seen it.

use std::ops::Deref;

use super::{Act, By, Refusal};
use crate::store::{Effect, Expect, Name, Step, Table};

/// What must be true of an object for it to be changed (`If-Match`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is there, in whatever state.
    Present,
    /// It is as the change of this number has left it.
    Revision(u64),
    /// It is in a state that we have no name for: it never is.
    Never,
}

/// What was read, and the number of the change that wrote it.
#[derive(Clone, Debug)]
pub struct Seen<T> {
    pub value: T,
    pub revision: u64,
}

impl<T> Deref for Seen<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> From<(T, u64)> for Seen<T> {
    fn from((value, revision): (T, u64)) -> Self {
        Self { value, revision }
    }
}

impl By {
    /// For what is about to be made: nothing is there that could be as the caller has seen it.
    pub(in crate::issue) fn expects_nothing(&self) -> Result<(), Refusal> {
        self.condition.map_or(Ok(()), |_| Err(Refusal::Stale))
    }

    /// For what depends on more than the write itself holds against.
    pub(in crate::issue) fn still_takes(&self, revision: u64) -> Result<(), Refusal> {
        match self.condition {
            Some(Condition::Never) => Err(Refusal::Stale),
            Some(Condition::Revision(asked)) if asked != revision => Err(Refusal::Stale),
            Some(Condition::Revision(_) | Condition::Present) | None => Ok(()),
        }
    }
}

/// Has the write itself hold the condition of its caller: what was read before may be old by then. The
/// record that it holds against, where a conflict over that says that the condition did not hold.
pub(super) fn hold(act: &Act<'_>, steps: &mut [Step]) -> Result<Option<(Table, Name)>, Refusal> {
    let Some(condition) = act.by.condition else { return Ok(None) };
    let name = act.object.as_ref().map(Name::of);
    let own = |step: &&mut Step| Some(&step.name) == name.as_ref() && step.effect != Effect::Keep;
    let Some(step) = steps.iter_mut().find(own) else {
        let why = "is not heeded on this path; leave it out".into();
        return Err(Refusal::Invalid { field: "If-Match", why });
    };
    match (condition, &step.expect) {
        (Condition::Never, _) | (_, Expect::Absent) => Err(Refusal::Stale),
        (Condition::Revision(asked), Expect::Revision(read)) if asked != *read => Err(Refusal::Stale),
        (Condition::Revision(asked), Expect::Revision(_) | Expect::Present | Expect::Anything) => {
            step.expect = Expect::Revision(asked);
            Ok(Some((step.table, step.name.clone())))
        }
        (Condition::Present, Expect::Revision(_) | Expect::Present) => Ok(None),
        (Condition::Present, Expect::Anything) => {
            step.expect = Expect::Present;
            Ok(None)
        }
    }
}
