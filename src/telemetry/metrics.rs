//! The counters of this instance, in the text format 0.0.4 of Prometheus.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::SpanData;
use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::checks::Checks;
use super::decision::{DecisionLine, Sampler, VerdictLabel};
use super::followers::{Crowded, Follower, Followers, Wanted};
use super::issuers::Issuers;
use super::log::DroppedLines;
use super::logins::Logins;
use super::otlp::export::Exporter;
use super::otlp::{Fate, Settings};
use super::process::Process;
use super::readiness::Readiness;
use super::recent::Recent;
use super::records::Records;
use super::standing::{Gauges, Standing};
use super::traces::Traces;
use crate::clock::Clock;
use crate::domain::time::Timestamp;

/// Counts and describes this instance. One for the whole process, behind an `Arc`.
///
/// To record a check is a few additions, without a lock or a lookup by label.
pub struct Telemetry {
    registry: Registry,
    clock: Clock,
    readiness: Arc<Readiness>,
    checks: Checks,
    sampler: Sampler,
    followers: Followers,
    followers_now: IntGauge,
    recent: Recent,
    lines_suppressed: IntCounter,
    lines_dropped: IntCounter,
    /// Unset while no log is written through a queue.
    log_queue: OnceLock<DroppedLines>,
    reload_good: IntGauge,
    reload_good_at: IntGauge,
    standing: Gauges,
    issuers: Issuers,
    logins: Logins,
    ready: IntGauge,
    connections: IntGauge,
    /// Unset while nobody takes connections.
    open_connections: OnceLock<Arc<AtomicUsize>>,
    insecure: IntGaugeVec,
    restart_pending: IntGaugeVec,
    certificate_expires: IntGaugeVec,
    process: Process,
    spans: Fate,
    log_records: Fate,
    /// Unset where no traces are asked for.
    traces: OnceLock<Arc<Traces>>,
    /// Unset where decision lines go to the log alone.
    records: OnceLock<Records>,
    /// Held by a scrape, which brings up to date what is kept elsewhere.
    scrape: Mutex<()>,
}

impl Telemetry {
    pub fn new(clock: Clock, readiness: Arc<Readiness>) -> Self {
        let registry = Registry::new();
        let add = &registry;
        build_info(add);
        gauge(add, "process_start_time_seconds", "Moment this process started, seconds since 1970")
            .set(clock.now().unix());
        Self {
            checks: Checks::new(add),
            sampler: Sampler::new(),
            followers: Followers::new(clock.clone()),
            followers_now: gauge(add, "doorward_followers", "Viewers that follow decisions (doorward tail)"),
            recent: Recent::new(add),
            lines_suppressed: counter(
                add,
                "doorward_log_lines_suppressed_total",
                "Decision lines of refusals left out because a second had too many",
            ),
            lines_dropped: counter(
                add,
                "doorward_log_lines_dropped_total",
                "Log lines lost because the queue to the writer was full",
            ),
            log_queue: OnceLock::new(),
            reload_good: gauge(
                add,
                "doorward_config_last_reload_successful",
                "1 where the configuration was last read without a fault, 0 where the one before is kept",
            ),
            reload_good_at: gauge(
                add,
                "doorward_config_last_reload_success_timestamp_seconds",
                "Moment of the last good read of the configuration, seconds since 1970",
            ),
            standing: Gauges::new(add, &clock),
            issuers: Issuers::new(add),
            logins: Logins::new(add),
            ready: gauge(add, "doorward_ready", "1 while /readyz answers 200"),
            connections: gauge(add, "doorward_connections", "Connections open on the check listener"),
            open_connections: OnceLock::new(),
            insecure: registered(
                add,
                IntGaugeVec::new(
                    Opts::new("doorward_insecure", "1 for each option in use that weakens what is promised"),
                    &["option"],
                ),
            ),
            restart_pending: registered(
                add,
                IntGaugeVec::new(
                    Opts::new(
                        "doorward_config_restart_pending",
                        "1 where this setting has changed and waits for a restart to take effect",
                    ),
                    &["setting"],
                ),
            ),
            certificate_expires: registered(
                add,
                IntGaugeVec::new(
                    Opts::new(
                        "doorward_certificate_expires_timestamp_seconds",
                        "Moment at which a listener's certificate ends, seconds since 1970",
                    ),
                    &["listener"],
                ),
            ),
            process: Process::new(add),
            spans: Fate::new(
                add,
                ["doorward_spans_exported_total", "Spans that the receiver of traces took"],
                [
                    "doorward_spans_dropped_total",
                    "Spans lost because the queue was full, or because the receiver did not take them",
                ],
            ),
            log_records: Fate::new(
                add,
                [
                    "doorward_log_records_exported_total",
                    "Decision lines that the receiver of log records took",
                ],
                [
                    "doorward_log_records_dropped_total",
                    "Log records lost because the queue was full, or because the receiver did not take them",
                ],
            ),
            traces: OnceLock::new(),
            records: OnceLock::new(),
            scrape: Mutex::new(()),
            registry,
            clock,
            readiness,
        }
    }

