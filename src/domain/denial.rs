//! Why a request may not pass, and the one table of what that looks like.

use super::jwt::Refused;

/// A refusal that the caller caused and the caller can mend, or that must look like one.
///
/// Compare [`Fault`](super::verdict::Fault): there Doorward itself could not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Not a request that can be decided about. `why` goes to the log and never to the caller.
    MalformedRequest { why: &'static str },
    /// A path that the upstream might read in another way than we do.
    AmbiguousPath { why: &'static str },
    /// Nothing was presented where the deployment looks.
    MissingCredential,
    /// More than one credential in one place (RFC 6750 section 2 forbids guessing).
    DuplicateCredential,
    /// What was presented proves nothing. `why` goes to the log and never to the caller.
    InvalidCredential { why: Unproven },
    /// The client's address, or that there is none to judge.
    NetworkDenied { why: &'static str },
    /// A genuine key that does not open this service.
    ServiceDenied,
    /// Proven, and not in the groups that are asked for.
    GroupDenied,
    /// Proven, and without the permissions or roles that a rule asks for.
    PermissionDenied,
    /// No deployment answers to this host and path, or to the name the route gives.
    UnknownService { of: Unnamed },
    /// A browser was made to send the request by a page that may not, or cannot be told to be one that may.
    OriginDenied { why: &'static str },
    /// The deployment is switched off.
    DeploymentDisabled,
    /// The check is larger than `limits.check_bytes`.
    CheckTooLarge,
    /// Our own mistake. Never an `error_response`: a client may have caused it.
    Internal { why: &'static str },
    /// More checks are under way than `limits.checks_in_flight`.
    Overloaded,
    /// Too many wrong passwords by this name or from this address: not before so many seconds.
    Throttled { left: u32 },
    /// The asker's deadline was over before the check had arrived whole.
    Deadline,
}

/// What leads to no deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// The host and path of the request.
    HostAndPath,
    /// The route's `context_extensions`, which are the operator's words.
    Route,
    /// The host and path of a stored deployment that cannot be used.
    LeftOut,
    /// Any host and path, where the store had deployments and has lost them.
    Lost,
}

impl Unnamed {
    pub fn name(self) -> &'static str {
        match self {
            Self::HostAndPath => "no deployment has this host and path",
            Self::Route => "the route's context_extensions name no deployment, or more than one",
            Self::LeftOut => "the stored deployment that has this host and path is left out",
            Self::Lost => "the store had deployments, and has lost them",
        }
    }
}

/// Why a credential proves nothing. For the log: callers are told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    Malformed,
    Unknown,
    NotYetValid,
    Expired,
    Disabled,
    ConsumerUnknown,
    /// A static token that was made for another service.
    OtherService,
    ConsumerDisabled,
    /// A token that was bought with an access key which is no more.
    AccessKeyEnded,
    /// A token none of whose roles its owner still has.
    NoRoleLeft,
    /// A token or session from a login with a password that is another one now, or is gone.
    PasswordChanged,
    /// A session that nobody used for too long.
    Idle,
    /// A JWT that is not to be believed.
    Jwt(Refused),
}

/// What a denial looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// HTTP status.
    pub status: u16,
    /// Stable: programs may branch on it.
    pub code: &'static str,
    /// The reason phrase of the status, RFC 9110 section 15.
    pub title: &'static str,
    /// For people; may be reworded.
    pub message: &'static str,
    /// What a gRPC caller sees instead of the status.
    pub grpc_status: u8,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

impl Denial {
    /// The only place that knows how a denial looks to the world outside.
    #[rustfmt::skip] // A table is read by its columns.
    pub fn notice(&self) -> Notice {
        let (status, code, message) = match self {
            Self::MalformedRequest { .. }  => (400, "malformed_request",    "The request target cannot be understood"),
            Self::AmbiguousPath { .. }     => (400, "ambiguous_path",       "The path can be read in more than one way"),
            Self::MissingCredential        => (401, "missing_credential",   "No API key found in request"),
            Self::DuplicateCredential      => (401, "duplicate_credential", "Duplicate API key found"),
            Self::InvalidCredential { .. } => (401, "invalid_credential",   "Unauthorized"),
            Self::NetworkDenied { .. }     => (403, "network_denied",       "Your address is not allowed"),
            Self::ServiceDenied            => (403, "service_denied",       "This credential does not open this service"),
            Self::GroupDenied              => (403, "group_denied",         "You cannot consume this service"),
            Self::PermissionDenied         => (403, "permission_denied",    "You do not have the permission that this asks for"),
            Self::OriginDenied { .. }      => (403, "origin_denied",        "This page may not send this request with your session"),
            Self::UnknownService { .. }    => (404, "unknown_service",      "No service answers to this host and path"),
            Self::DeploymentDisabled       => (503, "deployment_disabled",  "This deployment is switched off"),
            Self::CheckTooLarge            => (413, "check_too_large",      "The request is too large to be checked"),
            Self::Internal { .. }          => (500, "internal",             "An unexpected error occurred"),
            Self::Overloaded               => (503, "overloaded",           "Too many requests are being checked"),
            Self::Throttled { .. }         => (429, "throttled",            "Too many wrong passwords; try again later"),
            Self::Deadline                 => (503, "deadline",             "The request could not be checked in time"),
        };
        let (title, grpc_status) = face(status);
        let retry_after = if let Self::Throttled { left } = self { Some(*left) } else { None };
        Notice { status, code, title, message, grpc_status, retry_after }
    }

    /// What the log may know and the caller may not.
    pub fn why(&self) -> Option<&'static str> {
        match self {
            Self::MalformedRequest { why }
            | Self::AmbiguousPath { why }
            | Self::NetworkDenied { why }
            | Self::OriginDenied { why }
            | Self::Internal { why } => Some(why),
            Self::InvalidCredential { why } => Some(why.name()),
            Self::UnknownService { of } => Some(of.name()),
            Self::MissingCredential
            | Self::DuplicateCredential
            | Self::ServiceDenied
            | Self::GroupDenied
            | Self::PermissionDenied
            | Self::DeploymentDisabled
            | Self::CheckTooLarge
            | Self::Overloaded
            | Self::Throttled { .. }
            | Self::Deadline => None,
        }
    }

    /// Whether a deployment in shadow mode refuses even so: there is no saying what was asked for.
    pub fn is_always_enforced(&self) -> bool {
        matches!(self, Self::UnknownService { .. } | Self::MalformedRequest { .. })
    }

    /// Whether it is the operator's or ours to mend, and so an error in the log.
    pub fn is_a_mistake(&self) -> bool {
        let unnamed = |of: &Unnamed| *of != Unnamed::HostAndPath;
        matches!(self, Self::Internal { .. }) || matches!(self, Self::UnknownService { of } if unnamed(of))
    }

    /// Whether the caller is told how to prove itself (RFC 9110 section 11.6.1).
    pub fn challenges(&self) -> bool {
        self.notice().status == 401
    }
}

