//! When a certificate ends. The TLS library checks that of the other end's and tells it of nobody's.

use super::super::moment::Moment;
use crate::domain::time::Timestamp;

/// `notAfter` of a certificate in DER (RFC 5280 section 4.1); `None` where it is not one.
pub(super) fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    // The version stands there in every certificate since 1996.
    if rest.first() == Some(&VERSION) {
        (_, rest) = element(rest, VERSION)?;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        // The serial number, the algorithm, the issuer.
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, not_before) = moment(validity)?;
    let (not_after, _) = moment(not_before)?;
    Some(not_after)
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`.
const VERSION: u8 = 0xa0;

/// The content of the element that `bytes` begin with, and what comes after it (X.690 section 8.1).
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // More than four bytes would be a certificate of over 4 GiB.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// `YYMMDDHHMMSSZ` of the years 1950 to 2049, or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5).
fn moment(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let tag = *bytes.first().filter(|tag| matches!(**tag, UTC_TIME | GENERALIZED_TIME))?;
    let (text, rest) = element(bytes, tag)?;
    let text = str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let (year, text) = text.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    let century = match (tag, year) {
        (GENERALIZED_TIME, _) => "",
        (_, year) if year < "50" => "20",
        _ => "19",
    };
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 10)?;
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| &digits[at..at + 2]);
    let written = format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    Some((Moment::parse(&written)?.0, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of which only the validity counts.
    fn certificate(version: bool, not_after: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, parts: &[&[u8]]| {
            let content = parts.concat();
            let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
            [&[tag, 0x82], &length[..], &content].concat()
        };
        let validity = wrap(SEQUENCE, &[b"\x17\x0d260101000000Z", not_after]);
        let version = if version { &[VERSION, 3, INTEGER, 1, 2][..] } else { &[] };
        let parts = [version, &[INTEGER, 1, 7], &[SEQUENCE, 0], &[SEQUENCE, 0], &validity, b"the rest"];
        wrap(SEQUENCE, &[&wrap(SEQUENCE, &parts), b"signature"])
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn the_end_is_read_as_it_is_written() {
        let check = |version: bool, not_after: &[u8], expected: Option<i64>| {
            let read = super::not_after(&certificate(version, not_after));
            assert_eq!(read.map(Timestamp::unix), expected, "{}", String::from_utf8_lossy(not_after));
        };
        check(true,  b"\x17\x0d270101000000Z",   Some(1_798_761_600));
        check(false, b"\x17\x0d270101000000Z",   Some(1_798_761_600));
        check(true,  b"\x17\x0d491231235959Z",   Some(2_524_607_999));
        check(true,  b"\x17\x0d500101000000Z",   Some(-631_152_000));
        check(true,  b"\x18\x0f20500101000000Z", Some(2_524_608_000));
        check(true,  b"\x18\x0f99991231235959Z", Some(253_402_300_799));
        check(true,  b"\x17\x0d270230000000Z",   None);
        check(true,  b"\x17\x0b2701010000Z",     None);
        check(true,  b"\x17\x0d2701010000+1Z",   None);
        check(true,  b"\x04\x0d270101000000Z",   None);
        check(true,  b"\x17\x7f270101000000Z",   None);
        check(true,  b"\x17\x88270101000000Z",   None);
        check(true,  b"",                        None);
    }

    #[test]
    fn what_is_cut_short_has_no_end() {
        let whole = certificate(true, b"\x17\x0d270101000000Z");
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length} bytes");
        }
    }
}
