//! Looking after the parts of a running server: readiness, gauges, and whether they all still live.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::cli::Failure;
use crate::clock::Clock;
use crate::compile::{Compiler, Edition};
use crate::config::Config;
use crate::domain::authentication::Method;
use crate::domain::jwt::Algorithm;
use crate::grpc::Health;
use crate::issue::{Reach, Registrar, self_test};
use crate::replica::{self, Replica, Usage};
use crate::store::Store;
use crate::telemetry::{Readiness, Standing, Telemetry};

/// What follows from what the replica knows.
pub(super) struct Ready {
    pub(super) readiness: Arc<Readiness>,
    pub(super) health: Health,
    pub(super) clock: Clock,
    /// Weak keys that the file declares.
    pub(super) weak_in_file: Arc<AtomicUsize>,
    /// Whether the store takes writes: no condition of readiness, for checks need none.
    pub(super) writable: watch::Receiver<bool>,
    pub(super) compiler: Arc<Compiler>,
}

/// Between two looks at the lease: a fraction of the shortest bound that can be configured.
const LOOK: Duration = Duration::from_millis(20);

/// Keeps readiness, health and gauges true to the replica, for as long as the process lives. The
/// lease ends by time alone, so somebody has to look.
pub(super) async fn watch_replica(replica: Arc<Replica>, telemetry: Arc<Telemetry>, ready: Ready) {
    let mut looks = tokio::time::interval(LOOK);
    let mut applied = replica.applied();
    let (mut held, mut ended) = (false, false);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            Ok(()) = applied.changed() => {}
        }
        let trusted = replica.trust(ready.clock.boottime()).is_ok();
        let trouble = replica.trouble();
        if std::mem::replace(&mut held, trusted) && !trusted {
            let why = trouble.as_deref().map_or("it has not answered in time", String::as_str);
            error!(why, "the lease is over: what the store decides is refused until it answers");
            ended = true;
        }
        if trusted && std::mem::take(&mut ended) {
            info!("the lease holds again");
        }
        ready.readiness.set_trouble(trouble);
        ready.readiness.set_loaded(replica.loaded());
        ready.readiness.set_lease(trusted);
        ready.health.set_ready(ready.readiness.ready());
        let holdings = replica.holdings();
        let edition = ready.compiler.edition();
        telemetry.stands(&Standing {
            epoch: applied.borrow_and_update().map(|epoch| epoch.number),
            lag: replica.lag(),
            lease_renewed: replica.lease().renewed(),
            keys: holdings.keys,
            consumers: holdings.consumers,
            deployments: edition.catalog().deployments().len(),
            weak_keys: holdings.weak_keys + ready.weak_in_file.load(Ordering::Relaxed),
            // What was not heard from for so long takes none either.
            writable: trusted && *ready.writable.borrow(),
            went_back: replica.went_back(),
            clock_ahead: replica.clock_ahead(),
            from_snapshot: replica.from_snapshot(),
            objects: edition.objects().len(),
            objects_refused: edition.refused().len(),
        });
    }
}

/// Shows which options are in use that weaken what is promised, for as long as the process lives.
pub(super) async fn tell_insecure(started: Config, compiler: Arc<Compiler>, telemetry: Arc<Telemetry>) {
    let mut editions = compiler.editions();
    loop {
        let edition = Arc::clone(&editions.borrow_and_update());
        telemetry.set_insecure(insecure(&started, &edition));
        // The sender lives as long as the compiler, which is ours.
        let _ = editions.changed().await;
    }
}

/// By their names in the configuration.
fn insecure(started: &Config, edition: &Edition) -> BTreeSet<String> {
    let file = edition.basis().config();
    let mut options: BTreeSet<String> =
        started.store.accept.iter().map(|it| format!("store.accept.{}", it.name())).collect();
    // Keys are made as was said at the start, and those of the file read as it says now.
    if started.keys.insecure_allow_weak.value || file.keys.insecure_allow_weak.value {
        options.insert("keys.insecure_allow_weak".to_owned());
    }
    let plain = file.issuers.iter().filter(|(_, issuer)| issuer.insecure_plain_http);
    options.extend(plain.map(|(name, _)| format!("issuers.{name}.insecure_plain_http")));
    for deployment in edition.catalog().deployments() {
        let mut methods = deployment.policy.authentication.methods().iter();
        if methods.any(|method| matches!(method, Method::Cookie(cookie) if !cookie.csrf)) {
            options.insert(format!("services.{}.cookie.csrf", deployment.service_name));
        }
    }
    options
}

/// Waits until somebody tells us to stop, or until a task that should live as long as the process
/// is dead. Without the follower the lease runs out, and without who watches it health would not say
/// so: better to drain while the lease holds, and be started anew.
pub(super) async fn told_or_broken(
    told: impl Future<Output = ()>,
    tasks: &mut JoinSet<()>,
) -> Option<Failure> {
    tokio::select! {
        () = told => None,
        Some(_) = tasks.join_next() => {
            let why = "a part of the server has died; its panic is in the log";
            error!(why, "the server has to end");
            Some(Failure::Unreachable(why.into()))
        }
    }
}

