//! Servers under as much load as they take: what a check costs them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::call::Pick;
use crate::child::{Core, Server, spent};
use crate::house::{self, Services, Size};
use crate::load::{Expected, Target, saturate};
use crate::rig::Outcome;
use crate::rounds::{Aim, interleaved, median, table};

/// A server and what is asked of it.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    pub(crate) target: Target,
}

/// What one round showed.
#[derive(Clone, Copy)]
pub(crate) struct Saturated {
    /// µs of the server's process.
    pub(crate) cost: f64,
    /// Checks a second.
    pub(crate) rate: f64,
}

/// Before each measurement, so that it is of a server that runs.
const WARM_UP: Duration = Duration::from_millis(200);
const ALLOW: Expected = 0;
/// `grpc-status` UNAUTHENTICATED, which Envoy's document wants of a denial's status.
const UNAUTHENTICATED: Expected = 16;

/// Every variant whose name contains one of `only`; all where that is empty.
pub(crate) fn variants(folder: &Path, only: &[String]) -> Outcome<Vec<Variant>> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part.as_str()));
    let whole = |keys| Pick { keys, services: Services::Whole };
    let spread = |services| Pick { keys: 1000, services: Services::Spread(services) };
    // As many consumers as with the million keys.
    let tokens = Pick { keys: MILLION, services: Services::Tokens };
    let mut variants = Vec::new();
    let mut add = |name: &'static str, pick, expected, server: &dyn Fn() -> Outcome<Server>| {
        if wanted(name) {
            let server = server()?;
            let target = Target { address: server.address, pick, expected };
            variants.push(Variant { name, server, target });
        }
        Ok::<_, String>(())
    };
    let doorward = |pick: Pick| move || doorward(pick);
    add(NOOP, whole(10), ALLOW, &|| Server::peer(Core::Server, &["noop"]))?;
    add(NOOP_OURS, whole(10), ALLOW, &|| Server::own(Core::Server, &["noop"]))?;
    add(LOOKUPS, whole(MILLION), ALLOW, &|| {
        lookups(folder)?;
        Server::peer(Core::Server, &["lookups", &folder.display().to_string()])
    })?;
    add(CONSTANT, whole(10), ALLOW, &|| Server::own(Core::Server, &["constant"]))?;
    add(TEN, whole(10), ALLOW, &doorward(whole(10)))?;
    add("doorward, 1,000 keys", whole(1000), ALLOW, &doorward(whole(1000)))?;
    add("doorward, 100,000 keys", whole(100_000), ALLOW, &doorward(whole(100_000)))?;
    add(FULL, whole(MILLION), ALLOW, &doorward(whole(MILLION)))?;
    add(WRONG, whole(0), UNAUTHENTICATED, &doorward(whole(MILLION)))?;
    add(TOKENS, tokens, ALLOW, &doorward(tokens))?;
    add(ONE_SERVICE, spread(1), ALLOW, &doorward(spread(1)))?;
    add(MANY_SERVICES, spread(10_000), ALLOW, &doorward(spread(10_000)))?;
    Ok(variants)
}

const MILLION: u64 = 1_000_000;
pub(crate) const NOOP: &str = "no-op: tonic, envoy-types";
const NOOP_OURS: &str = "the same with our allocator";
const LOOKUPS: &str = "tonic with lookups, 1,000,000 keys";
pub(crate) const CONSTANT: &str = "doorward's path, constant answer";
const TEN: &str = "doorward, 10 keys";
pub(crate) const FULL: &str = "doorward, 1,000,000 keys";
const WRONG: &str = "doorward, 1,000,000 keys, a wrong one";
const TOKENS: &str = "doorward, a JWT that is remembered";
const ONE_SERVICE: &str = "doorward, 1 service";
const MANY_SERVICES: &str = "doorward, 10,000 services";

fn doorward(Pick { keys, services }: Pick) -> Outcome<Server> {
    // Who asks with keys that nobody has asks the largest.
    let keys = if keys == 0 { MILLION } else { keys };
    Server::own(Core::Server, &["doorward", &keys.to_string(), &services.name()])
}

/// What the peer that looks up reads.
fn lookups(folder: &Path) -> Outcome<()> {
    use std::io::Write as _;
    let size = Size { keys: MILLION, services: Services::Whole };
    let write = || {
        std::fs::write(folder.join("networks"), house::networks().join("\n"))?;
        let mut file = std::io::BufWriter::new(std::fs::File::create(folder.join("keys"))?);
        for number in 0..size.keys {
            let consumer = house::consumer(number % size.consumers());
            let permissions: Vec<String> = consumer.permissions.iter().map(ToString::to_string).collect();
            writeln!(
                file,
                "{}\t{}\t{}\t{}\t{}\t{}",
                house::text(number).expose(),
                house::key(number, size).id,
                consumer.id,
                consumer.username.unwrap_or_default(),
                consumer.groups.iter().map(|membership| &*membership.group).collect::<Vec<_>>().join(","),
                permissions.join(",")
            )?;
        }
        file.into_inner()?.sync_data()
    };
    write().map_err(|error: std::io::Error| format!("{}: {error}", folder.display()))
}

/// Loads one for so long.
pub(crate) fn measured(variant: &Variant, time: Duration) -> Outcome<Saturated> {
    let meter = || (spent(variant.server.id()), Instant::now());
    let (ended, (before, began), (after, end)) =
        saturate(variant.target, (WARM_UP, time), meter).map_err(|why| format!("{}: {why}", variant.name))?;
    let (cost, took) = (after? - before?, end - began);
    Ok(Saturated { cost: cost.as_secs_f64() * 1e6 / ended as f64, rate: ended as f64 / took.as_secs_f64() })
}

/// Runs all of it; a table of what was measured, and one of what was aimed at.
pub(crate) fn run(rounds: usize, time: Duration, variants: &[Variant]) -> Outcome<(String, Vec<Aim>)> {
    let measured = interleaved(rounds, variants, |variant| self::measured(variant, time))?;
    let cost = |name: &str| {
        let at = variants.iter().position(|variant| variant.name == name);
        at.map(|at| median(measured[at].iter().map(|round| round.cost)))
    };
    let noop = cost(NOOP).unwrap_or(f64::NAN);
    let rows: Vec<Vec<String>> = variants
        .iter()
        .zip(&measured)
        .map(|(variant, rounds)| {
            let cost = median(rounds.iter().map(|round| round.cost));
            let rate = median(rounds.iter().map(|round| round.rate));
            let name = variant.name.to_owned();
            vec![name, format!("{cost:.2}"), format!("{:.2}", cost / noop), format!("{rate:.0}")]
        })
        .collect();
    let aim = |what: &str, part: &str, whole: &str, most| {
        let found = cost(part)? / cost(whole)?;
        Some(Aim { what: what.into(), most, found })
    };
    let aims = [
        aim("full check, CPU against the no-op", FULL, NOOP, 0.60),
        aim("full check, CPU against our constant answer", FULL, CONSTANT, 1.15),
        aim("1,000,000 keys against 10", FULL, TEN, 1.3),
        aim("10,000 services against 1", MANY_SERVICES, ONE_SERVICE, 1.1),
        aim("a JWT, CPU against the no-op", TOKENS, NOOP, 0.60),
        aim("wrong key against right key", WRONG, FULL, 1.0),
    ];
    let text = table(&["server", "CPU µs a check", "of the no-op", "checks a second"], &rows);
    Ok((text, aims.into_iter().flatten().collect()))
}
