//! Servers at a fixed rate, an open loop: how long whoever asks waits.

use std::time::Duration;

use crate::load::paced;
use crate::rig::Outcome;
use crate::rounds::{Aim, interleaved, median, share, table};
use crate::saturated::{FULL, NOOP, Variant};

/// Checks a second.
const RATE: u32 = 6000;

/// The variants that are compared here.
pub(crate) const WHO: [&str; 3] = [NOOP, crate::saturated::CONSTANT, FULL];

const SHARES: [(&str, f64, f64); 3] = [("p50", 0.5, 0.75), ("p99", 0.99, 1.0), ("p99.9", 0.999, 1.0)];

/// A table of the waits in µs, and what was aimed at.
pub(crate) fn run(rounds: usize, time: Duration, variants: &[Variant]) -> Outcome<(String, Vec<Aim>)> {
    let variants: Vec<&Variant> = variants.iter().filter(|variant| WHO.contains(&variant.name)).collect();
    let measured = interleaved(rounds, &variants, |variant| {
        let took = paced(variant.target, (RATE, time)).map_err(|why| format!("{}: {why}", variant.name))?;
        Ok(SHARES.map(|(_, part, _)| share(&took, part).as_secs_f64() * 1e6))
    })?;
    let wait = |at: usize, share: usize| median(measured[at].iter().map(|round| round[share]));
    let rows: Vec<Vec<String>> = variants
        .iter()
        .enumerate()
        .map(|(at, variant)| {
            let waits = (0..SHARES.len()).map(|share| format!("{:.0}", wait(at, share)));
            std::iter::once(variant.name.to_owned()).chain(waits).collect()
        })
        .collect();
    let at = |name: &str| variants.iter().position(|variant| variant.name == name);
    let aims = at(FULL).zip(at(NOOP)).into_iter().flat_map(|(full, noop)| {
        let aim = |share: usize| {
            let (name, _, most) = SHARES[share];
            let what = format!("{name} at {RATE} checks a second against the no-op");
            Aim { what, most, found: wait(full, share) / wait(noop, share) }
        };
        (0..SHARES.len()).map(aim).collect::<Vec<_>>()
    });
    Ok((table(&["server", "p50 µs", "p99 µs", "p99.9 µs"], &rows), aims.collect()))
}
