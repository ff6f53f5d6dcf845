#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::*;
use crate::clock::{Clock, Hand};
use crate::domain::catalog::Catalog;
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::issue::tests::alice::{HOME, alice, logged_in, ring};
use crate::issue::tests::failing::Failing;
use crate::issue::{Attempts, LoggedIn, ShownGrant};
use crate::replica::{Follower, Pace, Replica, Settings};
use crate::store::Store as _;

const SHOP: Uuid = Uuid::from_u128(5);
const DAY: Duration = Duration::from_secs(86_400);

struct House {
    store: Arc<Failing>,
    clock: Clock,
    hand: Hand,
    catalog: Arc<ArcSwap<Catalog>>,
}

impl House {
    fn new() -> Self {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let catalog = Arc::new(ArcSwap::from_pointee(alice("first", true)));
        Self { store: Arc::new(Failing::new()), clock, hand, catalog }
    }

    fn instance(&self) -> Registrar {
        Registrar::new(self.store.clone(), Arc::new(ring()), self.clock.clone(), Arc::clone(&self.catalog))
    }

    fn login(&self) -> LoggedIn {
        logged_in(&self.catalog.load())
    }

    /// What alice has in her browser after a login.
    async fn session(&self, at: &Registrar) -> Secret {
        at.open_session(&By::doorward(), &self.login()).await.unwrap().value.text
    }

    async fn grant(&self, at: &Registrar) -> Secret {
        at.make_grant(&By::doorward(), &self.login(), SHOP).await.unwrap().text
    }

    async fn token(&self, at: &Registrar) -> Secret {
        let grant = self.grant(at).await;
        let (text, from) = (grant.expose(), HOME.parse().unwrap());
        let shown = ShownGrant { text, service: SHOP, from, request_id: "abc-1" };
        at.take_grant(shown, &Attempts::default()).await.unwrap().value.text
    }

    async fn count(&self, table: Table) -> usize {
        self.store.scan(table, &[], None, 100).await.unwrap().len()
    }

    async fn sessions(&self) -> usize {
        self.count(Table::Session).await
    }

    /// All that logins have given.
    async fn given(&self) -> usize {
        self.sessions().await + self.count(Table::Token).await + self.count(Table::Grant).await
    }
}

async fn log_out(at: &Registrar, shown: &[&[u8]], ends: Ends, from: &str) -> Result<bool, Refusal> {
    let leaving = Leaving { shown, ends, from: from.parse().unwrap(), request_id: "abc-1" };
    Ok(at.log_out(leaving).await?.is_some())
}

#[tokio::test]
async fn what_opens_nothing_any_more_ends_nothing_but_itself() {
    type Change = fn(&House);
    let cases: [(&str, Change, &str, bool); 7] = [
        ("nothing has changed", |_| {}, HOME, true),
        ("just in time", |house| house.hand.advance(Duration::from_secs(1_799)), HOME, true),
        ("idle", |house| house.hand.advance(Duration::from_secs(1_800)), HOME, false),
        ("expired", |house| house.hand.advance(DAY), HOME, false),
        ("from elsewhere", |_| {}, "198.51.100.1", false),
        ("with another password", |house| house.catalog.store(alice("second", true).into()), HOME, false),
        ("switched off", |house| house.catalog.store(alice("first", false).into()), HOME, false),
    ];
    for (what, change, from, everything) in cases {
        let house = House::new();
        let here = house.instance();
        let old = house.session(&here).await;
        change(&house);
        house.session(&here).await;
        let shown = [old.expose().as_bytes()];
        let ended = log_out(&here, &shown, Ends::Everything, from).await;
        assert_eq!(ended.is_ok(), everything, "{what}");
        assert_eq!(
            house.sessions().await,
            usize::from(!everything),
            "{what}: what is shown ends in any case"
        );
        let again = log_out(&here, &shown, Ends::Shown, from).await;
        assert!(!again.unwrap(), "{what}: it has ended already, and nobody hears more");
        assert!(matches!(log_out(&here, &shown, Ends::Everything, from).await, Err(Refusal::Unproven)));
    }
}

