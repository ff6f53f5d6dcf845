//! What has to be known of a Redis to use it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

/// How to reach the store, and what it must confirm.
pub struct RedisSettings {
    pub target: Target,
    /// The ACL user; `None`: Redis's `default`.
    pub username: Option<String>,
    pub password: Option<Password>,
    /// `None`: no TLS.
    pub tls: Option<Tls>,
    /// The number of the database; a cluster has only 0.
    pub database: u32,
    /// How many of Redis's replicas must confirm a write before it is acknowledged.
    pub replicas: u32,
    pub timeouts: Timeouts,
}

/// Where the primary is found.
pub enum Target {
    Single(Address),
    Sentinel {
        nodes: Vec<Address>,
        /// What the sentinels call the primary.
        name: String,
        /// For the sentinels themselves, which have users of their own.
        username: Option<String>,
        password: Option<Password>,
    },
    Cluster {
        nodes: Vec<Address>,
    },
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// A password. Has no `Debug`: it may reach no log.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// How a server proves who it is, and we if it asks. The files are read at each connection, so
/// that renewed certificates need no restart.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities to trust, PEM; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (chain) and its key, PEM.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must have; `None`: the host that we connect to, which
    /// with sentinels or a cluster is the one that they announce.
    pub server_name: Option<String>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included. Default: 1 s.
    pub connect: Duration,
    /// For an answer. Default: 2 s.
    pub response: Duration,
    /// For a write in all, reconnecting and asking again. Default: 3 s.
    pub write: Duration,
    /// For Redis's replicas to confirm a write; less than `response`. Default: 1 s.
    pub confirm: Duration,
    /// The longest pause between two tries to connect. Default: 500 ms.
    pub pause: Duration,
}

impl RedisSettings {
    /// A target with everything else at its default.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            username: None,
            password: None,
            tls: None,
            database: 0,
            replicas: 0,
            timeouts: Timeouts::default(),
        }
    }
}

impl Password {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(2),
            write: Duration::from_secs(3),
            confirm: Duration::from_secs(1),
            pause: Duration::from_millis(500),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}
