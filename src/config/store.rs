//! Where records live.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::fault::Fault;
use super::limits::within;
use super::listen::Address;
use super::place::{At, Place};
use super::scalar::{Scalar, scalar};

/// Where records live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `redb:` and a file is the embedded store. `redis://host:6379/0`, `rediss://…` (TLS),
    /// `redis-sentinel://host:26379,…/name` and `redis-cluster://host:6379,…` are shared by several
    /// instances. Default: `redb:doorward.redb`.
    pub url: At<StoreUrl>,
    /// The user that Redis knows us as. Default: its `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<At<String>>,
    /// Where the user's password is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<At<Password>>,
    /// The sentinels' own user and password. Absent: they ask for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<At<SentinelUser>>,
    /// How TLS is spoken with Redis. With Sentinel and Cluster its presence asks for TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<At<StoreTls>>,
    /// How many replicas of Redis must have a write before it is acknowledged. 0 to 16. Default: 0.
    pub replicas: At<u8>,
    /// What the store may lack although a promise depends on it. Default: nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<Weakness>,
    /// An encrypted copy on disk, with which an instance can start while Redis is out of reach.
    /// Absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<At<Snapshot>>,
}

/// Where a password is: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Password {
    /// The variable of the environment that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_env: Option<At<String>>,
    /// The file that holds it; a final line feed does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_file: Option<At<PathBuf>>,
}

/// Who we are to the sentinels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SentinelUser {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<At<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<At<Password>>,
}

/// How TLS is spoken with Redis; the server's name is always checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreTls {
    /// Certificates of the authorities that are trusted, in PEM. Absent: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<At<PathBuf>>,
    /// Our own certificate, in PEM, where Redis asks for one; `key` comes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<At<PathBuf>>,
    /// The certificate's private key, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<At<PathBuf>>,
    /// The name that Redis' certificate has. Absent: the host that is connected to, which with
    /// Sentinel and Cluster is the one that they announce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<At<String>>,
}

/// An encrypted copy of what checks need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    pub file: At<PathBuf>,
    /// The longest time that a revoked credential goes on working after a start without Redis.
    /// `1m` to `24h`.
    pub max_age: At<Span>,
}

/// What a store lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weakness {
    /// Redis keeps nothing on disk: a restart empties it.
    NoPersistence,
    /// Redis writes its log once a second: a power failure loses acknowledged writes.
    FsyncNotAlways,
    /// Redis may throw records away when its memory is full.
    Eviction,
    /// A primary that lost its replicas goes on taking writes, which a failover loses.
    NoReplicaGuard,
    /// Redis is older than 7.
    OldVersion,
}

/// Which store, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded store's file.
    Redb(PathBuf),
    Redis {
        tls: bool,
        node: Address,
        database: u8,
    },
    /// Sentinels that know the primary by this name.
    Sentinel {
        nodes: Vec<Address>,
        name: String,
    },
    /// Some nodes of a cluster.
    Cluster {
        nodes: Vec<Address>,
    },
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Redb("doorward.redb".into())
    }
}

impl Weakness {
    pub const ALL: [Self; 5] =
        [Self::NoPersistence, Self::FsyncNotAlways, Self::Eviction, Self::NoReplicaGuard, Self::OldVersion];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoPersistence => "no_persistence",
            Self::FsyncNotAlways => "fsync_not_always",
            Self::Eviction => "eviction",
            Self::NoReplicaGuard => "no_replica_guard",
            Self::OldVersion => "old_version",
        }
    }
}

impl Store {
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        within("store.replicas", &self.replicas, 0..=16, faults);
        if let Some(snapshot) = &self.snapshot {
            let range = Span::seconds(60)..=Span::seconds(24 * 3600);
            within("store.snapshot.max_age", &snapshot.max_age, range, faults);
        }
        if let Some(password) = &self.password
            && password.from_env.is_some() == password.from_file.is_some()
        {
            let message =
                "`store.password` has both or neither of `from_env` and `from_file`, expected exactly one";
            faults.push(Fault::new(password.place, message));
        }
        if let Some(tls) = &self.tls
            && tls.certificate.is_some() != tls.key.is_some()
        {
            let message = "`store.tls` has one of `certificate` and `key`, expected both or neither";
            faults.push(Fault::new(tls.place, message));
        }
        if let StoreUrl::Redis { tls: false, .. } = self.url.value
            && let Some(tls) = &self.tls
        {
            let message =
                "`store.tls` is set and `store.url` begins with `redis://`; write `rediss://` for TLS";
            faults.push(Fault::new(tls.place, message));
        }
        if matches!(self.url.value, StoreUrl::Redb(_)) {
            self.refuse_what_is_for_redis(faults);
        }
    }

    fn refuse_what_is_for_redis(&self, faults: &mut Vec<Fault>) {
        let replicas = Some(self.replicas.place).filter(|_| *self.replicas != 0);
        let written = [
            ("username", self.username.as_ref().map(|it| it.place)),
            ("password", self.password.as_ref().map(|it| it.place)),
            ("tls", self.tls.as_ref().map(|it| it.place)),
            ("replicas", replicas),
            ("accept", (!self.accept.is_empty()).then_some(Place::default())),
            ("snapshot", self.snapshot.as_ref().map(|it| it.place)),
        ];
        for (name, place) in written.into_iter().filter_map(|(name, place)| Some((name, place?))) {
            let message = format!(
                "`store.{name}` is for Redis, and `store.url` is {}; leave it out, or name a Redis",
                self.url.value
            );
            faults.push(Fault::new(place, message));
        }
    }
}

