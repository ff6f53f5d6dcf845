//! What a caller may do once it is known: Kong's groups, Kala's permissions, KakaoCloud's roles,
//! Kuroco's static tokens.

use crate::rig::http1::{Reply, request};
use crate::rig::wait::eventually;
use crate::world::{ALICE, BOB, World};

/// Kong's ACL in every shape.
const CLUBS: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: gold, paths: [/gold], authentication: {any: [{api_key: {}}]}, groups: {allow: [gold, platinum]}}
  - {name: unbanned, paths: [/unbanned], authentication: {any: [{api_key: {}}]}, groups: {deny: [banned]}}
  - {name: all, paths: [/all], authentication: {any: [{api_key: {}}]}}
  - {name: guests, paths: [/guests], authentication: {any: [{api_key: {}}], anonymous: guest}, groups: {allow: [gold]}}
  - {name: guests-unbanned, paths: [/guests-unbanned], authentication: {any: [{api_key: {}}], anonymous: guest}, groups: {deny: [banned]}}
  - {name: visitors, paths: [/visitors], authentication: {any: [{api_key: {}}], anonymous: visitor}, groups: {allow: [gold]}}
  - {name: lounge, paths: [/lounge], authentication: {any: [{api_key: {}}], anonymous: visitor}, groups: {allow: [visitors]}}
  - {name: nobodys, paths: [/nobodys], authentication: none, groups: {allow: [gold]}}
  - {name: nobodys-unbanned, paths: [/nobodys-unbanned], authentication: none, groups: {deny: [banned]}}
consumers:
  - {username: guest}
  - {username: visitor, groups: [visitors]}
"#;

const PASSES: (u16, &str, &str) = (200, "", "");
const NOT_A_MEMBER: (u16, &str, &str) = (403, "group_denied", "You cannot consume this service");
const UNKNOWN: (u16, &str, &str) = (401, "missing_credential", "No API key found in request");

#[track_caller]
fn check(world: &World, target: &str, key: Option<&str>, expected: (u16, &str, &str)) -> Reply {
    let headers: Vec<(&str, &str)> = key.iter().map(|key| ("apikey", *key)).collect();
    let reply = world.get(target, &headers);
    let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!((reply.status, reply.code().as_str(), message.as_str()), expected, "{target}");
    reply
}

#[test]
fn kongs_answers_hold_for_members_strangers_and_nobody() {
    let world = World::with(CLUBS, |_| {});
    let member = |name: &str, groups: &[&str]| {
        let options: Vec<&str> = groups.iter().flat_map(|group| ["--group", *group]).collect();
        world.command(&[&["consumer", "create", name], &options[..]].concat());
        world.key(name, &[]).0
    };
    let (gold, both) = (member("goldie", &["gold"]), member("both", &["gold", "banned"]));
    let (banned, none) = (member("banned", &["banned"]), member("none", &[]));
    let (shouting, near) = (member("shouting", &["GOLD"]), member("near", &["golden", "gol"]));
    #[rustfmt::skip] // A table is read by its columns.
    let table = [
        //                 allow [gold, platinum]  deny [banned]
        (Some(&gold),      PASSES,                 PASSES),
        (Some(&both),      PASSES,                 NOT_A_MEMBER),
        (Some(&banned),    NOT_A_MEMBER,           NOT_A_MEMBER),
        (Some(&none),      NOT_A_MEMBER,           PASSES),
        (Some(&shouting),  NOT_A_MEMBER,           PASSES),
        (Some(&near),      NOT_A_MEMBER,           PASSES),
        (None,             UNKNOWN,                UNKNOWN),
    ];
    for (key, allowed, not_denied) in table {
        let key = key.map(String::as_str);
        check(&world, "/gold", key, allowed);
        check(&world, "/unbanned", key, not_denied);
    }
    // An anonymous caller without groups is told to prove itself, one with groups that they are not
    // the right ones.
    check(&world, "/guests", None, UNKNOWN);
    check(&world, "/guests-unbanned", None, UNKNOWN);
    check(&world, "/guests", Some(&gold), PASSES);
    check(&world, "/visitors", None, NOT_A_MEMBER);
    check(&world, "/visitors", Some(&gold), PASSES);
    check(&world, "/lounge", None, PASSES);
    check(&world, "/lounge", Some(&gold), NOT_A_MEMBER);
    // Nobody was asked who they are, so nobody is in a group, nor known to be in none.
    for target in ["/nobodys", "/nobodys-unbanned"] {
        let reply = check(&world, target, Some(&gold), UNKNOWN);
        assert_eq!(reply.header("www-authenticate"), None, "nothing would help");
    }
    assert_eq!(check(&world, "/gold", None, UNKNOWN).header("www-authenticate"), Some("Key"));
    assert_eq!(check(&world, "/gold", Some(&none), NOT_A_MEMBER).header("www-authenticate"), None);
}

