//! Moments, as the domain knows them: given, never asked for.

/// A moment in whole seconds since the Unix epoch, UTC.
///
/// Whole seconds, because validity windows and `ttl` of every document we implement have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    pub const fn unix(self) -> i64 {
        self.0
    }
}
