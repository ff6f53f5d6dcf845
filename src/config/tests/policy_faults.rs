//! The texts of complaints about who may pass.

use super::faults::check_all;

/// What is wrong with a part of a service, in line 4.
#[track_caller]
fn check_service(part: &str, expected: &[&str]) {
    check_all(&format!("services:\n- name: a\n  authentication: none\n  {part}\n"), expected);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_networks_say_what_was_expected() {
    let check = |networks: &str, expected: &[&str]| check_service(&format!("networks: {networks}"), expected);
    check("{}",                             &["4:13: `networks` has neither of `allow` and `deny`, expected at least one; for no restriction leave `networks` out"]);
    check("null",                           &["4:13: `networks` has neither of `allow` and `deny`, expected at least one; for no restriction leave `networks` out"]);
    check("{permit: []}",                   &["4:14: unknown key `permit`, expected one of `allow`, `deny`"]);
    check("{allow: 10.0.0.0/8}",            &["4:21: expected a list, found text"]);
    check("{allow: [10]}",                  &["4:22: expected text, found the number `10`; put it in quotes"]);
    check("{allow: [\"\"]}",                &["4:22: the entry is empty, expected an address, a network such as `192.0.2.0/24` or a range such as `192.0.2.1-192.0.2.9`; write one, or take the entry out"]);
    check("{allow: [10.1.2.3/8]}",          &["4:22: `10.1.2.3/8` has bits set past its prefix; did you mean `10.0.0.0/8`?"]);
    check("{allow: [10.0.0.0/33]}",         &["4:22: `/33` is no prefix length, expected a number from 0 to 32 without sign or leading zero; write one as in `192.0.2.0/24`"]);
    check("{deny: [\"192.0.2.9-192.0.2.1\"]}", &["4:21: the range `192.0.2.9-192.0.2.1` ends before it begins; did you mean `192.0.2.1-192.0.2.9`?"]);
    check("{deny: [unix]}",                 &["4:21: `unix` is no IP address, expected four decimal numbers without leading zeros (`192.0.2.1`) or IPv6 (`2001:db8::1`); write an address, a network such as `192.0.2.0/24` or a range such as `192.0.2.1-192.0.2.9`"]);
    // Each entry has its own place, and all are told at once.
    check("{allow: [192.0.2.1, 1.2.3], deny: [010.0.0.1]}", &[
        "4:33: `1.2.3` is no IP address, expected four decimal numbers without leading zeros (`192.0.2.1`) or IPv6 (`2001:db8::1`); write an address, a network such as `192.0.2.0/24` or a range such as `192.0.2.1-192.0.2.9`",
        "4:48: `010.0.0.1` is no IP address, expected four decimal numbers without leading zeros (`192.0.2.1`) or IPv6 (`2001:db8::1`); write an address, a network such as `192.0.2.0/24` or a range such as `192.0.2.1-192.0.2.9`",
    ]);
}

#[test]
fn networks_are_judged_wherever_they_stand() {
    let wrong = "`1.2.3.4/8` has bits set past its prefix; did you mean `1.0.0.0/8`?";
    let check = |yaml: &str, place: &str| check_all(yaml, &[&format!("{place}: {wrong}")]);
    check("consumers: [{username: a, networks: {deny: [1.2.3.4/8]}}]\n", "1:45");
    check(
        "consumers: [{username: a, keys: [{from_file: bob.key, networks: {allow: [1.2.3.4/8]}}]}]\n",
        "1:74",
    );
    check("client_address: {trusted_proxies: [unix, 1.2.3.4/8]}\n", "1:42");
    // Also where nobody lives by them: not deployed, or overridden everywhere.
    check(
        "infrastructures: [{name: x}]\n\
         services:\n\
         - {name: a, authentication: none}\n\
         - {name: b, authentication: none, networks: {deny: [1.2.3.4/8]}}\n\
         deployments: [{service: a, infrastructure: x}]\n",
        "4:53",
    );
    check(
        "infrastructures: [{name: x}]\n\
         services: [{name: a, authentication: none, networks: {deny: [1.2.3.4/8]}}]\n\
         deployments: [{service: a, infrastructure: x, override: {networks: null}}]\n",
        "2:62",
    );
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_groups_say_what_was_expected() {
    let check = |groups: &str, expected: &str| check_service(&format!("groups: {groups}"), &[expected]);
    check("{}",                         "4:11: `groups` has neither of `allow` and `deny`, expected exactly one; for no restriction leave `groups` out");
    check("{allow: [a], deny: [b]}",    "4:11: `groups` has both of `allow` and `deny`, expected exactly one; for no restriction leave `groups` out");
    check("{allow: []}",                "4:19: `allow` is empty, expected a group; for no restriction leave `groups` out");
    check("{deny: []}",                 "4:18: `deny` is empty, expected a group; for no restriction leave `groups` out");
    check("[gold]",                     "4:11: expected a map of `allow`, `deny`, found a list");
    check("{allow: [\"a,b\"]}",         "4:20: the group name `a,b` has a comma");
    check("{allow: [\"\"]}",            "4:20: the group name `` is empty");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_rules_say_what_was_expected() {
    let check = |rule: &str, expected: &[&str]| check_all(&format!(
        "permissions: [{{name: read}}]\nroles: [{{name: admin}}, {{name: member}}]\nprojects: [{{name: p}}]\n\
         services:\n- name: a\n  authentication: none\n  rules:\n  - {rule}\n"
    ), expected);
    check("{}",                                         &["8:5: a rule asks for nothing, expected at least one of `permissions`, `groups` and `roles`"]);
    check("{methods: [GET], paths: [/x]}",              &["8:5: a rule asks for nothing, expected at least one of `permissions`, `groups` and `roles`"]);
    check("{permissions: []}",                          &["8:19: `permissions` is empty; leave it out for none to be needed, or name some"]);
    check("{groups: []}",                               &["8:14: `groups` is empty; leave it out for none to be needed, or name some"]);
    check("{roles: []}",                                &["8:13: `roles` is empty; leave it out for none to be needed, or name some"]);
    check("{methods: [], groups: [g]}",                 &["8:15: `methods` is empty; leave it out for all methods, or name some"]);
    check("{paths: [], groups: [g]}",                   &["8:13: `paths` is empty; leave it out for every path, or name some"]);
    check("{methods: [get], groups: [g]}",              &["8:16: `get` is no method, expected a word in upper case such as `POST`; did you mean `GET`?"]);
    check("{methods: [\"*\", \"P OST\"], groups: [g]}", &["8:21: `P OST` is no method, expected a word in upper case such as `POST`"]);
    check("{methods: [\"\"], groups: [g]}",             &["8:16: `` is no method, expected a word in upper case such as `POST`"]);
    check("{paths: [admin], groups: [g]}",              &["8:14: `admin` is no path: the target does not begin with `/`; expected a form such as `/orders/admin`"]);
    check("{paths: [/a/../b], groups: [g]}",            &["8:14: `/a/../b` is no path: the path holds a `.` or `..` segment; expected a form such as `/orders/admin`"]);
    check("{permissions: [raed]}",                      &["8:20: unknown permission `raed`, expected one of `read` or its id; did you mean `read`?"]);
    check("{groups: [\"a,b\"]}",                        &["8:15: the group name `a,b` has a comma"]);
    check("{roles: [admn]}",                            &["8:14: unknown role `admn`, expected one of `admin`, `member` or its id; did you mean `admin`?"]);
    check("{roles: [q/admin]}",                         &["8:14: unknown project `q`, expected one of `p` or its id"]);
    check("{roles: [/admin]}",                          &["8:14: unknown project ``, expected one of `p` or its id"]);
    check("{roles: [p/]}",                              &["8:14: unknown role ``, expected one of `admin`, `member` or its id"]);
    check("{path: [/x], groups: [g]}",                  &["8:6: unknown key `path`, expected one of `methods`, `paths`, `permissions`, `groups`, `roles`; did you mean `paths`?"]);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_roles_and_projects_say_what_was_expected() {
    let check = |yaml: &str, expected: &str| check_all(yaml, &[expected]);
    check("roles: [{name: \"a,b\"}]",                               "1:16: the role name `a,b` has a `,` or a `/`");
    check("roles: [{name: a/b}]",                                   "1:16: the role name `a/b` has a `,` or a `/`");
    check("roles: [{name: a}, {name: a}]",                          "1:27: there are two roles with the name `a`; the other is in line 1");
    check("roles: [{name: a, implies: [b]}]",                       "1:29: unknown role `b`, expected one of `a` or its id");
    check("roles: [{name: a, implies: b}]",                         "1:28: expected a list, found text");
    check("roles: [{implies: []}]",                                 "1:9: `name` is missing");
    check("projects: [{id: x, name: p}]",                           "1:17: expected a UUID such as `01968c91-8789-7288-a337-f0e398711aac`, found `x`");
    check("projects: [{name: p}, {name: p}]",                       "1:30: there are two projects with the name `p`; the other is in line 1");
    check("projects: [{name: p, domain: x}]",                       "1:22: unknown key `domain`, expected one of `id`, `name`, `domain_id`, `description`");
    check("roles: [{name: a}]\nconsumers:\n- username: u\n  roles:\n    q: [a]", "5:5: unknown project `q`, but `projects` declares none");
    check("projects: [{name: p}]\nconsumers: [{username: u, roles: {p: [a]}}]", "2:39: unknown role `a`, but `roles` declares none");
    check("consumers: [{username: u, roles: [a]}]",                 "1:34: expected a map, found a list");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_words_say_what_was_expected() {
    let check = |part: &str, expected: &str| check_service(part, &[expected]);
    check("mode: shadwo",       "4:9: unknown word `shadwo`, expected one of `enforce`, `shadow`; did you mean `shadow`?");
    check("path: lenient",      "4:9: unknown word `lenient`, expected one of `strict`, `resolve`");
    check("enabled: no",        "4:12: expected `true` or `false`, found `no`");
    let check = |method: &str, expected: &str| check_all(&format!("services: [{{name: a, authentication: {{any: [{method}]}}}}]\n"), &[expected]);
    check("static_token: {headers: []}",        "1:69: `headers` is empty, expected some such as `[Authorization, X-Auth-Token]`");
    check("static_token: {headers: [X-User-Id]}", "1:70: the name `X-User-Id` is, but for case and dashes, a header that tells the upstream who called; choose another");
    check("static_token: {headers: [Cookie]}",  "1:70: the name `Cookie` is a header that requests need for something else; choose another");
    check("static_token: {headers: [X-T, x_t]}", "1:75: the name `x_t` stands in `headers` twice");
    check("static_token: {headers: [\"a b\"]}", "1:70: the name `a b` is none that a token may stand in, expected letters, digits, `_` and `-`");
    check("static_token: {header: [a]}",        "1:60: unknown key `header`, expected `headers`; did you mean `headers`?");
}

/// Two services, and deployments of them from line 7 on.
#[track_caller]
fn check_deployments(deployments: &str, expected: &[&str]) {
    let yaml = "infrastructures: [{name: production}, {name: staging}]\nservices:\n\
                - {name: orders, hosts: [a.example], authentication: none}\n\
                - {name: bills, paths: [/bills], authentication: none}\n\ndeployments:\n";
    check_all(&format!("{yaml}{deployments}\n"), expected);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn wrong_deployments_say_what_was_expected() {
    let check = |deployment: &str, expected: &str| check_deployments(&format!("- {deployment}"), &[expected]);
    check("{service: orders}",                                  "7:3: `infrastructure` is missing: say on which of `infrastructures` the service is deployed");
    check("{infrastructure: staging}",                          "7:3: `service` is missing");
    check("{service: order, infrastructure: staging}",          "7:13: unknown service `order`, expected one of `bills`, `orders` or its id; did you mean `orders`?");
    check("{service: orders, infrastructure: stagin}",          "7:37: unknown infrastructure `stagin`, expected one of `production`, `staging` or its id; did you mean `staging`?");
    check("{service: orders, infrastructure: staging, hosts: []}", "7:53: `hosts` is empty; leave it out for the service's, or name some");
    check("{service: orders, infrastructure: staging, paths: null}", "7:53: expected a list, found nothing; write it, or leave the line out");
    check("{service: orders, infrastructure: staging, mode: shadow}", "7:46: unknown key `mode`, expected one of `service`, `infrastructure`, `id`, `enabled`, `version`, `hosts`, `paths`, `override`");
    check("{service: orders, infrastructure: staging, override: {hosts: [a]}}", "7:57: unknown key `hosts`, expected one of `authentication`, `networks`, `groups`, `rules`, `mode`");
    check("{service: orders, infrastructure: staging, override: {authentication: null}}", "7:73: expected `none`, or a map with `any` or `all` and a list of methods, found nothing");
    check("{service: orders, infrastructure: staging, override: {rules: {}}}", "7:64: expected a list, found a map");
    check("{service: orders, infrastructure: staging}\n- {service: orders, infrastructure: staging}", "8:13: there are two deployments with the name `orders/staging`; the other is in line 7");
    check("{service: orders, infrastructure: staging}\n- {service: orders, infrastructure: production}", "8:13: the deployments `orders/staging` (line 7) and `orders/production` both answer to the host `a.example` and the path `/`; give one of them other `hosts` or `paths`");
    check_all("deployments: []\n", &["1:14: `deployments` is empty; leave it out to deploy each service once, as it is, or list some"]);
    check_all("infrastructures: [{name: a/b}]\n", &["1:26: the infrastructure name `a/b` has other characters than letters, digits, `_`, `.`, `~` and `-`"]);
}

#[test]
fn only_the_word_null_removes_a_part() {
    let part = "expected a value, or `null` for none, found nothing";
    let check = |parts: &str, place: &str| {
        let deployment = format!("- service: orders\n  infrastructure: staging\n  override:\n    {parts}");
        check_deployments(&deployment, &[&format!("{place}: {part}")]);
    };
    check("networks:", "10:13");
    check("rules:\n    # - {groups: [gold]}", "10:10");
    check("groups: # null", "10:11");
    check("mode: !!null", "10:17");
    for word in ["null", "~", "Null  # removed"] {
        check_deployments(
            &format!(
                "- service: orders\n  infrastructure: staging\n  override:\n    networks: {word}\n    mode: null"
            ),
            &[],
        );
    }
}

#[test]
fn a_key_opens_what_is_deployed() {
    let check = |services: &str, expected: &str| {
        check_all(
            &format!(
                "infrastructures: [{{name: production}}, {{name: staging}}]\n\
                 services: [{{name: orders, authentication: none}}, {{name: bills, authentication: none}}]\n\
                 deployments: [{{service: orders, infrastructure: production}}]\n\
                 consumers: [{{username: a, keys: [{{from_file: bob.key, services: {services}}}]}}]\n"
            ),
            &[expected],
        );
    };
    let meant = "expected one of `orders/production` or its id; did you mean `orders/production`?";
    check("[orders/produktion]", &format!("4:66: unknown deployment `orders/produktion`, {meant}"));
    check(
        "[orders/staging]",
        "4:66: unknown deployment `orders/staging`, expected one of `orders/production` or its id",
    );
    check(
        "[bills/production]",
        "4:66: unknown deployment `bills/production`, expected one of `orders/production` or its id",
    );
    check(
        "[order]",
        "4:66: unknown service `order`, expected one of `bills`, `orders` or its id; did you mean `orders`?",
    );
}
