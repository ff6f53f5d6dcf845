//! Signed-in browsers.

use std::time::Duration;

use uuid::Uuid;

use super::consumer::ConsumerId;
use super::password::Mark;
use super::time::Timestamp;

/// A session, as it is from its login on. When it was last used is known beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: Uuid,
    pub consumer: ConsumerId,
    pub created_at: Timestamp,
    /// Whatever its use.
    pub expires_at: Timestamp,
    /// So long without use, and it ends.
    pub idle: Duration,
    /// By which it was logged in.
    pub password: Mark,
}

impl Session {
    /// Whether it holds at this moment, when it was used at `last`.
    pub fn holds(&self, last: Timestamp, now: Timestamp) -> bool {
        now < self.expires_at && now < self.ends_idle(last)
    }

    /// When it ends if nobody uses it again.
    pub fn ends_idle(&self, last: Timestamp) -> Timestamp {
        let idle = i64::try_from(self.idle.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_unix(last.max(self.created_at).unix().saturating_add(idle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_session_ends_when_it_is_not_used_and_in_any_case() {
        let at = Timestamp::from_unix;
        let session = Session {
            id: Uuid::nil(), consumer: Uuid::nil(), created_at: at(100), expires_at: at(200),
            idle: Duration::from_secs(30), password: Mark::from_bytes([0; 12]),
        };
        let check = |last, now, expected| assert_eq!(session.holds(at(last), at(now)), expected, "{last} {now}");
        //    last  now  holds
        check(0,    100, true);
        check(0,    129, true);
        check(0,    130, false);
        check(120,  149, true);
        check(120,  150, false);
        check(199,  199, true);
        check(199,  200, false);
    }
}
