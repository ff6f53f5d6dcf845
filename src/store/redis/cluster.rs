//! Asking the nodes of a cluster whose our slot is.

use std::sync::Arc;

use ::redis::Value;
use tokio::runtime::Handle;

use super::connection::Connection;
use super::keys::SLOT;
use super::primary::{purpose, survey};
use super::refusal::Refusal;
use super::reply;
use super::settings::{Address, RedisSettings};

/// Where the primary of our slot is, by the answer that most of the nodes give.
pub(super) async fn primary(
    settings: &Arc<RedisSettings>,
    nodes: &[Address],
    runtime: &Handle,
) -> Result<Address, Refusal> {
    let (owners, silent) = survey(nodes, |node| {
        let (settings, runtime) = (settings.clone(), runtime.clone());
        async move { ask(&settings, node, &runtime).await }
    })
    .await;
    let votes = |owner: &Address| owners.iter().filter(|other| *other == owner).count();
    let owner = owners.iter().max_by_key(|owner| votes(owner)).cloned();
    owner.ok_or_else(|| {
        Refusal::Unreachable(format!(
            "no node of the cluster says whose slot {SLOT} is: {}",
            silent.join("; ")
        ))
    })
}

async fn ask(settings: &RedisSettings, node: Address, runtime: &Handle) -> Result<Address, Refusal> {
    let connection = Connection::open(&node, &purpose(settings, None, runtime)).await?;
    let mut command = ::redis::cmd("CLUSTER");
    for range in reply::list(connection.ask(command.arg("SLOTS")).await?)? {
        let mut range = reply::list(range)?.into_iter();
        let mut slot = || reply::number(range.next().unwrap_or_default());
        let (from, to) = (slot()?, slot()?);
        if (from..=to).contains(&SLOT.into()) {
            return owner(node, range.next().unwrap_or_default());
        }
    }
    Err(Refusal::Elsewhere(format!(
        "the cluster of {node} has given slot {SLOT} to no node; assign all slots"
    )))
}

/// An owner is told as its preferred endpoint and port; where that is unknown, it is who was asked.
fn owner(asked: Address, told: Value) -> Result<Address, Refusal> {
    let mut told = reply::list(told)?.into_iter();
    let host = reply::bytes(told.next().unwrap_or_default())?;
    let port = reply::number(told.next().unwrap_or_default())?;
    let port = u16::try_from(port).map_err(|_| Refusal::garbled("a port"))?;
    let host =
        host.and_then(|host| String::from_utf8(host).ok()).filter(|host| !host.is_empty() && host != "?");
    Ok(Address { host: host.unwrap_or(asked.host), port })
}
