//! A connection that is made when it is needed, given up when it fails, and made anew.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Pipeline, Value};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use uuid::Uuid;

use super::connection::Connection;
use super::deadline::Deadline;
use super::primary::{self, Hears};
use super::refusal::Refusal;
use super::scripts::{Call, Digests, Script};
use super::settings::RedisSettings;
use super::{acl, keys, meta, reply};
use crate::store::ring::Ring;
use crate::store::{Head, StoreError};

/// The way to the primary for one kind of request, so that no kind waits behind another's answers.
pub(super) struct Link {
    settings: Arc<RedisSettings>,
    ring: Arc<Ring>,
    runtime: Handle,
    hears: Option<Hears>,
    /// Held while a connection is made: whoever else wants one waits for it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: Option<Arc<Live>>,
    failures: u32,
    /// Until then nobody tries; and why the last try failed.
    pause: Option<(Deadline, String)>,
}

/// A connection over which the store was seen, with its scripts.
pub(super) struct Live {
    pub(super) connection: Connection,
    pub(super) digests: Digests,
}

/// What a store keeps of itself, opened and as it stands in Redis.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) head: Head,
    pub(super) sealed: Vec<u8>,
}

impl Link {
    pub(super) fn new(
        settings: Arc<RedisSettings>,
        ring: Arc<Ring>,
        runtime: Handle,
        hears: Option<Hears>,
    ) -> Self {
        Self { settings, ring, runtime, hears, state: Mutex::default() }
    }

    /// A connection that was whole a moment ago.
    pub(super) async fn live(self: &Arc<Self>) -> Result<Arc<Live>, Refusal> {
        if let Some(known) = self.state.lock().await.known() {
            return known;
        }
        // In the runtime that outlives whoever asks, and to its end even if they do not wait for it.
        let link = self.clone();
        let made = self.runtime.spawn(async move { link.make().await });
        made.await
            .unwrap_or_else(|error| Err(Refusal::Unreachable(format!("connecting did not end: {error}"))))
    }

    async fn make(&self) -> Result<Arc<Live>, Refusal> {
        let mut state = self.state.lock().await;
        // Somebody else may have been first.
        if let Some(known) = state.known() {
            return known;
        }
        match self.connect().await {
            Ok(live) => {
                let live = Arc::new(live);
                *state = State { live: Some(live.clone()), ..State::default() };
                Ok(live)
            }
            // What is there will not be other in a moment, and whoever looks may be told each time.
            Err(Refusal::Store(error)) => Err(Refusal::Store(error)),
            // Nothing that was asked has been sent: what stopped us on the way is only why.
            Err(refusal) => {
                let why = refusal.why();
                state.failures = state.failures.saturating_add(1);
                state.pause = Some((Deadline::after(self.pause(state.failures)), why.clone()));
                Err(Refusal::Unreachable(why))
            }
        }
    }

