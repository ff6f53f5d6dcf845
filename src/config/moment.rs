//! Moments as they are written: RFC 3339, `2026-12-31T23:59:59Z`.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::scalar::{Scalar, scalar};
use crate::domain::time::Timestamp;

/// A moment in whole seconds; fractions are refused, because nothing of ours is finer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// RFC 3339 section 5.6 without fractions and leap seconds, in the years 0000 to 9999 of UTC.
    pub fn parse(text: &str) -> Option<Self> {
        // `time` takes any byte between date and time, and fractions of any length.
        let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
        let whole = text.as_bytes().get(19) != Some(&b'.');
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        // A leap second is read as the last nanosecond of the one before.
        let finest = moment.nanosecond() == 0;
        let moment = moment.checked_to_utc()?;
        (separated && whole && finest && (0..=9999).contains(&moment.year()))
            .then(|| Self(Timestamp::from_unix(moment.unix_timestamp())))
    }
}

/// In UTC. What is beyond the years that RFC 3339 can write is shown in seconds since 1970.
impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.unix();
        match OffsetDateTime::from_unix_timestamp(seconds) {
            Ok(moment) if moment.year() >= 0 => {
                let (year, month, day) = moment.to_calendar_date();
                let (hour, minute, second) = moment.to_hms();
                let month = u8::from(month);
                write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
            }
            _ => write!(formatter, "{seconds}"),
        }
    }
}

impl Scalar for Moment {
    const EXPECTED: &'static str = "a moment such as `2026-12-31T23:59:59Z`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn schema() -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

scalar!(Moment);

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
        assert_eq!(read("9999-12-31T23:59:59Z"),      Some(253_402_300_799));
        for text in [
            "", "2026", "2026-12-31", "2026-12-31T23:59:59", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z",
            "2026-12-31T24:00:00Z", "2026-12-31T23:60:00Z", "2026-12-31T23:59:60Z", "2026-12-31T23:59:59.5Z",
            "2026-12-31T23:59:59+1:00", "2026-12-31T23:59:59+24:00", "+026-12-31T23:59:59Z", "２０２６-12-31T23:59:59Z",
            "2026-12-31_23:59:59Z", "2026-12-31T23:59:59.0Z", "2026-12-31T23:59:59.000000000Z", "2026-12-31T23:59:59Z ",
            " 2026-12-31T23:59:59Z", "2026-12-31T23:59:59+01:60", "2026-12-31T23:59:59+0100", "12026-12-31T23:59:59Z",
            "0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-12-31é23:59:59Z",
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
        for seconds in [i64::MIN, -62_167_219_201, 253_402_300_800, i64::MAX] {
            assert_eq!(Moment(Timestamp::from_unix(seconds)).to_string(), seconds.to_string());
        }
    }
}
