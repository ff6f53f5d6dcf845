//! Numbers of bytes as they are written: `9MiB`, `16KiB`, `65536`.

use std::fmt;

use super::scalar::{Scalar, scalar};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// The units and their bytes, the largest first. Binary ones only: `9MB` is read as 9,000,000 by
/// some and as 9,437,184 by others.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Size {
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The size as this machine counts memory; one that it cannot hold is the most that it can.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |unit: &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(unit.1);
        match UNITS.iter().find(whole) {
            Some((unit, bytes)) => write!(formatter, "{}{unit}", self.0 / bytes),
            None => write!(formatter, "{}", self.0),
        }
    }
}

impl Scalar for Size {
    const EXPECTED: &'static str = "a number of bytes such as `65536`, `64KiB`, `9MiB` or `1GiB`";

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let bytes = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        number.parse::<u64>().ok()?.checked_mul(bytes).map(Self)
    }

    fn of_number(bytes: u64) -> Option<Self> {
        Some(Self(bytes))
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "string", "pattern": "^[0-9]+(KiB|MiB|GiB)?$" },
                { "type": "integer", "minimum": 0 },
            ],
        })
    }
}

scalar!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_binary_units() {
        assert_eq!(Size::parse("9MiB"), Some(Size::mib(9)));
        assert_eq!(Size::parse("1GiB"), Some(Size::mib(1024)));
        assert_eq!(Size::parse("65536"), Some(Size::kib(64)));
        for text in [
            "",
            "MiB",
            "9MB",
            "9mib",
            "9 MiB",
            "-1",
            "1.5MiB",
            "99999999999999999999",
            "99999999999999999GiB",
        ] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        for text in ["9MiB", "16KiB", "1GiB", "1000", "1025KiB", "0"] {
            assert_eq!(Size::parse(text).map(|size| size.to_string()).as_deref(), Some(text));
        }
    }
}
