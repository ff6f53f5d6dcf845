//! Waiting for something to happen, never for time to pass.

use std::time::{Duration, Instant};

use super::Outcome;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `probe` has an answer.
///
/// # Errors
///
/// None within the time; says what was waited for.
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> Outcome<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if start.elapsed() > within {
            return Err(format!("waited {within:?} in vain until {what}"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// As [`until`], for tests: ten seconds, and a panic.
#[track_caller]
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match until(what, Duration::from_secs(10), probe) {
        Ok(found) => found,
        Err(message) => panic!("{message}"),
    }
}