impl Unproven {
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::ConsumerUnknown => "consumer_unknown",
            Self::OtherService => "other_service",
            Self::ConsumerDisabled => "consumer_disabled",
            Self::AccessKeyEnded => "access_key_ended",
            Self::NoRoleLeft => "no_role_left",
            Self::PasswordChanged => "password_changed",
            Self::Idle => "idle",
            Self::Jwt(refused) => refused.name(),
        }
    }
}

/// The reason phrase, and the gRPC status of `interface.md` 4 for an HTTP status.
#[rustfmt::skip]
fn face(status: u16) -> (&'static str, u8) {
    match status {
        400 => ("Bad Request", 3),
        401 => ("Unauthorized", 16),
        403 => ("Forbidden", 7),
        404 => ("Not Found", 5),
        413 => ("Content Too Large", 8),
        429 => ("Too Many Requests", 8),
        503 => ("Service Unavailable", 14),
        _   => ("Internal Server Error", 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_callers_get_the_status_that_goes_with_the_http_one() {
        for (status, grpc_status) in
            [(400, 3), (401, 16), (403, 7), (404, 5), (413, 8), (429, 8), (500, 13), (503, 14)]
        {
            assert_eq!(face(status).1, grpc_status, "{status}");
        }
    }

    #[test]
    fn invalid_credential_looks_the_same_whatever_the_reason() {
        let notices = [
            Unproven::Malformed,
            Unproven::Unknown,
            Unproven::NotYetValid,
            Unproven::Expired,
            Unproven::Disabled,
            Unproven::ConsumerUnknown,
            Unproven::OtherService,
            Unproven::ConsumerDisabled,
            Unproven::AccessKeyEnded,
            Unproven::NoRoleLeft,
            Unproven::PasswordChanged,
            Unproven::Idle,
            Unproven::Jwt(Refused::Signature),
        ]
        .map(|why| Denial::InvalidCredential { why }.notice());
        assert!(notices.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
