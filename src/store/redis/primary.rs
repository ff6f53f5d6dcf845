//! Finding the primary, and connecting to it.
//!
//! The redis crate's own clients for sentinels and clusters are not used: the one stays broken after
//! a failover (measured with 1.8.1), the other sends writes again by itself. Here every new
//! connection begins with the question who is the primary now.

use std::sync::Arc;

use ::redis::{PushInfo, Value};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::connection::{Connection, Purpose};
use super::refusal::Refusal;
use super::reply;
use super::settings::{Address, RedisSettings, Target};
use super::{cluster, sentinel};

/// What hears the messages of channels.
pub(super) type Hears = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// A connection to the primary, which has said that it is one.
pub(super) async fn connect(
    settings: &Arc<RedisSettings>,
    hears: Option<Hears>,
    runtime: &Handle,
) -> Result<Connection, Refusal> {
    let address = match &settings.target {
        Target::Single(address) => address.clone(),
        Target::Sentinel { nodes, name, .. } => sentinel::primary(settings, nodes, name, runtime).await?,
        Target::Cluster { nodes } => cluster::primary(settings, nodes, runtime).await?,
    };
    let connection = Connection::open(&address, &purpose(settings, hears, runtime)).await?;
    // What others say of a server may be outdated; what it says of itself may be too, but then it
    // loses its replicas and with them, by min-replicas-to-write, the heartbeat.
    let [role, ..] = &reply::list(connection.ask(&::redis::cmd("ROLE")).await?)?[..] else {
        return Err(Refusal::garbled("its role"));
    };
    match role {
        Value::BulkString(role) if role == b"master" => Ok(connection),
        _ => Err(Refusal::Elsewhere(format!(
            "Redis at {address} is a replica, which takes no writes; name the primary in store.url, or its sentinels"
        ))),
    }
}

pub(super) fn purpose<'a>(
    settings: &'a RedisSettings,
    hears: Option<Hears>,
    runtime: &'a Handle,
) -> Purpose<'a> {
    Purpose {
        settings,
        username: settings.username.as_deref(),
        password: settings.password.as_ref(),
        database: settings.database,
        hears,
        runtime,
    }
}

/// Asks every node at once. Gives the answers as soon as more than half of the nodes have answered,
/// or when none is left to answer; and why others did not.
pub(super) async fn survey<T, F>(nodes: &[Address], ask: impl Fn(Address) -> F) -> (Vec<T>, Vec<String>)
where
    T: Send + 'static,
    F: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    let mut asked = JoinSet::new();
    for node in nodes {
        asked.spawn(ask(node.clone()));
    }
    let (mut answers, mut silent) = (Vec::new(), Vec::new());
    while answers.len() * 2 <= nodes.len()
        && let Some(joined) = asked.join_next().await
    {
        match joined {
            Ok(Ok(answer)) => answers.push(answer),
            Ok(Err(refusal)) => silent.push(refusal.why()),
            Err(panic) => silent.push(panic.to_string()),
        }
    }
    (answers, silent)
}
