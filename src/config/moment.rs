//! Moments as they are written: RFC 3339, `2026-12-31T23:59:59Z`.

use std::fmt;

use serde::de::{Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::time::Timestamp;

/// A moment in whole seconds; fractions are refused, because nothing of ours is finer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// RFC 3339 section 5.6 without fractions and leap seconds.
    pub fn parse(text: &str) -> Option<Self> {
        let (date_time, offset) = text.split_at_checked(19)?;
        let form = |(index, byte): (usize, u8)| match index {
            4 | 7 => byte == b'-',
            10 => byte == b'T' || byte == b't' || byte == b' ',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        };
        if !date_time.bytes().enumerate().all(form) {
            return None;
        }
        let part = |from: usize, to: usize| date_time[from..to].parse::<i64>().ok();
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        let last = days_of_month(year, month)?;
        if !(1..=last).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Self(Timestamp::from_unix(seconds - offset_seconds(offset)?)))
    }
}

/// `Z`, `+01:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    match bytes {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), a, b, b':', c, d] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => {
            let hours: i64 = text[1..3].parse().ok()?;
            let minutes: i64 = text[4..6].parse().ok()?;
            let seconds = hours * 3_600 + minutes * 60;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, by years that begin in March, so that the leap
/// day is a year's last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.unix().div_euclid(86_400), self.0.unix().rem_euclid(86_400));
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MomentVisitor;

        impl Visitor<'_> for MomentVisitor {
            type Value = Moment;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a moment such as `2026-12-31T23:59:59Z`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Moment, E> {
                Moment::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(MomentVisitor)
    }
}

impl schemars::JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn moments_are_those_of_rfc_3339() {
        let read = |text| Moment::parse(text).map(|moment| moment.0.unix());
        assert_eq!(read("1970-01-01T00:00:00Z"),      Some(0));
        assert_eq!(read("2000-02-29T12:00:00Z"),      Some(951_825_600));
        assert_eq!(read("2026-12-31T23:59:59Z"),      Some(1_798_761_599));
        assert_eq!(read("2026-12-31T23:59:59+01:00"), Some(1_798_757_999));
        assert_eq!(read("1969-12-31t23:59:59z"),      Some(-1));
        assert_eq!(read("0000-01-01 00:00:00-00:30"), Some(-62_167_217_400));
        for text in [
            "", "2026", "2026-12-31", "2026-12-31T23:59:59", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
            "2026-12-31T24:00:00Z", "2026-12-31T23:60:00Z", "2026-12-31T23:59:60Z", "2026-12-31T23:59:59.5Z",
            "2026-12-31T23:59:59+1:00", "2026-12-31T23:59:59+24:00", "+026-12-31T23:59:59Z", "２０２６-12-31T23:59:59Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn moments_are_shown_as_they_are_read() {
        for text in
            ["1970-01-01T00:00:00Z", "2000-02-29T12:00:00Z", "2100-03-01T00:00:01Z", "1600-12-31T23:59:59Z"]
        {
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
    }
}
