//! Real Doorwards over real stores: how soon they start, hear of revocations and follow changes, and what they
//! bear.

mod changes;
mod flood;
mod idle;
mod logins;
mod overload;
mod revocations;
mod shared;
mod soak;
mod start;

use std::fmt::Write as _;

use clap::ValueEnum;

use self::shared::Shared;
use crate::child::{Core, pin};
use crate::load::Expected;
use crate::rig::Outcome;
use crate::rounds::Aim;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Start,
    Flood,
    Logins,
    Revocations,
    Changes,
    Overload,
    Idle,
    /// Ten minutes, so only where it is asked for
    Soak,
}

/// Starts take longer than other rounds.
const STARTS: usize = 3;
const ALLOW: Expected = 0;
/// `grpc-status` UNAUTHENTICATED.
const UNAUTHENTICATED: Expected = 16;

pub(crate) fn run(rounds: usize, keys: u64, parts: &[Part]) -> Outcome<(String, Vec<Aim>)> {
    let usual: Vec<Part> =
        Part::value_variants().iter().copied().filter(|part| *part != Part::Soak).collect();
    let parts = if parts.is_empty() { &usual } else { parts };
    pin(Core::Any);
    let shared = Shared::start(keys)?;
    let consumers = shared.size.consumers();
    let mut text =
        format!("{keys} keys of {consumers} consumers in Redis, each with two groups and a permission.\n");
    let mut aims = Vec::new();
    for part in parts {
        let (title, (found, more)) = match part {
            Part::Start => ("Start", start::run(&shared, rounds.min(STARTS))?),
            Part::Flood => ("A flood of unknown keys", flood::run(&shared)?),
            Part::Logins => ("A storm of logins", logins::run(&shared, rounds)?),
            Part::Revocations => ("Revocations", revocations::run(&shared)?),
            Part::Changes => ("Following changes", changes::run(&shared, rounds)?),
            Part::Overload => ("Overload", overload::run(&shared)?),
            Part::Soak => ("Ten minutes", soak::run(&shared)?),
            Part::Idle => ("Idle connections", idle::run(&shared)?),
        };
        pin(Core::Any);
        eprintln!("{title}\n\n{found}");
        let _ = write!(text, "\n### {title}\n\n{found}");
        aims.extend(more);
    }
    Ok((text, aims))
}
