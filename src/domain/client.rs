//! Whose address a request comes from.
//!
//! Envoy's `source.address` is always the connection's other end, whatever Envoy itself makes of
//! `x-forwarded-for`, so the walk to the client is ours.

use std::fmt;
use std::net::IpAddr;

use super::network::{List, MalformedEntry, NetworkSet, address};
use super::request::Request;

/// Whose word about the address in front of them is taken: the operator's own proxies. Nobody's, by
/// default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: NetworkSet,
    unix: bool,
}

impl TrustedProxies {
    /// `unix`: whether the other end of a Unix-socket listener is a proxy to be trusted.
    pub fn new(networks: NetworkSet, unix: bool) -> Self {
        Self { networks, unix }
    }

    /// Reads `client_address.trusted_proxies`: networks, and the word `unix`.
    ///
    /// # Errors
    ///
    /// One bad entry refuses all.
    pub fn parse(entries: &[String]) -> Result<Self, MalformedEntry> {
        let mut proxies = Self { networks: NetworkSet::default(), unix: false };
        let mut networks = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            if entry == UNIX {
                proxies.unix = true;
            } else {
                networks.push(List::TrustedProxies.entry(index, entry)?);
            }
        }
        proxies.networks = networks.into_iter().collect();
        Ok(proxies)
    }

    pub fn networks(&self) -> &NetworkSet {
        &self.networks
    }

    pub fn unix(&self) -> bool {
        self.unix
    }
}

/// Whom a request comes from, as far as those whom we trust can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// `None` where it is not known: then no list of networks admits it.
    pub address: Option<IpAddr>,
    pub hop: Hop,
}

/// Where the client's address was found, or was looked for last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// In `x-forwarded-for`, so many entries from the right: 0 is the rightmost.
    Forwarded { from_right: usize },
    /// The other end of the connection is a trusted proxy, but the asker does not show what that one
    /// says: not the header at all (Envoy's `allowed_headers`), or nothing before its own entry.
    Hidden,
    /// Nowhere: the asker named no address, and neither did anybody whom we trust.
    Nobody,
    /// At the other end of the connection.
    Source,
    /// The entry that a trusted proxy vouches for is no address, so the client is unknown.
    Unreadable { from_right: usize },
}

impl Hop {
    /// One word for logs, metadata and other programs, which may rely on it: `connection`;
    /// `x-forwarded-for[-1]` for the rightmost entry, `[-2]` for the one to its left (an entry that
    /// is no address is named too: then no address stands beside it); `hidden`; `nobody`.
    pub fn word(self) -> impl fmt::Display {
        fmt::from_fn(move |f| match self {
            Self::Source => f.write_str("connection"),
            Self::Forwarded { from_right } | Self::Unreadable { from_right } => {
                write!(f, "x-forwarded-for[-{}]", from_right + 1)
            }
            Self::Hidden => f.write_str("hidden"),
            Self::Nobody => f.write_str("nobody"),
        })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => write!(f, "the connection's other end"),
            Self::Forwarded { from_right } => write!(f, "x-forwarded-for, entry {from_right} from the right"),
            Self::Unreadable { from_right } => {
                write!(f, "x-forwarded-for, entry {from_right} from the right, which is no address")
            }
            Self::Hidden => write!(f, "x-forwarded-for, which the asker did not show"),
            Self::Nobody => write!(f, "nobody named an address"),
        }
    }
}

/// The client's address, by a walk from the connection's other end through the trusted proxies.
///
/// Each of them vouches for the entry of `x-forwarded-for` to the left of its own, so the walk goes
/// from right to left and ends at the first address that is not a trusted proxy's, or at an entry
/// that is no address: what stands further left is anybody's claim. Where all are trusted, the last
/// one walked is the client. No other header is looked at, nor is this one where the other end of
/// the connection is not trusted. Allocates nothing.
pub fn client(request: &Request<'_>, trusted: &TrustedProxies) -> Client {
    let mut client = match request.source {
        Some(source) => Client { address: Some(source), hop: Hop::Source },
        None if request.unix && trusted.unix => Client { address: None, hop: Hop::Nobody },
        None => return Client { address: None, hop: Hop::Nobody },
    };
    let mut entries = forwarded(request).enumerate();
    while client.address.is_none_or(|address| trusted.networks.contains(address)) {
        let Some((from_right, entry)) = entries.next() else { break };
        let Some(address) = address(entry) else {
            return Client { address: None, hop: Hop::Unreadable { from_right } };
        };
        client = Client { address: Some(address), hop: Hop::Forwarded { from_right } };
    }
    let is_proxy = client.address.is_some_and(|address| trusted.networks.contains(address));
    if is_proxy && (request.hops_hidden || client.hop == Hop::Source && request.filtered) {
        return Client { address: None, hop: Hop::Hidden };
    }
    client
}

