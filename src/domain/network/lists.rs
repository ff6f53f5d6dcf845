//! Lists of networks: who may pass, and who may not.

use std::fmt;
use std::net::IpAddr;

use super::{MalformedNetwork, Network, NetworkSet, shown};

/// The lists of a service, deployment, consumer or key. The default has none in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn owned(entries: &[&str]) -> Vec<String> {
        entries.iter().copied().map(String::from).collect()
    }

    /// `security-rules.md` 3.3 I6.
    #[test]
    fn i6_one_bad_entry_refuses_the_whole_list_and_is_named() {
        #[track_caller]
        fn check(allow: Option<&[&str]>, deny: &[&str], expected: (List, usize, &str)) {
            let allow = allow.map(owned);
            let refused = Networks::parse(allow.as_deref(), &owned(deny)).unwrap_err();
            assert_eq!((refused.list, refused.index, refused.entry.as_str()), expected);
        }
        check(None, &["10.0.0.0/8", "192.0.2.1-192.0.2.2", "10.0.0.1/8"], (List::Deny, 2, "10.0.0.1/8"));
        check(Some(&["::1", "", "10.0.0.0/8"]), &["10.0.0.0/8"], (List::Allow, 1, ""));
        check(Some(&["unix"]), &[], (List::Allow, 0, "unix"));
        let refused = Networks::parse(None, &owned(&["10.0.0.1/8"])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`deny[0]` (`10.0.0.1/8`): `10.0.0.1/8` has bits set past its prefix; did you mean `10.0.0.0/8`?"
        );
    }

    /// `security-rules.md` 3.3 I7.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn i7_deny_beats_allow_and_an_empty_allow_list_is_nobody_and_unknown_is_barred() {
        #[track_caller]
        fn check(allow: Option<&[&str]>, deny: &[&str], client: Option<&str>, expected: Result<(), Barred>) {
            let allow = allow.map(owned);
            let networks = Networks::parse(allow.as_deref(), &owned(deny)).unwrap();
            assert_eq!(networks.admits(client.map(|text| text.parse().unwrap())), expected);
            assert_eq!(networks.in_force(), allow.is_some() || !deny.is_empty());
        }
        const TEN: &[&str] = &["10.0.0.0/8"];
        const NINE: &[&str] = &["10.9.0.0/16"];
        //    allow       deny   client                     verdict
        check(None,       &[],   Some("10.0.0.1"),          Ok(()));
        check(None,       &[],   None,                      Ok(()));
        check(None,       NINE,  Some("10.0.0.1"),          Ok(()));
        check(None,       NINE,  Some("2001:db8::1"),       Ok(()));
        check(None,       NINE,  Some("10.9.0.1"),          Err(Barred::Denied));
        check(None,       NINE,  Some("::ffff:10.9.0.1"),   Err(Barred::Denied));
        check(None,       NINE,  None,                      Err(Barred::Unknown));
        check(Some(&[]),  &[],   Some("10.0.0.1"),          Err(Barred::NotAllowed));
        check(Some(&[]),  &[],   None,                      Err(Barred::Unknown));
        check(Some(&[]),  TEN,   Some("10.0.0.1"),          Err(Barred::Denied));
        check(Some(TEN),  &[],   Some("10.0.0.1"),          Ok(()));
        check(Some(TEN),  &[],   Some("::ffff:10.0.0.1"),   Ok(()));
        check(Some(TEN),  &[],   Some("11.0.0.1"),          Err(Barred::NotAllowed));
        check(Some(TEN),  &[],   Some("::10.0.0.1"),        Err(Barred::NotAllowed));
        check(Some(TEN),  &[],   None,                      Err(Barred::Unknown));
        check(Some(TEN),  NINE,  Some("10.9.0.1"),          Err(Barred::Denied));
        check(Some(NINE), TEN,   Some("10.9.0.1"),          Err(Barred::Denied));
        check(Some(TEN),  TEN,   Some("10.0.0.1"),          Err(Barred::Denied));
    }

    #[test]
    fn no_list_is_in_force_by_default() {
        assert!(!Networks::default().in_force());
        assert_eq!(Networks::default(), Networks::parse(None, &[]).unwrap());
        assert_eq!(Networks::default().admits(None), Ok(()));
    }
}
