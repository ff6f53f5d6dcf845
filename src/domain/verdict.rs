//! The answer to a check. There is no default, and nothing stands for "allow" by being empty.

use super::denial::{Denial, Notice};
use super::deployment::Deployment;
use super::principal::Principal;

/// Whether the request may pass.
#[derive(Clone, Debug)]
pub enum Verdict<'c> {
    Allow(Grant<'c>),
    Deny(Denial),
}

/// Leave to pass. Made by [`decide`](super::decide::decide) alone.
#[derive(Clone, Debug)]
pub struct Grant<'c> {
    pub deployment: &'c Deployment,
    pub principal: Principal,
    /// What was proven besides, where all methods were asked for: their credentials were used as well.
    pub besides: Vec<Principal>,
}

/// Doorward could not decide: ours to mend, never the caller's.
///
/// Becomes Envoy's `error_response`, so that an outage never looks like a denial, but for
/// [`KeysTooOld`](Self::KeysTooOld).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the store has been out of reach for longer than `revocation.bound`")]
    LeaseExpired,
    #[error("the store has not been read yet")]
    NotLoaded,
    #[error("the issuer's keys have not been fetched yet")]
    KeysNotLoaded,
    #[error("the issuer's keys could not be fetched for longer than `max_stale`")]
    KeysTooOld,
}

/// What becomes of a [`Fault`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFault {
    /// Envoy's `error_response`, so that `failure_mode_allow` is the operator's to use.
    #[default]
    Error,
    /// A plain denial.
    Deny,
}

/// Seconds after which a caller may try again where Doorward could not decide: a failover of the
/// store takes a few.
const RETRY_AFTER: u32 = 1;

impl Fault {
    /// What a fault looks like from outside: the same whatever its cause.
    pub fn notice(self) -> Notice {
        Notice {
            status: 503,
            code: "unavailable",
            title: "Service Unavailable",
            message: "The request could not be decided; try again",
            grpc_status: 14,
            retry_after: Some(RETRY_AFTER),
        }
    }

    /// What becomes of it where `on_fault` is asked for. A key set that was loaded once is withdrawn by its
    /// age: a plain denial, or whoever keeps an issuer away for long enough lets in what looks like its tokens.
    pub fn form(self, on_fault: OnFault) -> OnFault {
        match self {
            Self::LeaseExpired | Self::NotLoaded | Self::KeysNotLoaded => on_fault,
            Self::KeysTooOld => OnFault::Deny,
        }
    }

    /// For the log.
    pub fn why(self) -> &'static str {
        match self {
            Self::LeaseExpired => "lease_expired",
            Self::NotLoaded => "not_loaded",
            Self::KeysNotLoaded => "keys_not_loaded",
            Self::KeysTooOld => "keys_too_old",
        }
    }
}
