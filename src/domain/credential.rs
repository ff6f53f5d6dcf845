//! What a request presents, and where it was found.

use std::borrow::Cow;

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
