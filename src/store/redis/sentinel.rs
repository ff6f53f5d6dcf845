//! Asking sentinels who the primary is.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::connection::{Connection, Purpose};
use super::primary::survey;
use super::refusal::Refusal;
use super::reply;
use super::settings::{Address, RedisSettings, Target};

/// What a sentinel believes.
struct Belief {
    /// Rises with every failover, so that of two beliefs the older one is known.
    configuration: u64,
    primary: Address,
}

/// Where the primary called `name` is, by the newest belief that more than half of the sentinels
/// (of those that answer, if fewer do) have.
pub(super) async fn primary(
    settings: &Arc<RedisSettings>,
    nodes: &[Address],
    name: &str,
    runtime: &Handle,
) -> Result<Address, Refusal> {
    let (beliefs, silent) = survey(nodes, |node| {
        let (settings, name, runtime) = (settings.clone(), name.to_owned(), runtime.clone());
        async move { ask(&settings, &node, &name, &runtime).await }
    })
    .await;
    let newest = beliefs.into_iter().max_by_key(|belief| belief.configuration);
    newest.map(|belief| belief.primary).ok_or_else(|| {
        Refusal::Unreachable(format!("no sentinel says where the primary `{name}` is: {}", silent.join("; ")))
    })
}

async fn ask(
    settings: &RedisSettings,
    node: &Address,
    name: &str,
    runtime: &Handle,
) -> Result<Belief, Refusal> {
    let (username, password) = match &settings.target {
        Target::Sentinel { username, password, .. } => (username.as_deref(), password.as_ref()),
        _ => (None, None),
    };
    let purpose = Purpose { settings, username, password, database: 0, hears: None, runtime };
    let connection = Connection::open(node, &purpose).await?;
    let mut command = ::redis::cmd("SENTINEL");
    let answer = connection.ask(command.arg("MASTER").arg(name)).await?;
    let (mut host, mut port, mut configuration) = (None, None, 0);
    for (field, value) in reply::map(answer)? {
        match &reply::text(field)?[..] {
            "ip" => host = Some(reply::text(value)?),
            "port" => port = u16::try_from(reply::number(value)?).ok(),
            "config-epoch" => configuration = reply::number(value)?,
            _ => {}
        }
    }
    match (host, port) {
        (Some(host), Some(port)) => Ok(Belief { configuration, primary: Address { host, port } }),
        _ => Err(Refusal::garbled("where the primary is")),
    }
}
