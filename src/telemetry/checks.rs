//! Checks, counted by verdict and code, and timed.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::decision::{DecisionLine, VerdictLabel};
use super::metrics::registered;

/// Every code that a check can be refused with: those of `domain::denial`, and the Fault's. A test
/// holds that none is missing.
pub(super) const CODES: [&str; 16] = [
    "malformed_request",
    "ambiguous_path",
    "missing_credential",
    "duplicate_credential",
    "invalid_credential",
    "network_denied",
    "service_denied",
    "group_denied",
    "permission_denied",
    "unknown_service",
    "deployment_disabled",
    "check_too_large",
    "internal",
    "overloaded",
    "deadline",
    "unavailable",
];

/// Where a code is counted that stands in no list: a mistake of ours, but never a lost check.
const UNLISTED: &str = "unlisted";

/// Upper bounds in seconds, from 10 µs: a decision takes one, so Prometheus' own, which begin at
/// 5 ms, would show nothing.
const BUCKETS: [f64; 16] = [
    0.000_010, 0.000_025, 0.000_050, 0.000_100, 0.000_250, 0.000_500, 0.001, 0.002_5, 0.005, 0.010, 0.025,
    0.050, 0.100, 0.250, 0.500, 1.0,
];

pub(super) struct Checks {
    enforced: Verdicts,
    /// What was decided where refusals are only told.
    shadow: Verdicts,
    /// Observed without a lock: the crate's mutex is taken by scrapes alone.
    duration: Histogram,
}

struct Verdicts {
    allow: IntCounter,
    /// By place in [`CODES`].
    deny: [IntCounter; CODES.len()],
    /// The only code of a Fault.
    unavailable: IntCounter,
    /// By place in [`VerdictLabel::ALL`].
    unlisted: [IntCounter; 3],
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
        Self {
            enforced: Verdicts::new(&checks, "enforce"),
            shadow: Verdicts::new(&checks, SHADOW),
            duration: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "doorward_check_duration_seconds",
                        "Time from a check's arrival to its decision",
                    )
                    .buckets(BUCKETS.to_vec()),
                ),
            ),
        }
    }

    pub(super) fn record(&self, line: &DecisionLine<'_>) {
        let verdicts = if line.mode == SHADOW { &self.shadow } else { &self.enforced };
        verdicts.counter(line.verdict, line.code).inc();
        self.duration.observe(line.duration.as_secs_f64());
    }
}

/// How decisions call the mode in which a refusal is only told.
const SHADOW: &str = "shadow";

impl Verdicts {
    fn new(checks: &IntCounterVec, mode: &str) -> Self {
        let of = |verdict: VerdictLabel, code: &str| checks.with_label_values(&[verdict.name(), code, mode]);
        Self {
            allow: of(VerdictLabel::Allow, ""),
            deny: CODES.map(|code| of(VerdictLabel::Deny, code)),
            unavailable: of(VerdictLabel::Fault, "unavailable"),
            unlisted: VerdictLabel::ALL.map(|verdict| of(verdict, UNLISTED)),
        }
    }

    fn counter(&self, verdict: VerdictLabel, code: Option<&'static str>) -> &IntCounter {
        let listed = match (verdict, code) {
            (VerdictLabel::Allow, None) => Some(&self.allow),
            (VerdictLabel::Deny, Some(code)) => {
                CODES.iter().position(|listed| *listed == code).map(|place| &self.deny[place])
            }
            (VerdictLabel::Fault, Some("unavailable")) => Some(&self.unavailable),
            (VerdictLabel::Allow, Some(_)) | (VerdictLabel::Deny, None) | (VerdictLabel::Fault, _) => None,
        };
        listed.unwrap_or(&self.unlisted[verdict as usize])
    }
}
