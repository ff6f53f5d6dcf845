//! What is counted and what is written down: metrics, logs, and whether this instance is ready.
//!
//! Nothing here takes user text as a label or a secret as a field, and nothing on the way of a
//! check takes a lock: every counter is found in advance, and lines go through a bounded queue.

mod checks;
pub mod decision;
mod issuers;
pub mod log;
mod metrics;
mod process;
pub mod readiness;
mod standing;

pub use decision::{DecisionLine, VerdictLabel};
pub use metrics::Telemetry;
pub use readiness::{Conditions, Readiness};
pub use standing::Standing;
