//! The texts of complaints: each names its place, what was found, what was expected, the way out.

use super::*;

/// What is wrong with a file, as the terminal shows it.
#[track_caller]
fn check(yaml: &str, expected: &str) {
    let desk = Desk::with(yaml);
    let told = match desk.load(&[], &[]) {
        Ok(_) => "accepted".to_owned(),
        Err(faults) => desk.told(faults),
    };
    assert_eq!(told, expected);
}

/// What is wrong with a file: `line:column: message` of each fault.
#[track_caller]
pub(super) fn check_all(yaml: &str, expected: &[&str]) {
    let desk = Desk::with(yaml);
    assert_eq!(desk.remarks(desk.load(&[], &[])), expected);
}

/// What is wrong with the authentication of a service.
#[track_caller]
fn check_authentication(authentication: &str, expected: &str) {
    check_all(&format!("services:\n- name: a\n  authentication:\n    {authentication}\n"), &[expected]);
}

/// What is wrong with a key of a consumer.
#[track_caller]
fn check_key(key: &str, expected: &str) {
    check_all(&format!("consumers:\n- username: a\n  keys:\n  - {key}\n"), &[expected]);
}

#[test]
fn the_line_is_shown_with_a_caret_under_the_column() {
    check(
        "log: {level: loud}\n",
        "doorward.yaml:1:14: unknown word `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`\n\
         1 | log: {level: loud}\n\
         \x20 |              ^",
    );
    // After an unknown key may stand anything, also a secret: it is not shown.
    check(
        "\n\n\n\n\n\n\n\n\nservices:\n  - name: a\n    hostss: [x]\n    authentication: none\n",
        "doorward.yaml:12:5: unknown key `hostss`, expected one of `name`, `id`, `hosts`, `paths`, \
         `authentication`, `networks`, `groups`, `rules`, `mode`, `path`, `enabled`, `versions`, `grants`; did you mean `hosts`?\n\
         12 |     hostss…\n\
         \x20  |     ^",
    );
}

#[test]
fn a_key_in_the_file_is_refused_and_not_repeated() {
    for keys in [
        "[sesame-open-sesame]",
        "[{key: sesame-open-sesame}]",
        "[{from_env: sesame-open-sesame}]",
        "[{from_env: dw_key_sesame}]",
        "[{from_file: dw_key_sesame}]",
        "{from_env: [sesame]}",
        "sesame-open-sesame",
        "{sesame: 1}",
    ] {
        let desk = Desk::with(format!("consumers:\n- username: a\n  keys:\n    {keys}\n"));
        let Err(faults) = desk.load(&[], &[]) else { panic!("{keys} was accepted") };
        assert!(!faults.to_string().contains("sesame"), "{faults}");
    }
    let Err(faults) = Desk::with("").load(&[("DOORWARD_STORE__URL", "redis://:sesame@localhost")], &[])
    else {
        panic!("accepted")
    };
    assert!(!faults.to_string().contains("sesame"), "{faults}");
}

