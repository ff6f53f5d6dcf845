//! The only module that asks the time; `tests/it/architecture.rs` holds that.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::domain::time::Timestamp;

/// What time it is. Cheap to clone, and to ask on every check: no lock, no system call where the
/// kernel answers in user space.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Stopped(Arc<Stopped>),
}

#[derive(Debug)]
struct Stopped {
    /// Milliseconds since the Unix epoch.
    wall: AtomicI64,
    /// Nanoseconds by which [`Hand::advance`] has moved the clock.
    advanced: AtomicU64,
    /// An `Instant` cannot be made from a number, so the moved ones are counted from this one.
    started: Instant,
}

/// Moves a clock that was made by [`Clock::stopped`]. For tests: the running program has none.
#[derive(Clone, Debug)]
pub struct Hand(Arc<Stopped>);

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `at` until its hand is moved.
    pub fn stopped(at: Timestamp) -> (Self, Hand) {
        let stopped = Arc::new(Stopped {
            wall: AtomicI64::new(at.unix().saturating_mul(1000)),
            advanced: AtomicU64::new(0),
            started: Instant::now(),
        });
        (Self(Source::Stopped(Arc::clone(&stopped))), Hand(stopped))
    }

    /// The moment, for validity windows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.unix_millis().div_euclid(1000))
    }

    /// The moment for a check, for a third of the price: late by at most a tick of the kernel, 10 ms.
    pub fn now_or_just_before(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::from_unix(clock_gettime(ClockId::RealtimeCoarse).tv_sec),
            Source::Stopped(_) => self.now(),
        }
    }

    /// The moment, for log lines: milliseconds since the Unix epoch, negative before it.
    pub fn unix_millis(&self) -> i64 {
        match &self.0 {
            Source::System => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => millis(since),
                // A machine whose clock is before 1970 must not find itself after it.
                Err(before) => -millis(before.duration()),
            },
            Source::Stopped(stopped) => stopped.wall.load(Ordering::Relaxed),
        }
    }

    /// The moment, for spans: as exact as the clock is.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Source::System => SystemTime::now(),
            Source::Stopped(stopped) => {
                let since = stopped.wall.load(Ordering::Relaxed);
                UNIX_EPOCH + Duration::from_millis(since.try_into().unwrap_or(0))
            }
        }
    }

    /// Time since the machine started, while it was suspended too (`CLOCK_BOOTTIME`): for leases.
    /// `Instant` stands still during a suspend, and a lease must not.
    pub fn boottime(&self) -> Duration {
        match &self.0 {
            Source::System => duration(clock_gettime(ClockId::Boottime)),
            Source::Stopped(stopped) => stopped.advanced(),
        }
    }

    /// A moment to measure a duration from.
    pub fn monotonic(&self) -> Instant {
        match &self.0 {
            Source::System => Instant::now(),
            Source::Stopped(stopped) => stopped.started + stopped.advanced(),
        }
    }

    /// Processor time that this process has used, user and system together.
    pub fn processor_time(&self) -> Duration {
        match &self.0 {
            Source::System => duration(clock_gettime(ClockId::ProcessCPUTime)),
            Source::Stopped(_) => Duration::ZERO,
        }
    }
}

impl Stopped {
    fn advanced(&self) -> Duration {
        Duration::from_nanos(self.advanced.load(Ordering::Relaxed))
    }
}

impl Hand {
    /// Lets `by` pass on every clock: wall, boot and monotonic.
    pub fn advance(&self, by: Duration) {
        self.0.wall.fetch_add(millis(by), Ordering::Relaxed);
        self.0.advanced.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Sets the wall clock alone, as an operator or a time server might, forwards or backwards.
    pub fn set_wall(&self, to: Timestamp) {
        self.0.wall.store(to.unix().saturating_mul(1000), Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// These clocks count up from zero; a reading below it would be the kernel's mistake.
fn duration(reading: Timespec) -> Duration {
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(reading.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_runs_forwards_in_this_century() {
        let clock = Clock::system();
        let (wall, boot, instant) = (clock.now(), clock.boottime(), clock.monotonic());
        assert!(wall.unix() > 1_700_000_000, "{wall:?}");
        let before = clock.now_or_just_before();
        assert!((wall.unix() - 1..=wall.unix() + 1).contains(&before.unix()), "{before:?}");
        assert!(boot > Duration::ZERO);
        assert!(clock.now() >= wall && clock.boottime() >= boot && clock.monotonic() >= instant);
    }

    #[test]
    fn boottime_is_never_behind_the_clock_that_stops_in_a_suspend() {
        let monotonic = duration(clock_gettime(ClockId::Monotonic));
        assert!(Clock::system().boottime() >= monotonic);
    }

    #[test]
    fn a_stopped_clock_moves_with_its_hand_alone() {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_000));
        let (boot, instant) = (clock.boottime(), clock.monotonic());
        assert_eq!(clock.now(), Timestamp::from_unix(1_000));
        assert_eq!(clock.monotonic(), instant);

        hand.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now(), Timestamp::from_unix(1_001));
        assert_eq!(clock.unix_millis(), 1_001_500);
        assert_eq!(clock.boottime() - boot, Duration::from_millis(1_500));
        assert_eq!(clock.monotonic() - instant, Duration::from_millis(1_500));
    }

    #[test]
    fn setting_the_wall_clock_back_leaves_leases_alone() {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_000));
        let boot = clock.boottime();
        hand.set_wall(Timestamp::from_unix(10));
        assert_eq!(clock.now(), Timestamp::from_unix(10));
        assert_eq!(clock.boottime(), boot);
    }

    #[test]
    fn a_moment_before_the_epoch_is_rounded_down() {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(-2));
        hand.advance(Duration::from_millis(500));
        assert_eq!(clock.now(), Timestamp::from_unix(-2));
    }
}