#[test]
fn the_upstream_is_told_all_groups_and_never_a_clients_word_for_them() {
    let world = World::with(CLUBS, |_| {});
    world.command(&["consumer", "create", "both", "--group", "gold", "--group", "silver"]);
    world.command(&["consumer", "create", "none"]);
    let (both, none) = (world.key("both", &[]).0, world.key("none", &[]).0);
    let groups = |target: &str, key: &str| {
        let forged = [("X-Consumer-Groups", "admin"), ("x_consumer_groups", "admin"), ("apikey", key)];
        let seen = world.get(target, &forged).seen().expect("allowed");
        assert!(seen.headers.iter().all(|(_, value)| value != "admin"), "{target}: {:?}", seen.headers);
        seen.all("x-consumer-groups").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for target in ["/gold", "/unbanned", "/all"] {
        assert_eq!(groups(target, &both), ["gold, silver"], "{target}");
    }
    assert_eq!(groups("/all", &none), [""; 0], "never empty");
    assert_eq!(groups("/lounge", "wrong-0123456789-abcdef"), ["visitors"]);
    // A comma would make two groups of one.
    let refused = world.doorward.command(&["consumer", "create", "sly", "--group", "gold, admin"]);
    assert!(refused.is_err(), "a group with a comma");
}

/// Kala's two permissions on its two kinds of things, as its document has them; and who may do what
/// by method, group and role.
const KALA: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
permissions:
  - {id: 01968c91-8789-7288-a337-f0e398711aac, name: user-management}
  - {id: 01968c91-8789-7724-b62d-946b118ce9d6, name: data-management}
roles: [{name: admin, implies: [member]}, {name: member, implies: [reader]}, {name: reader}]
projects:
  - {id: ca7f6c731a004091a32d4eb97ec17271, name: red}
  - {id: 0b3aa5b0-5f0f-4d1d-9a0c-3f1b8f1b7f21, name: blue}
services:
  - name: kala
    authentication: {any: [{api_key: {names: [X-API-Key, {name: key, in: [query]}]}}], anonymous: guest}
    rules:
      - {paths: [/users], permissions: [user-management]}
      - {paths: [/datastore], permissions: [01968c91-8789-7724-b62d-946b118ce9d6]}
      - {paths: [/both], permissions: [user-management, data-management]}
      - {paths: [/users/readme], groups: [gold]}
      - {methods: [GET], paths: [/reports], groups: [gold, silver]}
      - {methods: [POST, DELETE], paths: [/reports], permissions: [data-management]}
      - {methods: [DELETE], paths: [/reports], groups: [gold]}
      - {paths: [/members], roles: [member]}
      - {paths: [/red], roles: [red/member]}
      - {paths: [/admins], roles: [blue/admin, ca7f6c731a004091a32d4eb97ec17271/admin]}
consumers:
  - username: alice
    permissions: [user-management, data-management]
    groups: [gold]
    roles: {red: [admin]}
    keys: [{from_env: ALICE_KEY}]
  - username: bob
    permissions: [data-management]
    groups: [silver]
    roles: {blue: [member]}
    keys: [{from_env: BOB_KEY}]
  - {username: guest}
"#;

const USERS: &str = "01968c91-8789-7288-a337-f0e398711aac";
const DATA: &str = "01968c91-8789-7724-b62d-946b118ce9d6";

fn code(world: &World, method: &str, target: &str, key: &str) -> String {
    let reply = world.send(&request(method, target, &[("X-API-Key", key)], b""));
    match (reply.status, method) {
        (200, _) => "allow".to_owned(),
        // Without a body there is no code to read.
        (status, "HEAD") => status.to_string(),
        _ => reply.code(),
    }
}

#[test]
fn kalas_permissions_guard_users_and_datastore() {
    let world = World::with(KALA, |_| {});
    let limited = |permissions: &[&str]| {
        let options: Vec<&str> = permissions.iter().flat_map(|it| ["--permission", *it]).collect();
        world.key("alice", &options).0
    };
    let (users, data) = (limited(&["user-management"]), limited(&[DATA]));
    let (both, whole) = (limited(&[USERS, "data-management"]), limited(&[]));
    const NO: &str = "permission_denied";
    #[rustfmt::skip] // A table is read by its columns.
    let table = [
        //                 /users   /datastore  /both    X-Permissions
        (users.as_str(),  ["allow", NO,         NO],      vec![USERS]),
        (data.as_str(),   [NO,      "allow",    NO],      vec![DATA]),
        (both.as_str(),   ["allow", "allow",    "allow"], vec![USERS, DATA]),
        (whole.as_str(),  ["allow", "allow",    "allow"], vec![USERS, DATA]),
        (ALICE,           ["allow", "allow",    "allow"], vec![USERS, DATA]),
        (BOB,             [NO,      "allow",    NO],      vec![DATA]),
    ];
    for (key, expected, permissions) in table {
        for (at, target) in ["/users", "/datastore", "/both"].into_iter().enumerate() {
            for target in [target.to_owned(), format!("{target}/1/x")] {
                assert_eq!(code(&world, "GET", &target, key), expected[at], "{target} {permissions:?}");
                assert_eq!(code(&world, "PATCH", &target, key), expected[at], "{target} {permissions:?}");
            }
            let by_query = world.get(&format!("{target}?key={key}"), &[]);
            assert_eq!(by_query.status == 200, expected[at] == "allow", "{target} by query");
        }
        // What no rule names needs the policy alone; whole segments are compared.
        for target in ["/", "/usersx", "/user", "/datastores"] {
            assert_eq!(code(&world, "GET", target, key), "allow", "{target}");
        }
        let seen = world.get("/", &[("X-API-Key", key), ("X-Permissions", "evil")]).seen().expect("allowed");
        let told = seen.all("x-permissions").join("|");
        assert_eq!(told.split(", ").collect::<Vec<_>>(), permissions);
    }
    let reply = world.get("/users", &[("X-API-Key", &data)]);
    assert_eq!((reply.status, reply.header("www-authenticate")), (403, None));
    // The guest is somebody, and has no permission.
    assert_eq!(code(&world, "GET", "/users", "wrong-0123456789-abcdef"), NO);
}

/// `security-rules.md` 3.2 A13: what somebody is, is asked anew on each check.
#[test]
fn a13_a_right_that_was_taken_away_is_gone_with_the_next_check() {
    const RIGHTS: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
permissions: [{name: write}]
roles: [{name: admin}]
projects: [{name: p}]
services:
  - name: orders
    authentication: {any: [{api_key: {}}]}
    groups: {allow: [gold, staff]}
    rules:
      - {paths: [/gold], groups: [gold]}
      - {paths: [/write], permissions: [write]}
      - {paths: [/admin], roles: [p/admin]}
consumers:
  - {username: alice, groups: [gold, staff], permissions: [write], roles: {p: [admin]}, keys: [{from_env: ALICE_KEY}]}
"#;
    let world = World::with(RIGHTS, |_| {});
    let codes = || ["/", "/gold", "/write", "/admin"].map(|target| code(&world, "GET", target, ALICE));
    assert_eq!(codes(), ["allow"; 4]);
    let (permission, group) = ("permission_denied", "group_denied");
    for (before, after, expected) in [
        ("groups: [gold, staff], p", "groups: [staff], p", ["allow", group, "allow", "allow"]),
        ("permissions: [write], ", "", ["allow", "allow", permission, "allow"]),
        ("roles: {p: [admin]}, ", "", ["allow", "allow", "allow", permission]),
        ("groups: [gold, staff], p", "groups: [other], p", [group; 4]),
    ] {
        let less = RIGHTS.replace(before, after);
        assert_ne!(less, RIGHTS);
        world.doorward.setup().write(&less).unwrap();
        eventually(&format!("without {before}"), || (codes() == expected).then_some(()));
        world.doorward.setup().write(RIGHTS).unwrap();
        eventually("with all", || (codes() == ["allow"; 4]).then_some(()));
    }
}

/// `security-rules.md` 3.2 A13.
#[test]
fn a13_a_key_never_has_more_than_its_consumer_has_now() {
    let world = World::with(KALA, |_| {});
    // Made with what its consumer does not have, or could not be made at all.
    if let Ok(made) = world.doorward.command(&["key", "create", "bob", "--permission", USERS]) {
        let key = made["key"].as_str().unwrap();
        assert_eq!(code(&world, "GET", "/users", key), "permission_denied");
        assert_eq!(code(&world, "GET", "/datastore", key), "permission_denied");
    }
    let (key, _) = world.key("alice", &["--permission", USERS]);
    assert_eq!(code(&world, "GET", "/users", &key), "allow");
    // The consumer loses a right, and with it every key of theirs, made before.
    let less =
        KALA.replace("permissions: [user-management, data-management]\n", "permissions: [data-management]\n");
    assert_ne!(less, KALA);
    world.doorward.setup().write(&less).unwrap();
    eventually("the right is gone", || {
        (code(&world, "GET", "/users", &key) == "permission_denied").then_some(())
    });
    assert_eq!(code(&world, "GET", "/users", ALICE), "permission_denied");
    assert_eq!(code(&world, "GET", "/datastore", ALICE), "allow");
    assert_eq!(code(&world, "GET", "/datastore", &key), "permission_denied", "it was not given that");
    let unknown = world.doorward.command(&["key", "create", "alice", "--permission", "world-domination"]);
    assert!(unknown.is_err_and(|message| message.contains("world-domination")));
}

#[test]
fn of_the_rules_about_a_method_those_with_the_longest_prefix_all_apply() {
    let world = World::with(KALA, |_| {});
    world.command(&["consumer", "create", "carol", "--group", "gold", "--permission", "data-management"]);
    world.command(&["consumer", "create", "dave", "--group", "gold"]);
    let (carol, dave) = (world.key("carol", &[]).0, world.key("dave", &[]).0);
    for (method, target, key, expected) in [
        // The longer prefix alone: not the permission of /users.
        ("GET", "/users/readme", dave.as_str(), "allow"),
        ("GET", "/users/readme/x", &dave, "allow"),
        ("GET", "/users/readmes", &dave, "permission_denied"),
        ("GET", "/users/readme", BOB, "group_denied"),
        // By method; HEAD follows GET, and what no rule is about passes.
        ("GET", "/reports", BOB, "allow"),
        ("HEAD", "/reports", BOB, "allow"),
        ("GET", "/reports/1", &dave, "allow"),
        ("POST", "/reports", &dave, "permission_denied"),
        ("POST", "/reports", BOB, "allow"),
        ("PUT", "/reports", &dave, "allow"),
        // Both rules about DELETE
        ("DELETE", "/reports", BOB, "group_denied"),
        ("DELETE", "/reports", &dave, "permission_denied"),
        ("DELETE", "/reports", &carol, "allow"),
        // A guest without groups is asked who it is.
        ("GET", "/reports", "wrong-0123456789-abcdef", "missing_credential"),
        ("HEAD", "/reports", "wrong-0123456789-abcdef", "401"),
        // Methods have case: this is another one.
        ("POST", "/users", BOB, "permission_denied"),
    ] {
        assert_eq!(code(&world, method, target, key), expected, "{method} {target}");
    }
}

#[test]
fn a_role_holds_in_its_project_and_implies_the_lesser_ones() {
    let world = World::with(KALA, |_| {});
    for (target, alice, bob) in [
        ("/members", "allow", "allow"),
        ("/red", "allow", "permission_denied"),
        ("/admins", "allow", "permission_denied"),
    ] {
        assert_eq!(code(&world, "GET", target, ALICE), alice, "{target}");
        assert_eq!(code(&world, "GET", target, BOB), bob, "{target}");
        assert_eq!(code(&world, "GET", target, "wrong-0123456789-abcdef"), "permission_denied", "{target}");
    }
}

/// Kuroco's static access token, alone and beside keys.
const TOKENS: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: token, paths: [/token], authentication: {any: [static_token]}}
  - {name: other, paths: [/other], authentication: {any: [{static_token: {headers: [X-Kuroco-Token]}}]}}
  - {name: either, paths: [/either], authentication: {any: [{api_key: {realm: either}}, static_token]}}
  - {name: each, paths: [/each], authentication: {all: [{api_key: {}}, static_token]}}
