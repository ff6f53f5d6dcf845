//! Checks, counted by verdict and code, and timed.
//!
//! Each thread counts in a place of its own, where no other writes while there are as many places as
//! threads; a scrape adds them up. So a check costs three additions, however many workers there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::decision::{DecisionLine, VerdictLabel};
use super::metrics::registered;

/// Every code that a check can be refused with: those of `domain::denial`, and the Fault's. A test
/// holds that none is missing.
pub const CODES: [&str; 18] = [
    "malformed_request",
    "ambiguous_path",
    "missing_credential",
    "duplicate_credential",
    "invalid_credential",
    "network_denied",
    "service_denied",
    "group_denied",
    "permission_denied",
    "origin_denied",
    "unknown_service",
    "deployment_disabled",
    "check_too_large",
    "internal",
    "overloaded",
    "throttled",
    "deadline",
    "unavailable",
];

/// Where a code is counted that stands in no list: a mistake of ours, but never a lost check.
const UNLISTED: &str = "unlisted";

/// Upper bounds in nanoseconds, from 10 µs: a decision takes one, so Prometheus' own, which begin at
/// 5 ms, would show nothing.
const BUCKETS: [u64; 16] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];

/// How decisions call the mode in which a refusal is only told.
const SHADOW: &str = "shadow";

/// The two modes, as places count them.
const MODES: [&str; 2] = ["enforce", SHADOW];

/// An allow, each code of a denial, the one of a Fault, and for each verdict what stands in no list.
const VERDICTS: usize = 1 + CODES.len() + 1 + VerdictLabel::ALL.len();

const UNAVAILABLE: usize = 1 + CODES.len();

pub(super) struct Checks {
    places: Arc<Places>,
    /// By mode, then as [`place_of`] says; brought up to date by a scrape.
    counters: [[IntCounter; VERDICTS]; MODES.len()],
}

impl Checks {
    pub(super) fn new(registry: &Registry) -> Self {
        let checks = registered(
            registry,
            IntCounterVec::new(
                Opts::new(
                    "doorward_checks_total",
                    "Checks answered, by verdict, code and mode; in shadow mode a refusal passes",
                ),
                &["verdict", "code", "mode"],
            ),
        );
        let places = Arc::new(Places::default());
        registered(registry, Durations::new(Arc::clone(&places)));
        let counter = |mode: &str, place| {
            let (verdict, code) = called(place);
            checks.with_label_values(&[verdict.name(), code, mode])
        };
        Self { places, counters: MODES.map(|mode| std::array::from_fn(|place| counter(mode, place))) }
    }

    pub(super) fn record(&self, line: &DecisionLine<'_>) {
        let mode = usize::from(line.mode == SHADOW);
        let place = self.places.mine();
        place.checks[mode][place_of(line.verdict, line.code)].fetch_add(1, Ordering::Relaxed);
        place.time(line.duration);
    }

    /// Brings the counters up to date. One at a time: the caller sees to it.
    pub(super) fn refresh(&self) {
        for (mode, counters) in self.counters.iter().enumerate() {
            for (at, counter) in counters.iter().enumerate() {
                counter.inc_by(self.places.sum(|place| &place.checks[mode][at]) - counter.get());
            }
        }
    }
}

/// Where a verdict is counted.
fn place_of(verdict: VerdictLabel, code: Option<&'static str>) -> usize {
    let listed = match (verdict, code) {
        (VerdictLabel::Allow, None) => Some(0),
        (VerdictLabel::Deny, Some(code)) => CODES.iter().position(|listed| *listed == code).map(|at| at + 1),
        (VerdictLabel::Fault, Some("unavailable")) => Some(UNAVAILABLE),
        (VerdictLabel::Allow, Some(_)) | (VerdictLabel::Deny, None) | (VerdictLabel::Fault, _) => None,
    };
    listed.unwrap_or(UNAVAILABLE + 1 + verdict as usize)
}

/// What is counted in a place.
fn called(place: usize) -> (VerdictLabel, &'static str) {
    match place {
        0 => (VerdictLabel::Allow, ""),
        UNAVAILABLE => (VerdictLabel::Fault, "unavailable"),
        listed @ 1..UNAVAILABLE => (VerdictLabel::Deny, CODES[listed - 1]),
        unlisted => (VerdictLabel::ALL[unlisted - UNAVAILABLE - 1], UNLISTED),
    }
}

/// More workers than these share places, which costs time and loses nothing.
const PLACES: usize = 32;

/// Where threads count.
struct Places([Place; PLACES]);

/// On lines of memory of its own; processors fetch them in pairs of 64 bytes.
#[derive(Default)]
#[repr(align(128))]
struct Place {
    checks: [[AtomicU64; VERDICTS]; MODES.len()],
    /// By place in [`BUCKETS`], and what is above them all.
    durations: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Default for Places {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Place::default()))
    }
}

impl Places {
    fn mine(&self) -> &Place {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % PLACES;
        }
        &self.0[MINE.with(|mine| *mine)]
    }

    fn sum(&self, of: impl Fn(&Place) -> &AtomicU64) -> u64 {
        self.0.iter().map(|place| of(place).load(Ordering::Relaxed)).sum()
    }
}

impl Place {
    fn time(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BUCKETS.len());
        self.durations[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// The histogram of all places.
#[derive(Clone)]
struct Durations {
    places: Arc<Places>,
    desc: Desc,
}

impl Durations {
    fn new(places: Arc<Places>) -> prometheus::Result<Self> {
        let (name, help) = ("doorward_check_duration_seconds", "Time from a check's arrival to its decision");
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), Default::default())?;
        Ok(Self { places, desc })
    }

    fn histogram(&self) -> Histogram {
        let counts: [u64; BUCKETS.len() + 1] =
            std::array::from_fn(|at| self.places.sum(|place| &place.durations[at]));
        let mut below = 0;
        let bucket = |(bound, count): (u64, u64)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(seconds(bound));
            bucket.set_cumulative_count(below);
            bucket
        };
        let buckets = BUCKETS.into_iter().zip(counts).map(bucket).collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(seconds(self.places.sum(|place| &place.nanoseconds)));
        histogram
    }
}

impl Collector for Durations {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut metric = Metric::default();
        metric.set_histogram(self.histogram());
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_is_counted_under_its_own_name() {
        for place in 0..VERDICTS {
            let (verdict, code) = called(place);
            let code = Some(code).filter(|code| !code.is_empty());
            assert_eq!(place_of(verdict, code), place, "{verdict:?} {code:?}");
        }
    }

    #[test]
    fn what_threads_count_apart_is_added_up() {
        let registry = Registry::new();
        let checks = Checks::new(&registry);
        std::thread::scope(|scope| {
            for _ in 0..2 * PLACES {
                scope.spawn(|| checks.places.mine().time(Duration::from_micros(30)));
            }
        });
        let durations = Durations::new(Arc::clone(&checks.places)).expect("a name").histogram();
        assert_eq!(durations.get_sample_count(), 2 * PLACES as u64);
        let below: Vec<u64> = durations.get_bucket().iter().map(Bucket::cumulative_count).collect();
        assert_eq!(below[..3], [0, 0, 2 * PLACES as u64]);
    }
}