/// Logs alice out by one of what she has, at a store whose power goes after so many writes, and once more.
async fn cut_off(by: Kind, writes: usize, unconfirmed: bool) {
    let house = House::new();
    let here = house.instance();
    let (session, token) = (house.session(&here).await, house.token(&here).await);
    let _others = (house.session(&here).await, house.token(&here).await, house.grant(&here).await);
    let shown = [if by == Kind::Session { session.expose() } else { token.expose() }.as_bytes()];
    house.store.unconfirmed.store(unconfirmed, Ordering::SeqCst);
    house.store.left.store(writes, Ordering::SeqCst);
    let first = log_out(&here, &shown, Ends::Everything, HOME).await;
    house.store.left.store(usize::MAX, Ordering::SeqCst);
    let is_cut_off = matches!(first, Err(Refusal::Store(_)));
    assert_eq!(is_cut_off, writes < 4, "{writes}: grants, tokens, sessions, and what is shown");
    if house.given().await > 0 {
        let again = log_out(&here, &shown, Ends::Everything, HOME).await;
        assert!(again.unwrap(), "by {by:?} after {writes}, unconfirmed: {unconfirmed}");
    }
    assert_eq!(house.given().await, 0, "by {by:?} after {writes}, unconfirmed: {unconfirmed}");
}

#[tokio::test]
async fn everything_ends_when_it_is_asked_for_again_wherever_it_was_cut_off() {
    for writes in 0..=4 {
        for unconfirmed in [false, true] {
            for by in [Kind::Session, Kind::Token] {
                cut_off(by, writes, unconfirmed).await;
            }
        }
    }
}

#[tokio::test]
async fn each_session_that_is_shown_ends_whatever_stands_beside_it() {
    let house = House::new();
    let here = house.instance();
    let [one, two, other] =
        [house.session(&here).await, house.session(&here).await, house.session(&here).await];
    let [first, second] = [one.expose().as_bytes(), two.expose().as_bytes()];
    let shown = [b"x", first, b"", second, first];
    assert!(log_out(&here, &shown, Ends::Shown, HOME).await.unwrap());
    assert_eq!(house.sessions().await, 1);
    assert!(log_out(&here, &[b"x", other.expose().as_bytes()], Ends::Everything, HOME).await.unwrap());
    assert_eq!(house.sessions().await, 0);
}

#[tokio::test]
async fn a_crowd_of_made_up_texts_hides_no_session_and_asks_the_store_little() {
    let house = House::new();
    let replica = Arc::new(Replica::new(Duration::from_secs(10)));
    let pace = Pace { heartbeat: Duration::from_millis(25), patience: Duration::from_secs(5) };
    let settings = Settings::new(pace, Box::new(|| 0));
    let follower = Follower::new(Arc::clone(&replica), house.store.clone(), house.clock.clone(), settings);
    let following = tokio::spawn(follower.run());
    replica.applied().wait_for(Option::is_some).await.unwrap();
    let here = house.instance().with_replica(replica);
    let text = house.session(&here).await;
    let made_up = |kind, byte| Secret::generate(kind, &[byte; secret::ENTROPY_BYTES]).unwrap().0;
    let pair = |byte| [made_up(Kind::Session, byte), made_up(Kind::Token, byte)];
    let crowd: Vec<Secret> = (0..50).flat_map(pair).collect();
    let mut shown: Vec<&[u8]> = crowd.iter().map(|text| text.expose().as_bytes()).collect();
    let before = house.store.reads.load(Ordering::SeqCst);
    assert!(!log_out(&here, &shown, Ends::Shown, HOME).await.unwrap());
    let asked = house.store.reads.load(Ordering::SeqCst) - before;
    assert_eq!(asked, 2, "for sessions, and for tokens");
    shown.push(text.expose().as_bytes());
    assert_eq!(here.likely(&shown).len(), 1 + ASKED_ABOUT);
    assert!(log_out(&here, &shown, Ends::Shown, HOME).await.unwrap());
    assert_eq!(house.sessions().await, 0);
    following.abort();
}