consumers:
  - {username: alice, keys: [{from_env: ALICE_KEY}]}
"#;

fn challenges(reply: &Reply) -> Vec<&str> {
    let ours = reply.headers.iter().filter(|(name, _)| name == "www-authenticate");
    ours.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn a_static_token_is_a_key_that_names_its_service() {
    let world = World::with(TOKENS, |_| {});
    world.command(&["consumer", "create", "site"]);
    let key = |services: &[&str]| {
        let options: Vec<&str> = services.iter().flat_map(|service| ["--service", *service]).collect();
        world.key("site", &options).0
    };
    let (token, other, any) = (key(&["token"]), key(&["other"]), key(&[]));
    let bearer = |text: &str| format!("Bearer {text}");
    let code = |target: &str, headers: &[(&str, &str)]| {
        let reply = world.get(target, headers);
        let Some(seen) = reply.seen() else { return reply.code() };
        assert_eq!(seen.all("x-consumer-username"), ["site"]);
        let whole = format!("{:?}", seen.headers);
        assert!(!whole.contains("dw_key_"), "the token is kept from the upstream: {whole}");
        "allow".to_owned()
    };
    let mine = bearer(&token);
    for headers in
        [[("Authorization", mine.as_str())], [("X-Auth-Token", &token)], [("x-auth-token", &token)]]
    {
        assert_eq!(code("/token/x", &headers), "allow", "{headers:?}");
    }
    // Genuine keys, and yet no tokens of this service.
    for text in [&other, &any] {
        assert_eq!(code("/token", &[("Authorization", &bearer(text))]), "invalid_credential");
        assert_eq!(code("/token", &[("X-Auth-Token", text)]), "invalid_credential");
    }
    assert_eq!(code("/token", &[("X-Auth-Token", ALICE)]), "invalid_credential");
    // Where it is not looked for, there is none.
    let by_query = format!("/token?key={token}&apikey={token}");
    assert_eq!(code(&by_query, &[("apikey", &token)]), "missing_credential");
    assert_eq!(code("/token", &[("Authorization", &format!("Basic {token}"))]), "missing_credential");
    assert_eq!(code("/other", &[("X-Auth-Token", &other)]), "missing_credential");
    assert_eq!(code("/other", &[("X-Kuroco-Token", &other)]), "allow");
    // The first header that holds anything decides; two of one are none.
    let wrong = bearer("wrong-0123456789-abcdef");
    assert_eq!(code("/token", &[("Authorization", &wrong), ("X-Auth-Token", &token)]), "invalid_credential");
    assert_eq!(code("/token", &[("Authorization", &mine), ("X-Auth-Token", "wrong")]), "allow");
    assert_eq!(code("/token", &[("Authorization", &mine), ("Authorization", &mine)]), "duplicate_credential");
    assert_eq!(code("/token", &[("X-Auth-Token", &token), ("X-Auth-Token", &token)]), "duplicate_credential");
}

#[test]
fn every_scheme_that_is_accepted_is_named_in_a_challenge_of_its_own() {
    let world = World::with(TOKENS, |_| {});
    for (target, headers, expected) in [
        ("/token", vec![], vec!["Bearer realm=\"doorward\""]),
        (
            "/token",
            vec![("X-Auth-Token", "wrong-0123456789-abcdef")],
            vec!["Bearer realm=\"doorward\", error=\"invalid_token\""],
        ),
        (
            "/token",
            vec![("X-Auth-Token", "a"), ("X-Auth-Token", "b")],
            vec!["Bearer realm=\"doorward\", error=\"invalid_request\""],
        ),
        ("/either", vec![], vec!["Key realm=\"either\"", "Bearer realm=\"doorward\""]),
        (
            "/either",
            vec![("apikey", "wrong-0123456789-abcdef")],
            vec!["Key realm=\"either\"", "Bearer realm=\"doorward\", error=\"invalid_token\""],
        ),
        ("/each", vec![("apikey", ALICE)], vec!["Key", "Bearer realm=\"doorward\""]),
    ] {
        let reply = world.get(target, &headers);
        assert_eq!(reply.status, 401, "{target} {headers:?}");
        assert_eq!(challenges(&reply), expected, "{target} {headers:?}");
    }
}

#[test]
fn of_several_methods_any_suffices_or_all_are_needed_and_the_last_one_names_the_caller() {
    let world = World::with(TOKENS, |_| {});
    world.command(&["consumer", "create", "site"]);
    let (either, _) = world.key("site", &["--service", "either"]);
    let (each, _) = world.key("site", &["--service", "each"]);
    let (elsewhere, _) = world.key("site", &["--service", "token"]);
    let answer = |target: &str, headers: &[(&str, &str)]| {
        let reply = world.get(target, headers);
        reply.seen().map_or_else(|| reply.code(), |seen| seen.all("x-consumer-username").join("|"))
    };
    let wrong = "wrong-0123456789-abcdef";
    for (target, key, token, expected) in [
        ("/either", Some(ALICE), None, "alice"),
        ("/either", None, Some(either.as_str()), "site"),
        ("/either", Some(ALICE), Some(either.as_str()), "alice"),
        ("/either", Some(wrong), Some(either.as_str()), "site"),
        ("/either", Some(ALICE), Some(wrong), "alice"),
        ("/either", Some(wrong), Some(wrong), "invalid_credential"),
        ("/either", None, None, "missing_credential"),
        ("/each", Some(ALICE), Some(each.as_str()), "site"),
        ("/each", Some(ALICE), None, "missing_credential"),
        ("/each", None, Some(each.as_str()), "missing_credential"),
        ("/each", Some(wrong), Some(each.as_str()), "invalid_credential"),
        ("/each", Some(ALICE), Some(wrong), "invalid_credential"),
        // A key that proves, and does not open this service, spoils all.
        ("/each", Some(elsewhere.as_str()), Some(each.as_str()), "service_denied"),
    ] {
        let key = key.map(|key| ("apikey", key));
        let token = token.map(|token| ("X-Auth-Token", token));
        let headers: Vec<(&str, &str)> = key.into_iter().chain(token).collect();
        assert_eq!(answer(target, &headers), expected, "{target} {headers:?}");
    }
}
