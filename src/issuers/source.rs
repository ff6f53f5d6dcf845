//! One issuer's keys over time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use super::fetch::{Fetcher, NotFetched};
use super::{Loaded, Means};
use crate::domain::issuer::{Issuer, Keys, Published};
use crate::domain::jwt::{Algorithm, KeySet, NoKeySet};
use crate::domain::verdict::Fault;

/// Where the keys of one issuer come from, and the last good ones. A fetch that is under way ends
/// when this is dropped.
pub(super) struct Source {
    issuer: Arc<Issuer>,
    loaded: ArcSwapOption<Loaded>,
    /// When they were last fetched, in milliseconds on the clock that counts suspension.
    fetched: AtomicU64,
    /// Somebody named a key that is not there.
    wanted: Arc<Notify>,
    with: Means,
    task: OnceLock<AbortHandle>,
}

/// After a first fetch that failed, a tenth of the gap; doubled as often as it fails again, up to all of it.
const FIRST: u32 = 10;

impl Source {
    /// Takes what was read, or begins to fetch; until that has come, with the keys of the source that spoke
    /// for this issuer before.
    pub(super) fn begin(issuer: &Arc<Issuer>, heir_of: Option<&Self>, with: Means) -> Arc<Self> {
        let fetched = heir_of.map_or(0, |before| before.fetched.load(Ordering::Acquire));
        let source = Arc::new(Self {
            issuer: Arc::clone(issuer),
            loaded: ArcSwapOption::new(heir_of.and_then(|before| before.bequeathed(issuer, &with))),
            fetched: AtomicU64::new(fetched),
            // What is loaded tells of unknown keys there.
            wanted: heir_of.map_or_else(Arc::default, |before| Arc::clone(&before.wanted)),
            task: OnceLock::new(),
            with,
        });
        match &issuer.keys {
            // Neither is followed.
            Keys::Ours | Keys::OfConsumer(_) => {}
            Keys::Read(keys) => {
                let loaded = Loaded::new(Arc::clone(keys), source.with.remembered, None);
                source.loaded.store(Some(Arc::new(loaded)));
                source.with.telemetry.issuer_keys(&issuer.name, keys.len(), keys.left_out());
            }
            Keys::Published(published) => {
                if let Some(runtime) = &source.with.runtime {
                    let wanted = Arc::clone(&source.wanted);
                    // Weak, so that it does not keep alive what it works for.
                    let task = runtime.spawn(follow(Arc::downgrade(&source), published.clone(), wanted));
                    let _ = source.task.set(task.abort_handle());
                }
            }
        }
        source
    }

