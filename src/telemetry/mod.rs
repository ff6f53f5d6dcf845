//! What is counted and what is written down: metrics, logs, and whether this instance is ready.
//!
//! Nothing here takes user text as a label or a secret as a field, and nothing on the way of a
//! check takes a lock: every counter is found in advance, and lines go through a bounded queue.

mod checks;
pub mod decision;
mod followers;
mod issuers;
pub mod log;
mod logins;
mod metrics;
pub mod otlp;
mod process;
pub mod readiness;
mod recent;
mod records;
mod standing;
pub mod traces;

pub use checks::CODES;
pub use decision::{DecisionLine, VerdictLabel};
pub use followers::{Crowded, Follower, Wanted};
pub use logins::{LoginBy, LoginOutcome, Logins};
pub use metrics::Telemetry;
pub use readiness::{Conditions, Readiness};
pub use recent::{Recent, Whose};
pub use standing::Standing;
pub use traces::Traces;
