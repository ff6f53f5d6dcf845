//! What is said of what did not come about: no more than anybody may know.

use crate::http::problem::Problem;
use crate::issue::{Declined, NotProven, Refusal};

/// Why nobody was logged in.
pub(super) fn declined(why: Declined) -> Problem {
    match why {
        Declined::Wrong => Problem::NotLoggedIn,
        Declined::Throttled(left) => Problem::TooOften(left),
        Declined::Busy => Problem::Refused(Refusal::Busy),
        Declined::Unknown(_) => Problem::Unknown,
        Declined::Store(error) => {
            tracing::error!(%error, "nobody can log in without the store");
            Problem::Unknown
        }
    }
}

/// Why a token does not say who asks.
pub(super) fn unproven(why: NotProven) -> Problem {
    match why {
        NotProven::Refused(_) | NotProven::Ended => Problem::WrongToken,
        NotProven::Unknown(_) => Problem::Unknown,
        NotProven::Unread(refusal) => outward(refusal),
    }
}

/// Why something was not made: what is the operator's to mend is for the log.
pub(super) fn outward(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Store(error) => {
            tracing::error!(%error, "a request to listen.auth failed");
            Problem::Unknown
        }
        // Without that there are neither JWTs nor links, so nothing is there; the log has said so at the start.
        Refusal::Invalid { field: "public_url", .. } => Problem::NotFound,
        // The signing keys are about to be made.
        Refusal::NotFound { what: "signing key", .. } => Problem::Unknown,
        other => Problem::Refused(other),
    }
}
