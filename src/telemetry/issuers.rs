//! Other issuers' keys, and the signatures that were verified with them.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::metrics::{counter, registered, whole};

/// Issuers are labelled by the operator's names for them.
pub(super) struct Issuers {
    fetches: IntCounterVec,
    keys: IntGaugeVec,
    left_out: IntGaugeVec,
    good: IntCounter,
    bad: IntCounter,
    shed: IntCounter,
}

impl Issuers {
    pub(super) fn new(add: &Registry) -> Self {
        let fetches = Opts::new("doorward_issuer_fetches_total", "Fetches of an issuer's keys, by outcome");
        let keys = Opts::new("doorward_issuer_keys", "Usable keys in an issuer's set, when it was last read");
        let left_out = Opts::new(
            "doorward_issuer_keys_left_out",
            "Keys in an issuer's set that no token is verified with: weak, ambiguous, of another kind or use",
        );
        let signatures = registered(
            add,
            IntCounterVec::new(
                Opts::new(
                    "doorward_signatures_total",
                    "Signatures verified, by outcome; what is remembered is none",
                ),
                &["outcome"],
            ),
        );
        Self {
            fetches: registered(add, IntCounterVec::new(fetches, &["issuer", "outcome"])),
            keys: registered(add, IntGaugeVec::new(keys, &["issuer"])),
            left_out: registered(add, IntGaugeVec::new(left_out, &["issuer"])),
            good: signatures.with_label_values(&["good"]),
            bad: signatures.with_label_values(&["bad"]),
            shed: counter(
                add,
                "doorward_signatures_shed_total",
                "Checks denied because too many signatures were waiting to be verified",
            ),
        }
    }

    pub(super) fn fetched(&self, issuer: &str, good: bool) {
        self.fetches.with_label_values(&[issuer, outcome(good)]).inc();
    }

    pub(super) fn keys(&self, issuer: &str, keys: usize, left_out: usize) {
        self.keys.with_label_values(&[issuer]).set(whole(keys));
        self.left_out.with_label_values(&[issuer]).set(whole(left_out));
    }

    pub(super) fn verified(&self, good: bool) {
        if good { self.good.inc() } else { self.bad.inc() }
    }

    pub(super) fn shed(&self) {
        self.shed.inc();
    }
}

fn outcome(good: bool) -> &'static str {
    if good { "good" } else { "failed" }
}
