//! What a replica and a list of networks take in memory, and the time of a look-up in them. Has to come
//! first in its process: what is freed stays resident.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bytes::Bytes;
use doorward::clock::Clock;
use doorward::domain::network::Networks;
use doorward::replica::Replica;

use crate::child;
use crate::house::{self, Services, Size};
use crate::imagined::Imagined;
use crate::rig::Outcome;
use crate::rounds::{Aim, table};

const NETWORKS: u32 = 100_000;
const LOOKUPS: u32 = 1_000_000;

pub(crate) fn run(keys: u64) -> Outcome<(String, Vec<Aim>)> {
    let (mut rows, mut aims) = (Vec::new(), Vec::new());
    replica(keys, &mut rows, &mut aims)?;
    Ok((table(&["what", "found"], &rows), aims))
}

fn replica(keys: u64, rows: &mut Vec<Vec<String>>, aims: &mut Vec<Aim>) -> Outcome<()> {
    let size = Size { keys, services: Services::Whole };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    let mut store = Imagined::new(size);
    let load = |store: &Imagined| {
        let began = Instant::now();
        let replica = runtime.block_on(Replica::load(store, &Clock::system())).map_err(|e| e.to_string())?;
        Ok::<_, String>((replica, began.elapsed().as_secs_f64()))
    };
    let before = resident()?;
    let (replica, _) = load(&store)?;
    let bytes = resident()?.saturating_sub(before) as f64 / keys as f64;
    // Before anything large is freed: it would find room there.
    networks(rows, aims)?;
    let pick = |number: u32| house::mixed(number.into()) % keys;
    let hit = lookups(|number| house::verifier(house::text(pick(number)).expose()), &replica)?;
    let miss = lookups(|number| house::verifier(house::unknown(pick(number)).expose()), &replica)?;
    let began = Instant::now();
    let pack = replica.pack();
    let packing = began.elapsed().as_secs_f64();
    let packed_bytes = pack.iter().map(Bytes::len).sum::<usize>() as f64 / keys as f64;
    drop(replica);
    store.pack = Some(pack);
    let (_, packed) = load(&store)?;
    let consumers = size.consumers();
    for (what, found) in [
        (format!("resident bytes a key, {keys} keys of {consumers} consumers"), format!("{bytes:.1}")),
        ("bytes a key in a pack".into(), format!("{packed_bytes:.1}")),
        ("look-up of a key and its consumer, ns".into(), format!("{hit:.0}")),
        ("look-up of a key that nobody has, ns".into(), format!("{miss:.0}")),
        ("seconds to pack".into(), format!("{packing:.2}")),
        ("seconds to index a pack".into(), format!("{packed:.2}")),
    ] {
        rows.push(vec![what, found]);
    }
    aims.push(Aim { what: "resident bytes a key".into(), most: 100.0, found: bytes });
    Ok(())
}

/// ns each.
fn lookups(
    verifier: impl Fn(u32) -> doorward::domain::verifier::Verifier,
    replica: &Replica,
) -> Outcome<f64> {
    let verifiers: Vec<_> = (0..LOOKUPS).map(verifier).collect();
    let mut found = 0;
    let began = Instant::now();
    for verifier in &verifiers {
        if replica.key_and_consumer(verifier).is_some_and(|(_, consumer)| consumer.is_some()) {
            found += 1;
        }
    }
    let each = began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS);
    if found == 0 || found == LOOKUPS {
        Ok(each)
    } else {
        Err(format!("{found} of {LOOKUPS} keys were found"))
    }
}

fn networks(rows: &mut Vec<Vec<String>>, aims: &mut Vec<Aim>) -> Outcome<()> {
    /// Resident memory is told in pages; so many make them small.
    const COPIES: usize = 32;
    let many: Vec<String> =
        (0..NETWORKS).map(|number| format!("{}/24", Ipv4Addr::from(number << 9))).collect();
    let parse = |list: &[String]| Networks::parse(Some(list), &[]).map_err(|error| error.to_string());
    let (one, many) = (parse(&many[..1])?, parse(&many)?);
    let before = resident()?;
    let copies: Vec<Networks> = (0..COPIES).map(|_| many.clone()).collect();
    let bytes = resident()?.saturating_sub(before) as f64 / (COPIES as f64 * f64::from(NETWORKS));
    drop(copies);
    let clients: Vec<IpAddr> =
        (0..LOOKUPS).map(|number| Ipv4Addr::from(house::mixed(number.into()) as u32).into()).collect();
    let each = |networks: &Networks| {
        let began = Instant::now();
        let admitted = clients.iter().filter(|client| networks.admits(Some(**client)).is_ok()).count();
        black_box(admitted);
        began.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
    };
    let (of_one, of_many) = (each(&one), each(&many));
    rows.push(vec![format!("bytes a network, {NETWORKS} of them"), format!("{bytes:.1}")]);
    rows.push(vec!["look-up among them, ns".into(), format!("{of_many:.0}")]);
    rows.push(vec!["look-up with one network, ns".into(), format!("{of_one:.0}")]);
    aims.push(Aim { what: "bytes a network".into(), most: 16.0, found: bytes });
    aims.push(Aim {
        what: "ns that 100,000 networks take over one".into(),
        most: 50.0,
        found: of_many - of_one,
    });
    Ok(())
}

fn resident() -> Outcome<u64> {
    child::resident(std::process::id())
}
