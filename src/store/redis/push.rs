//! Hearing of changes sooner than by asking.

use std::sync::{Mutex, PoisonError};

use ::redis::{PushInfo, PushKind, Value};
use tokio::sync::watch;
use uuid::Uuid;

use crate::store::Epoch;

/// The newest number heard of, from whomever.
pub(super) struct Heard {
    newest: watch::Sender<u64>,
    /// The history that the number is of: only within one do numbers compare.
    history: Mutex<Option<(Uuid, u32)>>,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { newest: watch::Sender::new(0), history: Mutex::new(None) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// The store stands here, or stood here a moment ago.
    pub(super) fn stands(&self, epoch: Epoch) {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let same = history.replace((epoch.store, epoch.term)) == Some((epoch.store, epoch.term));
        // Back, too: a message with too large a number must not silence those that come. Where that was
        // a true one, followers have been woken by it.
        self.newest.send_if_modified(|newest| {
            let before = std::mem::replace(newest, epoch.number);
            before < epoch.number || (before != epoch.number && !same)
        });
    }

    /// A message came. Whoever may write to Redis can send any, so it is no more than a hint.
    pub(super) fn message(&self, push: &PushInfo) {
        let number = match (&push.kind, &push.data[..]) {
            (PushKind::Message, [_, Value::BulkString(number)]) => number,
            _ => return,
        };
        let number = std::str::from_utf8(number).ok().and_then(|digits| digits.parse::<u64>().ok());
        if let Some(number) = number {
            self.newest.send_if_modified(|newest| number > std::mem::replace(newest, number.max(*newest)));
        }
    }
}
