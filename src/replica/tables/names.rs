//! Whose a username or a `custom_id` is, for whoever knows a consumer by one.

use dashmap::DashMap;
use sha2::{Digest, Sha256};

use crate::domain::consumer::{Consumer, ConsumerId};

/// The owners of names. By digests: a name may be long, and 16 bytes are enough to tell any two apart.
#[derive(Default)]
pub(super) struct Names {
    owners: DashMap<[u8; 16], ConsumerId>,
}

/// What kind of name.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Username,
    CustomId,
}

impl Names {
    pub(super) fn owner(&self, kind: Kind, name: &str) -> Option<ConsumerId> {
        self.owners.get(&digest(kind, name)).map(|owner| *owner)
    }

    pub(super) fn claim(&self, consumer: &Consumer) {
        for name in names(consumer) {
            self.owners.insert(name, consumer.id);
        }
    }

    /// Lets go of what the consumer had, and leaves alone what somebody else has claimed since.
    pub(super) fn release(&self, consumer: &Consumer) {
        for name in names(consumer) {
            self.owners.remove_if(&name, |_, owner| *owner == consumer.id);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }
}

fn names(consumer: &Consumer) -> impl Iterator<Item = [u8; 16]> {
    let username = consumer.username.as_ref().map(|name| digest(Kind::Username, name));
    let custom_id = consumer.custom_id.as_ref().map(|name| digest(Kind::CustomId, name));
    username.into_iter().chain(custom_id)
}

fn digest(kind: Kind, name: &str) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update([match kind {
        Kind::Username => b'u',
        Kind::CustomId => b'c',
    }]);
    digest.update(name.as_bytes());
    let whole = digest.finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&whole[..16]);
    short
}