    /// Gives a connection up, if it is still the one in use.
    pub(super) async fn drop_live(&self, live: &Arc<Live>) {
        let mut state = self.state.lock().await;
        if state.live.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            state.live = None;
        }
    }

    /// Asks what changes nothing, or what may be done twice; once more where the connection had
    /// gone stale.
    pub(super) async fn ask(self: &Arc<Self>, command: &Cmd) -> Result<Value, Refusal> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command.clone());
        self.ask_all(&pipeline).await?.pop().ok_or_else(|| Refusal::garbled("a command"))
    }

    /// The same, of several; an error of one is an error.
    pub(super) async fn ask_all(self: &Arc<Self>, commands: &Pipeline) -> Result<Vec<Value>, Refusal> {
        let mut again = true;
        loop {
            let live = self.live().await?;
            let answers = live.connection.ask_all(commands).await;
            match answers.and_then(|answers| answers.into_iter().collect()) {
                Ok(answers) => return Ok(answers),
                Err(refusal) => self.failed(&live, refusal, &mut again).await?,
            }
        }
    }

    /// The same, of a script.
    pub(super) async fn call(self: &Arc<Self>, call: &Call) -> Result<Value, Refusal> {
        let mut again = true;
        loop {
            let live = self.live().await?;
            match live.call(call).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => self.failed(&live, refusal, &mut again).await?,
            }
        }
    }

    /// Where the store stands; one is made where there is none.
    pub(super) async fn standing(self: &Arc<Self>) -> Result<Standing, Refusal> {
        let mut again = true;
        loop {
            let live = self.live().await?;
            match self.look(&live).await {
                Ok(standing) => return Ok(standing),
                Err(refusal) => self.failed(&live, refusal, &mut again).await?,
            }
        }
    }

    /// Gives a failed connection up; the refusal, unless it is worth another try.
    async fn failed(&self, live: &Arc<Live>, refusal: Refusal, again: &mut bool) -> Result<(), Refusal> {
        if refusal.ends_connection() {
            self.drop_live(live).await;
        }
        match std::mem::take(again) && refusal.stale() {
            true => Ok(()),
            false => Err(refusal),
        }
    }

    async fn connect(&self) -> Result<Live, Refusal> {
        let connection = primary::connect(&self.settings, self.hears.clone(), &self.runtime).await?;
        let mut prepare = Pipeline::new();
        for script in Script::ALL {
            prepare.cmd("SCRIPT").arg("LOAD").arg(script.source());
        }
        if self.hears.is_some() {
            prepare.cmd("SUBSCRIBE").arg(keys::channel(self.settings.database));
        }
        let mut digests = Vec::new();
        for answer in connection.ask_all(&prepare).await?.into_iter().take(Script::ALL.len()) {
            digests.push(reply::text(answer?)?);
        }
        let live = Live { connection, digests: Digests(digests) };
        self.look(&live).await?;
        Ok(live)
    }

    /// Sees that the store is ours, and makes one where there is nothing at all.
    pub(super) async fn look(&self, live: &Live) -> Result<Standing, Refusal> {
        let open = Call::new(Script::Open, &[keys::META, keys::LOG, keys::OPERATIONS, keys::PACK])
            .with_names()
            .with(keys::bucket(crate::store::Table::Key, 0))
            .with(keys::channel(self.settings.database));
        let [denied, sealed, rest] = reply::exactly(live.call(&open).await?)?;
        let denied: Vec<_> = reply::list(denied)?.into_iter().map(reply::text).collect::<Result<_, _>>()?;
        if !denied.is_empty() {
            return Err(Refusal::Refused(acl::lacking(self.settings.username.as_deref(), &denied)));
        }
        let sealed = match reply::bytes(sealed)? {
            Some(sealed) => sealed,
            None if reply::number(rest)? == 0 => {
                let head = Head::start(Uuid::new_v4(), 1);
                self.replace(live, &[], meta::seal(&self.ring, head)).await?
            }
            None => return Err(headless().into()),
        };
        let head = meta::open(&self.ring, &sealed)?;
        if meta::is_current(&self.ring, &sealed) {
            return Ok(Standing { head, sealed });
        }
        // The ring was rotated: an old key is to be needed no longer than its records are.
        let sealed = self.replace(live, &sealed, meta::seal(&self.ring, head)).await?;
        Ok(Standing { head: meta::open(&self.ring, &sealed)?, sealed })
    }

    /// Of several that do this at once, one succeeds; gives what stands there then.
    async fn replace(&self, live: &Live, read: &[u8], sealed: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let replace = Call::new(Script::Replace, &[keys::META, keys::LOG, keys::OPERATIONS, keys::PACK])
            .with_names()
            .with(read)
            .with(sealed);
        reply::bytes(live.call(&replace).await?)?.ok_or_else(|| headless().into())
    }

    /// Doubles from 20 ms on, less a random part, so that instances do not all come at once.
    fn pause(&self, failures: u32) -> Duration {
        let longest = Duration::from_millis(20) * 2_u32.pow(failures.min(10));
        let longest = longest.min(self.settings.timeouts.pause);
        let mut random = [0];
        // Without randomness they do come at once, which is no harm.
        let _ = getrandom::fill(&mut random);
        longest - longest / 2 * random[0].into() / 255
    }
}

impl State {
    /// What there is without a new try; `None` where one is due.
    fn known(&mut self) -> Option<Result<Arc<Live>, Refusal>> {
        if let Some(live) = self.live.as_ref().filter(|live| !live.connection.ended()) {
            return Some(Ok(live.clone()));
        }
        self.live = None;
        let (_, why) = self.pause.as_ref().filter(|(until, _)| !until.has_passed())?;
        Some(Err(Refusal::Unreachable(why.clone())))
    }
}

impl Live {
    pub(super) async fn call(&self, call: &Call) -> Result<Value, Refusal> {
        self.connection.ask(&call.command(&self.digests)).await
    }
}

fn headless() -> StoreError {
    StoreError::Foreign(
        "Redis has records of Doorward, but what the store keeps of itself is gone (was it evicted, or deleted by \
         somebody?); put a backup in its place, or delete every key that begins with `doorward:` to start anew"
            .into(),
    )
}
