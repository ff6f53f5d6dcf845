//! Keys that are revoked on one instance: how long until another one denies.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::{ALLOW, UNAUTHENTICATED};
use crate::call::{Pick, TARGET, frame};
use crate::child::{Core, pin};
use crate::house;
use crate::load::connection::{Receiver, Sender, open};
use crate::load::{Target, paced};
use crate::rig::Outcome;
use crate::rig::doorward::Doorward;
use crate::rig::http1::{Reply, request, send_to_socket};
use crate::rounds::{Aim, share, table};

const REVOCATIONS: u64 = 1000;
/// Checks a second of other keys, on each instance meanwhile.
const RATE: u32 = 1000;
/// Between two looks at whether a key is denied.
const LOOK: Duration = Duration::from_micros(100);
/// Longer, and something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long after it was asked for, and after it was acknowledged.
struct Took {
    asked: Duration,
    acknowledged: Duration,
}

pub(super) fn run(shared: &Shared) -> Outcome<(String, Vec<Aim>)> {
    pin(Core::Any);
    let (here, there) = (shared.instance("here")?, shared.instance("there")?);
    let keys: Vec<_> = (0..REVOCATIONS).map(|number| made(&here, number)).collect::<Outcome<_>>()?;
    let load = Target {
        address: here.grpc(),
        pick: Pick { keys: shared.size.keys, services: shared.size.services },
        expected: ALLOW,
    };
    let over = AtomicBool::new(false);
    let (revoked, loads, seconds) = thread::scope(|scope| {
        let loads = [here.grpc(), there.grpc()].map(|address| {
            let (load, over) = (Target { address, ..load }, &over);
            scope.spawn(move || {
                let mut took = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    took.extend(paced(load, (RATE, Duration::from_secs(1)))?);
                }
                Ok::<_, String>(took)
            })
        });
        let began = Instant::now();
        let revoked = revoke_all(&here, &there, &keys);
        let seconds = began.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let loads = loads.map(|load| load.join().map_err(|_| "a thread of the load died".to_owned())?);
        Ok::<_, String>((revoked?, loads.into_iter().collect::<Outcome<Vec<_>>>()?, seconds))
    })?;
    Ok(told(&revoked, loads.concat(), seconds))
}

fn told(revoked: &[Took], mut checks: Vec<Duration>, seconds: f64) -> (String, Vec<Aim>) {
    let sorted = |of: fn(&Took) -> Duration| {
        let mut all: Vec<Duration> = revoked.iter().map(of).collect();
        all.sort_unstable();
        all
    };
    checks.sort_unstable();
    let (asked, acknowledged) = (sorted(|took| took.asked), sorted(|took| took.acknowledged));
    let ms = |all: &[Duration], part: f64| share(all, part).as_secs_f64() * 1e3;
    let rows: Vec<Vec<String>> = [
        ("from the request to the first denial of the other instance", &asked),
        ("from the acknowledgement to it (0 where it came first)", &acknowledged),
        ("other keys' checks meanwhile", &checks),
    ]
    .into_iter()
    .map(|(what, all)| {
        let parts = [0.5, 0.99, 1.0].map(|part| format!("{:.2}", ms(all, part)));
        std::iter::once(what.to_owned()).chain(parts).collect()
    })
    .collect();
    let text = format!(
        "{REVOCATIONS} keys revoked one after the other in {seconds:.1} s, each known to both instances before; \
         Redis writes every change to its disk; {RATE} checks a second on each instance meanwhile.\n\n{}",
        table(&["ms", "p50", "p99", "most"], &rows)
    );
    let aims = vec![
        Aim {
            what: "p99 until another instance denies, ms after the request".into(),
            most: 5.0,
            found: ms(&asked, 0.99),
        },
        Aim {
            what: "p99 until another instance denies, ms after the acknowledgement".into(),
            most: 5.0,
            found: ms(&acknowledged, 0.99),
        },
    ];
    (text, aims)
}

/// A key's text and id.
fn made(here: &Doorward, number: u64) -> Outcome<(String, String)> {
    let path = format!("/consumers/{}/key-auth", house::consumer(number % 10).id);
    let reply = admin(here, ("POST", &path))?;
    let made = reply.json();
    match (reply.status, made["key"].as_str(), made["id"].as_str()) {
        (201, Some(key), Some(id)) => Ok((key.to_owned(), id.to_owned())),
        _ => Err(format!("expected a key to be made, found {}: {}", reply.status, reply.text())),
    }
}

fn admin(here: &Doorward, (method, path): (&str, &str)) -> Outcome<Reply> {
    let socket = here.setup().folder.join("doorward.sock");
    let headers = [("Content-Type", "application/json"), ("Connection", "close")];
    send_to_socket(Path::new(&socket), &request(method, path, &headers, b"{}"))
}

fn revoke_all(here: &Doorward, there: &Doorward, keys: &[(String, String)]) -> Outcome<Vec<Took>> {
    let mut asker = Asker::open(there)?;
    keys.iter().map(|(text, id)| revoke(here, &mut asker, (text, id))).collect()
}

fn revoke(here: &Doorward, asker: &mut Asker, (text, id): (&str, &str)) -> Outcome<Took> {
    let frame = frame(TARGET, text);
    asker.ask_until(&frame, ALLOW)?;
    thread::scope(|scope| {
        let revoking = scope.spawn(|| {
            let asked = Instant::now();
            let reply = admin(here, ("DELETE", &format!("/key-auths/{id}")))?;
            match reply.status {
                204 => Ok((asked, Instant::now())),
                status => Err(format!("expected a key to be revoked, found {status}: {}", reply.text())),
            }
        });
        let denied = asker.ask_until(&frame, UNAUTHENTICATED)?;
        let (asked, acknowledged) = revoking.join().map_err(|_| "a thread died")??;
        Ok(Took {
            asked: denied.saturating_duration_since(asked),
            acknowledged: denied.saturating_duration_since(acknowledged),
        })
    })
}

/// A connection with one call on it at a time.
struct Asker {
    sender: Sender,
    receiver: Receiver,
}

impl Asker {
    fn open(doorward: &Doorward) -> Outcome<Self> {
        let (sender, receiver) = open(doorward.grpc())?;
        Ok(Self { sender, receiver })
    }

    /// When the first answer of this code had come.
    fn ask_until(&mut self, frame: &[u8], code: u8) -> Outcome<Instant> {
        let began = Instant::now();
        loop {
            let found = self.ask(frame)?;
            if found == Some(code) {
                return Ok(Instant::now());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("expected `status.code` {code} within {PATIENCE:?}, found {found:?}"));
            }
            thread::sleep(LOOK);
        }
    }

    fn ask(&mut self, frame: &[u8]) -> Outcome<Option<u8>> {
        if !self.sender.call(frame) {
            return Err("the server takes no more bytes".into());
        }
        self.sender.send()?;
        let mut answer = None;
        while answer.is_none() {
            self.receiver.receive(&mut |ended| answer = Some(ended.code))?;
        }
        Ok(answer.flatten())
    }
}
