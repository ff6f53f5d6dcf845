//! `make demo`: a real Envoy, Doorward and an upstream, and a walk through real requests.
//!
//! `--exit` stops after the walk, with 1 where an answer is not the promised one; `--ports free` takes
//! whatever ports are free, for tests.

#![forbid(unsafe_code)]

mod logins;
#[path = "../../tests/rig/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use other parts of it")]
mod rig;
mod stage;
mod walk;

use std::process::ExitCode;

use rig::Outcome;
use stage::{Ports, Stage};

fn main() -> ExitCode {
    match run() {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            eprintln!("\n{} promises were not kept:", broken.len());
            broken.iter().for_each(|line| eprintln!("  - {line}"));
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("demo: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The promises that were not kept.
fn run() -> Outcome<Vec<String>> {
    let Arguments { exit, ports } = arguments(std::env::args().skip(1))?;
    let stage = Stage::set(&ports)?;
    println!("{}", stage.map());
    let broken = walk::walk(&stage)?;
    if broken.is_empty() {
        println!("\nEvery answer was the promised one.");
    }
    if !exit {
        println!("{}", stage.hints());
        until_interrupted()?;
        println!("\nStopped.");
    }
    Ok(broken)
}

struct Arguments {
    exit: bool,
    ports: Ports,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Outcome<Arguments> {
    let mut found = Arguments { exit: false, ports: Ports::fixed() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--exit" => found.exit = true,
            "--ports" if words.next().as_deref() == Some("free") => found.ports = Ports::free(),
            _ => return Err(format!("`{word}` is not understood; there are `--exit` and `--ports free`")),
        }
    }
    Ok(found)
}

fn until_interrupted() -> Outcome<()> {
    let problem = |e: std::io::Error| format!("cannot wait for Ctrl-C: {e}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(problem)?;
    runtime.block_on(tokio::signal::ctrl_c()).map_err(problem)
}
