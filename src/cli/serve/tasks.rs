//! What a server does besides answering, for as long as it lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::instance::Instance;
use super::watch::{
    Ready, count_instances, finish_deletions, hear_of_sessions, retire_silent_chains, sweep, tell_insecure,
    tell_uses, tend_signing_keys, test_signatures, watch_replica,
};
use crate::cli::door::reach;
use crate::grpc::Health;
use crate::replica;

/// Begins all of it, within a runtime. None of these ends by itself.
pub(super) fn start(instance: &Instance, health: &Health) -> JoinSet<()> {
    let Instance { config, clock, store, compiler, telemetry, replica, usage, registrar, .. } = instance;
    let tested = compiler.edition().catalog().algorithms();
    let objects_changed = replica.attach_compiler();
    let mut tasks = JoinSet::new();
    tasks.spawn(instance.follower().run());
    tasks.spawn(Arc::clone(compiler).run(Arc::clone(replica), objects_changed));
    tasks.spawn(watch_replica(
        Arc::clone(replica),
        Arc::clone(telemetry),
        Ready {
            readiness: Arc::clone(&instance.readiness),
            health: health.clone(),
            clock: clock.clone(),
            weak_in_file: Arc::clone(&instance.weak_in_file),
            writable: instance.backing.writable(),
            compiler: Arc::clone(compiler),
        },
    ));
    tasks.spawn(tell_insecure(config.clone(), Arc::clone(compiler), Arc::clone(telemetry)));
    let lately = config.lifetimes.session_idle.value.0 / 8;
    tasks.spawn(tell_uses(Arc::clone(usage), Arc::clone(store), lately.min(replica::PERIOD)));
    let period = lately.min(SESSIONS_HEARD_OF);
    tasks.spawn(hear_of_sessions(Arc::clone(replica), Arc::clone(store), clock.clone(), period));
    tasks.spawn(count_instances(Arc::clone(store), Arc::clone(telemetry), reach(config)));
    if config.public_url.is_some() {
        tasks.spawn(tend_signing_keys(Arc::clone(registrar), Arc::clone(replica), clock.clone()));
    }
    tasks.spawn(test_signatures(Arc::clone(compiler), tested));
    tasks.spawn(retire_silent_chains(Arc::clone(registrar), config.limits.audit_silence.value.0));
    tasks.spawn(sweep(Arc::clone(registrar), Arc::clone(replica), clock.clone()));
    let (keeper, attempts) = (Arc::clone(registrar), Arc::clone(&instance.attempts));
    tasks.spawn(async move { keeper.keep_attempts(&attempts).await });
    // It ends once there is nothing left to delete.
    tokio::spawn(finish_deletions(Arc::clone(registrar), Arc::clone(replica), clock.clone()));
    tasks
}

/// At most so long an instance takes what others have told of the use of sessions to be all of it.
const SESSIONS_HEARD_OF: Duration = Duration::from_secs(60);