/// Ends what a process before this one began to end, once the store is there.
pub(super) async fn finish_deletions(registrar: Arc<Registrar>, replica: Arc<Replica>, clock: Clock) {
    let mut applied = replica.applied();
    let mut told = false;
    loop {
        // The sender lives as long as the replica, which is ours.
        let _ = applied.wait_for(Option::is_some).await;
        if replica.trust(clock.boottime()).is_ok() {
            match registrar.finish_deletions().await {
                Ok(_) => return,
                Err(error) if !told => {
                    warn!(%error, "keys of a consumer that was being deleted are still stored; they open for nobody");
                    told = true;
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Keeps the keys that JWTs are signed with young, for as long as the process lives. Warns once, until
/// it goes well again.
pub(super) async fn tend_signing_keys(registrar: Arc<Registrar>, replica: Arc<Replica>, clock: Clock) {
    let mut failing = false;
    let mut applied = replica.applied();
    // The sender lives as long as the replica, which is ours.
    let _ = applied.wait_for(Option::is_some).await;
    loop {
        let mut pause = AGAIN;
        if replica.trust(clock.boottime()).is_ok() {
            match registrar.tend_signing_keys().await {
                Ok(()) => (failing, pause) = (false, TENDED),
                Err(error) if !failing => {
                    warn!(%error, "the signing keys could not be looked after; tokens of the ones there are stay good");
                    failing = true;
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Tests each way of signing that policy comes to take, beyond those that were tested at the start. Ends
/// where one does not work, and the server with it: it takes what is forged, or nothing.
pub(super) async fn test_signatures(compiler: Arc<Compiler>, mut tested: BTreeSet<Algorithm>) {
    let mut editions = compiler.editions();
    loop {
        let wanted = editions.borrow_and_update().catalog().algorithms();
        let new: Vec<_> = wanted.difference(&tested).copied().collect();
        tested.extend(&new);
        if !new.is_empty() {
            match tokio::task::spawn_blocking(move || self_test(new)).await {
                Ok(Ok(())) => {}
                Ok(Err(broken)) => return error!(%broken, "signatures cannot be relied on"),
                Err(died) => return error!(%died, "signatures cannot be tested"),
            }
        }
        // The sender lives as long as the compiler, which is ours.
        let _ = editions.changed().await;
    }
}

/// Takes away now and then what has ended by itself.
pub(super) async fn sweep(registrar: Arc<Registrar>, replica: Arc<Replica>, clock: Clock) {
    loop {
        tokio::time::sleep(SWEPT).await;
        if replica.trust(clock.boottime()).is_ok()
            && let Err(error) = registrar.sweep().await
        {
            debug!(%error, "what has expired could not be taken away; it opens nothing all the same");
        }
    }
}

/// Ends now and then the audit chains of instances that are gone.
pub(super) async fn retire_silent_chains(registrar: Arc<Registrar>, silence: Duration) {
    loop {
        tokio::time::sleep(RETIRED).await;
        if let Err(error) = registrar.retire_silent_chains(silence).await {
            debug!(%error, "audit chains of instances that are gone could not be ended; they are whole");
        }
    }
}

/// Between two looks at all chains, which stay for days at least.
const RETIRED: Duration = Duration::from_secs(60 * 60);

/// Between two rounds: what has ended takes room for so long, and nothing else.
const SWEPT: Duration = Duration::from_secs(60);

/// Between two looks at the signing keys, which live for hours at least.
const TENDED: Duration = Duration::from_secs(60);

/// Until a store that did not take a deletion is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells the store now and then how often keys and sessions were used.
pub(super) async fn tell_uses(usage: Arc<Usage>, store: Arc<dyn Store>, period: Duration) {
    let mut told = tokio::time::interval(period);
    loop {
        told.tick().await;
        if let Err(error) = usage.tell(&*store).await {
            debug!(%error, "the uses of keys could not be told; they are kept for the next time");
        }
    }
}

/// Hears now and then when sessions were used at other instances.
pub(super) async fn hear_of_sessions(
    replica: Arc<Replica>,
    store: Arc<dyn Store>,
    clock: Clock,
    period: Duration,
) {
    let mut applied = replica.applied();
    // The sender lives as long as the replica, which is ours.
    let _ = applied.wait_for(Option::is_some).await;
    let mut hears = tokio::time::interval(period);
    loop {
        hears.tick().await;
        if let Err(error) = replica::hear_of_sessions(&replica, &*store, clock.now()).await {
            debug!(%error, "when sessions were used elsewhere is not known; they end by what is known here");
        }
    }
}

/// Counts who else follows the store, and by how many configurations they decide. A store that does
/// not answer is the follower's to tell.
pub(super) async fn count_instances(store: Arc<dyn Store>, telemetry: Arc<Telemetry>, reach: Reach) {
    // Four heartbeats: nobody needs it sooner.
    let mut looks = tokio::time::interval(reach.heartbeat * 4);
    loop {
        looks.tick().await;
        match store.instances().await {
            Ok(mut instances) => {
                instances.retain(|instance| instance.silent <= reach.bound);
                let catalogs: HashSet<u64> = instances.iter().map(|instance| instance.beat.catalog).collect();
                telemetry.set_instances(instances.len(), catalogs.len());
            }
            Err(error) => debug!(%error, "the instances could not be counted"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::load_text;
    use crate::domain::verifier::{Pepper, Peppers};

    #[test]
    fn j20_where_consumers_sign_themselves_every_way_to_do_so_is_tested() {
        let peppers = Peppers::new(vec![Pepper::new(&[1; 32])]);
        let tested = |authentication: &str| {
            let text = format!("services: [{{name: a, authentication: {{any: [{authentication}]}}}}]");
            load_text(text).unwrap().config.catalog(&peppers).unwrap().algorithms()
        };
        assert_eq!(tested("api_key"), BTreeSet::new());
        assert_eq!(tested("api_key, {jwt: {issuer: consumers}}"), Algorithm::ALL.into());
    }

    #[tokio::test]
    async fn a_part_that_dies_ends_the_server() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        assert!(told_or_broken(async {}, &mut tasks).await.is_none());
        tasks.spawn(async { panic!("as a test wants it") });
        assert!(told_or_broken(std::future::pending(), &mut tasks).await.is_some());
    }
}
