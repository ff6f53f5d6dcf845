//! The figures: Doorward beside its peers, in one interleaved run. `make bench` runs all of it and
//! writes docs/benchmarks.md.

#![forbid(unsafe_code)]

mod call;
mod child;
mod deciding;
mod envoy;
mod house;
mod imagined;
mod instances;
mod load;
mod memory;
mod micro;
mod paced;
mod peers;
mod report;
#[path = "../tests/rig/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use other parts of it")]
mod rig;
mod rounds;
mod saturated;
mod servers;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tempfile::TempDir;

use self::house::{Services, Size};
use self::rig::Outcome;
use self::rounds::Aim;

/// Doorward's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// As `cargo bench` passes it
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Servers under as much load as they take
    Saturated {
        #[command(flatten)]
        length: Length,
        /// Variants whose name has one of these in it
        only: Vec<String>,
    },
    /// What keys and networks take in memory
    Memory {
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
    },
    /// Servers at a fixed rate
    Paced {
        #[command(flatten)]
        length: Length,
    },
    /// Real instances over real stores: start, flood, logins, revocations, changes,
    /// overload, idle connections; a soak where it is asked for
    Instances {
        /// The median of so many is told
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
        /// Only these
        parts: Vec<instances::Part>,
    },
    /// Through a real Envoy
    Envoy {
        #[command(flatten)]
        length: Length,
    },
    /// The parts of a decision, in ns and, with valgrind, in instructions
    Micro,
    /// Does one of those parts so often, for valgrind
    #[command(hide = true)]
    Once { part: String, count: u32 },
    /// Everything, with the table of what was aimed at, into docs/benchmarks.md
    All {
        #[command(flatten)]
        length: Length,
    },
    /// Is a server, for the others
    #[command(subcommand, hide = true)]
    Server(Server),
}

#[derive(clap::Args)]
struct Length {
    /// The median of so many is told
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Of each variant in each round
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Subcommand)]
enum Server {
    Noop,
    Constant,
    Doorward {
        keys: u64,
        /// `whole`, `tokens` or a number
        services: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome<()> {
    match command {
        Command::Saturated { length, only } => {
            let servers = Servers::start(&only)?;
            show(saturated::run(length.rounds, length.time(), &servers.variants)?);
        }
        Command::Paced { length } => {
            let servers = Servers::start(&paced::WHO.map(str::to_owned))?;
            show(paced::run(length.rounds, length.time(), &servers.variants)?);
        }
        Command::Instances { rounds, keys, parts } => show(instances::run(rounds, keys, &parts)?),
        Command::Envoy { length } => {
            child::pin(child::Core::Caller);
            show(envoy::run(length.rounds, length.time())?);
        }
        Command::Micro => show(micro::run()?),
        Command::Once { part, count } => micro::once(&part, count)?,
        Command::Memory { keys } => show(memory::run(keys)?),
        Command::All { length } => {
            let mut report = report::Report::begin(length.rounds)?;
            report.add("Memory", memory::run(1_000_000)?);
            let servers = Servers::start(&[])?;
            report.add("At saturation", saturated::run(length.rounds, length.time(), &servers.variants)?);
            report.add("At a fixed rate", paced::run(length.rounds, length.time(), &servers.variants)?);
            drop(servers);
            report.add("Through Envoy", envoy::run(length.rounds, length.time())?);
            report.add("Parts of a decision", micro::run()?);
            report.add("Instances and their store", instances::run(length.rounds, 1_000_000, &[])?);
            report.write()?;
        }
        Command::Server(Server::Noop) => servers::noop()?,
        Command::Server(Server::Constant) => servers::constant()?,
        Command::Server(Server::Doorward { keys, services }) => {
            servers::doorward(Size { keys, services: Services::named(&services)? })?;
        }
    }
    Ok(())
}

/// Running, with what they have read.
struct Servers {
    variants: Vec<saturated::Variant>,
    _folder: TempDir,
}

impl Servers {
    fn start(only: &[String]) -> Outcome<Self> {
        child::pin(child::Core::Caller);
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Self { variants: saturated::variants(folder.path(), only)?, _folder: folder })
    }
}

impl Length {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn show((text, aims): (String, Vec<Aim>)) {
    print!("{text}\n{}", rounds::aims(&aims));
}
