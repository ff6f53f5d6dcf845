//! When it is said that a store cannot be followed: each reason as it comes, and the same now and then.

use std::time::Duration;

#[derive(Default)]
pub(super) struct Trouble {
    /// What was told last, and when.
    told: Option<(String, Duration)>,
}

impl Trouble {
    /// Whether this is to be told at `now`.
    pub(super) fn is_news(&mut self, why: &str, now: Duration) -> bool {
        let known = self
            .told
            .as_ref()
            .is_some_and(|(told, at)| now.saturating_sub(*at) < if told == why { REPEATED } else { PAUSE });
        if !known {
            self.told = Some((why.to_owned(), now));
        }
        !known
    }

    /// It is over; whether there was any.
    pub(super) fn end(&mut self) -> bool {
        self.told.take().is_some()
    }
}

/// After which the same is said again.
const REPEATED: Duration = Duration::from_secs(60);
/// Between two reasons, which may take turns.
const PAUSE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_a_minute_and_no_two_at_once() {
        let mut trouble = Trouble::default();
        let mut check = |seconds, why, expected| {
            assert_eq!(trouble.is_news(why, Duration::from_secs(seconds)), expected, "{why} at {seconds}");
        };
        check(0, "refused", true);
        check(1, "refused", false);
        check(2, "WRONGPASS", false);
        check(3, "WRONGPASS", true);
        check(59, "WRONGPASS", false);
        check(63, "WRONGPASS", true);
        assert!(trouble.end());
        assert!(!trouble.end());
        assert!(trouble.is_news("WRONGPASS", Duration::from_secs(64)));
    }
}
