//! Why Redis did not do what was asked, and what may be done about it.

use ::redis::RedisError;

use super::acl;
use super::settings::Address;
use crate::store::StoreError;

/// What became of a request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No connection was to be had: nothing was sent.
    Unreachable(String),
    /// Sent, and no answer: whether it was done is open. The connection is given up.
    Lost { why: String, timeout: bool },
    /// Redis cannot serve this here or now, and did nothing. The connection is given up: the next
    /// one may lead elsewhere.
    Elsewhere(String),
    /// Redis refused, and did nothing.
    Refused(String),
    /// What is there cannot be used.
    Store(StoreError),
}

impl Refusal {
    /// An answer that Redis would not give.
    pub(super) fn garbled(what: &str) -> Self {
        Self::Lost { why: format!("Redis answered {what} in a form that it never has"), timeout: false }
    }

    /// Whether the connection that it came from is of no more use.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Elsewhere(_))
    }

    /// What it says.
    pub(super) fn why(self) -> String {
        match StoreError::from(self) {
            StoreError::Unavailable(why) | StoreError::Foreign(why) => why,
            error => error.to_string(),
        }
    }

    /// Whether a connection that stood idle may just have been found broken or outdated, so that a
    /// request which changes nothing may be sent once more.
    pub(super) fn stale(&self) -> bool {
        matches!(self, Self::Lost { timeout: false, .. } | Self::Elsewhere(_))
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unreachable(why)
            | Refusal::Lost { why, .. }
            | Refusal::Elsewhere(why)
            | Refusal::Refused(why) => Self::Unavailable(why),
            Refusal::Store(error) => error,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What an error says, of a request to Redis at `address`.
pub(super) fn of(address: &Address, error: &RedisError) -> Refusal {
    match error.code() {
        Some(code) => answered(address, code, error.detail().unwrap_or_default()),
        None if error.is_timeout() => {
            Refusal::Lost { why: format!("Redis at {address} does not answer in time"), timeout: true }
        }
        None => Refusal::Lost {
            why: format!("the connection to Redis at {address} broke: {error}"),
            timeout: false,
        },
    }
}

/// What an error answer says. Of its text only what Redis says of itself is shown.
fn answered(address: &Address, code: &str, detail: &str) -> Refusal {
    let found = shown(code, detail);
    let refused =
        |way_out: &str| Refusal::Refused(format!("Redis at {address} refuses ({found}); {way_out}"));
    match code {
        "OOM" => refused(
            "it is out of memory: raise its maxmemory or free some, and keep maxmemory-policy noeviction",
        ),
        "NOREPLICAS" => {
            refused("it has fewer replicas in time than min-replicas-to-write asks for: bring them back")
        }
        "MISCONF" => refused("it cannot save to its disk: see its log and free space there"),
        "NOAUTH" | "WRONGPASS" => refused(
            "check store.username and what the variable or file of store.password holds; where it is a sentinel, \
             those of store.sentinel",
        ),
        "NOPERM" => refused(&format!("give its user these rights with ACL SETUSER: {}", acl::RULES)),
        "READONLY" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" | "NOSCRIPT"
        | "UNBLOCKED" => {
            Refusal::Elsewhere(format!("Redis at {address} does not serve the store now ({found})"))
        }
        _ => refused("see its log"),
    }
}

/// The answer's first words, without what could hurt a log.
fn shown(code: &str, detail: &str) -> String {
    let printable = |text: &str, limit| -> String {
        text.chars().filter(|letter| matches!(letter, ' '..='~')).take(limit).collect()
    };
    format!("{} {}", printable(code, 20), printable(detail, 160)).trim_end().to_owned()
}
