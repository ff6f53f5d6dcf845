//! Somebody who may log in, for tests.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::catalog::{Catalog, Parts};
use crate::domain::consumer::{Consumer, ConsumerId, Given};
use crate::domain::network::Networks;
use crate::domain::password::{Account, Hash};
use crate::issue::LoggedIn;
use crate::store::ring::Ring;

pub(in crate::issue) const ALICE: ConsumerId = Uuid::from_u128(9);
/// From where she may come, and from nowhere else.
pub(in crate::issue) const HOME: &str = "192.0.2.1";

/// Who may only come from home, and the hash of her password.
pub(in crate::issue) fn alice(password: &str, enabled: bool) -> Catalog {
    let networks = Networks::parse(Some(&["192.0.2.0/24".to_owned()]), &[]).unwrap();
    let given = Given { networks, ..Given::default() };
    let username = Some("alice".into());
    let consumer = Consumer { id: ALICE, username, given: given.into(), enabled, ..Consumer::default() };
    let (id, username) = (Uuid::from_u128(7), "alice".to_owned());
    let account = Account {
        id,
        consumer: ALICE,
        username: username.as_str().into(),
        hash: Hash::new(password),
        enabled: true,
    };
    let mut parts = Parts::default();
    parts.consumers.insert(ALICE, Arc::new(consumer));
    parts.accounts.insert(username, Arc::new(account));
    Catalog::new(parts).unwrap()
}

/// As she has just logged in.
pub(in crate::issue) fn logged_in(catalog: &Catalog) -> LoggedIn {
    let consumer = Arc::clone(&catalog.consumers()[&ALICE]);
    LoggedIn { consumer, account: Arc::clone(catalog.account("alice").unwrap()) }
}

pub(in crate::issue) fn ring() -> Ring {
    Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap()
}