    /// An issuer's keys were fetched, or could not be.
    pub fn issuer_fetched(&self, issuer: &str, good: bool) {
        self.issuers.fetched(issuer, good);
    }

    /// So many keys of an issuer can be used, and so many cannot.
    pub fn issuer_keys(&self, issuer: &str, keys: usize, left_out: usize) {
        self.issuers.keys(issuer, keys, left_out);
    }

    /// A signature was verified.
    pub fn signature_verified(&self, good: bool) {
        self.issuers.verified(good);
    }

    /// A signature was not verified, because too many were waiting.
    pub fn signature_shed(&self) {
        self.issuers.shed();
    }

    /// Counts, times and, where it is its turn, logs and traces one decision, which is told to whoever follows:
    /// metric, log, span and answer come from one value. `now` is the moment the check was pinned to. Whether it
    /// is logged.
    pub fn record(&self, line: &DecisionLine<'_>, now: Timestamp) -> bool {
        self.checks.record(line);
        self.followers.tell(line);
        if let (Some(traced), Some(traces)) = (line.traced, self.traces.get()) {
            traces.record(line, traced);
        }
        self.log_decision(line, now)
    }

    /// Records checks as spans from now on. The doors begin them with what is returned; the exporter has to
    /// be run. The first one counts. Within a runtime.
    ///
    /// # Errors
    ///
    /// What of the settings cannot be used after all, such as a file.
    pub fn trace(&self, settings: &Settings) -> Result<(Arc<Traces>, Exporter<SpanData>), String> {
        let (traces, exporter) = Traces::new(settings, self.clock.clone(), &self.spans)?;
        let traces = Arc::clone(self.traces.get_or_init(|| Arc::new(traces)));
        Ok((traces, exporter))
    }

    /// Sends decision lines as log records too from now on. The exporter has to be run. The first one counts.
    /// Within a runtime.
    ///
    /// # Errors
    ///
    /// As [`Self::trace`].
    pub fn export_log(&self, settings: &Settings) -> Result<Exporter<SdkLogRecord>, String> {
        let (records, exporter) = Records::new(settings, self.clock.clone(), &self.log_records)?;
        let _ = self.records.set(records);
        Ok(exporter)
    }

    /// Writes the line of a refusal, up to the limit of the second `now`, and of an allow where
    /// the share says so. Never waits.
    pub(super) fn log_decision(&self, line: &DecisionLine<'_>, now: Timestamp) -> bool {
        let is_allow = line.verdict == VerdictLabel::Allow;
        let wanted = if is_allow { self.sampler.wants_allow() } else { self.sampler.wants_refusal(now) };
        if wanted {
            line.write();
            if let Some(records) = self.records.get() {
                records.put(line);
            }
        } else if !is_allow {
            self.lines_suppressed.inc();
        }
        wanted
    }

    /// The last decisions that were logged.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// How many bytes of them are kept; at first none.
    pub fn set_recent(&self, bytes: usize) {
        self.recent.set(bytes);
    }

    /// Tells decisions as they are made, from now on.
    ///
    /// # Errors
    ///
    /// As many follow already as may.
    pub fn follow(self: Arc<Self>, wanted: Wanted) -> Result<Follower, Crowded> {
        Follower::new(self, wanted)
    }

    /// How many may follow at once; at first nobody.
    pub fn set_followers(&self, most: usize) {
        self.followers.set(most);
    }

    /// Has everybody who follows be told that it is over.
    pub fn end_followers(&self) {
        self.followers.end();
    }

