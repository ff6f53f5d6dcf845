//! Opaque tokens and sessions, each held against what it came from.

use std::time::Duration;

use super::*;
use crate::domain::authentication::{Cookie, Token as TokenMethod};
use crate::domain::deployment::Groups;
use crate::domain::role::{Project, RoleDemand, RoleGrant, Roles};
use crate::domain::secret::{ENTROPY_BYTES, Kind as SecretKind, Secret};
use crate::domain::token::{Kind, Scope};

const PROJECT: Uuid = Uuid::from_u128(0xca7f_6c73_1a00_4091_a32d_4eb9_7ec1_7271);
const ACCESS_KEY: Uuid = Uuid::from_u128(40);
const PASSWORD: Mark = Mark::from_bytes([7; 12]);
const OTHER: Mark = Mark::from_bytes([8; 12]);

fn text(kind: SecretKind, number: u8) -> String {
    let mut byte = number;
    let entropy = [0; ENTROPY_BYTES].map(|_: u8| {
        byte = byte.wrapping_mul(5).wrapping_add(1);
        byte
    });
    Secret::generate(kind, &entropy).unwrap().0.expose().to_owned()
}

/// The id that a text has under one key of the ring.
fn id_of(text: &str, ring_key: usize) -> Uuid {
    peppers().verifiers(text.as_bytes()).nth(ring_key).unwrap().id()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn token(scope: Scope) -> Token {
    Token { id: Uuid::nil(), consumer: ALICE, scope, expires_at: at(1_000_001), created_at: at(900_000) }
}

fn subject(roles: &[&str]) -> Token {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    token(Scope::Subject { access_key: ACCESS_KEY, project: PROJECT, roles, passwords: Vec::new() })
}

fn dynamic(service: Uuid) -> Token {
    token(Scope::Dynamic { service, password: PASSWORD })
}

/// What is known where nothing is wrong: alice is a member of the project.
fn good() -> Memory {
    let mut memory = memory();
    let mut alice = Consumer::clone(&memory.consumers[&ALICE]);
    let roles = vec![RoleGrant { project: PROJECT, role: "member".into() }];
    alice.given = Arc::new(Given { roles, ..Given::clone(&alice.given) });
    memory.consumers.insert(ALICE, Arc::new(alice));
    let key = AccessKey {
        id: ACCESS_KEY,
        consumer: ALICE,
        name: "ci".into(),
        project: PROJECT,
        roles: vec!["member".into()],
        expires_at: Some(at(1_000_001)),
        enabled: true,
        created_at: at(0),
    };
    memory.access_keys.insert(ACCESS_KEY, Arc::new(key));
    memory.passwords.insert(ALICE, PASSWORD);
    memory
}

impl Memory {
    fn with_token(mut self, text: &str, token: Token) -> Self {
        let id = id_of(text, 1);
        self.tokens.insert(id, Arc::new(Token { id, ..token }));
        self
    }

    fn with_session(mut self, text: &str, last: i64, change: impl FnOnce(&mut Session)) -> Self {
        let id = id_of(text, 0);
        let idle = Duration::from_secs(60);
        let (created_at, expires_at) = (at(999_000), at(1_000_001));
        let mut session = Session { id, consumer: ALICE, created_at, expires_at, idle, password: PASSWORD };
        change(&mut session);
        self.sessions.insert(id, (Arc::new(session), at(last)));
        self
    }
}

fn catalog_of(methods: Vec<Method>) -> Catalog {
    let combine = Combine::Any;
    let authentication = Authentication::Required { combine, methods, anonymous: Some(GUEST) };
    let deployments = catalog(authentication).deployments().to_vec();
    let direct = [("admin", "member"), ("member", "reader"), ("reader", "reader")];
    let direct = direct.map(|(role, implied)| (role.to_owned(), vec![implied.to_owned()]));
    let project = Project { id: PROJECT, name: "kakaocloud-project".into(), ..Project::default() };
    let roles = Roles::new(&HashMap::from(direct));
    Catalog::new(Parts {
        deployments,
        roles,
        projects: vec![project],
        session_cookie: Some("__Host-s".into()),
        ..Parts::default()
    })
    .unwrap()
}

fn tokens(kinds: &[Kind]) -> Method {
    let headers = vec!["authorization".to_owned(), "x-auth-token".to_owned()];
    Method::Token(TokenMethod { headers, kinds: kinds.to_vec() })
}

fn cookie(csrf: bool) -> Method {
    Method::Cookie(Cookie { name: "__Host-s".into(), domain: None, csrf, origins: vec![] })
}

/// `anonymous guest` stands for every failure to prove.
#[track_caller]
fn check_token(memory: Memory, kinds: &[Kind], line: &str, expected: &str) {
    let mut catalog = catalog_of(vec![tokens(kinds)]);
    if expected != "anonymous guest" {
        catalog = without_anonymous(catalog);
    }
    assert_eq!(outcome(&catalog, &memory, &request("/orders", &[line])), expected, "{line}");
}

fn without_anonymous(catalog: Catalog) -> Catalog {
    let mut deployments = catalog.deployments().to_vec();
    let authentication = Arc::make_mut(&mut deployments[0].policy.authentication);
    if let Authentication::Required { anonymous, .. } = authentication {
        *anonymous = None;
    }
    let (roles, projects) = (catalog.roles().clone(), catalog.projects().to_vec());
    Catalog::new(Parts { deployments, roles, projects, ..Parts::default() }).unwrap()
}

#[test]
fn a_subject_token_opens_for_as_long_as_its_key_and_a_role_of_it_are_there() {
    let text = &text(SecretKind::Token, 1);
    let bearer = &format!("authorization: Bearer {text}");
    let with = |roles: &[&str]| good().with_token(text, subject(roles));
    let check = |memory, expected| check_token(memory, &Kind::ALL, bearer, expected);
    check(with(&["member"]), "alice");
    check(with(&["admin"]), "alice");
    check(with(&[]), "invalid_credential: no_role_left");
    check_token(with(&["member"]), &Kind::ALL, &format!("x-auth-token: {text}"), "alice");
    check_token(with(&["member"]), &[Kind::Dynamic], bearer, "invalid_credential: other_service");
    check_token(good(), &Kind::ALL, bearer, "anonymous guest");

    let mut memory = with(&["member"]);
    memory.access_keys.clear();
    check(memory, "invalid_credential: access_key_ended");
    for change in
        [|key: &mut AccessKey| key.enabled = false, |key: &mut AccessKey| key.expires_at = Some(NOW)]
    {
        let mut memory = with(&["member"]);
        let mut key = AccessKey::clone(&memory.access_keys[&ACCESS_KEY]);
        change(&mut key);
        memory.access_keys.insert(ACCESS_KEY, Arc::new(key));
        check(memory, "invalid_credential: access_key_ended");
    }
    let mut memory = with(&["member"]);
    memory.consumers.insert(ALICE, consumer(ALICE, "alice", true).1);
    check(memory, "invalid_credential: no_role_left");
    let mut memory = with(&["member"]);
    memory.consumers.insert(ALICE, consumer(ALICE, "alice", false).1);
    check(memory, "invalid_credential: consumer_disabled");
    let mut memory = with(&["member"]);
    memory.consumers.remove(&ALICE);
    check(memory, "invalid_credential: consumer_unknown");
    check(
        good().with_token(text, Token { expires_at: NOW, ..subject(&["member"]) }),
        "invalid_credential: expired",
    );
    let mut memory = with(&["member"]);
    memory.fault = Some(Fault::LeaseExpired);
    check(memory, "fault");
}

#[test]
fn a_token_of_a_project_that_is_gone_opens_nothing() {
    let text = &text(SecretKind::Token, 1);
    let catalog = without_anonymous(catalog_of(vec![tokens(&Kind::ALL)]));
    let deployments = catalog.deployments().to_vec();
    let parts = Parts { deployments, roles: catalog.roles().clone(), ..Parts::default() };
    let catalog = Catalog::new(parts).unwrap();
    let memory = good().with_token(text, subject(&["member"]));
    let line = format!("x-auth-token: {text}");
    let found = outcome(&catalog, &memory, &request("/orders", &[&line]));
    assert_eq!(found, "invalid_credential: no_role_left");
}

#[test]
fn a_dynamic_token_opens_its_own_service_until_the_password_changes() {
    let text = &text(SecretKind::Token, 1);
    let bearer = &format!("authorization: Bearer {text}");
    let check = |memory, expected| check_token(memory, &Kind::ALL, bearer, expected);
    check(good().with_token(text, dynamic(ORDERS)), "alice");
    check(good().with_token(text, dynamic(Uuid::from_u128(11))), "invalid_credential: other_service");
    let mut memory = good().with_token(text, dynamic(ORDERS));
    memory.passwords.insert(ALICE, OTHER);
    check(memory, "invalid_credential: password_changed");
    let mut memory = good().with_token(text, dynamic(ORDERS));
    memory.passwords.clear();
    check(memory, "invalid_credential: password_changed");
}

#[test]
fn a_subject_token_ends_when_any_password_of_its_owner_changes_and_not_when_there_is_a_first_one() {
    let text = &text(SecretKind::Token, 1);
    let bearer = &format!("authorization: Bearer {text}");
    let bought = |had: &[Mark]| {
        let mut token = subject(&["member"]);
        if let Scope::Subject { passwords, .. } = &mut token.scope {
            *passwords = had.to_vec();
        }
        good().with_token(text, token)
    };
    let check = |memory, expected| check_token(memory, &Kind::ALL, bearer, expected);
    check(bought(&[]), "alice");
    check(bought(&[PASSWORD]), "alice");
    check(bought(&[OTHER]), "invalid_credential: password_changed");
    check(bought(&[PASSWORD, OTHER]), "invalid_credential: password_changed");
    let mut memory = bought(&[PASSWORD]);
    memory.passwords.clear();
    check(memory, "invalid_credential: password_changed");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn only_a_whole_token_is_looked_up_and_what_is_none_was_not_presented() {
    let (good_text, session) = (text(SecretKind::Token, 1), text(SecretKind::Session, 1));
    let broken = format!("{}0", &good_text[..good_text.len() - 1]);
    let known = || good().with_token(&good_text, subject(&["member"])).with_session(&session, 999_999, |_| ());
    let check = |line: &str, expected| check_token(known(), &Kind::ALL, line, expected);
    check("authorization: Bearer alice-key-0000001",                 "missing_credential");
    check("authorization: Bearer a.b.c",                             "missing_credential");
    check(&format!("authorization: Bearer {session}"),               "missing_credential");
    check(&format!("authorization: Bearer {broken}"),                "invalid_credential: malformed");
    check(&format!("authorization: Bearer {good_text},Bearer a"),    "duplicate_credential");
    check(&format!("x-auth-token: {good_text},{good_text}"),         "duplicate_credential");
    check("x-auth-token: alice-key-0000001",                         "invalid_credential: malformed");
    check(&format!("x-auth-token: {session}"),                       "invalid_credential: malformed");
    check(&format!("x-auth-token: {}", text(SecretKind::Token, 2)),  "invalid_credential: unknown");
    check(&format!("cookie: __Host-s={good_text}"),                  "missing_credential");
}

#[test]
#[rustfmt::skip]
fn a_session_opens_while_it_is_used_and_its_password_stands() {
    let text = text(SecretKind::Session, 1);
    let catalog = without_anonymous(catalog_of(vec![cookie(true)]));
    let check = |memory: &Memory, lines: &[&str], expected| {
        assert_eq!(outcome(&catalog, memory, &request("/orders", lines)), expected, "{lines:?}");
    };
    let line = &format!("cookie: theme=dark; __Host-s={text}");
    let used = |last| good().with_session(&text, last, |_| ());
    check(&used(999_999),                    &[line], "alice");
    check(&used(999_941),                    &[line], "alice");
    check(&used(999_940),                    &[line], "invalid_credential: idle");
    check(&good(),                           &[line], "invalid_credential: unknown");
    check(&used(999_999),                    &[],     "missing_credential");
    check(&used(999_999),                    &["cookie: __Host-s="],                          "missing_credential");
    check(&used(999_999),                    &["cookie: __Host-s=x"],                         "invalid_credential: malformed");
    check(&used(999_999),                    &[&format!("{line}; __Host-s=x")],               "duplicate_credential");
    check(&used(999_999),                    &[&format!("cookie: __host-s={text}")],          "missing_credential");
    check(&used(999_999),                    &[&format!("authorization: Bearer {text}")],     "missing_credential");
    check(&good().with_session(&text, 999_999, |it| it.expires_at = NOW),          &[line], "invalid_credential: expired");
    check(&good().with_session(&text, 999_999, |it| it.password = OTHER),            &[line], "invalid_credential: password_changed");
    check(&good().with_session(&text, 999_999, |it| it.consumer = MALLORY),        &[line], "invalid_credential: consumer_disabled");
    let mut memory = used(999_999);
    memory.fault = Some(Fault::LeaseExpired);
    check(&memory, &[line], "fault");
}

#[test]
fn a_session_that_another_page_uses_is_refused_and_nobody_stands_in_for_it() {
    let session = text(SecretKind::Session, 1);
    let memory = good().with_session(&session, 999_999, |_| ());
    let line = &format!("cookie: __Host-s={session}");
    let foreign = [line, "origin: https://evil.example"];
    let outcome_of = |methods: Vec<Method>, lines: &[&str]| {
        outcome(&catalog_of(methods), &memory, &request("/orders", lines))
    };
    assert_eq!(outcome_of(vec![cookie(true)], &foreign), "origin_denied");
    assert_eq!(outcome_of(vec![cookie(false)], &foreign), "alice");
    let key = || Method::ApiKey(api_key());
    let wrong_key = [line, foreign[1], "apikey: nobodys-key-0001"];
    for methods in [vec![key(), cookie(true)], vec![cookie(true), key()]] {
        assert_eq!(outcome_of(methods.clone(), &foreign), "origin_denied");
        assert_eq!(outcome_of(methods.clone(), &wrong_key), "origin_denied");
        let right_key = [line, foreign[1], "apikey: alice-key-0000001"];
        assert_eq!(outcome_of(methods, &right_key), "alice", "the key needs no session");
    }
}

/// What becomes of a request by alice's token.
fn changes(catalog: &Catalog, memory: &Memory, lines: &[&str]) -> (Vec<(String, String)>, Vec<String>) {
    let peppers = peppers();
    let world = World { catalog, peppers: &peppers, directory: memory, now: NOW };
    let request = request("/orders", lines);
    let decided = decide(world, &request, &mut Unwatched);
    let Ok(Verdict::Allow(grant)) = &decided.verdict else { panic!("{:?}", decided.verdict) };
    let Mutations { set, remove, .. } = mutate(grant, catalog, &request, decided.trail.query()).unwrap();
    let set = set.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    (set, remove.iter().map(|name| name.clone().into_owned()).collect())
}

#[test]
fn the_upstream_is_told_of_a_subject_token_in_which_project_it_acts_and_as_what() {
    let text = &text(SecretKind::Token, 1);
    let catalog = catalog_of(vec![tokens(&Kind::ALL)]);
    let line = format!("x-auth-token: {text}");
    let (set, remove) =
        changes(&catalog, &good().with_token(text, subject(&["admin"])), &[&line, "x-roles: admin"]);
    let told = |name: &str| set.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..]);
    assert_eq!(told("x-user-id"), Some("00000000000000000000000000000001"));
    assert_eq!(told("x-user-name"), Some("alice"));
    assert_eq!(told("x-project-id"), Some("ca7f6c731a004091a32d4eb97ec17271"));
    assert_eq!(told("x-project-name"), Some("kakaocloud-project"));
    assert_eq!(told("x-roles"), Some("member, reader"), "she was made an admin's token, and is a member");
    assert_eq!(told("x-credential-identifier"), Some(&id_of(text, 1).to_string()[..]));
    assert!(remove.contains(&"x-auth-token".to_owned()));

    let (set, remove) = changes(&catalog, &good().with_token(text, dynamic(ORDERS)), &[&line, "x-roles: a"]);
    for name in ["x-user-id", "x-user-name", "x-project-id", "x-project-name", "x-roles"] {
        assert!(set.iter().all(|(known, _)| known != name) && remove.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn a_session_and_its_cookie_stay_with_us() {
    let text = &text(SecretKind::Session, 1);
    let catalog = catalog_of(vec![cookie(true)]);
    let memory = good().with_session(text, 999_999, |_| ());
    let (set, _) = changes(&catalog, &memory, &[&format!("cookie: theme=dark; __Host-s={text}")]);
    assert!(set.contains(&("cookie".into(), "theme=dark".into())), "{set:?}");
    assert!(set.contains(&("x-credential-identifier".into(), id_of(text, 0).to_string())), "{set:?}");
    let (_, remove) = changes(&catalog, &memory, &[&format!("cookie: __Host-s={text}")]);
    assert!(remove.contains(&"cookie".to_owned()));
}

#[test]
fn of_what_its_owner_has_a_subject_token_narrows_the_roles_alone() {
    let text = &text(SecretKind::Token, 1);
    let catalog = without_anonymous(catalog_of(vec![tokens(&Kind::ALL)]));
    let check = |rule: Rule, groups: Groups, expected: &str| {
        let mut deployments = catalog.deployments().to_vec();
        deployments[0].policy.rules = vec![rule];
        deployments[0].policy.groups = Arc::new(groups);
        let (roles, projects) = (catalog.roles().clone(), catalog.projects().to_vec());
        let catalog = Catalog::new(Parts { deployments, roles, projects, ..Parts::default() }).unwrap();
        let memory = good().with_token(text, subject(&["reader"]));
        let line = format!("x-auth-token: {text}");
        assert_eq!(outcome(&catalog, &memory, &request("/orders", &[&line])), expected);
    };
    let demands =
        |role: &str| Rule { roles: vec![RoleDemand { role: role.into(), project: None }], ..Rule::default() };
    check(demands("reader"), Groups::Any, "alice");
    check(demands("member"), Groups::Any, "permission_denied");
    check(Rule { permissions: vec![READ, WRITE], ..Rule::default() }, Groups::Any, "alice");
    check(Rule { groups: vec!["gold".into()], ..Rule::default() }, Groups::Any, "alice");
    check(Rule::default(), Groups::Allow(vec!["gold".into()]), "alice");
    check(Rule::default(), Groups::Deny(vec!["gold".into()]), "group_denied");
}

#[test]
fn a_rule_counts_the_roles_that_a_token_acts_with_and_no_other() {
    let text = &text(SecretKind::Token, 1);
    let check = |issued: &str, demanded: &str, project, expected: &str| {
        let catalog = without_anonymous(catalog_of(vec![tokens(&Kind::ALL)]));
        let mut deployments = catalog.deployments().to_vec();
        let roles = vec![RoleDemand { role: demanded.into(), project }];
        deployments[0].policy.rules = vec![Rule { roles, ..Rule::default() }];
        let (roles, projects) = (catalog.roles().clone(), catalog.projects().to_vec());
        let catalog = Catalog::new(Parts { deployments, roles, projects, ..Parts::default() }).unwrap();
        let memory = good().with_token(text, subject(&[issued]));
        let line = format!("x-auth-token: {text}");
        let found = outcome(&catalog, &memory, &request("/orders", &[&line]));
        assert_eq!(found, expected, "{issued} where {demanded} is demanded");
    };
    check("member", "member", None, "alice");
    check("member", "reader", Some(PROJECT), "alice");
    check("reader", "member", None, "permission_denied");
    check("admin", "admin", None, "permission_denied");
    check("member", "member", Some(Uuid::from_u128(9)), "permission_denied");
}
