//! Who lives: what instances say of themselves.

use std::sync::Arc;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ::redis::Value;
use prost::Message;
use uuid::Uuid;

use super::link::Link;
use super::refusal::Refusal;
use super::scripts::{Call, Script};
use super::{keys, meta, reply};
use crate::store::codec::{Place, Space};
use crate::store::ring::Ring;
use crate::store::{Beat, Epoch, Head, Instance, StoreError, proto};

/// Counts heartbeats, since not each of them looks for the silent.
#[derive(Default)]
pub(super) struct Sweep(AtomicU32);

impl Sweep {
    fn is_due(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP)
    }
}

/// Writes that the instance lives; where there is no store any more, one is made. Gives Redis's time too, in
/// milliseconds.
pub(super) async fn send(
    link: &Arc<Link>,
    ring: &Ring,
    sweep: &Sweep,
    beat: Beat,
) -> Result<(Head, i64), StoreError> {
    let call = Call::new(Script::Heartbeat, &[keys::META, keys::INSTANCES])
        .with(beat.instance.as_bytes())
        .with(seal(ring, beat))
        .with(if sweep.is_due() { "1" } else { "0" });
    let mut answer = link.call(&call).await?;
    if answer == Value::Nil {
        link.standing().await?;
        answer = link.call(&call).await?;
    }
    if answer == Value::Nil {
        return Err(Refusal::Elsewhere("the store in Redis was emptied just now".into()).into());
    }
    let [sealed, time] = reply::exactly(answer)?;
    let sealed = reply::bytes(sealed)?.ok_or_else(|| Refusal::garbled("where the store stands"))?;
    let time = i64::try_from(reply::number(time)?).map_err(|_| Refusal::garbled("its time"))?;
    Ok((meta::open(ring, &sealed)?, time))
}

/// Who sent a heartbeat in the last hour. What cannot be trusted is nobody's.
pub(super) async fn instances(link: &Arc<Link>, ring: &Ring) -> Result<Vec<Instance>, StoreError> {
    let answer = link.call(&Call::new(Script::Instances, &[keys::INSTANCES])).await?;
    let [now, beats] = reply::exactly(answer)?;
    let now = reply::number(now)?;
    let mut instances = Vec::new();
    for (id, said) in reply::map(beats)? {
        let (Some(id), Some(said)) = (reply::bytes(id)?, reply::bytes(said)?) else { continue };
        if let Some((at, beat)) = open(ring, &id, &said) {
            // A stamp that is yet to come is as far from the truth: Redis's clock was put back, perhaps with
            // another machine, and who lives says so again with the next heartbeat.
            let silent = Duration::from_millis(now.abs_diff(at));
            if silent <= FORGOTTEN {
                instances.push(Instance { beat, silent });
            }
        }
    }
    Ok(instances)
}

fn seal(ring: &Ring, beat: Beat) -> Vec<u8> {
    let message = proto::Beat { applied: beat.applied.map(epoch_message), catalog: beat.catalog };
    place(beat.instance.as_bytes()).seal(ring, 0, message.encode_to_vec())
}

/// When it was said, in milliseconds by Redis's clock, and what.
fn open(ring: &Ring, id: &[u8], said: &[u8]) -> Option<(u64, Beat)> {
    let (at, sealed) = said.split_at_checked(TIME)?;
    let at = std::str::from_utf8(at).ok()?.parse().ok()?;
    let (_, payload) = place(id).open(ring, sealed).ok()?;
    let message = proto::Beat::decode(&payload[..]).ok()?;
    let applied = match message.applied {
        Some(applied) => Some(epoch(&applied)?),
        None => None,
    };
    Some((at, Beat { instance: Uuid::from_slice(id).ok()?, applied, catalog: message.catalog }))
}

pub(super) fn epoch_message(epoch: Epoch) -> proto::Epoch {
    proto::Epoch { store: epoch.store.as_bytes().to_vec(), term: epoch.term, number: epoch.number }
}

pub(super) fn epoch(message: &proto::Epoch) -> Option<Epoch> {
    let store = Uuid::from_slice(&message.store).ok()?;
    Some(Epoch { store, term: message.term, number: message.number })
}

fn place(instance: &[u8]) -> Place<'_> {
    Place { space: Space::Beat, name: instance }
}

/// Digits of the time before what was said.
const TIME: usize = 13;
/// After this long an instance is nobody; the script has the same.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// Every so many heartbeats: about a minute at four a second.
const SWEEP: u32 = 256;