    /// What is known of the keys. Under other algorithms no token counts that was verified before.
    fn bequeathed(&self, to: &Issuer, with: &Means) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.load_full()?;
        if self.issuer.rules.algorithms == to.rules.algorithms {
            return Some(loaded);
        }
        Some(Arc::new(Loaded::new(Arc::clone(&loaded.keys), with.remembered, loaded.wanted.clone())))
    }

    /// Whether the keys of `issuer` are those that are here already.
    pub(super) fn is_of(&self, issuer: &Issuer) -> bool {
        let same_rules = self.issuer.rules.algorithms == issuer.rules.algorithms
            && self.issuer.rules.issuer == issuer.rules.issuer;
        same_rules
            && match (&self.issuer.keys, &issuer.keys) {
                (Keys::Ours, Keys::Ours) => true,
                (Keys::Read(one), Keys::Read(other)) => Arc::ptr_eq(one, other) || one.same_as(other),
                (Keys::Published(one), Keys::Published(other)) => one == other,
                (Keys::Ours | Keys::Read(_) | Keys::Published(_) | Keys::OfConsumer(_), _) => false,
            }
    }

    /// Whether its keys may be held against tokens of `issuer`: those of the same `iss`, from the same place.
    pub(super) fn speaks_for(&self, issuer: &Issuer) -> bool {
        self.issuer.rules.issuer == issuer.rules.issuer
            && match (&self.issuer.keys, &issuer.keys) {
                (Keys::Read(_), Keys::Read(_)) => true,
                (Keys::Published(one), Keys::Published(other)) => one.at == other.at,
                (Keys::Ours | Keys::Read(_) | Keys::Published(_) | Keys::OfConsumer(_), _) => false,
            }
    }

    pub(super) fn loaded(&self) -> Result<Arc<Loaded>, Fault> {
        let loaded = self.loaded.load_full().ok_or(Fault::KeysNotLoaded)?;
        if let Keys::Published(published) = &self.issuer.keys {
            let fetched = Duration::from_millis(self.fetched.load(Ordering::Acquire));
            if self.with.clock.boottime().saturating_sub(fetched) > published.max_stale {
                return Err(Fault::KeysTooOld);
            }
        }
        Ok(loaded)
    }

    fn take(&self, keys: KeySet) {
        let now = u64::try_from(self.with.clock.boottime().as_millis()).unwrap_or(u64::MAX);
        self.fetched.store(now, Ordering::Release);
        self.with.telemetry.issuer_keys(&self.issuer.name, keys.len(), keys.left_out());
        // What was verified stays known while the keys stay the same.
        if self.loaded.load().as_ref().is_some_and(|loaded| loaded.keys.same_as(&keys)) {
            return;
        }
        let (issuer, left_out) = (&self.issuer.name, keys.left_out());
        info!(issuer, keys = keys.len(), left_out, "the issuer's keys are known");
        let loaded = Loaded::new(Arc::new(keys), self.with.remembered, Some(Arc::clone(&self.wanted)));
        self.loaded.store(Some(Arc::new(loaded)));
    }

    /// Warns of the first failure of a row: the others are counted. Whoever has keys, though none that we use, has
    /// none of those before any more; one that has none at all may be broken, and keeps them.
    fn note(&self, error: &NotFetched, failed: u32) {
        let has_others = matches!(error, NotFetched::KeySet { error: NoKeySet::NothingUsable { found }, .. } if *found > 0);
        if has_others && self.loaded.load().as_ref().is_some_and(|loaded| !loaded.keys.is_empty()) {
            warn!(issuer = self.issuer.name, %error, "the issuer has other keys now; the ones before open nothing any more");
            self.take(KeySet::NONE);
        } else if failed == 1 {
            let issuer = &self.issuer.name;
            match self.loaded.load().is_some() {
                true => {
                    warn!(issuer, %error, "the issuer's keys cannot be fetched; the ones before are kept")
                }
                false => {
                    warn!(issuer, %error, "the issuer's keys cannot be fetched; its tokens cannot be judged until they are");
                }
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// Fetches for as long as somebody has the source: when it is time, and when a key is wanted, but then
/// no sooner than the gap after the last time.
async fn follow(source: Weak<Source>, published: Published, wanted: Arc<Notify>) {
    let mut failed = 0;
    let mut fetcher = Fetcher::default();
    loop {
        let Some((algorithms, issuer)) = about(&source) else { return };
        let fetched = fetcher.keys(&published, &issuer, &algorithms).await;
        let Some(strong) = source.upgrade() else { return };
        strong.with.telemetry.issuer_fetched(&strong.issuer.name, fetched.is_ok());
        match fetched {
            Ok(keys) => {
                failed = 0;
                strong.take(keys);
            }
            Err(error) => {
                failed += 1;
                strong.note(&error, failed);
            }
        }
        let gap = strong.with.gap;
        let pause = match strong.loaded.load().is_some() {
            true => gap,
            false => gap.min(gap / FIRST * 2_u32.pow(failed.saturating_sub(1).min(4))),
        };
        drop(strong);
        tokio::time::sleep(pause).await;
        if failed == 0 {
            let rest = published.refresh.saturating_sub(pause);
            let _ = tokio::time::timeout(rest, wanted.notified()).await;
        }
    }
}

fn about(source: &Weak<Source>) -> Option<(Vec<Algorithm>, String)> {
    let source = source.upgrade()?;
    let rules = &source.issuer.rules;
    Some((rules.algorithms.clone(), rules.issuer.clone()))
}
