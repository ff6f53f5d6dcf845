//! How far this instance's clock is from the store's, by which others of the fleet can be compared.

use tracing::{info, warn};

/// What is known of it: whether it is too far.
#[derive(Default)]
pub(super) struct Skew {
    far: bool,
}

/// Milliseconds from which on it is warned of.
const FAR: i64 = 5_000;

/// By how many milliseconds ours is ahead of the store's clock at least, where that said `theirs` between the
/// question and the answer. Below 0 where it is behind.
pub(super) fn ahead(asked: i64, answered: i64, theirs: i64) -> i64 {
    (asked - theirs).max(0) + (answered - theirs).min(0)
}

impl Skew {
    /// Says so once when it comes to be too far, and once when it no longer is.
    pub(super) fn note(&mut self, ahead: i64) {
        let far = ahead.abs() > FAR;
        let ahead_seconds = ahead / 1_000;
        match (std::mem::replace(&mut self.far, far), far) {
            (false, true) => warn!(
                ahead_seconds,
                "this machine's clock and the store's differ: keys and tokens end too early or too late here; have \
                 both follow NTP"
            ),
            (true, false) => info!(ahead_seconds, "this machine's clock and the store's agree again"),
            (false, false) | (true, true) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_an_answer_takes_is_no_difference() {
        assert_eq!(ahead(1_000, 9_000, 1_000), 0);
        assert_eq!(ahead(1_000, 9_000, 9_000), 0);
        assert_eq!(ahead(20_000, 20_010, 14_000), 6_000);
        assert_eq!(ahead(20_000, 20_010, 30_010), -10_000);
    }
}
