//! How fast a revocation reaches this instance.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::fault::Fault;
use super::limits::within;
use super::place::At;

/// How fast a revocation reaches this instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Revocation {
    /// How often the store is asked for what is new. Default: `250ms`.
    pub heartbeat: At<Span>,
    /// The longest time that a revoked credential goes on working in any fault: an instance that
    /// has not heard from the store for so long stops deciding. `1s` to `5m`, at least four
    /// heartbeats. Default: `10s`.
    pub bound: At<Span>,
}

impl Default for Revocation {
    fn default() -> Self {
        Self { heartbeat: At::assumed(Span::millis(250)), bound: At::assumed(Span::seconds(10)) }
    }
}

impl Revocation {
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        within("revocation.heartbeat", &self.heartbeat, Span::millis(5)..=Span::seconds(60), faults);
        within("revocation.bound", &self.bound, Span::seconds(1)..=Span::seconds(300), faults);
        if self.bound.0 >= Duration::from_secs(1) && self.bound.0 < self.heartbeat.0 * 4 {
            let message = format!(
                "`revocation.bound` is {}, expected at least four times `revocation.heartbeat`, which is {}: \
                 a single lost heartbeat must not stop the instance",
                self.bound.value, self.heartbeat.value
            );
            faults.push(Fault::new(self.bound.place.or(self.heartbeat.place), message));
        }
    }
}
