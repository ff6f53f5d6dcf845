//! What a login gives ends by itself, as a client behind a real Envoy sees it: grants and tokens by their
//! time, sessions by theirs and by lying idle.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{SECRET, secret};
use crate::login::{Both, Place};
use crate::rig::echo::Echo;
use crate::rig::redis::Redis;
use crate::rig::wait::{eventually, until};
use crate::world::{command, setup, start_doorward, started};

const SERVICES: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: news, paths: [/news], authentication: {any: [{token: {kinds: [dynamic]}}]}}
  - {name: shop, paths: [/shop], authentication: {any: [cookie]}}
"#;

const IDLE: Duration = Duration::from_secs(3);
const SHORT_USE: &str = "lifetimes: {grant: 1s, dynamic: 2s, session_idle: 3s, session: 1h}\n";
const SHORT_LIFE: &str = "lifetimes: {session_idle: 3s, session: 3s}\n";

const PASSWORD: &str = "four words of her own";

/// Longer than a test waits for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

impl Place {
    #[track_caller]
    fn grant(&self) -> String {
        let reply = self.post("/auth/news/login", &[], &json!({"username": "alice", "password": PASSWORD}));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["grant_token"].as_str().expect("a grant").to_owned()
    }

    /// `None` where its grant had ended before this machine came to use it: a grant of 1 s ends with the
    /// second, so it may live for a few ms only.
    #[track_caller]
    fn token(&self) -> Option<String> {
        let reply = self.post("/auth/news/token", &[], &json!({"grant_token": self.grant()}));
        if reply.status == 401 {
            return None;
        }
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["access_token"]["value"].as_str().map(str::to_owned)
    }

    /// What a browser sends once it is logged in.
    #[track_caller]
    fn session(&self) -> String {
        let login = json!({"username": "alice", "password": PASSWORD});
        let reply = self.post("/auth/shop/login", &[], &login);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let set = reply.header("set-cookie").expect("a cookie");
        set.split(';').next().unwrap_or_default().to_owned()
    }

    /// Why a request would be refused. Asking uses nothing.
    #[track_caller]
    fn why_not(&self, path: &str, (name, value): (&str, &str)) -> Option<String> {
        let (url, header) = (format!("https://api.example{path}"), format!("{name}: {value}"));
        command(&self.doorward, &["explain", &url, "-H", &header])["why"].as_str().map(str::to_owned)
    }
}

fn grants_and_tokens_end(both: &Both<'_>) {
    let Both { here, there } = both;
    // Left lying from before the token was made, which lives twice as long.
    let left = here.grant();
    let token = eventually("a token is used in time", || {
        let token = here.token()?;
        let used = [here, there].map(|at| at.answer("/news", &[("X-Auth-Token", &token)]));
        used.iter().all(|answer| answer == "allowed").then_some(token)
    });
    both.comes_to("/news", &[("X-Auth-Token", &token)], "invalid_credential");
    assert_eq!(here.why_not("/news", ("X-Auth-Token", &token)).as_deref(), Some("expired"));
    for at in [here, there] {
        let reply = at.post("/auth/news/token", &[], &json!({"grant_token": left}));
        assert_eq!((reply.status, reply.code().as_str()), (401, "invalid_credential"), "{}", reply.text());
    }
}

/// A session that was in use at one place for longer than it may lie idle, as the other has come to know;
/// `None` where this machine once left it alone for so long that it may be over.
#[track_caller]
fn kept_in_use(both: &Both<'_>) -> Option<String> {
    let Both { here, there } = both;
    let mut asked = Instant::now();
    let (began, session) = (asked, here.session());
    let shown = [("Cookie", session.as_str())];
    let used = until("it is used at both", PATIENCE, || {
        let before = std::mem::replace(&mut asked, Instant::now());
        let answer = here.answer("/shop", &shown);
        // Both ends are whole seconds.
        if before.elapsed() > IDLE - Duration::from_secs(1) {
            return Some(false);
        }
        assert_eq!(answer, "allowed", "{:?} after its login, and used all the time", began.elapsed());
        let longer = began.elapsed() > IDLE + Duration::from_secs(1);
        (longer && there.answer("/shop", &shown) == "allowed").then_some(true)
    });
    used.unwrap_or_else(|message| panic!("{message}")).then_some(session)
}

fn idle_sessions_end(both: &Both<'_>) {
    let Both { here, there } = both;
    let session = (0..20).find_map(|_| kept_in_use(both)).expect("a machine that is not asleep");
    for at in [here, there] {
        let idle = until("it has lain idle", PATIENCE, || {
            (at.why_not("/shop", ("Cookie", &session))? == "idle").then_some(())
        });
        idle.unwrap_or_else(|message| panic!("{message}"));
    }
    // Whoever tries now does not bring it back.
    for _ in 0..2 {
        for at in [here, there] {
            assert_eq!(at.answer("/shop", &[("Cookie", &session)]), "invalid_credential");
        }
    }
}

fn sessions_end_in_use(both: &Both<'_>) {
    let Both { here, there } = both;
    let session = eventually("a session is used in time", || {
        let session = here.session();
        let used = [here, there].map(|at| at.answer("/shop", &[("Cookie", &session)]));
        used.iter().all(|answer| answer == "allowed").then_some(session)
    });
    // Asking is using it.
    both.comes_to("/shop", &[("Cookie", &session)], "invalid_credential");
    assert_eq!(here.why_not("/shop", ("Cookie", &session)).as_deref(), Some("expired"));
}

/// With alice, at one instance.
fn alone(lifetimes: &str, walk: impl FnOnce(&Both<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let config = format!("{SERVICES}{lifetimes}");
    let place = Place::new(start_doorward(&folder.path().join("doorward"), &config), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    walk(&Both { here: &place, there: &place });
}

/// The same at two over one Redis.
fn together(lifetimes: &str, walk: impl FnOnce(&Both<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let redis = Redis::start(&folder.path().join("redis"), &[]).unwrap();
    let [here, there] = ["here", "there"].map(|name| {
        let setup = setup(&folder.path().join(name));
        setup.write(&format!("{SERVICES}{lifetimes}store: {{url: \"{}\"}}\n", redis.url())).unwrap();
        secret(&setup, SECRET);
        Place::new(started(&setup), &echo)
    });
    command(&here.doorward, &["consumer", "create", "alice"]);
    here.doorward.set_password("alice", PASSWORD).unwrap();
    walk(&Both { here: &here, there: &there });
}

#[test]
fn what_is_short_lived_ends_by_itself() {
    alone(SHORT_USE, |both| {
        grants_and_tokens_end(both);
        idle_sessions_end(both);
    });
}

#[test]
fn what_is_short_lived_ends_by_itself_over_two_instances() {
    together(SHORT_USE, |both| {
        grants_and_tokens_end(both);
        idle_sessions_end(both);
    });
}

#[test]
fn a_session_ends_however_much_it_is_used() {
    alone(SHORT_LIFE, sessions_end_in_use);
}

#[test]
fn a_session_ends_however_much_it_is_used_over_two_instances() {
    together(SHORT_LIFE, sessions_end_in_use);
}
