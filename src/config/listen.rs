//! Where Doorward listens.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::place::{At, Place};
use super::scalar::{Scalar, scalar};
use super::tls::ListenTls;

/// Where Doorward listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// For Envoy: the authorization and health services. `host:port` or `unix:/path`.
    /// Default: `0.0.0.0:50051`.
    pub grpc: At<Endpoint>,
    /// For probes and Prometheus: `/livez`, `/readyz`, `/metrics`. Default: `0.0.0.0:8100`.
    pub status: At<Address>,
    /// Logins and tokens, for everybody: what Envoys route to it without asking. Default: `0.0.0.0:8002`.
    pub auth: At<Address>,
    /// The admin API over TCP, for whoever has an admin key. Default: `127.0.0.1:8001`.
    pub admin: At<Address>,
    /// The admin socket; who may open the file may do everything. Default: `doorward.sock` in the
    /// data directory.
    pub admin_socket: At<PathBuf>,
    /// TLS, by the name of the listener. Default: none.
    #[serde(skip_serializing_if = "ListenTls::is_absent")]
    pub tls: ListenTls,
}

/// A TCP address or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(Address),
    /// Absolute.
    Unix(PathBuf),
}

/// A host and a port to bind. The host may be an address or a name to be resolved; port 0 takes a
/// free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
}

impl Listen {
    /// Two listeners on one port: the second would find it taken.
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        let tcp = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp(address) => Some(address.clone()),
            Endpoint::Unix(_) => None,
        };
        let listeners = [
            ("grpc", tcp(&self.grpc.value), self.grpc.place),
            ("status", Some(self.status.value.clone()), self.status.place),
            ("auth", Some(self.auth.value.clone()), self.auth.place),
            ("admin", Some(self.admin.value.clone()), self.admin.place),
        ];
        for (index, (name, address, place)) in listeners.iter().enumerate() {
            let Some(address) = address.as_ref().filter(|address| address.port != 0) else { continue };
            let same = |(_, other, _): &&(&str, Option<Address>, Place)| other.as_ref() == Some(address);
            for (other, _, theirs) in listeners[index + 1..].iter().filter(same) {
                let place = if *theirs == Place::Default { *place } else { *theirs };
                let message = format!(
                    "`listen.{name}` and `listen.{other}` are both `{address}`; give one of them another port"
                );
                faults.push(Fault::new(place, message));
            }
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let any = |port| Address { host: "0.0.0.0".to_owned(), port };
        Self {
            grpc: At::assumed(Endpoint::Tcp(any(50051))),
            status: At::assumed(any(8100)),
            auth: At::assumed(any(8002)),
            admin: At::assumed(Address { host: "127.0.0.1".to_owned(), port: 8001 }),
            admin_socket: At::assumed("doorward.sock".into()),
            tls: ListenTls::default(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Scalar for Address {
    const EXPECTED: &'static str = "`host:port` such as `0.0.0.0:8100` or `[::]:8100`";

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|_| address)?,
            None => Some(host).filter(|host| !host.is_empty() && host.bytes().all(plain))?,
        };
        Some(Self { host: host.to_owned(), port })
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^.+:[0-9]+$" })
    }
}

impl Scalar for Endpoint {
    const EXPECTED: &'static str = "`host:port` such as `0.0.0.0:50051`, or `unix:/path`";

    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => path.starts_with('/').then(|| Self::Unix(path.into())),
            None => Address::parse(text).map(Self::Tcp),
        }
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(unix:/.+|.+:[0-9]+)$" })
    }
}

scalar!(Address);
scalar!(Endpoint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_they_are_read() {
        for text in ["0.0.0.0:50051", "[::1]:0", "localhost:8100", "my-host.example:65535"] {
            assert_eq!(Address::parse(text).map(|address| address.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            ":1",
            "localhost",
            "localhost:",
            "localhost:65536",
            "::1:80",
            "[x]:80",
            "[::1]x:80",
            "[::1:80",
            "::1]:80",
            "a b:1",
            "h:+1",
            "http://h:1",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
