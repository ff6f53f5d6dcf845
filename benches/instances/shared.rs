//! A real Redis with the house's records, and real Doorwards over it.

use std::path::Path;
use std::sync::Arc;

use doorward::domain::verifier::Pepper;
use doorward::store::record::{ConsumerRecord, KeyRecord};
use doorward::store::redis::{Address, RedisSettings, RedisStore, Target};
use doorward::store::ring::Ring;
use doorward::store::{Batch, Effect, Expect, Name, Step, Store, StoreError, Table};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::child::{Core, pin};
use crate::house::{self, Services, Size};
use crate::rig::Outcome;
use crate::rig::doorward::{Doorward, Setup};
use crate::rig::redis::Redis;

/// Dropped from the top.
pub(super) struct Shared {
    pub(super) redis: Redis,
    ring: Arc<Ring>,
    pub(super) runtime: Runtime,
    pub(super) size: Size,
    folder: TempDir,
}

/// Of every instance: the key ring's file.
const SECRET: &str = "1 00112233445566778899aabbccddeeff00112233445566778899aabbccddee01\n";

/// Records that are written at once, and such writes that are on their way.
const BATCH: usize = 500;
const AHEAD: usize = 32;

impl Shared {
    /// A Redis that keeps what it has been given, with so many keys in it.
    pub(super) fn start(keys: u64) -> Outcome<Self> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let redis = Redis::start(&folder.path().join("redis"), &[])?;
        let ring = Ring::parse(Path::new("secret"), SECRET.as_bytes()).map_err(|error| error.to_string())?;
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let size = Size { keys, services: Services::Whole };
        let shared = Self { redis, ring: Arc::new(ring), runtime, size, folder };
        let records = records(size, shared.ring.primary_pepper());
        shared
            .runtime
            .block_on(fill(Arc::new(shared.store()), records))
            .map_err(|error| error.to_string())?;
        Ok(shared)
    }

    /// The same store, for whoever writes without an instance.
    pub(super) fn store(&self) -> RedisStore {
        let address = self.redis.address();
        let address = Address { host: address.ip().to_string(), port: address.port() };
        let _inside = self.runtime.enter();
        RedisStore::new(RedisSettings::new(Target::Single(address)), Arc::clone(&self.ring))
    }

    /// What an instance needs to start.
    pub(super) fn setup(&self, name: &str) -> Outcome<Setup> {
        let setup = setup(&self.folder.path().join(name), &self.redis.url())?;
        write_secret(&setup.folder.join("doorward.secret")).map_err(|error| error.to_string())?;
        Ok(setup)
    }

    pub(super) fn instance(&self, name: &str) -> Outcome<Doorward> {
        self.setup(name)?.start()
    }

    /// One that runs on the core of servers, while whoever asks from now on runs on the other.
    pub(super) fn instance_apart(&self, name: &str) -> Outcome<Doorward> {
        pin(Core::Server);
        let doorward = self.instance(name);
        pin(Core::Caller);
        doorward
    }

    pub(super) fn key(&self, number: u64) -> KeyRecord {
        key(number, self.size, &self.ring.primary_pepper())
    }
}

/// A Doorward with the house's policy over that store.
pub(super) fn setup(folder: &Path, store: &str) -> Outcome<Setup> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let setup = Setup::new(Path::new(env!("CARGO_BIN_EXE_doorward")), folder);
    let policy = house::policy(Services::Whole);
    setup.write(&format!(
        "listen: {{grpc: 127.0.0.1:0, status: 127.0.0.1:0}}\ndrain_delay: 0s\n\
         secret_file: doorward.secret\nlimits: {{connections_of_peer: 10000}}\nstore: {{url: \"{store}\"}}\n{policy}"
    ))?;
    Ok(setup)
}

fn write_secret(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, SECRET)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// One of the house's, as this ring has it verified.
fn key(number: u64, size: Size, pepper: &Pepper) -> KeyRecord {
    let text = house::text(number);
    KeyRecord { verifier: pepper.verifier(text.expose().as_bytes()), ..house::key(number, size) }
}

/// All of the house's, to be written.
pub(super) fn records(size: Size, pepper: Pepper) -> impl Iterator<Item = Step> {
    let put = |table, id: &Uuid, payload| Step {
        table,
        name: Name::of(id),
        expect: Expect::Anything,
        effect: Effect::Put(payload),
    };
    let consumer = move |consumer: ConsumerRecord| put(Table::Consumer, &consumer.id, consumer.encode());
    let consumers = (0..size.consumers()).map(move |number| consumer(house::consumer(number)));
    consumers.chain((0..size.keys).map(move |number| {
        let key = key(number, size, &pepper);
        put(Table::Key, &key.id, key.encode())
    }))
}

pub(super) async fn fill(
    store: Arc<dyn Store>,
    mut records: impl Iterator<Item = Step>,
) -> Result<(), StoreError> {
    let mut writes = JoinSet::new();
    loop {
        let steps: Vec<Step> = records.by_ref().take(BATCH).collect();
        if steps.is_empty() || writes.len() >= AHEAD {
            let Some(written) = writes.join_next().await else { return Ok(()) };
            written.map_err(|error| StoreError::Unavailable(error.to_string()))??;
        }
        if !steps.is_empty() {
            let (store, batch) = (Arc::clone(&store), Batch { operation: Uuid::new_v4(), steps });
            writes.spawn(async move { store.write(batch).await });
        }
    }
}
