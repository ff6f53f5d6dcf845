//! The parts of a decision by themselves: ns, by criterion, which keeps them in target/criterion and
//! says what has changed since the last time; and where valgrind is at hand, instructions, which are the
//! same on every run.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use criterion::{Bencher, Criterion};
use doorward::clock::Clock;
use doorward::domain::network::Networks;
use doorward::domain::request::Request;
use doorward::domain::time::Timestamp;
use doorward::grpc::render::render;
use doorward::grpc::{Decide, view};
use doorward::telemetry::{Readiness, Telemetry};

use crate::call::{Calls, Pick};
use crate::deciding::{Constant, checker, replica};
use crate::house::{self, HOST, Services, Size};
use crate::rig::Outcome;
use crate::rounds::{Aim, table};

/// Small, since valgrind has to walk through its making.
const KEYS: u64 = 1000;
const SERVICES: u32 = 1000;

type Part = (&'static str, Box<dyn FnMut()>);

const CONSTANT: &str = "view, constant answer";
const WHOLE: &str = "view, decision, answer";

fn parts(clock: &Clock) -> Outcome<Vec<Part>> {
    let size = Size { keys: KEYS, services: Services::Whole };
    let telemetry = Telemetry::new(clock.clone(), Arc::new(Readiness::new()));
    let checker = Arc::new(checker(size, clock, telemetry)?);
    let replica = replica(size, clock)?;
    let peppers = house::peppers();
    let networks = Networks::parse(Some(&house::networks()), &[]).map_err(|error| error.to_string())?;
    let catalog = house::catalog(Services::Spread(SERVICES))?;
    let message = Calls::new(Pick { keys: KEYS, services: Services::Whole }, 1).next()[5..].to_vec();
    let text = house::text(7);
    let deciding = Arc::clone(&checker);
    let (walked, decided, whole, constant) = (message.clone(), message.clone(), message.clone(), message);
    let mut number = 0;
    Ok(vec![
        (
            "request view",
            Box::new(move || {
                let (mut scratch, mut request) = (Vec::new(), Request::default());
                let _ = black_box(view::read(&walked, &mut scratch, &mut request));
                black_box(&request);
            }),
        ),
        (
            "verifier and look-up of a key",
            Box::new(move || {
                let verifier = peppers.verifiers(text.expose().as_bytes()).next();
                black_box(verifier.and_then(|verifier| replica.key(&verifier)));
            }),
        ),
        (
            "one address among 1,000 networks",
            Box::new(move || {
                let _ = black_box(networks.admits(Some([203, 0, 113, 77].into())));
            }),
        ),
        (
            "one path among 1,000 services",
            Box::new(move || {
                number = (number + 7) % SERVICES;
                let path = house::place(number);
                let _ =
                    black_box(catalog.placed(HOST.as_bytes(), path.as_bytes(), None).map(|found| found.1));
            }),
        ),
        ("view and decision", Box::new(move || through(&decided, &*deciding, |_| ()))),
        (CONSTANT, Box::new(move || drop(black_box(through(&constant, &Constant, render))))),
        (WHOLE, Box::new(move || drop(black_box(through(&whole, &*checker, render))))),
    ])
}

fn through<T>(
    message: &[u8],
    decide: &impl Decide,
    render: impl FnOnce(&doorward::check::Decision<'_>) -> T,
) -> T {
    let (mut scratch, mut request) = (Vec::new(), Request::default());
    view::read(message, &mut scratch, &mut request).expect("a check that was made here");
    decide.check(&request, render)
}

/// Does a part so often, and nothing else: for valgrind, which does not get on with how the system's
/// clock is read.
pub(crate) fn once(name: &str, count: u32) -> Outcome<()> {
    let (clock, _hand) = Clock::stopped(Timestamp::from_unix(1_796_000_000));
    let mut parts = parts(&clock)?;
    let (_, part) = parts.iter_mut().find(|part| part.0 == name).ok_or("no such part")?;
    (0..count).for_each(|_| part());
    Ok(())
}

pub(crate) fn run() -> Outcome<(String, Vec<Aim>)> {
    let (mut rows, mut counted) = (Vec::new(), Vec::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/criterion");
    let mut criterion = Criterion::default().output_directory(&folder);
    for (name, mut part) in parts(&Clock::system())? {
        criterion.bench_function(name, |bencher: &mut Bencher<'_>| bencher.iter(&mut part));
        let nanoseconds = measured(&folder.join(name))?;
        let instructions = instructions(name)?;
        counted.push((name, instructions));
        let shown = instructions.map_or("no valgrind".into(), |count| format!("{count:.0}"));
        rows.push(vec![name.to_owned(), format!("{nanoseconds:.0}"), shown]);
    }
    let of = |name: &str| counted.iter().find(|part| part.0 == name).and_then(|part| part.1);
    let over = of(WHOLE).zip(of(CONSTANT)).map(|(whole, constant)| whole - constant);
    let what = "instructions of a decision over our constant answer".to_owned();
    let aims = over.map(|found| Aim { what, most: 8000.0, found });
    Ok((table(&["part", "ns", "instructions"], &rows), aims.into_iter().collect()))
}

/// The median that criterion found last, in ns.
fn measured(folder: &Path) -> Outcome<f64> {
    let file = folder.join("new/estimates.json");
    let unread = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let text = std::fs::read(&file).map_err(|error| unread(&error))?;
    let found: serde_json::Value = serde_json::from_slice(&text).map_err(|error| unread(&error))?;
    found["median"]["point_estimate"].as_f64().ok_or_else(|| unread(&"no median"))
}

/// Of one turn; `None` without valgrind, which counts SHA-256 as software has it.
fn instructions(name: &str) -> Outcome<Option<f64>> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let count = |turns: u32| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&own)
            .args(["once", name, &turns.to_string()])
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<f64>().ok())
    };
    Ok(count(1500).zip(count(500)).map(|(more, less)| (more - less) / 1000.0))
}
