//! How long what Doorward issues lives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::fault::Fault;
use super::limits::within;
use super::place::At;

/// How long what Doorward issues lives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetimes {
    /// JWTs. `1m` to `24h`. Default: `1h`.
    pub jwt: At<Span>,
    /// Grants, which a login gives and which buy one dynamic token. `1s` to `1m`. Default: `1m`.
    pub grant: At<Span>,
    /// Dynamic tokens. `1s` to `30d`. Default: `1h`.
    pub dynamic: At<Span>,
    /// Subject tokens, and never beyond their access key. `1s` to `24h`. Default: `12h`.
    pub subject: At<Span>,
    /// Sessions that nobody uses. `1s` to `30d`. Default: `30m`.
    pub session_idle: At<Span>,
    /// Sessions, whatever their use. `1s` to `90d`, at least as long as `session_idle`. Default: `12h`.
    pub session: At<Span>,
    /// For so long a key signs JWTs; before that it is published for as long. `1h` to `365d`, at least
    /// as long as a JWT. Default: `30d`.
    pub signing_key: At<Span>,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let seconds = |seconds| At::assumed(Span::seconds(seconds));
        Self {
            jwt: seconds(3_600),
            grant: seconds(60),
            dynamic: seconds(3_600),
            subject: seconds(12 * 3_600),
            session_idle: seconds(30 * 60),
            session: seconds(12 * 3_600),
            signing_key: seconds(30 * 86_400),
        }
    }
}

impl Lifetimes {
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        let (minute, day) = (Span::seconds(60), Span::seconds(86_400));
        within("lifetimes.jwt", &self.jwt, minute..=day, faults);
        // Seconds are for whoever tries what a page does when they are over.
        let up_to = |most| Span::seconds(1)..=most;
        within("lifetimes.grant", &self.grant, up_to(minute), faults);
        within("lifetimes.dynamic", &self.dynamic, up_to(Span::seconds(30 * 86_400)), faults);
        within("lifetimes.subject", &self.subject, up_to(day), faults);
        within("lifetimes.session_idle", &self.session_idle, up_to(Span::seconds(30 * 86_400)), faults);
        within("lifetimes.session", &self.session, up_to(Span::seconds(90 * 86_400)), faults);
        if self.session.value < self.session_idle.value {
            let message = format!(
                "`lifetimes.session` is {}, expected at least `lifetimes.session_idle`, which is {}",
                self.session.value, self.session_idle.value
            );
            faults.push(Fault::new(self.session.place.or(self.session_idle.place), message));
        }
        let key = Span::seconds(3_600)..=Span::seconds(365 * 86_400);
        within("lifetimes.signing_key", &self.signing_key, key, faults);
        if self.signing_key.value < self.jwt.value {
            let message = format!(
                "`lifetimes.signing_key` is {}, expected at least `lifetimes.jwt`, which is {}",
                self.signing_key.value, self.jwt.value
            );
            faults.push(Fault::new(self.signing_key.place.or(self.jwt.place), message));
        }
    }
}
