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
