//! Spans of time as they are written: `250ms`, `10s`, `1h`.

use std::fmt;
use std::time::Duration;

use super::scalar::{Scalar, scalar};

/// A span of time: a whole number and its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// The units and their milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Span {
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let whole = |unit: &&(&str, u64)| millis != 0 && millis.is_multiple_of(unit.1);
        let (unit, length) = UNITS.iter().find(whole).copied().unwrap_or(("s", 1_000));
        write!(formatter, "{}{unit}", millis / length)
    }
}

impl Scalar for Span {
    const EXPECTED: &'static str = "a span of time such as `250ms`, `10s`, `5m` or `1h`";

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = text.split_at(digits);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(*millis).map(Self::millis)
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

scalar!(Span);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn spans_are_a_number_and_a_unit() {
        let read = |text| Span::parse(text).map(|span| span.0);
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("0s"), Some(Duration::ZERO));
        assert_eq!(read("90m"), Some(Duration::from_secs(5_400)));
        assert_eq!(read("2d"), Some(Duration::from_secs(172_800)));
        for text in
            ["", "5", "s", "1.5s", "-1s", "5 s", "5S", "1h30m", "99999999999999999999s", "9999999999999999d"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn spans_are_shown_as_they_are_read() {
        for text in ["250ms", "10s", "90m", "1h", "2d", "0s", "1001ms"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
    }
}
