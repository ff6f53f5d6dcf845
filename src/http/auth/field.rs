//! Fields of bodies, as the documents write them.

use crate::config::Moment;
use crate::domain::time::Timestamp;
use crate::http::problem::Problem;

/// RFC 3339.
pub(super) fn moment(field: &'static str, text: &str) -> Result<Timestamp, Problem> {
    let found = Moment::parse(text).map(|moment| moment.0);
    found.ok_or_else(|| invalid(field, "is no moment such as `2027-01-01T00:00:00Z`"))
}

pub(super) fn invalid(field: &str, why: &str) -> Problem {
    Problem::Field { field: field.to_owned(), why: why.to_owned() }
}