    pub(super) fn followers(&self) -> &Followers {
        &self.followers
    }

    /// Which decisions are logged: the share of allows, 0 to 1 (at first 0), and at most so many
    /// refusals a second (at first 1,000).
    pub fn set_sampling(&self, share: f64, refusals_per_second: u32) {
        self.sampler.set(share, refusals_per_second);
    }

    /// Where to learn how many log lines were lost. The first one counts; there is one log.
    pub fn watch_log(&self, dropped: DroppedLines) {
        let _ = self.log_queue.set(dropped);
    }

    /// The configuration was read at `now`: `good`, or with a fault that keeps the one before.
    pub fn config_read(&self, good: bool, now: Timestamp) {
        self.reload_good.set(i64::from(good));
        if good {
            self.reload_good_at.set(now.unix());
        }
    }

    /// Where this instance stands.
    pub fn stands(&self, standing: &Standing) {
        self.standing.show(standing);
    }

    /// How many instances live, and how many different configurations they decide with.
    pub fn set_instances(&self, instances: usize, catalogs: usize) {
        self.standing.show_instances(instances, catalogs);
    }

    /// Where attempts to be let in are counted.
    pub fn logins(&self) -> Logins {
        self.logins.clone()
    }

    /// After how long without the store this instance stops allowing.
    pub fn set_revocation_bound(&self, bound: Duration) {
        self.standing.show_bound(bound);
    }

    /// Where to learn how many connections are open on the check listener. The first one counts.
    pub fn watch_connections(&self, open: Arc<AtomicUsize>) {
        let _ = self.open_connections.set(open);
    }

    /// The options in use that weaken what is promised, by their names in the configuration; those
    /// set before and not named are gone.
    pub fn set_insecure<S: AsRef<str>>(&self, options: impl IntoIterator<Item = S>) {
        // No scrape may see the moment between.
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.insecure.reset();
        for option in options {
            self.insecure.with_label_values(&[option.as_ref()]).set(1);
        }
    }

    /// Whether a setting that takes a restart was read with another value.
    pub fn set_restart_pending(&self, setting: &'static str, pending: bool) {
        self.restart_pending.with_label_values(&[setting]).set(i64::from(pending));
    }

    /// When the certificate ends that a listener shows from now on.
    pub fn set_certificate_expires(&self, listener: &str, moment: Timestamp) {
        self.certificate_expires.with_label_values(&[listener]).set(moment.unix());
    }

    /// All metrics, in the text format 0.0.4.
    pub fn render(&self) -> String {
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh();
        // The encoder fails for a family without a name or a metric, and the registry gives none.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// Brings up to date what is kept elsewhere or changes by itself.
    fn refresh(&self) {
        self.checks.refresh();
        self.ready.set(i64::from(self.readiness.ready()));
        self.followers_now.set(whole(self.followers.count()));
        self.standing.refresh(&self.clock);
        if let Some(open) = self.open_connections.get() {
            self.connections.set(i64::try_from(open.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        }
        if let Some(queue) = self.log_queue.get() {
            self.lines_dropped.inc_by(queue.count().saturating_sub(self.lines_dropped.get()));
        }
        self.process.refresh(&self.clock);
    }
}

fn build_info(registry: &Registry) {
    let info = registered(
        registry,
        IntGaugeVec::new(
            Opts::new("doorward_build_info", "1, labelled with what is running"),
            &["version", "revision"],
        ),
    );
    let revision = option_env!("BUILT_FROM_REVISION").unwrap_or("");
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::new(name, help))
}

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

/// Names are constants of this room, so a refusal of the crate is seen by the first test.
pub(super) fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> C {
    let collector = made.expect("the names of metrics are well formed");
    registry.register(Box::new(collector.clone())).expect("the names of metrics are distinct");
    collector
}

/// A gauge holds an `i64`; no count of ours comes near its end.
pub(super) fn whole(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

pub(super) fn millis(moment: Duration) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::denial::{Denial, Unnamed, Unproven};
    use crate::telemetry::checks::CODES;

    fn telemetry() -> (Telemetry, crate::clock::Hand) {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_000));
        (Telemetry::new(clock, Arc::new(Readiness::new())), hand)
    }

