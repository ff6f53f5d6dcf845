//! Ten minutes of everything at once: whether memory grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::shared::Shared;
use super::{ALLOW, UNAUTHENTICATED, changes, logins};
use crate::call::Pick;
use crate::child::resident;
use crate::load::{Target, paced};
use crate::rig::Outcome;
use crate::rounds::{Aim, share, table};

const MINUTES: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// What is not compared: buffers, caches and tables grow to their size meanwhile.
const WARM_UP: usize = 3;
/// Checks a second of good keys, and as many of unknown ones.
const RATE: u32 = 1000;
/// Changes a second by somebody else.
const CHANGES: u32 = 200;

pub(super) fn run(shared: &Shared) -> Outcome<(String, Vec<Aim>)> {
    let mut doorward = shared.instance_apart("soaked")?;
    let process = doorward.process().id();
    let (address, auth) = (doorward.grpc(), doorward.auth_address());
    let target = |keys, expected| {
        let pick = Pick { keys, services: shared.size.services };
        Target { address, pick, expected }
    };
    let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
    let store = Arc::new(shared.store());
    let steps = changes::steps(shared);
    let minutes = thread::scope(|scope| {
        let changing = scope
            .spawn(|| shared.runtime.block_on(changes::written(&store, &steps, CHANGES, (&over, &made))));
        let guessing = scope.spawn(|| logins::one_after_the_other(auth, &over));
        let minutes: Outcome<Vec<_>> = (0..MINUTES)
            .map(|_| {
                let unknown = scope.spawn(|| paced(target(0, UNAUTHENTICATED), (RATE, MINUTE)));
                let good = paced(target(shared.size.keys, ALLOW), (RATE, MINUTE))?;
                unknown.join().map_err(|_| "a thread of the soak died")??;
                Ok((resident(process)? as f64 / 1e6, share(&good, 0.99).as_secs_f64() * 1e6))
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        changing.join().map_err(|_| "a thread of the soak died")??;
        let logins = guessing.join().map_err(|_| "a thread of the soak died")??;
        minutes.map(|minutes| (minutes, logins))
    });
    let (minutes, logins) = minutes?;
    let rows: Vec<Vec<String>> = minutes
        .iter()
        .enumerate()
        .map(|(at, (megabytes, p99))| {
            vec![(at + 1).to_string(), format!("{megabytes:.1}"), format!("{p99:.0}")]
        })
        .collect();
    let text = format!(
        "{RATE} checks a second of good keys and {RATE} of unknown ones, {CHANGES} changes a second ({} in all), \
         {logins} logins with a wrong password one after the other.\n\n{}",
        made.load(Ordering::Relaxed),
        table(&["minute", "resident MB at its end", "p99 µs of good keys"], &rows)
    );
    let resident = |minutes: &[(f64, f64)]| minutes.iter().map(|minute| minute.0).fold(0.0, f64::max);
    let (before, after) = minutes.split_at(WARM_UP);
    let what = format!("MB by which memory grows from the minute {WARM_UP} to the minute {MINUTES}");
    Ok((text, vec![Aim { what, most: 2.0, found: resident(after) - resident(before) }]))
}
