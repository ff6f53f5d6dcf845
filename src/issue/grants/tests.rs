#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::*;
use crate::clock::{Clock, Hand};
use crate::domain::catalog::{Catalog, Parts};
use crate::domain::token::Token;
use crate::issue::tests::alice::{ALICE, HOME, alice, logged_in, ring};
use crate::store::Store as _;
use crate::store::memory::Memory;

const NEWS: ServiceId = Uuid::from_u128(1);
const SHOP: ServiceId = Uuid::from_u128(2);

struct House {
    store: Arc<Memory>,
    clock: Clock,
    hand: Hand,
    catalog: Arc<ArcSwap<Catalog>>,
    attempts: Attempts,
}

impl House {
    fn new() -> Self {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let catalog = Arc::new(ArcSwap::from_pointee(alice("first", true)));
        Self { store: Arc::new(Memory::new()), clock, hand, catalog, attempts: Attempts::default() }
    }

    /// One of several instances.
    fn instance(&self) -> Registrar {
        Registrar::new(self.store.clone(), Arc::new(ring()), self.clock.clone(), Arc::clone(&self.catalog))
    }

    /// What alice is given who has just logged in there.
    async fn grant(&self, at: &Registrar, service: ServiceId) -> String {
        let login = logged_in(&self.catalog.load());
        let made = at.make_grant(&By::doorward(), &login, service).await.unwrap();
        assert_eq!(made.lives, Duration::from_secs(60));
        made.text.expose().to_owned()
    }

    /// The token, or none where the grant was none.
    async fn take(&self, at: &Registrar, text: &str, service: ServiceId, from: &str) -> Option<MadeToken> {
        let shown = ShownGrant { text, service, from: from.parse().unwrap(), request_id: "abc-1" };
        match at.take_grant(shown, &self.attempts).await {
            Ok(made) => Some(made.value),
            Err(Refusal::Unproven) => None,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_grant_is_exchanged_once_for_a_token_of_its_service() {
    let house = House::new();
    let (here, there) = (house.instance(), house.instance());
    let grant = house.grant(&here, NEWS).await;
    assert!(house.take(&there, &grant, SHOP, HOME).await.is_none(), "of another service");
    let made = house.take(&there, &grant, NEWS, HOME).await.unwrap();
    assert_eq!((made.token.consumer, made.token.scope.kind()), (ALICE, crate::domain::token::Kind::Dynamic));
    assert_eq!(made.token.expires_at.unix(), 1_800_000_000 + 3_600);
    for at in [&here, &there] {
        assert!(house.take(at, &grant, NEWS, HOME).await.is_none(), "used");
    }
    let stored = house.store.read(Table::Token, &Name::of(&made.token.id)).await.unwrap().unwrap();
    assert_eq!(Token::decode(&stored.payload).unwrap(), made.token);
    // What is no grant, or one that nobody made.
    let other = Secret::generate(Kind::Once, &[7; secret::ENTROPY_BYTES]).unwrap().0;
    for text in [made.text.expose(), "", "dw_once_", &grant[..grant.len() - 1], other.expose()] {
        assert!(house.take(&here, text, NEWS, HOME).await.is_none(), "{text}");
    }
}

#[tokio::test]
async fn of_all_who_show_the_same_grant_one_has_the_token() {
    let house = House::new();
    let (here, there) = (house.instance(), house.instance());
    for _ in 0..20 {
        let grant = house.grant(&here, NEWS).await;
        let take = async |at: &Registrar| house.take(at, &grant, NEWS, HOME).await.is_some();
        let (a, b, c) = tokio::join!(take(&here), take(&there), take(&here));
        assert_eq!([a, b, c].into_iter().filter(|taken| *taken).count(), 1);
    }
    assert_eq!(house.store.scan(Table::Token, &[], None, 100).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_grant_is_over_with_its_time_its_password_and_its_consumer() {
    type Change = fn(&House);
    let cases: [(&str, Change, &str, bool); 7] = [
        ("nothing has changed", |_| {}, HOME, true),
        ("just in time", |house| house.hand.advance(Duration::from_secs(59)), HOME, true),
        ("too late", |house| house.hand.advance(Duration::from_secs(60)), HOME, false),
        ("from elsewhere", |_| {}, "198.51.100.1", false),
        ("with another password", |house| house.catalog.store(alice("second", true).into()), HOME, false),
        ("switched off", |house| house.catalog.store(alice("first", false).into()), HOME, false),
        ("gone", |house| house.catalog.store(Catalog::new(Parts::default()).unwrap().into()), HOME, false),
    ];
    for (what, change, from, expected) in cases {
        let house = House::new();
        let here = house.instance();
        let grant = house.grant(&here, NEWS).await;
        change(&house);
        assert_eq!(house.take(&here, &grant, NEWS, from).await.is_some(), expected, "{what}");
    }
}

#[tokio::test]
async fn grants_that_nobody_took_do_not_stay() {
    let house = House::new();
    let here = house.instance();
    house.grant(&here, NEWS).await;
    house.hand.advance(Duration::from_secs(30));
    let good = house.grant(&here, NEWS).await;
    let in_a_minute = Timestamp::from_unix(1_800_000_060);
    here.sweep_grants(in_a_minute).await.unwrap();
    assert_eq!(house.store.scan(Table::Grant, &[], None, 10).await.unwrap().len(), 1);
    assert!(house.take(&here, &good, NEWS, HOME).await.is_some());
}
