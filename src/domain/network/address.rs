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