    /// The value of a sample, by its name and labels as they are printed.
    fn sample(telemetry: &Telemetry, name: &str) -> Option<f64> {
        let rendered = telemetry.render();
        let line = rendered.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// Every denial, each from the one before it: a new one does not compile without a place here.
    fn after(denial: &Denial) -> Option<Denial> {
        let why = "test";
        Some(match denial {
            Denial::MalformedRequest { .. } => Denial::AmbiguousPath { why },
            Denial::AmbiguousPath { .. } => Denial::MissingCredential,
            Denial::MissingCredential => Denial::DuplicateCredential,
            Denial::DuplicateCredential => Denial::InvalidCredential { why: Unproven::Unknown },
            Denial::InvalidCredential { .. } => Denial::NetworkDenied { why },
            Denial::NetworkDenied { .. } => Denial::ServiceDenied,
            Denial::ServiceDenied => Denial::GroupDenied,
            Denial::GroupDenied => Denial::PermissionDenied,
            Denial::PermissionDenied => Denial::OriginDenied { why },
            Denial::OriginDenied { .. } => Denial::UnknownService { of: Unnamed::Route },
            Denial::UnknownService { .. } => Denial::DeploymentDisabled,
            Denial::DeploymentDisabled => Denial::CheckTooLarge,
            Denial::CheckTooLarge => Denial::Internal { why },
            Denial::Internal { .. } => Denial::Overloaded,
            Denial::Overloaded => Denial::Throttled { left: 1 },
            Denial::Throttled { .. } => Denial::Deadline,
            Denial::Deadline => return None,
        })
    }

    fn line(verdict: VerdictLabel, code: Option<&'static str>, micros: u64) -> DecisionLine<'static> {
        DecisionLine {
            request_id: "",
            verdict,
            mode: "enforce",
            traced: None,
            mistake: false,
            code,
            why: None,
            service: None,
            infrastructure: None,
            method: b"GET",
            path: b"/",
            host: b"",
            client: None,
            presented: None,
            credential: None,
            consumer: None,
            username: None,
            duration: Duration::from_micros(micros),
        }
    }

    #[test]
    fn every_denial_has_a_counter_of_its_own() {
        let (telemetry, _) = telemetry();
        let first = Some(Denial::MalformedRequest { why: "test" });
        let denials: Vec<_> = std::iter::successors(first, after).collect();
        // All codes but the Fault's.
        assert_eq!(denials.len(), CODES.len() - 1);
        for denial in denials {
            let code = denial.notice().code;
            for mode in ["enforce", "shadow"] {
                let line = line(VerdictLabel::Deny, Some(code), 0);
                telemetry.record(&DecisionLine { mode, ..line }, Timestamp::from_unix(0));
                let name =
                    format!("doorward_checks_total{{code=\"{code}\",mode=\"{mode}\",verdict=\"deny\"}}");
                assert_eq!(sample(&telemetry, &name), Some(1.0), "{code}");
            }
        }
    }

    #[test]
    fn a_check_is_counted_once_whatever_it_is_called() {
        let check = |verdict, code, labels: &str| {
            let (telemetry, _) = telemetry();
            telemetry.record(&line(verdict, code, 7), Timestamp::from_unix(0));
            assert_eq!(
                sample(&telemetry, &format!("doorward_checks_total{{{labels}}}")),
                Some(1.0),
                "{labels}"
            );
            assert_eq!(sample(&telemetry, "doorward_check_duration_seconds_count"), Some(1.0));
        };
        check(VerdictLabel::Allow, None, r#"code="",mode="enforce",verdict="allow""#);
        check(
            VerdictLabel::Fault,
            Some("unavailable"),
            r#"code="unavailable",mode="enforce",verdict="fault""#,
        );
        check(VerdictLabel::Deny, Some("unavailable"), r#"code="unavailable",mode="enforce",verdict="deny""#);
        check(VerdictLabel::Deny, Some("new"), r#"code="unlisted",mode="enforce",verdict="deny""#);
        check(VerdictLabel::Deny, None, r#"code="unlisted",mode="enforce",verdict="deny""#);
        check(VerdictLabel::Allow, Some("new"), r#"code="unlisted",mode="enforce",verdict="allow""#);
        check(VerdictLabel::Fault, None, r#"code="unlisted",mode="enforce",verdict="fault""#);
    }

    #[test]
    fn durations_are_told_apart_from_ten_microseconds() {
        let (telemetry, _) = telemetry();
        for micros in [3, 30, 2_000_000] {
            telemetry.record(&line(VerdictLabel::Allow, None, micros), Timestamp::from_unix(0));
        }
        let bucket = |bound: &str| {
            sample(&telemetry, &format!("doorward_check_duration_seconds_bucket{{le=\"{bound}\"}}"))
        };
        assert_eq!(bucket("0.00001"), Some(1.0));
        assert_eq!(bucket("0.00005"), Some(2.0));
        assert_eq!(bucket("1"), Some(2.0));
        assert_eq!(bucket("+Inf"), Some(3.0));
    }

    #[test]
    fn every_metric_says_what_it_is_and_every_line_can_be_read() {
        let (telemetry, _) = telemetry();
        telemetry.set_insecure(["limits.insecure_allow_weak"]);
        let (mut helped, mut typed) = (String::new(), String::new());
        for line in telemetry.render().lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split_once(' ').unwrap().0.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(name, helped);
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                typed = name.to_owned();
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                assert!(name == typed || base == Some(&typed), "{line}");
                assert!(labels.ends_with('}'), "{line}");
            }
        }
    }

    #[test]
    fn gauges_show_what_was_set() {
        let (telemetry, hand) = telemetry();
        telemetry.config_read(true, Timestamp::from_unix(1_000));
        telemetry.config_read(false, Timestamp::from_unix(2_000));
        let standing = Standing {
            epoch: Some(7),
            lag: 4,
            keys: 3,
            consumers: 2,
            weak_keys: 1,
            writable: true,
            went_back: 2,
            clock_ahead: -6_500,
            ..Standing::default()
        };
        telemetry.stands(&standing);
        telemetry.set_instances(3, 2);
        telemetry.set_revocation_bound(Duration::from_millis(2_500));
        telemetry.set_certificate_expires("grpc", Timestamp::from_unix(3_000));
        telemetry.watch_connections(Arc::new(AtomicUsize::new(1)));
        hand.advance(Duration::from_millis(1_500));
        let check =
            |name: &str, expected: f64| assert_eq!(sample(&telemetry, name), Some(expected), "{name}");
        check("doorward_config_last_reload_successful", 0.0);
        check("doorward_config_last_reload_success_timestamp_seconds", 1_000.0);
        check("doorward_epoch", 7.0);
        check("doorward_keys", 3.0);
        check("doorward_consumers", 2.0);
        check("doorward_weak_keys", 1.0);
        check("doorward_store_writable", 1.0);
        check("doorward_certificate_expires_timestamp_seconds{listener=\"grpc\"}", 3_000.0);
        check("doorward_connections", 1.0);
        check("doorward_lease_age_seconds", 1.5);
        check("doorward_revocation_bound_seconds", 2.5);
        check("process_start_time_seconds", 1_000.0);
        check("doorward_replica_lag_changes", 4.0);
        check("doorward_store_went_back_total", 2.0);
        check("doorward_store_clock_skew_seconds", -6.5);
        check("doorward_from_snapshot", 0.0);
        check("doorward_instances", 3.0);
        check("doorward_catalogs", 2.0);
        telemetry.stands(&Standing { lease_renewed: Some(Duration::from_millis(1_250)), ..standing });
        check("doorward_lease_age_seconds", 0.25);
        check("doorward_store_went_back_total", 2.0);
    }

    #[test]
    fn readiness_is_shown_as_readyz_answers_it() {
        let readiness = Arc::new(Readiness::new());
        let telemetry = Telemetry::new(Clock::system(), Arc::clone(&readiness));
        assert_eq!(sample(&telemetry, "doorward_ready"), Some(0.0));
        readiness.set_loaded(true);
        readiness.set_lease(true);
        assert_eq!(sample(&telemetry, "doorward_ready"), Some(1.0));
    }

    #[test]
    fn an_option_that_is_no_longer_in_use_is_no_longer_shown() {
        let (telemetry, _) = telemetry();
        telemetry.set_insecure(["one", "two"]);
        telemetry.set_insecure(["two"]);
        assert_eq!(sample(&telemetry, "doorward_insecure{option=\"one\"}"), None);
        assert_eq!(sample(&telemetry, "doorward_insecure{option=\"two\"}"), Some(1.0));
    }
}
