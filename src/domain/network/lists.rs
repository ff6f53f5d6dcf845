//! Lists of networks: who may pass, and who may not.

use std::fmt;
use std::net::IpAddr;

use super::{MalformedNetwork, Network, NetworkSet, shown};

/// The lists of a service, deployment, consumer or key. The default has none in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Where there is one, it names all who may pass: nobody, where it is empty.
    pub allow: Option<NetworkSet>,
    /// Who may not pass, even where `allow` has them.
    pub deny: NetworkSet,
}

impl Networks {
    /// Reads the entries of both lists.
    ///
    /// # Errors
    ///
    /// One bad entry refuses all: half a list of addresses would open a door.
    pub fn parse(allow: Option<&[String]>, deny: &[String]) -> Result<Self, MalformedEntry> {
        Ok(Self {
            allow: allow.map(|entries| List::Allow.read(entries)).transpose()?,
            deny: List::Deny.read(deny)?,
        })
    }

    /// Whether there is a list at all, so that a client has to be known to pass.
    pub fn in_force(&self) -> bool {
        self.allow.is_some() || !self.deny.is_empty()
    }

    /// Whether a client at this address may pass. `None` is a client whose address is not known.
    ///
    /// # Errors
    ///
    /// Why not. An unknown client may not pass wherever a list is in force.
    pub fn admits(&self, client: Option<IpAddr>) -> Result<(), Barred> {
        if !self.in_force() {
            return Ok(());
        }
        let client = client.ok_or(Barred::Unknown)?;
        if self.deny.contains(client) {
            return Err(Barred::Denied);
        }
        match &self.allow {
            Some(allow) if !allow.contains(client) => Err(Barred::NotAllowed),
            _ => Ok(()),
        }
    }
}

/// Why a client may not pass. For the log: the caller learns `network_denied` and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    #[error("the client's address is on the deny list")]
    Denied,
    #[error("the client's address is not on the allow list")]
    NotAllowed,
    #[error("the client's address is not known, and a list of networks is in force")]
    Unknown,
}

impl Barred {
    pub fn name(self) -> &'static str {
        match self {
            Self::Denied => "on_the_deny_list",
            Self::NotAllowed => "not_on_the_allow_list",
            Self::Unknown => "unknown_address",
        }
    }
}

/// An entry that refuses its list, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{list}[{index}]` (`{entry}`): {why}")]
pub struct MalformedEntry {
    pub list: List,
    /// Counted from 0, as in `networks.deny[0]`.
    pub index: usize,
    /// As it was written, cut to one short line.
    pub entry: String,
    pub why: MalformedNetwork,
}

/// Where networks are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Allow,
    Deny,
    TrustedProxies,
}

impl List {
    /// Reads all entries, or says which one is malformed.
    pub(in crate::domain) fn read(self, entries: &[String]) -> Result<NetworkSet, MalformedEntry> {
        entries.iter().enumerate().map(|(index, entry)| self.entry(index, entry)).collect()
    }

    pub(in crate::domain) fn entry(self, index: usize, entry: &str) -> Result<Network, MalformedEntry> {
        entry.parse().map_err(|why| MalformedEntry { list: self, index, entry: shown(entry), why })
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::TrustedProxies => "trusted_proxies",
        })
    }
}
