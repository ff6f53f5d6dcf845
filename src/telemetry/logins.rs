//! What became of whoever wanted to be let in: by a password, an access key, a grant, or as an administrator.

use prometheus::{IntCounterVec, Opts, Registry};

use super::metrics::registered;

/// Counts them. Without a registry nobody reads it.
#[derive(Clone)]
pub struct Logins(IntCounterVec);

/// By what.
#[derive(Clone, Copy, Debug)]
pub enum LoginBy {
    Password,
    AccessKey,
    Grant,
    Admin,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginOutcome {
    Granted,
    /// Wrong, over, switched off, or not from there: for itself, or at that service.
    Refused,
    /// Tried too often.
    Throttled,
    /// Too much waited to be looked at.
    Busy,
    /// Without the store nobody knows.
    Unavailable,
}

impl LoginBy {
    const ALL: [Self; 4] = [Self::Password, Self::AccessKey, Self::Grant, Self::Admin];

    fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::AccessKey => "access_key",
            Self::Grant => "grant",
            Self::Admin => "admin",
        }
    }
}

impl LoginOutcome {
    const ALL: [Self; 5] = [Self::Granted, Self::Refused, Self::Throttled, Self::Busy, Self::Unavailable];

    fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Logins {
    pub(super) fn new(add: &Registry) -> Self {
        let what = "Attempts to be let in, by what was shown and by what became of them; of `admin`, requests \
                    to the admin API and for static tokens";
        let opts = Opts::new("doorward_logins_total", what);
        let logins = Self(registered(add, IntCounterVec::new(opts, &["by", "outcome"])));
        // There from the start, so that the first one is an increase.
        for by in LoginBy::ALL {
            for outcome in LoginOutcome::ALL {
                logins.0.with_label_values(&[by.name(), outcome.name()]);
            }
        }
        logins
    }

    pub fn count(&self, by: LoginBy, outcome: LoginOutcome) {
        self.0.with_label_values(&[by.name(), outcome.name()]).inc();
    }
}

impl Default for Logins {
    fn default() -> Self {
        Self::new(&Registry::new())
    }
}