/// Where Redis and Sentinel listen unless told otherwise.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

impl StoreUrl {
    fn parse_redis(scheme: &str, rest: &str) -> Option<Self> {
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        match scheme {
            "redis" | "rediss" => {
                let database = if path.is_empty() { 0 } else { path.parse().ok()? };
                Some(Self::Redis { tls: scheme == "rediss", node: node(hosts, REDIS_PORT)?, database })
            }
            "redis-sentinel" => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let named = !path.is_empty() && path.bytes().all(plain);
                let nodes = nodes(hosts, SENTINEL_PORT)?;
                named.then(|| Self::Sentinel { nodes, name: path.to_owned() })
            }
            "redis-cluster" => {
                path.is_empty().then_some(())?;
                Some(Self::Cluster { nodes: nodes(hosts, REDIS_PORT)? })
            }
            _ => None,
        }
    }
}

fn nodes(hosts: &str, port: u16) -> Option<Vec<Address>> {
    hosts.split(',').map(|host| node(host, port)).collect()
}

fn node(host: &str, port: u16) -> Option<Address> {
    Address::parse(host).or_else(|| Address::parse(&format!("{host}:{port}"))).filter(|node| node.port != 0)
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |nodes: &[Address]| nodes.iter().map(Address::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::Redb(path) => write!(formatter, "redb:{}", path.display()),
            Self::Redis { tls, node, database } => {
                write!(formatter, "redis{}://{node}/{database}", if *tls { "s" } else { "" })
            }
            Self::Sentinel { nodes, name } => write!(formatter, "redis-sentinel://{}/{name}", joined(nodes)),
            Self::Cluster { nodes } => write!(formatter, "redis-cluster://{}", joined(nodes)),
        }
    }
}

impl Scalar for StoreUrl {
    const EXPECTED: &'static str = "`redb:` and a file, `redis://host:6379/0`, `rediss://…`, \
        `redis-sentinel://host:26379,…/name` or `redis-cluster://host:6379,…`; \
        user and password stand in `store.username` and `store.password`";

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            // `redb://…` looks like a host, which a file has not.
            ("redb", path) => (!path.is_empty() && !path.starts_with("//")).then(|| Self::Redb(path.into())),
            (scheme, rest) => Self::parse_redis(scheme, rest.strip_prefix("//")?),
        }
    }

    /// An URL of another store may hold its password.
    fn shown(text: &str) -> Cow<'_, str> {
        match text.split_once(':') {
            Some((scheme, _)) if scheme != "redb" => format!("{scheme}:…").into(),
            _ => text.into(),
        }
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(redb:.+|rediss?://.+|redis-sentinel://.+/.+|redis-cluster://.+)$",
        })
    }
}

scalar!(StoreUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_as_they_are_read() {
        for text in [
            "redb:doorward.redb",
            "redb:/var/lib/x.redb",
            "redis://redis:6379/0",
            "rediss://[::1]:7000/15",
            "redis-sentinel://a:26379,b:1/primary",
            "redis-cluster://a:6379,b:7000",
        ] {
            assert_eq!(StoreUrl::parse(text).map(|url| url.to_string()).as_deref(), Some(text));
        }
        let short = |text, shown: &str| {
            assert_eq!(StoreUrl::parse(text).map(|url| url.to_string()).as_deref(), Some(shown));
        };
        short("redis://redis", "redis://redis:6379/0");
        short("redis-sentinel://a,b/m", "redis-sentinel://a:26379,b:26379/m");
    }

    #[test]
    fn a_url_with_a_secret_or_without_a_host_is_no_store() {
        for text in [
            "",
            "doorward.redb",
            "redb:",
            "redb://host",
            "redis:6379",
            "redis://",
            "redis://:secret@host",
            "redis://user:secret@host:1",
            "redis://host:0",
            "redis://host/x",
            "redis://host/256",
            "redis://host/-1",
            "redis-sentinel://host",
            "redis-sentinel:///name",
            "redis-cluster://host/0",
            "redis-cluster://a,,b",
            "http://host",
        ] {
            assert_eq!(StoreUrl::parse(text), None, "{text}");
        }
    }
}
