//! Tokens at the doors of listen.auth, on an instance that follows its store, or no longer does.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::domain::rights::Caller;
use crate::domain::role::{Project, Roles};
use crate::domain::time::Timestamp;
use crate::issue::{
    AuditFilter, BasicChange, By, ConsumerChange, MadeAccessKey, NewAccessKey, NewBasic, NewConsumer,
    Password,
};
use crate::replica::{Follower, Pace, Settings};
use crate::store::{Name, Store as _, Table};

const INSTANCE: Uuid = Uuid::from_u128(7);
const TOKENS: &str = "/identity/v3/auth/tokens";

/// Alice is a member of two projects and bob of one of them.
struct Site {
    store: Arc<Memory>,
    auth: Auth,
    following: JoinHandle<()>,
}

impl Site {
    async fn new() -> Self {
        let store = Arc::new(Memory::new());
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        hand.advance(Duration::from_secs(1));
        let replica = Arc::new(Replica::new(Duration::from_secs(10)));
        let pace = Pace { heartbeat: Duration::from_millis(25), patience: Duration::from_secs(5) };
        let settings = Settings::new(pace, Box::new(|| 0));
        let follower = Follower::new(Arc::clone(&replica), store.clone(), clock.clone(), settings);
        let following = tokio::spawn(follower.run());
        replica.applied().wait_for(Option::is_some).await.unwrap();
        let project =
            |id, name: &str| Project { id: Uuid::from_u128(id), name: name.into(), ..Project::default() };
        let projects = vec![project(1, "shop"), project(2, "bank")];
        let roles = Roles::new(&HashMap::from([("member".to_owned(), Vec::new())]));
        let catalog = Catalog::new(Parts { projects, roles, ..Parts::default() }).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(catalog));
        let ring = Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap();
        let registrar = Registrar::new(store.clone(), Arc::new(ring), clock.clone(), Arc::clone(&catalog))
            .with_public_url(Some("https://auth.example.com".into()))
            .with_audit(INSTANCE, 100)
            .with_replica(replica);
        for (name, projects) in [("alice", &["shop", "bank"][..]), ("bob", &["shop"])] {
            let new = NewConsumer {
                username: Some(name.into()),
                roles: member_of(projects),
                ..NewConsumer::default()
            };
            registrar.create_consumer(&operator(), new).await.unwrap();
        }
        let auth =
            Auth { registrar: Arc::new(registrar), catalog, clock, body_limit: 1_000, ..super::auth(None) };
        Self { store, auth, following }
    }

    async fn key(&self, consumer: &str, project: &str) -> MadeAccessKey {
        let new = NewAccessKey { name: project.into(), project: project.into(), ..NewAccessKey::default() };
        self.auth.registrar.create_access_key(&operator(), consumer, new).await.unwrap().value
    }

    /// Alice's roles from now on.
    async fn alice_is_member_of(&self, projects: &[&str]) {
        let change = ConsumerChange { roles: Some(member_of(projects)), ..ConsumerChange::default() };
        self.auth.registrar.change_consumer(&operator(), "alice", &change).await.unwrap();
    }

    /// What an OAuth client hears.
    async fn oauth(&self, path: &str, key: &MadeAccessKey, body: &str) -> (u16, HeaderMap, Value) {
        let basic = STANDARD.encode(format!("{}:{}", key.key.id, key.secret.expose()));
        let request = Request::post(format!("/oauth2/{path}"))
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/x-www-form-urlencoded");
        ask(router(self.auth.clone()), request, body).await
    }

    async fn buy(&self, key: &MadeAccessKey) -> String {
        let (status, _, body) = self.oauth("token", key, "grant_type=client_credentials").await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn revoke(&self, key: &MadeAccessKey, token: &str) -> u16 {
        self.oauth("revoke", key, &format!("token={token}")).await.0
    }

    async fn delete(&self, asker: &str, subject: &str) -> u16 {
        let request =
            Request::delete(TOKENS).header("x-auth-token", asker).header("x-subject-token", subject);
        ask(router(self.auth.clone()), request, "").await.0
    }

    async fn stored_tokens(&self) -> usize {
        self.store.scan(Table::Token, &[], None, 100).await.unwrap().len()
    }
}

fn member_of(projects: &[&str]) -> BTreeMap<String, Vec<String>> {
    projects.iter().map(|project| ((*project).to_owned(), vec!["member".to_owned()])).collect()
}

fn operator() -> By {
    By::new(Caller::Socket, None)
}

#[tokio::test]
async fn a_token_that_does_not_hold_at_this_moment_is_revoked_and_does_not_come_back() {
    let site = Site::new().await;
    let (shop, bank) = (site.key("alice", "shop").await, site.key("alice", "bank").await);
    let (by_oauth, by_identity) = (site.buy(&shop).await, site.buy(&shop).await);
    let asker = site.buy(&bank).await;
    site.alice_is_member_of(&["bank"]).await;
    for token in [&by_oauth, &by_identity] {
        assert!(site.auth.registrar.shown_token(token).unwrap().is_none());
    }
    assert_eq!(site.revoke(&shop, &by_oauth).await, 200);
    assert_eq!(site.delete(&asker, &by_identity).await, 204);
    assert_eq!(site.stored_tokens().await, 1, "the asker's own");
    site.alice_is_member_of(&["shop", "bank"]).await;
    for token in [&by_oauth, &by_identity] {
        assert!(site.auth.registrar.shown_token(token).unwrap().is_none());
        assert_eq!(site.delete(&asker, token).await, 404);
        assert_eq!(site.revoke(&shop, token).await, 200);
    }
}

