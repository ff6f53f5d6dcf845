//! Which checks are recorded. Asked on every check, so it takes nothing from the heap.

use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::telemetry) struct Sampling {
    /// Whether an asker's own trace is recorded just where the asker records it.
    pub(in crate::telemetry) as_the_asker: bool,
    /// What holds for all others.
    pub(in crate::telemetry) root: Root,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::telemetry) enum Root {
    All,
    None,
    /// From 0 to 1, by the trace's id, so that everybody who samples so takes the same ones.
    Share(f64),
}

impl Sampling {
    /// `asker`: whether the asker's span is recorded, where there is one.
    pub(super) fn wants(self, asker: Option<bool>, trace: [u8; 16]) -> bool {
        match (asker, self.root) {
            (Some(recorded), _) if self.as_the_asker => recorded,
            (_, Root::All) => true,
            (_, Root::None) => false,
            (_, Root::Share(share)) => {
                let (sampler, trace) = (Sampler::TraceIdRatioBased(share), TraceId::from_bytes(trace));
                let result = sampler.should_sample(None, trace, "", &SpanKind::Server, &[], &[]);
                result.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_askers_word_counts_where_it_is_asked_for() {
        let check = |as_the_asker, root, expected: [bool; 3]| {
            let sampling = Sampling { as_the_asker, root };
            let found = [None, Some(true), Some(false)].map(|asker| sampling.wants(asker, [7; 16]));
            assert_eq!(found, expected, "{sampling:?}");
        };
        check(true, Root::All, [true, true, false]);
        check(true, Root::None, [false, true, false]);
        check(true, Root::Share(0.0), [false, true, false]);
        check(true, Root::Share(1.0), [true, true, false]);
        check(false, Root::All, [true, true, true]);
        check(false, Root::None, [false, false, false]);
        check(false, Root::Share(0.0), [false, false, false]);
        check(false, Root::Share(1.0), [true, true, true]);
    }

    #[test]
    fn a_share_is_kept_and_falls_the_same_everywhere() {
        let quarter = Sampling { as_the_asker: false, root: Root::Share(0.25) };
        let traces = (0..10_000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let taken = traces.clone().filter(|trace| quarter.wants(None, trace.to_be_bytes())).count();
        assert!((2_300..2_700).contains(&taken), "{taken}");
        let half = Sampling { root: Root::Share(0.5), ..quarter };
        let both = |trace: &[u8; 16]| !quarter.wants(None, *trace) || half.wants(None, *trace);
        assert!(traces.map(u128::to_be_bytes).all(|trace| both(&trace)));
    }
}