/// The entries of `x-forwarded-for`, from right to left: a proxy adds at the end, be it to the last
/// line or as a line of its own.
fn forwarded<'a>(request: &Request<'a>) -> impl Iterator<Item = &'a [u8]> {
    let lines = request.headers.named(b"x-forwarded-for").rev();
    lines.flat_map(|line| line.rsplit(|&byte| byte == b',')).map(trimmed)
}

/// Without the optional blanks that RFC 9110 section 5.6.1 has around the items of a list.
fn trimmed(mut entry: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = entry {
        entry = rest;
    }
    entry
}

/// In the list of trusted proxies: whoever holds the other end of a Unix socket.
pub const UNIX: &str = "unix";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::super::request::Header;
    use super::*;

    fn proxies(entries: &[&str]) -> TrustedProxies {
        let entries: Vec<String> = entries.iter().copied().map(String::from).collect();
        TrustedProxies::parse(&entries).unwrap()
    }

    /// From an address, or over a Unix socket (`unix`), or from somebody unnamed (empty).
    fn request<'a>(source: &str, headers: &[(&'a str, &'a str)]) -> Request<'a> {
        Request {
            source: address(source.as_bytes()),
            unix: source == "unix",
            headers: headers
                .iter()
                .map(|(name, value)| Header { name: name.as_bytes(), value: value.as_bytes() })
                .collect(),
            ..Request::default()
        }
    }

    #[track_caller]
    fn check(trusted: &[&str], source: &str, lines: &[&str], expected: (Option<&str>, Hop)) {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let (found, hop) = expected;
        let expected = Client { address: found.map(|text| text.parse().unwrap()), hop };
        assert_eq!(client(&request(source, &lines), &proxies(trusted)), expected);
    }

    const fn at(from_right: usize) -> Hop {
        Hop::Forwarded { from_right }
    }

    const fn unreadable(from_right: usize) -> Hop {
        Hop::Unreadable { from_right }
    }

    /// `envoy-contract.md` 1.5: what an Envoy in front says of a client that sends
    /// `1.1.1.1, 203.0.113.9`. It puts its own address for a loopback peer when it appends.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn t_ip_the_walk_finds_the_client_under_every_setting_of_envoy() {
        const ENVOY: &[&str] = &["127.0.0.1", "192.0.2.2"];
        const PLUS_ONE: &[&str] = &["127.0.0.1", "192.0.2.2", "203.0.113.9"];
        const LOOPBACK: &str = "127.0.0.1";
        const SENT: &str = "1.1.1.1, 203.0.113.9";
        const APPENDED: &str = "1.1.1.1, 203.0.113.9,192.0.2.2";
        //    trusted   source         x-forwarded-for                    client
        // Nobody is trusted: the peer it is, whatever Envoy thinks.
        check(&[],      LOOPBACK,      &[SENT],                           (Some(LOOPBACK), Hop::Source));
        check(&[],      LOOPBACK,      &[APPENDED],                       (Some(LOOPBACK), Hop::Source));
        // use_remote_address: false; any xff_num_trusted_hops; original_ip_detection; skip_xff_append
        check(ENVOY,    LOOPBACK,      &[SENT],                           (Some("203.0.113.9"), at(0)));
        check(PLUS_ONE, LOOPBACK,      &[SENT],                           (Some("1.1.1.1"), at(1)));
        // use_remote_address: true, hops 0 to 2: the same answers with the peer appended
        check(ENVOY,    LOOPBACK,      &[APPENDED],                       (Some("203.0.113.9"), at(1)));
        check(PLUS_ONE, LOOPBACK,      &[APPENDED],                       (Some("1.1.1.1"), at(2)));
        // hops 1, an entry that Envoy does not accept
        check(ENVOY,    LOOPBACK,      &["evil,192.0.2.2"],               (None, unreadable(1)));
        check(ENVOY,    LOOPBACK,      &["203.0.113.9:444,192.0.2.2"],    (None, unreadable(1)));
        // hops 2, one entry only
        check(PLUS_ONE, LOOPBACK,      &["203.0.113.9,192.0.2.2"],        (Some("203.0.113.9"), at(1)));
        // internal_address_config with the peer inside, none sent
        check(ENVOY,    LOOPBACK,      &["192.0.2.2"],                    (Some("192.0.2.2"), at(0)));
        check(ENVOY,    LOOPBACK,      &[],                               (Some(LOOPBACK), Hop::Source));
        // Two lines: joined, or each by itself
        check(ENVOY,    LOOPBACK,      &["1.1.1.1,203.0.113.9"],          (Some("203.0.113.9"), at(0)));
        check(ENVOY,    LOOPBACK,      &["1.1.1.1", "203.0.113.9"],       (Some("203.0.113.9"), at(0)));
        check(PLUS_ONE, LOOPBACK,      &["1.1.1.1", "203.0.113.9"],       (Some("1.1.1.1"), at(1)));
        // PROXY protocol: the source is the one it names, v4 and v6, and Envoy appends it
        check(ENVOY,    "198.51.100.7", &["1.1.1.1,198.51.100.7"],        (Some("198.51.100.7"), Hop::Source));
        check(ENVOY,    "2001:db8::7",  &["1.1.1.1,2001:db8::7"],         (Some("2001:db8::7"), Hop::Source));
        check(&["198.51.100.7"], "198.51.100.7", &["1.1.1.1,198.51.100.7"], (Some("1.1.1.1"), at(1)));
        // A Unix-socket listener: `pipe`
        check(ENVOY,    "unix",        &[SENT],                           (None, Hop::Nobody));
        check(&["unix"], "unix",       &[SENT],                           (Some("203.0.113.9"), at(0)));
        check(&["unix", "203.0.113.9"], "unix", &[SENT],                  (Some("1.1.1.1"), at(1)));
        check(&["unix"], "unix",       &[],                               (None, Hop::Nobody));
    }

    /// `security-rules.md` 3.3 I8.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn i8_only_trusted_hops_are_believed_from_right_to_left() {
        const TEN: &[&str] = &["10.0.0.0/8", "fd00::/8"];
        //    trusted  source              x-forwarded-for                     client
        check(TEN,     "203.0.113.1",      &["198.51.100.1"],                  (Some("203.0.113.1"), Hop::Source));
        check(TEN,     "10.0.0.1",         &["198.51.100.1, 203.0.113.1"],     (Some("203.0.113.1"), at(0)));
        check(TEN,     "10.0.0.1",         &["203.0.113.1, 10.0.0.2"],         (Some("203.0.113.1"), at(1)));
        check(TEN,     "10.0.0.1",         &["1.1.1.1", "203.0.113.1,10.0.0.3", "10.0.0.2"], (Some("203.0.113.1"), at(2)));
        check(TEN,     "10.0.0.1",         &["10.0.0.3, 10.0.0.2"],            (Some("10.0.0.3"), at(1)));
        check(TEN,     "10.0.0.1",         &["203.0.113.1 \t,\t10.0.0.2 "],    (Some("203.0.113.1"), at(1)));
        check(TEN,     "fd00::1",          &["2001:db8::1, fd00::2"],          (Some("2001:db8::1"), at(1)));
        check(TEN,     "::ffff:10.0.0.1",  &["::ffff:203.0.113.1,::ffff:a00:2"], (Some("203.0.113.1"), at(1)));
        // An entry that cannot be read hides who stands there.
        for entry in ["", " ", "evil", "unknown", "_hidden", "203.0.113.9:444", "[2001:db8::1]:443", "[2001:db8::1]",
                      "010.0.0.2", "10.0.0.2%eth0", "10.0.0", "\"10.0.0.2\"", "for=10.0.0.2", "1.1.1.1 10.0.0.2", "!"] {
            check(TEN, "10.0.0.1",         &[entry],                           (None, unreadable(0)));
            check(TEN, "10.0.0.1",         &["203.0.113.1", entry, "10.0.0.2"], (None, unreadable(1)));
            check(TEN, "10.0.0.1",         &[entry, "203.0.113.1"],            (Some("203.0.113.1"), at(0)));
        }
        check(TEN,     "10.0.0.1",         &["203.0.113.1,"],                  (None, unreadable(0)));
    }

    /// A source that is no address is not a Unix socket.
    #[test]
    fn nobody_is_no_trusted_proxy() {
        check(&["unix", "0.0.0.0/0", "::/0"], "", &["203.0.113.1"], (None, Hop::Nobody));
        check(&["0.0.0.0/0", "::/0"], "unix", &["203.0.113.1"], (None, Hop::Nobody));
        let socket = request("unix", &[("x-forwarded-for", "203.0.113.1")]);
        let expected = Client { address: None, hop: Hop::Nobody };
        assert_eq!(client(&socket, &TrustedProxies::default()), expected);
    }

    /// Logs and metadata are read by programs: a word once given stays.
    #[test]
    fn each_hop_has_one_word_for_programs() {
        let words = [Hop::Source, at(0), at(1), unreadable(0), unreadable(9), Hop::Hidden, Hop::Nobody]
            .map(Hop::word);
        let expected = [
            "connection",
            "x-forwarded-for[-1]",
            "x-forwarded-for[-2]",
            "x-forwarded-for[-1]",
            "x-forwarded-for[-10]",
            "hidden",
            "nobody",
        ];
        assert_eq!(words.map(|word| word.to_string()), expected);
    }

    /// Else every client behind the proxy would pass a deny list as the proxy.
    #[test]
    fn a_hidden_header_makes_no_client_of_a_proxy() {
        let trusted = proxies(&["10.0.0.0/8"]);
        let asked = |source, lines: &[_]| Request { filtered: true, ..request(source, lines) };
        let hidden = Client { address: None, hop: Hop::Hidden };
        assert_eq!(client(&asked("10.0.0.1", &[]), &trusted), hidden);
        let source = client(&asked("203.0.113.1", &[]), &trusted);
        assert_eq!((source.address, source.hop), (address(b"203.0.113.1"), Hop::Source));
        let shown = client(&asked("10.0.0.1", &[("x-forwarded-for", "203.0.113.1")]), &trusted);
        assert_eq!((shown.address, shown.hop), (address(b"203.0.113.1"), at(0)));
    }

    #[test]
    fn a_proxy_that_stands_alone_where_hops_are_hidden_is_no_client() {
        let trusted = proxies(&["10.0.0.0/8"]);
        let asked = |address: &'static str| {
            let headers = [("x-forwarded-for", address)];
            client(&Request { hops_hidden: true, ..request(address, &headers) }, &trusted)
        };
        assert_eq!(asked("10.0.0.1"), Client { address: None, hop: Hop::Hidden });
        assert_eq!(asked("203.0.113.1").address, address(b"203.0.113.1"));
    }

    /// `peers.md` R10.
    #[test]
    fn r10_no_other_header_says_who_the_client_is() {
        let names = [
            "x-real-ip",
            "forwarded",
            "x-envoy-external-address",
            "x_forwarded_for",
            "x.forwarded.for",
            "x-forwarded-for-",
            "true-client-ip",
            "x-client-ip",
            "x-original-forwarded-for",
        ];
        let headers = names.map(|name| (name, "203.0.113.1"));
        for source in ["10.0.0.1", "unix", "198.51.100.1", ""] {
            let (trusted, bare) = (proxies(&["10.0.0.0/8", "unix"]), request(source, &[]));
            assert_eq!(client(&request(source, &headers), &trusted), client(&bare, &trusted), "{source}");
        }
    }

    #[test]
    fn a_bad_proxy_refuses_the_whole_list() {
        let entries = ["unix", "10.0.0.0/8", "10.1.0.0/8"].map(String::from);
        let refused = TrustedProxies::parse(&entries).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`trusted_proxies[2]` (`10.1.0.0/8`): \
             `10.1.0.0/8` has bits set past its prefix; did you mean `10.0.0.0/8`?"
        );
        let trusted = TrustedProxies::parse(&entries[..2]).unwrap();
        assert_eq!((trusted.unix(), trusted.networks().len()), (true, 1));
    }

    /// An entry that a client may send: an address of either kind, or something else.
    fn entry() -> impl Strategy<Value = String> {
        prop_oneof![
            "10\\.0\\.0\\.[0-9]",
            "203\\.0\\.113\\.[0-9]",
            "fd00::[0-9]",
            "::ffff:10\\.0\\.0\\.[0-9]",
            "[ -~]{0,12}",
        ]
    }

    proptest! {
        /// Whatever is sent in front: as entries, as lines, as anything.
        #[test]
        fn nothing_left_of_an_untrusted_hop_changes_the_client(
            forged in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..4),
            addresses in prop::collection::vec(entry(), 0..4),
            untrusted in "203\\.0\\.113\\.[0-9]|2001:db8::[0-9a-f]",
            hops in prop::collection::vec("10\\.0\\.0\\.[0-9]|fd00::[0-9]|::ffff:10\\.1\\.1\\.1", 0..3),
            apart in any::<bool>(),
        ) {
            let trusted = proxies(&["10.0.0.0/8", "fd00::/8", "unix"]);
            let honest = [vec![untrusted.clone()], hops.clone()].concat().join(",");
            let mut line = addresses.join(", ").into_bytes();
            if apart {
                line.extend(b",");
                line.extend(honest.as_bytes());
            }
            let lines = forged.iter().map(Vec::as_slice).chain([line.as_slice()]);
            let lines = lines.chain((!apart).then_some(honest.as_bytes()));
            for source in ["10.9.9.9", "fd00::9", "unix"] {
                let mut asked = request(source, &[]);
                asked.headers = lines.clone().map(|value| Header { name: b"x-forwarded-for", value }).collect();
                let expected = Client { address: address(untrusted.as_bytes()), hop: at(hops.len()) };
                prop_assert_eq!(client(&asked, &trusted), expected);
            }
        }

        /// Held against the sentence: everyone to the right of the client is a trusted proxy.
        #[test]
        fn all_to_the_right_of_the_client_are_trusted(
            entries in prop::collection::vec(entry(), 0..6), source in "10\\.0\\.0\\.1|203\\.0\\.113\\.9|unix",
        ) {
            let trusted = proxies(&["10.0.0.0/8", "fd00::/8", "unix"]);
            let is_trusted = |text: &str| address(text.trim().as_bytes()).is_some_and(|a| trusted.networks.contains(a));
            let line = entries.join(",");
            let headers = [("x-forwarded-for", line.as_str())];
            let asked = request(&source, if entries.is_empty() { &[] } else { &headers });
            let walked = line.rsplit(',').collect::<Vec<_>>();
            match client(&asked, &trusted) {
                Client { address, hop: Hop::Source } => {
                    prop_assert!(address == asked.source && (entries.is_empty() || !is_trusted(&source)));
                }
                Client { address: None, hop: Hop::Nobody } => prop_assert!(source == "unix" && entries.is_empty()),
                Client { address: found, hop: Hop::Forwarded { from_right } } => {
                    prop_assert_eq!(found, address(walked[from_right].trim().as_bytes()));
                    prop_assert!(found.is_some() && source != "203.0.113.9");
                    prop_assert!(walked[..from_right].iter().all(|entry| is_trusted(entry)));
                    prop_assert!(!is_trusted(walked[from_right]) || from_right + 1 == walked.len());
                }
                Client { address, hop: Hop::Unreadable { from_right } } => {
                    prop_assert!(address.is_none() && source != "203.0.113.9");
                    prop_assert!(super::address(trimmed(walked[from_right].as_bytes())).is_none());
                    prop_assert!(walked[..from_right].iter().all(|entry| is_trusted(entry)));
                }
                nobody => prop_assert!(false, "{nobody:?}"),
            }
        }
    }
}
