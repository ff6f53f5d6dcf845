//! Three times as many checks as the server can answer: how many it answers all the same, how soon it
//! refuses, and how soon it is as before.

use std::time::{Duration, Instant};

use super::ALLOW;
use super::shared::Shared;
use crate::call::Pick;
use crate::load::{Came, Target, offered, saturate};
use crate::rig::Outcome;
use crate::rounds::{Aim, share, table};

/// Keys that are shown. Uses of a hundred thousand different ones in a second are work for Redis, which here has its
/// processor in common with whoever asks.
const KEYS: u64 = 10_000;
/// How many times the server's most are asked for.
const TIMES: f64 = 3.0;
const PEAK: Duration = Duration::from_secs(3);
const OVERLOAD: Duration = Duration::from_secs(20);
/// Envoy's own, as the samples have it: what is answered later is of no use.
const TIMEOUT: Duration = Duration::from_millis(200);
/// After the overload, half of the most is asked for, in steps of this length.
const STEP: Duration = Duration::from_millis(500);
const STEPS: u32 = 40;

pub(super) fn run(shared: &Shared) -> Outcome<(String, Vec<Aim>)> {
    let doorward = shared.instance_apart("overloaded")?;
    let pick = Pick { keys: KEYS.min(shared.size.keys), services: shared.size.services };
    let target = Target { address: doorward.grpc(), pick, expected: ALLOW };
    let (ended, began, end) = saturate(target, (Duration::from_secs(1), PEAK), Instant::now)?;
    let peak = ended as f64 / (end - began).as_secs_f64();
    let quiet = offered(target, peak / 2.0, PEAK)?;
    let overload = offered(target, peak * TIMES, OVERLOAD)?;
    // In time, as it was before the overload.
    let good = |came: &Came| came.allowed.iter().filter(|took| **took <= TIMEOUT).count();
    let calm = share(&quiet.allowed, 0.99).max(Duration::from_millis(1)) * 3;
    let mut recovery = Duration::ZERO;
    for _ in 0..STEPS {
        let step = offered(target, peak / 2.0, STEP)?;
        if step.refused.is_empty() && step.unasked == 0 && share(&step.allowed, 0.99) <= calm {
            break;
        }
        recovery += STEP;
    }
    let goodput = good(&overload) as f64 / OVERLOAD.as_secs_f64() / peak;
    let ms = |took: &[Duration], part| share(took, part).as_secs_f64() * 1e3;
    let row = |what: &str, came: &Came, time: Duration| {
        let rate = |count: usize| format!("{:.0}", count as f64 / time.as_secs_f64());
        vec![
            what.to_owned(),
            rate(came.allowed.len() + came.refused.len() + came.unasked),
            rate(good(came)),
            rate(came.refused.len()),
            rate(came.unasked),
            format!("{:.1}", ms(&came.allowed, 0.5)),
            format!("{:.1}", ms(&came.allowed, 0.99)),
        ]
    };
    let text = format!(
        "At most {peak:.0} checks a second are answered, of {} good keys; asked for are half of that and {TIMES} times as \
         many, by an Envoy of four workers that gives up after {} ms and asks nothing while it has {} checks under way \
         on a connection. It was as before {:.1} s after the overload.\n\n{}",
        pick.keys,
        TIMEOUT.as_millis(),
        crate::load::UNDER_WAY,
        recovery.as_secs_f64(),
        table(
            &["asked for", "a second", "allowed in time", "refused", "not even asked", "p50 ms", "p99 ms"],
            &[row("half of the most", &quiet, PEAK), row("three times the most", &overload, OVERLOAD)]
        )
    );
    let refusal = overload.refused.last().copied().unwrap_or_default();
    let aims = vec![
        Aim {
            what: "the most against what is left of it in an overload".into(),
            most: 1.25,
            found: 1.0 / goodput,
        },
        Aim {
            what: "ms until a refusal in an overload, at most".into(),
            most: 50.0,
            found: refusal.as_secs_f64() * 1e3,
        },
        Aim {
            what: "seconds until it is as before an overload".into(),
            most: 10.0,
            found: recovery.as_secs_f64(),
        },
    ];
    Ok((text, aims))
}