#[tokio::test]
async fn nobody_takes_back_what_another_key_or_another_consumer_has_bought() {
    let site = Site::new().await;
    let (alices, bobs) = (site.key("alice", "shop").await, site.key("bob", "shop").await);
    let second = site.key("alice", "bank").await;
    let (token, other) = (site.buy(&alices).await, site.buy(&bobs).await);
    for key in [&bobs, &second] {
        assert_eq!(site.revoke(key, &token).await, 200);
    }
    assert_eq!(site.delete(&other, &token).await, 404);
    assert!(site.auth.registrar.shown_token(&token).unwrap().is_some());
}

#[tokio::test]
async fn those_who_revoke_the_same_token_at_once_all_hear_that_it_is_over() {
    let site = Site::new().await;
    let key = site.key("alice", "shop").await;
    let token = site.buy(&key).await;
    let (one, two, three) =
        tokio::join!(site.revoke(&key, &token), site.revoke(&key, &token), site.revoke(&key, &token));
    assert_eq!([one, two, three], [200; 3]);
}

#[tokio::test]
async fn what_this_instance_does_not_know_yet_is_not_told_as_done() {
    let site = Site::new().await;
    let key = site.key("alice", "shop").await;
    let (asker, token, other) = (site.buy(&key).await, site.buy(&key).await, site.buy(&key).await);
    site.following.abort();
    let credential = json!({ "id": key.key.id, "secret": key.secret.expose() });
    let identity = json!({ "methods": ["application_credential"], "application_credential": credential });
    let asked = json!({ "auth": { "identity": identity } }).to_string();
    let request = Request::post(TOKENS).header("content-type", "application/json");
    let (oauth, identity) = tokio::join!(
        site.oauth("token", &key, "grant_type=client_credentials"),
        ask(router(site.auth.clone()), request, &asked)
    );
    assert_eq!((oauth.0, &oauth.2["error"]), (503, &json!("temporarily_unavailable")));
    assert_eq!((oauth.1["retry-after"].to_str().unwrap(), identity.0), ("1", 202));
    // The second time it is no longer in the store, and still taken here.
    for _ in 0..2 {
        assert_eq!(tokio::join!(site.revoke(&key, &token), site.delete(&asker, &other)), (503, 202));
    }
}

#[tokio::test]
async fn what_a_client_gives_back_pushes_no_change_out_of_the_log() {
    let site = Site::new().await;
    let key = site.key("alice", "shop").await;
    for _ in 0..101 {
        let token = site.buy(&key).await;
        assert_eq!(site.revoke(&key, &token).await, 200);
    }
    let token = site.buy(&key).await;
    let seen = site.auth.registrar.shown_token(&token).unwrap().unwrap().token;
    let seen = site.auth.registrar.token(&seen.id).await.unwrap();
    site.auth.registrar.end_token(&operator(), seen).await.unwrap();
    let page = site.auth.registrar.audit(&AuditFilter::default(), None, 1_000).await.unwrap();
    let count = |action: &str, in_changes: bool| {
        let entries = page.entries.iter().filter(|entry| (entry.chain == INSTANCE) == in_changes);
        entries.filter(|entry| entry.action == action).count()
    };
    assert_eq!(count("consumer.create", true), 2);
    assert_eq!(count("token.revoke", true), 1, "the operator's");
    assert_eq!(count("token.revoke", false) + count("token.create", false), 100);
}

#[tokio::test]
async fn a_token_is_told_to_its_owner_and_to_who_serves_its_project_and_to_nobody_else() {
    let site = Site::new().await;
    let (shop, bank) = (site.key("alice", "shop").await, site.key("alice", "bank").await);
    let bobs = site.key("bob", "shop").await;
    let told = async |key: &MadeAccessKey, token: &str| {
        let (status, _, body) = site.oauth("introspect", key, &format!("token={token}")).await;
        assert_eq!(status, 200);
        body
    };
    let (of_shop, of_bank) = (site.buy(&shop).await, site.buy(&bank).await);
    for (key, token, active) in
        [(&shop, &of_shop, true), (&bank, &of_shop, true), (&bobs, &of_shop, true), (&bobs, &of_bank, false)]
    {
        assert_eq!(told(key, token).await["active"], active, "{} of {}", key.key.name, key.key.consumer);
    }
    assert_eq!(told(&bobs, &of_bank).await, json!({ "active": false }), "and nothing besides");
}

#[tokio::test]
async fn a_token_that_was_taken_back_has_no_place_among_its_owners() {
    let site = Site::new().await;
    let key = site.key("alice", "shop").await;
    let places = async || site.store.scan(Table::Owned, &[], None, 100).await.unwrap().len();
    let before = places().await;
    let token = site.buy(&key).await;
    let id = site.auth.registrar.shown_token(&token).unwrap().unwrap().token.id;
    assert_eq!(places().await, before + 1);
    assert_eq!(site.revoke(&key, &token).await, 200);
    assert_eq!(places().await, before);
    assert!(site.store.read(Table::Token, &Name::of(&id)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_token_is_over_with_any_password_of_its_owner() {
    let site = Site::new().await;
    let key = site.key("alice", "shop").await;
    let registrar = &site.auth.registrar;
    let password = |text: &str| Password::Text(text.to_owned().into());
    let mut names = Vec::new();
    for name in ["al", "ali", "alice"] {
        let new = NewBasic { id: None, username: name.into(), password: password(name), tags: Vec::new() };
        names.push(registrar.create_basic(&operator(), "alice", new).await.unwrap().value.id);
    }
    for id in names {
        let token = site.buy(&key).await;
        assert!(registrar.shown_token(&token).unwrap().is_some());
        let change = BasicChange { password: Some(password("another")), ..BasicChange::default() };
        registrar.change_basic(&operator(), &id, change).await.unwrap();
        assert!(registrar.shown_token(&token).unwrap().is_none());
    }
}
