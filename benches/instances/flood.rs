//! A flood of keys that nobody has: what it leaves in memory, and what each of them costs.

use std::time::Duration;

use super::shared::Shared;
use super::{ALLOW, UNAUTHENTICATED};
use crate::call::Pick;
use crate::child::{resident, spent};
use crate::load::{Target, paced};
use crate::rig::Outcome;
use crate::rounds::{Aim, share, table};

/// Checks a second, and for how long.
const RATE: u32 = 20_000;
const FLOOD: Duration = Duration::from_secs(30);
/// Of good keys, before the flood and after it.
const GOOD: Duration = Duration::from_secs(5);

/// What so many checks came to.
struct Came {
    /// µs of the server's process.
    cost: f64,
    p99: f64,
    /// Of the server, afterwards.
    resident: f64,
}

pub(super) fn run(shared: &Shared) -> Outcome<(String, Vec<Aim>)> {
    let mut doorward = shared.instance_apart("flooded")?;
    let (process, address) = (doorward.process().id(), doorward.grpc());
    let asked = |keys, expected, time| -> Outcome<Came> {
        let pick = Pick { keys, services: shared.size.services };
        let before = spent(process)?;
        let took = paced(Target { address, pick, expected }, (RATE, time))?;
        let cost = (spent(process)? - before).as_secs_f64() * 1e6 / took.len() as f64;
        let p99 = share(&took, 0.99).as_secs_f64() * 1e6;
        Ok(Came { cost, p99, resident: resident(process)? as f64 })
    };
    let good = |time| asked(shared.size.keys, ALLOW, time);
    // Whatever the first checks take stays, and is not the flood's.
    let unknown = |time| asked(0, UNAUTHENTICATED, time);
    unknown(Duration::from_secs(1))?;
    let before = good(GOOD)?;
    let flood = unknown(FLOOD)?;
    let after = good(GOOD)?;
    let rows = [("good keys, before", &before), ("unknown keys", &flood), ("good keys, after", &after)].map(
        |(what, came)| {
            let resident = format!("{:.1}", came.resident / 1e6);
            vec![what.into(), format!("{:.2}", came.cost), format!("{:.0}", came.p99), resident]
        },
    );
    let text = format!(
        "{RATE} checks a second, {} s of good keys, {} s of unknown ones, {} s of good ones.\n\n{}",
        GOOD.as_secs(),
        FLOOD.as_secs(),
        GOOD.as_secs(),
        table(&["asked with", "CPU µs a check", "p99 µs", "resident MB afterwards"], &rows)
    );
    let aims = vec![
        Aim {
            what: "unknown key against good key, CPU".into(),
            most: 1.0,
            found: 2.0 * flood.cost / (before.cost + after.cost),
        },
        Aim {
            what: "MB that a flood of unknown keys leaves".into(),
            most: 1.0,
            found: (flood.resident - before.resident) / 1e6,
        },
    ];
    Ok((text, aims))
}
