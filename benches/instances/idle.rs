//! Connections on which nobody asks: what each of them takes.

use std::net::TcpStream;
use std::time::Duration;

use super::shared::Shared;
use crate::child::resident;
use crate::load::connection::greeted;
use crate::rig::Outcome;
use crate::rounds::{Aim, table};

/// As many as `limits.connections` lets in.
const CONNECTIONS: usize = 10_000;
/// Both ends, and what a process has open besides.
const DESCRIPTORS: u64 = CONNECTIONS as u64 + 1_000;
/// Until the server has answered all greetings.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) fn run(shared: &Shared) -> Outcome<(String, Vec<Aim>)> {
    raise_file_limit()?;
    let mut doorward = shared.instance_apart("idle")?;
    let (process, address) = (doorward.process().id(), doorward.grpc());
    // Whatever the first one takes once.
    drop(greeted(address)?);
    std::thread::sleep(SETTLED);
    let before = resident(process)?;
    let connections = (0..CONNECTIONS).map(|_| greeted(address)).collect::<Outcome<Vec<_>>>()?;
    std::thread::sleep(SETTLED);
    let during = resident(process)?;
    let open = connections.iter().filter(|connection| is_open(connection)).count();
    if open < CONNECTIONS {
        return Err(format!("{} of {CONNECTIONS} connections were closed", CONNECTIONS - open));
    }
    drop(connections);
    std::thread::sleep(SETTLED);
    let after = resident(process)?;
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    let rows = [("before", before), ("all open", during), ("all closed", after)]
        .map(|(when, bytes)| vec![when.to_owned(), megabytes(bytes)]);
    let taken = during.saturating_sub(before) as f64;
    let text = format!(
        "{CONNECTIONS} connections that have greeted and say nothing more: {:.1} KB each.\n\n{}",
        taken / 1e3 / CONNECTIONS as f64,
        table(&["connections", "resident MB"], &rows)
    );
    let what = "MiB that 10,000 idle connections take".into();
    Ok((text, vec![Aim { what, most: 400.0, found: taken / f64::from(1 << 20) }]))
}

/// What came of the greeting is there to be read; after an end there is nothing.
fn is_open(connection: &TcpStream) -> bool {
    let mut answer = [0; 1];
    connection.peek(&mut answer).is_ok_and(|bytes| bytes > 0)
}

fn raise_file_limit() -> Outcome<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < DESCRIPTORS) {
        return Err(format!(
            "{CONNECTIONS} connections take {DESCRIPTORS} descriptors, `ulimit -Hn` is less"
        ));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(|error| format!("`ulimit -n` could not be raised: {error}"))
}
