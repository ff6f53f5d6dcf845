//! How soon an instance is ready, and what it then has in memory.

use std::thread;
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::child::resident;
use crate::rig::Outcome;
use crate::rig::wait::until;
use crate::rounds::{Aim, median, table};

/// Where Redis keeps the newest pack.
const PACK: &str = "doorward:{doorward}:pack";
/// Until the elected instance has packed: some heartbeats, and the packing.
const PACKING: Duration = Duration::from_secs(60);

/// Until threads that only loading needed are gone, and what they had.
const SETTLED: Duration = Duration::from_secs(15);

struct Start {
    seconds: f64,
    resident: f64,
    settled: f64,
}

pub(super) fn run(shared: &Shared, rounds: usize) -> Outcome<(String, Vec<Aim>)> {
    let keys = shared.size.keys as f64;
    let nothing = Shared::start(0)?;
    let empty = measured(&nothing, rounds, |_| Ok(()))?;
    let plain = measured(shared, rounds, |shared| shared.redis.ask::<i64>(&["DEL", PACK]).map(drop))?;
    {
        let _packs = shared.instance("packs")?;
        until("the pack is there", PACKING, || {
            shared.redis.ask::<i64>(&["EXISTS", PACK]).is_ok_and(|there| there == 1).then_some(())
        })?;
    }
    let packed = measured(shared, rounds, |_| Ok(()))?;
    let middle = |starts: &[Start], part: fn(&Start) -> f64| median(starts.iter().map(part));
    let base = middle(&empty, |start| start.settled);
    let (mut rows, mut aims) = (Vec::new(), Vec::new());
    for (what, starts, most) in [
        ("an empty store", &empty, None),
        ("plain records", &plain, Some(3.0)),
        ("a pack", &packed, Some(0.5)),
    ] {
        let seconds = middle(starts, |start| start.seconds);
        let resident = middle(starts, |start| start.resident);
        let settled = middle(starts, |start| start.settled);
        let each = (settled - base) / keys;
        let shown = if most.is_some() { format!("{each:.1}") } else { String::new() };
        let resident = [resident, settled].map(|bytes| format!("{:.1}", bytes / 1e6));
        rows.push(
            [what.into(), format!("{seconds:.2}")].into_iter().chain(resident).chain([shown]).collect(),
        );
        if let Some(most) = most {
            aims.push(Aim { what: format!("seconds until ready from {what}"), most, found: seconds });
            aims.push(Aim { what: format!("resident bytes a key, from {what}"), most: 100.0, found: each });
        }
    }
    let later = format!("{} s later", SETTLED.as_secs());
    let headings = ["started from", "seconds until ready", "resident MB then", &later, "bytes a key"];
    Ok((table(&headings, &rows), aims))
}

/// From the start of the process until its `/readyz` is good, to 10 ms.
fn measured(shared: &Shared, rounds: usize, prepare: impl Fn(&Shared) -> Outcome<()>) -> Outcome<Vec<Start>> {
    let once = |_| {
        prepare(shared)?;
        let setup = shared.setup("starts")?;
        let began = Instant::now();
        let mut doorward = setup.start()?;
        let seconds = began.elapsed().as_secs_f64();
        let process = doorward.process().id();
        let resident_then = resident(process)? as f64;
        thread::sleep(SETTLED);
        Ok(Start { seconds, resident: resident_then, settled: resident(process)? as f64 })
    };
    (0..rounds).map(once).collect()
}