#[test]
fn what_is_no_yaml_says_where() {
    check_all("a: [1\n", &["1:4: not readable as YAML: unclosed bracket '['"]);
    check_all("a: *x\n", &["1:4: not readable as YAML: reference to unknown value"]);
    check_all("log: {}\nlog: {}\n", &["2:1: duplicate key `log`: a key stands once in a map"]);
    check_all(
        "log: {}\n---\nlog: {}\n",
        &["3:1: a second document begins here, expected one; use a file for each"],
    );
    check_all(
        "log: !!binary aGVsbG8=\n",
        &["1:15: expected a map of `format`, `level`, `allows`, `refusals_per_second`, found text"],
    );
    check_all("x: &x [*x]\n", &["1:8: not readable as YAML: Recursive reference not allowed here"]);
    let desk = Desk::with(b"log:\n  \xff\n");
    let Err(faults) = desk.load(&[], &[]) else { panic!("accepted") };
    assert_eq!(desk.told(faults), "doorward.yaml: is no text in UTF-8: the first other byte is in line 2");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_settings_say_what_was_expected() {
    let check = |yaml: &str, expected: &str| check_all(yaml, &[expected]);
    check("listen: {grpc: 5}",                      "1:16: expected `host:port` such as `0.0.0.0:50051`, or `unix:/path`, found the number `5`");
    check("listen: {grpc: \"unix:relative\"}",      "1:16: expected `host:port` such as `0.0.0.0:50051`, or `unix:/path`, found `unix:relative`");
    check("listen: {status: \"unix:/run/x\"}",      "1:18: expected `host:port` such as `0.0.0.0:8100` or `[::]:8100`, found `unix:/run/x`");
    check("listen: [a]",                            "1:9: expected a map of `grpc`, `status`, `auth`, `admin`, `admin_socket`, `tls`, found a list");
    check("store: {url: \"redis://:x@localhost\"}", "1:14: expected `redb:` and a file, `redis://host:6379/0`, `rediss://…`, `redis-sentinel://host:26379,…/name` or `redis-cluster://host:6379,…`; user and password stand in `store.username` and `store.password`, found `redis:…`");
    check("store: {url: doorward.redb}",            "1:14: expected `redb:` and a file, `redis://host:6379/0`, `rediss://…`, `redis-sentinel://host:26379,…/name` or `redis-cluster://host:6379,…`; user and password stand in `store.username` and `store.password`, found `doorward.redb`");
    check("store: {username: a}",                   "1:19: `store.username` is for Redis, and `store.url` is redb:doorward.redb; leave it out, or name a Redis");
    check("store: {replicas: 1}",                   "1:19: `store.replicas` is for Redis, and `store.url` is redb:doorward.redb; leave it out, or name a Redis");
    check("store: {url: \"redis://h\", replicas: 17}", "1:37: `store.replicas` is 17, expected 0 to 16");
    check("store: {url: \"redis://h\", tls: {}}",   "1:32: `store.tls` is set and `store.url` begins with `redis://`; write `rediss://` for TLS");
    check("store: {url: \"rediss://h\", tls: {key: k}}", "1:33: `store.tls` has one of `certificate` and `key`, expected both or neither");
    check("store: {url: \"redis://h\", password: {}}", "1:37: `store.password` has both or neither of `from_env` and `from_file`, expected exactly one");
    check("store: {url: \"redis://h\", password: sesame}", "1:37: expected a map of `from_env`, `from_file`, found text");
    check("store: {url: \"redis://h\", accept: [all]}", "1:36: unknown word `all`, expected one of `no_persistence`, `fsync_not_always`, `eviction`, `no_replica_guard`, `old_version`");
    check("store: {url: \"redis://h\", snapshot: {file: s, max_age: 48h}}", "1:56: `store.snapshot.max_age` is 2d, expected 1m to 1d");
    check("secret_file: \"\"",                      "1:14: expected a path, found ``");
    check("on_fault: allow",                        "1:11: unknown word `allow`, expected one of `error`, `deny`");
    check("reflection: yes",                        "1:13: expected `true` or `false`, found `yes`");
    check("workers: 0",                             "1:10: `workers` is 0, expected 1 to 1024");
    check("workers: -1",                            "1:10: expected a whole number from 0 to 65535, found the number `-1`");
    check("workers: null",                          "1:10: expected a whole number from 0 to 65535, found nothing");
    check("drain_delay: 10m",                       "1:14: `drain_delay` is 10m, expected 0s to 5m");
    check("drain_delay: 5",                         "1:14: expected a span of time such as `250ms`, `10s`, `5m` or `1h`, found the number `5`");
    check("revocation: {bound: 500ms}",             "1:21: `revocation.bound` is 500ms, expected 1s to 5m");
    check("revocation: {heartbeat: 3s}",            "1:25: `revocation.bound` is 10s, expected at least four times `revocation.heartbeat`, which is 3s: a single lost heartbeat must not stop the instance");
    check("limits: {check_bytes: 9MB}",             "1:23: expected a number of bytes such as `65536`, `64KiB`, `9MiB` or `1GiB`, found `9MB`");
    check("limits: {check_bytes: 300MiB}",          "1:23: `limits.bytes_in_flight` is 256MiB, expected at least `limits.check_bytes`, which is 300MiB");
    check("limits: {streams: 0}",                   "1:19: `limits.streams` is 0, expected 1 to 100000");
    check("lifetimes: {jwt: 10s}",                  "1:18: `lifetimes.jwt` is 10s, expected 1m to 1d");
    check("lifetimes: {grant: 2m}",                 "1:20: `lifetimes.grant` is 2m, expected 1s to 1m");
    check("lifetimes: {session: 5m, session_idle: 1h}", "1:22: `lifetimes.session` is 5m, expected at least `lifetimes.session_idle`, which is 1h");
    check("cookie: {name: __Host-s}",               "1:16: `cookie.name` is `__Host-s`, expected letters, digits, `_` and `-`, without the prefix");
    check("cookie: {domain: }",                     "1:16: expected a value, or `null` for none, found nothing");
    check("cookie: {domain: example}",              "1:18: `cookie.domain` is `example`, expected a domain such as `example.com`, lower case, without a dot before it");
    check("cookie: {origins: [example.com]}",       "1:20: `example.com` is no origin, expected the form `https://app.example.com`, with a port where it is not the usual one, and nothing after it; each by itself, for there are no patterns");
    check("cookie: {origins: [\"https://*.example.com\"]}", "1:20: `https://*.example.com` is no origin, expected the form `https://app.example.com`, with a port where it is not the usual one, and nothing after it; each by itself, for there are no patterns");
    check("lifetimes: {jwt: 5h, signing_key: 2h}",  "1:35: `lifetimes.signing_key` is 2h, expected at least `lifetimes.jwt`, which is 5h");
    for url in ["auth.example.com", "https://", "https://a/", "https://a?b", "https://a b", "ftp://a", "https://me@a"] {
        let message = "expected `https://`, a host and perhaps a path, of at most 1024 bytes and without `/` at its end";
        check(&format!("public_url: \"{url}\""), &format!("1:13: `public_url` is `{url}`, {message}"));
    }
    check("limits: {rate: 5}",                      "1:10: unknown key `rate`, expected one of `check_bytes`, `checks_in_flight`, `bytes_in_flight`, `connections`, `connections_of_peer`, `connection_age`, `streams`, `header_bytes`, `jwt_bytes`, `jwt_memory`, `jwks_bytes`, `jwks_keys`, `jwks_time`, `signatures_waiting`, `admin_body_bytes`, `auth_body_bytes`, `auth_connections`, `passwords_waiting`, `login_failures`, `login_failures_a_day`, `login_failures_of_address`, `own_keys`, `audit_entries`, `audit_silence`, `access_keys`, `tokens`, `objects`, `object_bytes`, `recent_decisions`, `followers`");
    check("log: {allows: 2}",                       "1:15: `log.allows` is 2, expected 0 to 1");
    check("headers: {user_id: Host}",               "1:20: expected the name of a header that nobody else uses, such as `X-Consumer-ID`, found `Host`");
    check("headers: {user_id: \":path\"}",          "1:20: expected the name of a header that nobody else uses, such as `X-Consumer-ID`, found `:path`");
    check("headers: {user_id: x+id}",               "1:20: expected the name of a header that nobody else uses, such as `X-Consumer-ID`, found `x+id`");
    check("headers: {user_id: x-a-b-c-d-e-f-g}",    "1:20: expected the name of a header that nobody else uses, such as `X-Consumer-ID`, found `x-a-b-c-d-e-f-g`");
    check("headers: {claims: [User-Agent]}",        "1:20: expected the name of a header that nobody else uses, such as `X-Consumer-ID`, found `User-Agent`");
    check("headers: {claims: [X_Forwarded-Client-Cert]}", "1:20: expected the name of a header that nobody else uses, such as `X-Consumer-ID`, found `X_Forwarded-Client-Cert`");
    check("headers: {claims: [If-None-Match]}",     "1:20: expected the name of a header that nobody else uses, such as `X-Consumer-ID`, found `If-None-Match`");
    check("headers: {claims: [x-a-b-c-d]}",         "1:20: `headers.claims` has `x-a-b-c-d`, expected names with at most 3 of `-`, `_` and `.`");
    check("headers: {claims: [X-Tenant, x_tenant]}","1:30: `headers.claims` and `headers.claims` are both `x_tenant`: case, `_`, `.` and `-` make no difference");
    let many: Vec<_> = (0..33).map(|at| format!("c{at}")).collect();
    check(&format!("headers: {{claims: [{}]}}", many.join(", ")), "1:19: `headers.claims` has 33 names, expected at most 32");
    check("headers: {claims: [x.user.id]}",         "1:20: `headers.claims` and `headers.user_id` are both `x.user.id`: case, `_`, `.` and `-` make no difference");
    check("headers: {user_id: X_Consumer.ID}",      "1:20: `headers.user_id` and `headers.consumer_id` are both `x_consumer.id`: case, `_`, `.` and `-` make no difference");
    check("networks: {}",                           "1:1: unknown key `networks`, expected one of `listen`, `store`, `secret_file`, `data_dir`, `public_url`, `lifetimes`, `cookie`, `revocation`, `on_fault`, `drain_delay`, `workers`, `reflection`, `log`, `limits`, `headers`, `client_address`, `forward_auth`, `permissions`, `roles`, `projects`, `issuers`, `groups`, `infrastructures`, `services`, `deployments`, `keys`, `consumers`");
    check("services:",                              "1:9: expected a list, found nothing; write it, or leave the line out");
    check("services: {a: 1}",                       "1:11: expected a list, found a map");
    check("data_dir: /a-very-long-folder/a-very-long-folder/a-very-long-folder/a-very-long-folder/a-very-long-folder/a-very", "0:0: the path of the admin socket, `/a-very-long-folder/a-very-long-folder/a-very-long-folder/a-…`, has 116 bytes, and a Unix socket's has at most 107; set a shorter `listen.admin_socket`");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_services_say_what_was_expected() {
    let check = |yaml: &str, expected: &[&str]| check_all(&format!("services:\n{yaml}\n"), expected);
    check("- {name: a}",                                        &["2:3: `authentication` is missing: say what proves a caller, or `none` to make the service public"]);
    check("- {authentication: none}",                           &["2:3: `name` is missing"]);
    check("- {name: 42, authentication: none}",                 &["2:10: expected text, found the number `42`; put it in quotes"]);
    check("- {name: \"\", authentication: none}",               &["2:10: the service name `` is empty"]);
    check("- {name: a/b, authentication: none}",                &["2:10: the service name `a/b` has other characters than letters, digits, `_`, `.`, `~` and `-`"]);
    check("- {name: 01968c91-8789-7288-a337-f0e398711aac, authentication: none}", &["2:10: the name `01968c91-8789-7288-a337-f0e398711aac` looks like an id; choose another"]);
    check("- {name: a, id: 7, authentication: none}",           &["2:17: expected text, found the number `7`; put it in quotes"]);
    check("- {name: a, id: x, authentication: none}",           &["2:17: expected a UUID such as `01968c91-8789-7288-a337-f0e398711aac`, found `x`"]);
    check("- {name: a, hosts: [], authentication: none}",       &["2:20: `hosts` is empty; leave it out for any host, or name some"]);
    check("- {name: a, hosts: null, authentication: none}",     &["2:20: expected a list, found nothing; write it, or leave the line out"]);
    check("- {name: a, hosts: [\"*\"], authentication: none}",  &["2:21: `*` is no host; leave `hosts` out for any host"]);
    check("- {name: a, hosts: [\"a.b:80\"], authentication: none}", &["2:21: the host `a.b:80` has a port; write `a.b`, which is compared without the port"]);
    check("- {name: a, hosts: [\"http://a\"], authentication: none}", &["2:21: `http://a` is no host, expected a form such as `api.example.com` or `*.example.com`"]);
    check("- {name: a, paths: [/a/*], authentication: none}",   &["2:21: `/a/*` is no path: it holds a `*`, and every path is a prefix already; expected a form such as `/orders/admin`"]);
    check("- {name: a, netwroks: {}, authentication: none}",    &["2:13: unknown key `netwroks`, expected one of `name`, `id`, `hosts`, `paths`, `authentication`, `networks`, `groups`, `rules`, `mode`, `path`, `enabled`, `versions`, `grants`; did you mean `networks`?"]);
    check("- {name: a, authentication: none}\n- {name: a, paths: [/x], authentication: none}", &["3:10: there are two services with the name `a`; the other is in line 2"]);
    check("- {name: a, authentication: none}\n- {name: b, paths: [/], authentication: none}", &["3:10: the services `a` (line 2) and `b` both answer to any host and the path `/`; give one of them other `hosts` or `paths`"]);
    check("- {name: a, hosts: [X.y], paths: [/p], authentication: none}\n- {name: b, hosts: [x.Y], paths: [/p/], authentication: none}", &["3:10: the services `a` (line 2) and `b` both answer to the host `x.y` and the path `/p`; give one of them other `hosts` or `paths`"]);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_authentication_says_what_was_expected() {
    let check = check_authentication;
    check("nope",                       "4:5: expected `none`, or a map with `any` or `all` and a list of methods, found `nope`");
    check("null",                       "4:5: expected `none`, or a map with `any` or `all` and a list of methods, found nothing");
    check("[api_key]",                  "4:5: expected `none`, or a map with `any` or `all` and a list of methods, found a list");
    check("{}",                         "4:5: `authentication` has neither of `any` and `all`, expected exactly one of them, or `authentication: none` for a public service");
    check("{any: [api_key], all: [api_key]}", "4:5: `authentication` has both of `any` and `all`, expected exactly one of them, or `authentication: none` for a public service");
    check("{any: []}",                  "4:11: `any` is empty, expected a method such as `api_key`; for a public service write `authentication: none`");
    check("{any: api_key}",             "4:11: expected a list, found text");
    check("{any: [api_kye]}",           "4:12: unknown word `api_kye`, expected one of `api_key`, `static_token`, `token`, `jwt`, `basic`, `cookie`; did you mean `api_key`?");
    check("{any: [bearer: {}]}",        "4:12: unknown word `bearer`, expected one of `api_key`, `static_token`, `token`, `jwt`, `basic`, `cookie`");
    check("{any: [jwt: {issuer: accounts}]}", "4:26: there is no issuer `accounts`; `issuers` declares none");
    check("{any: [jwt: {issuer: doorward}]}", "4:26: `doorward` makes no tokens without a `public_url`, which is their `iss`; set it");
    check("{any: [{api_key: {}, jwt: {}}]}", "4:12: expected exactly one of `api_key`, `static_token`, `token`, `jwt`, `basic`, `cookie`, found a map");
    check("{any: [api_key: {name: x}]}", "4:22: unknown key `name`, expected one of `names`, `in`, `hide`, `realm`, `preflight`, `bearer`; did you mean `names`?");
    check("{any: [api_key: {names: []}]}", "4:29: `names` is empty, expected a name such as `X-API-Key`, or `bearer: true`");
    check("{any: [api_key: {names: null}]}", "4:29: expected a list, found nothing; write it, or leave the line out");
    check("{any: [api_key: {names: [a.b]}]}", "4:30: the name `a.b` is none that a key may go by, expected letters, digits, `_` and `-`");
    check("{any: [api_key: {names: [X_Consumer_ID]}]}", "4:30: the name `X_Consumer_ID` is, but for case and dashes, a header that tells the upstream who called; choose another");
    check("{any: [api_key: {names: [Host]}]}", "4:30: the name `Host` is a header that requests need for something else; choose another, or leave out `header`");
    check("{any: [api_key: {names: [a, a]}]}", "4:33: the name `a` stands in `names` twice");
    check("{any: [api_key: {names: [{name: a}]}]}", "4:30: `in` is missing, expected places such as `[query]`; without it, write the bare name");
    check("{any: [api_key: {names: [{name: a, in: []}]}]}", "4:44: `in` is empty, expected some of `header`, `query`, `body`, `cookie`");
    check("{any: [api_key: {in: [heder]}]}", "4:27: unknown word `heder`, expected one of `header`, `query`, `body`, `cookie`; did you mean `header`?");
    check("{any: [api_key: {in: [query, query]}]}", "4:34: a place stands in `in` twice");
    check("{any: [api_key: {realm: 'a\"b'}]}", "4:29: the realm `a\"b` cannot stand in a header, expected 1 to 256 ASCII characters without `\"` and `\\`");
    check("{any: [api_key], anonymous: bob}", "4:33: unknown consumer `bob`, but `consumers` declares none");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_consumers_say_what_was_expected() {
    let check = |yaml: &str, expected: &[&str]| check_all(&format!("consumers:\n{yaml}\n"), expected);
    check("- {email: a@b.c}",                   &["2:3: a consumer has neither `username` nor `custom_id`, expected one"]);
    check("- {username: \" a\"}",               &["2:14: the consumer name ` a` begins or ends with a blank"]);
    check("- {username: \"a\\tb\"}",            &["2:14: the consumer name `a\\tb` has a control character"]);
    check("- {username: a, custom_id: 42}",     &["2:28: expected text, found the number `42`; put it in quotes"]);
    check("- {username: a, groups: [\"x,y\"]}", &["2:26: the group name `x,y` has a comma"]);
    check("- {username: a, permissions: [p]}",  &["2:31: unknown permission `p`, but `permissions` declares none"]);
    check("- {username: a}\n- {username: a}",   &["3:14: there are two consumers with the name `a`; the other is in line 2"]);
    check("- {username: a, custom_id: x}\n- {username: b, custom_id: x}", &["3:28: there are two consumers with the custom_id `x`; the other is in line 2"]);
    check("- {username: a, id: 01968c91-8789-7288-a337-f0e398711aac}\n- {username: b, id: 01968c9187897288a337f0e398711aac}", &["3:21: there are two consumers with the id `01968c91-8789-7288-a337-f0e398711aac`; the other is in line 2"]);
    check("- {username: a, password: x}",       &["2:17: unknown key `password`, expected one of `username`, `custom_id`, `id`, `email`, `groups`, `permissions`, `roles`, `networks`, `enabled`, `password_from_env`, `keys`"]);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_keys_say_what_was_expected() {
    let check = check_key;
    check("{}",                                         "4:5: a key has neither of `from_env` and `from_file`, expected exactly one");
    check("{from_env: A, from_file: bob.key}",          "4:5: a key has both of `from_env` and `from_file`, expected exactly one");
    check("{from_env: NOPE}",                           "4:16: the environment variable `NOPE` is not set; it must hold the key");
    check("{from_env: nope}",                           "4:16: `from_env` names no variable that is set; it takes the name of an environment variable that holds the key, never the key itself");
    check("{from_file: nope.key}",                      "4:17: the file `nope.key`, which must hold the key, cannot be read: No such file or directory (os error 2)");
    check("{from_file: empty.key}",                     "4:17: the file `empty.key`: the key is empty; give its text, or leave it out and have one made");
    check("{from_file: short.key}",                     "4:17: the file `short.key`: the key is 15 bytes long, expected at least 16; have a new one made, or accept it as it is with `--insecure-allow-weak` (`keys.insecure_allow_weak`)");
    check("{from_file: comma.key}",                     "4:17: the file `comma.key`: the key holds a comma at byte 6, where only visible ASCII without `,` and `!` gets through every proxy; have a new key made and give it to its user");
    check("{from_file: pretender.key}",                 "4:17: the file `pretender.key`: the key begins with `dw_`, but is not whole: it is cut short, mistyped or made up");
    check("{from_file: session.key}",                   "4:17: the file `session.key`: the text is no key, but a secret for `session`");
    check("{from_file: bob.key, services: [a]}",        "4:37: unknown service `a`, but `services` declares none");
    check("{from_file: bob.key, services: null}",       "4:36: expected a list, found nothing; write it, or leave the line out");
    check("{from_file: bob.key, expires_at: tomorrow}", "4:38: expected a moment such as `2026-12-31T23:59:59Z`, found `tomorrow`");
    check("{from_file: bob.key, not_before: 2026-01-02T00:00:00Z, expires_at: 2026-01-01T00:00:00Z}", "4:72: `expires_at` is 2026-01-01T00:00:00Z, expected after `not_before`, 2026-01-02T00:00:00Z");
    check("{from_file: bob.key}\n  - {from_file: ./bob.key}", "5:17: the key from the file `./bob.key` is the same as the one from the file `bob.key` in line 4; each key opens for one consumer");
    check("{from_file: bob.key}\n  - {from_file: bob.key}", "5:17: the key from the file `bob.key` is the same as the one from the file `bob.key` in line 4; each key opens for one consumer");
    check("{from_file: bob.key, id: 01968c91-8789-7288-a337-f0e398711aac}\n  - {from_file: ours.key, id: 01968c91-8789-7288-a337-f0e398711aac}", "5:31: there are two keys with the id `01968c91-8789-7288-a337-f0e398711aac`; the other is in line 4");
}

#[test]
fn all_dangling_names_are_told_at_once() {
    check_all(
        "permissions: [{name: user-management}, {name: data-management}]\n\
         services:\n\
         - {name: orders, authentication: {any: [api_key], anonymous: gest}}\n\
         consumers:\n\
         - username: guest\n\
         \x20 permissions: [user-managment]\n\
         \x20 keys:\n\
         \x20 - {from_file: bob.key, services: [order, staging/orders], permissions: [datum]}\n",
        &[
            "3:62: unknown consumer `gest`, expected one of `guest` or its id; did you mean `guest`?",
            "6:17: unknown permission `user-managment`, expected one of `data-management`, `user-management` or \
             its id; did you mean `user-management`?",
            "8:37: unknown service `order`, expected one of `orders` or its id; did you mean `orders`?",
            "8:44: unknown deployment `staging/orders`, but `deployments` declares none",
            "8:75: unknown permission `datum`, expected one of `data-management`, `user-management` or its id",
        ],
    );
}

#[test]
fn two_listeners_on_one_port_are_refused_before_the_start() {
    let both = "`listen.grpc` and `listen.status` are both";
    let way_out = "give one of them another port";
    check_all(
        "listen: {grpc: \"0.0.0.0:9000\", status: \"0.0.0.0:9000\"}\n",
        &[&format!("1:40: {both} `0.0.0.0:9000`; {way_out}")],
    );
    check_all("listen: {grpc: \"0.0.0.0:8100\"}\n", &[&format!("1:16: {both} `0.0.0.0:8100`; {way_out}")]);
    // Each takes a free one.
    check_all("listen: {grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}\n", &[]);
}
