//! Addresses, read in the one way in which everybody reads them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memmem;

/// The address that `text` is: an IPv4-mapped one (`::ffff:192.0.2.1`) is the IPv4 address it
/// stands for. Allocates nothing.
///
/// IPv4 is four decimal octets without leading zeros, IPv6 the text of RFC 4291 section 2.2.
/// `None` for all else: zones, brackets, ports, blanks, `127.1`, hexadecimal and octal octets, which
/// some readers take for another address than others do (CVE-2021-29922).
pub fn address(text: &[u8]) -> Option<IpAddr> {
    literal(text).map(|address| address.to_canonical())
}

/// The address as it is written: a mapped one stays IPv6.
pub(super) fn literal(text: &[u8]) -> Option<IpAddr> {
    if text.contains(&b':') { v6(text).map(IpAddr::V6) } else { v4(text).map(IpAddr::V4) }
}

/// A decimal number of at most `most`, without sign or leading zero.
pub(super) fn number(digits: &[u8], most: u8) -> Option<u8> {
    if !matches!(digits, [b'0'] | [b'1'..=b'9'] | [b'1'..=b'9', _] | [b'1'..=b'9', _, _]) {
        return None;
    }
    let mut number = 0_u16; // At most 999.
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u16::from(digit - b'0');
    }
    u8::try_from(number).ok().filter(|number| *number <= most)
}

fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut parts = text.split(|&byte| byte == b'.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        *octet = number(parts.next()?, u8::MAX)?;
    }
    parts.next().is_none().then(|| octets.into())
}

fn v6(text: &[u8]) -> Option<Ipv6Addr> {
    let mut groups = [0; 8];
    let Some(gap) = memmem::find(text, b"::") else {
        return (fill(&mut groups, text)? == 8).then(|| groups.into());
    };
    let (head, tail) = (&text[..gap], &text[gap + 2..]);
    if head.contains(&b'.') {
        return None;
    }
    // The gap stands for at least one group of zeros.
    let before = fill(&mut groups[..7], head)?;
    let mut last = [0; 7];
    let after = fill(&mut last[..7 - before], tail)?;
    groups[8 - after..].copy_from_slice(&last[..after]);
    Some(groups.into())
}

/// Reads groups parted by single colons, the last two of them perhaps as an IPv4 address, and gives
/// their number. `None` where they are no groups or too many.
fn fill(groups: &mut [u16], text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    let mut count = 0;
    let mut parts = text.split(|&byte| byte == b':').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() && part.contains(&b'.') {
            let [a, b, c, d] = v4(part)?.octets();
            *groups.get_mut(count + 1)? = u16::from_be_bytes([c, d]);
            *groups.get_mut(count)? = u16::from_be_bytes([a, b]);
            count += 2;
        } else {
            *groups.get_mut(count)? = group(part)?;
            count += 1;
        }
    }
    Some(count)
}

/// One to four hexadecimal digits.
fn group(digits: &[u8]) -> Option<u16> {
    if !(1..=4).contains(&digits.len()) {
        return None;
    }
    digits.iter().try_fold(0, |group, &digit| {
        let value = char::from(digit).to_digit(16)?;
        Some(group << 4 | u16::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(address(text.as_bytes()), expected.map(|text| text.parse().unwrap()), "{text}");
    }

    /// `security-rules.md` 3.3 I1.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn i1_an_address_has_one_spelling_for_ipv4_and_rfc_4291_for_ipv6() {
        for text in ["192.0.2.1", "0.0.0.0", "255.255.255.255", "10.0.0.10", "::", "::1", "1::", "2001:db8::1", "2001:DB8::A",
                     "1:2:3:4:5:6:7:8", "0001:0002:0003:0004:0005:0006:0007:0008", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
                     "1::3:4:5:6:7:8", "64:ff9b::192.0.2.1", "::192.0.2.1", "1:2:3:4:5:6:192.0.2.1", "1::6:192.0.2.1"] {
            check(text, Some(text));
        }
        for text in ["192.0.2.010", "192.0.2.08", "00.0.0.0", "192.0.2.256", "192.0.2.1000", "192.0.2", "192.0.2.", ".192.0.2.1",
                     "192.0.2.1.", "192.0.2.1.1", "192..2.1", "127.1", "2130706433", "0x7f.0.0.1", "0x7f000001", "0177.0.0.1",
                     "+1.0.0.1", "-1.0.0.1", "1e1.0.0.1", "192.0.2.1 ", " 192.0.2.1", "192.0.2. 1", "192.0.2.1\n", "192.0.2.1\0",
                     "192.0.2.1:80", "192.0.2.1/32", "192.0.2.1%1", "192,0,2,1", "192。0。2。1", "١٩٢.0.2.1", "localhost", "",
                     ":", ":::", ":1", "1:", "1:2", "1::2::3", "::1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::",
                     "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "00001::", "::12345", "::g", "::+1", "::0x1", "[::1]", "[::1]:443",
                     "::1%lo", "fe80::1%25eth0", "::1/128", ":: 1", "192.0.2.1::", "1:192.0.2.1::", "::192.0.2.1:1",
                     "::192.0.2.01", "::192.0.2", "1:2:3:4:5:6:7:192.0.2.1", "::1:2:3:4:5:6:192.0.2.1", "192.0.2.1:1:2:3:4:5:6"] {
            check(text, None);
        }
        assert_eq!(address(b"\xff\xfe"), None);
    }

    /// `security-rules.md` 3.3 I4; `envoy-contract.md` 1.5.
    #[test]
    fn i4_a_mapped_client_is_the_ipv4_client() {
        check("::ffff:192.0.2.1", Some("192.0.2.1"));
        check("::ffff:c000:201", Some("192.0.2.1"));
        check("::FFFF:C000:0201", Some("192.0.2.1"));
        check("0:0:0:0:0:ffff:192.0.2.1", Some("192.0.2.1"));
        check("::fffe:192.0.2.1", Some("::fffe:192.0.2.1"));
    }

    proptest! {
        #[test]
        fn every_address_is_read_as_it_is_printed(ip in any::<IpAddr>()) {
            prop_assert_eq!(address(ip.to_string().as_bytes()), Some(ip.to_canonical()));
        }

        /// The standard library reads as strictly, and stands in as a second opinion.
        #[test]
        fn what_is_nearly_an_address_is_read_as_by_the_standard_library(
            text in prop_oneof![
                "[0-9a-fA-F:.]{0,45}", "[0-9]{1,3}(\\.[0-9]{1,3}){2,4}", "(:|::|[0-9a-f]{0,4}:){0,9}[0-9.]{0,15}",
                "([0-9a-f]{1,4}:){0,8}:?(:[0-9a-f]{1,4}){0,8}(:[0-9]{1,3}(\\.[0-9]{1,3}){3})?", ".{0,20}",
            ]
        ) {
            prop_assert_eq!(literal(text.as_bytes()), text.parse().ok(), "{}", text);
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = std::str::from_utf8(&bytes).ok();
            prop_assert_eq!(literal(&bytes), text.and_then(|text| text.parse().ok()));
        }
    }
}
