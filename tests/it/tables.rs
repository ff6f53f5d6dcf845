//! The decision tables in tests/cases, each run twice: on the decision alone, through the very function
//! that `doorward test` uses, and through a real Envoy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use doorward::cases::{Case, Expect, Suite};
use doorward::explain::{Account, Description};
use serde_json::{Value, json};

use crate::rig::http1::{Reply, request, send, send_to_socket};
use crate::rig::wait::eventually;
use crate::rig::wiring::{Body, Edge, Wiring};
use crate::world::World;

/// What is no table, but a configuration that one of them names.
const NO_TABLE: &str = "house.yaml";

/// A table that asks for other times than the real one, which is all that an Envoy's Doorward has.
const OTHER_TIMES: &str = "times.yaml";

/// A table of `tests/cases`.
#[track_caller]
pub(crate) fn suite(name: &str) -> Suite {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    Suite::read(&file).unwrap_or_else(|faults| panic!("{faults}"))
}

fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut names: Vec<String> = files.map(name).filter(|name| name != NO_TABLE).collect();
    names.sort();
    assert!(names.len() >= 11, "tables are missing: {names:?}");
    names
}

#[test]
fn every_table_holds_for_the_decision_alone_with_headers_apart_and_joined() {
    let mut wrong = Vec::new();
    for name in names() {
        let suite = suite(&name);
        for joined in [false, true] {
            for case in suite.cases() {
                let request = Description { joined: Some(joined), ..case.request.clone() };
                let tried = suite.decide(case, &request).expect("it was read");
                if !tried.differences.is_empty() {
                    let what = tried.differences.join("; ");
                    wrong.push(format!("{name} (joined: {joined}): {}: {what}", case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// What `doorward explain` prints of a denial: a reader finds the door without knowing the code.
#[test]
fn every_denial_is_explained_by_the_door_that_shut() {
    let mut seen = BTreeMap::new();
    for name in names() {
        let suite = suite(&name);
        for tried in suite.run() {
            let (account, case) = (&tried.account, &tried.case.name);
            let said: Vec<&str> = account.steps.iter().map(|told| told.said.as_str()).collect();
            let last = said.last().copied().unwrap_or_default();
            let code = account.code.unwrap_or("allow");
            *seen.entry(code.to_owned()).or_insert(0) += 1;
            let shut = match code {
                "network_denied" | "service_denied" | "group_denied" | "permission_denied" => {
                    last.contains("SHUT: ")
                }
                "invalid_credential" => said.iter().any(|step| step.contains("SHUT: ")),
                "missing_credential" => last.contains("looked for") || last.contains("SHUT: "),
                "duplicate_credential" => last.contains("duplicate"),
                "deployment_disabled" => {
                    last.ends_with("it is switched off") || last.contains("; it is switched off;")
                }
                "unknown_service" => last.contains("no deployment") || last.contains("no host"),
                // No step is made before the target can be read; `why` says what is wrong with it.
                "malformed_request" | "ambiguous_path" => account.why.is_some(),
                "allow" => account.answer.is_none() && account.upstream.is_some(),
                other => panic!("{name}: {case}: how is `{other}` explained?"),
            };
            assert!(shut, "{name}: {case}: {code} is explained by {said:#?}");
            assert_eq!(account.answer.is_some(), account.upstream.is_none(), "{name}: {case}");
        }
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
}

#[test]
fn every_table_holds_through_envoy_with_headers_as_a_map() {
    for name in names().iter().filter(|name| *name != OTHER_TIMES) {
        check(name, |_| {});
    }
}

#[test]
fn every_table_holds_through_envoy_with_raw_headers() {
    for name in names().iter().filter(|name| *name != OTHER_TIMES) {
        check(name, |wiring| wiring.raw_headers = true);
    }
}

#[test]
fn keys_are_found_where_the_documents_say_when_only_some_headers_are_shown() {
    // The pseudo headers are hidden too: method, path and host must come from their own fields.
    let shown = vec!["apikey", "x-api-key", "key", "authorization", "cookie", "first", "second", "sid"];
    check("keys.yaml", |wiring| wiring.allowed_headers = shown);
}

/// Every case of a table that can be sent; all that differ are named.
#[track_caller]
fn check(name: &str, change: impl FnOnce(&mut Wiring)) {
    let suite = suite(name);
    let folder = tempfile::tempdir().unwrap();
    let (socket, log) = (folder.path().join("envoy.sock"), folder.path().join("access.log"));
    let mut joined = false;
    let world = World::of(&suite, |wiring| {
        let (clients, socket) = (Edge { proxy_protocol: true, ..Edge::default() }, Some(socket.clone()));
        wiring.edges.push(("clients".to_owned(), clients));
        wiring.edges.push(("socket".to_owned(), Edge { socket, ..Edge::default() }));
        wiring.routes = routes(&suite);
        if suite.cases().iter().any(|case| case.request.body.is_some()) {
            wiring.body =
                Some(Body { max_request_bytes: 65536, allow_partial_message: true, pack_as_bytes: false });
        }
        wiring.access_log = Some(log.clone());
        change(wiring);
        joined = !wiring.raw_headers;
    });
    let mut wrong = Vec::new();
    let mut sent = Vec::new();
    for case in suite.cases().iter().filter(|case| can_be_sent(&case.request)) {
        let before = world.echo.requests();
        let bytes = bytes(&case.request, sent.len());
        sent.push(case);
        let reply = match case.request.source.as_deref() {
            Some("unix") => send_to_socket(&socket, &bytes),
            Some(_) => send(world.envoy.listener("clients"), &bytes),
            None => send(world.envoy.listener("main"), &bytes),
        }
        .unwrap_or_else(|message| panic!("{name}: {}: {message}", case.name));
        let reached = world.echo.requests() > before;
        let differences = differences(case, &reply, reached);
        if !differences.is_empty() {
            wrong.push(format!("{}: {}", case.name, differences.join("; ")));
        }
    }
    wrong.extend(differently_told(&suite, &sent, &log, joined));
    assert!(wrong.is_empty(), "{name}: {} of {} cases:\n{}", wrong.len(), sent.len(), wrong.join("\n"));
}

/// What Envoy was told of each case that is not what the decision alone says of it.
fn differently_told(suite: &Suite, sent: &[&Case], log: &Path, joined: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let told = eventually("Envoy has logged every case", || {
        let told = told(log);
        (told.len() == sent.len()).then_some(told)
    });
    for (number, case) in sent.iter().enumerate() {
        let request = Description { joined: Some(joined), ..sent_as(&case.request) };
        // Envoy has no route for `*`, and asks nobody.
        if request.target.as_deref() == Some("*") {
            continue;
        }
        let account = suite.decide(case, &request).expect("it was read").account;
        for (field, expected, found) in untold(&account, &told[&number.to_string()]) {
            // Who is at the other end of the harness' own connection, no case says.
            if case.request.source.is_some() || !field.starts_with("client") {
                wrong.push(format!("{}: {field}: decided {expected}, told {found}", case.name));
            }
        }
    }
    wrong
}

/// The dynamic metadata of each case, by its number.
fn told(log: &Path) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|mut line| Some((line["case"].as_str()?.to_owned(), line["doorward"].take()))).collect()
}

/// Where Envoy was told something else than was decided: the field, and both.
fn untold(account: &Account, told: &Value) -> Vec<(&'static str, Value, Value)> {
    let decided = json!(account);
    let fields = [
        "verdict",
        "code",
        "mode",
        "service",
        "infrastructure",
        "client",
        "client_from",
        "method",
        "consumer",
        "username",
        "credential",
    ];
    let differs = |field: &&str| decided[*field] != told[*field];
    fields
        .into_iter()
        .filter(differs)
        .map(|field| (field, decided[field].clone(), told[field].clone()))
        .collect()
}

/// With the host that is sent where a case says none.
fn sent_as(request: &Description) -> Description {
    let host = request.host.clone().or_else(|| Some("api.example".to_owned()));
    Description { host, ..request.clone() }
}

/// Not what depends on how Envoy is wired: that is each test's own to say.
fn can_be_sent(request: &Description) -> bool {
    request.joined.is_none() && request.allowed_headers.is_none()
}

/// A route for each deployment that a case says its route names: by service, infrastructure or both.
fn routes(suite: &Suite) -> Vec<(String, Vec<(&'static str, String)>)> {
    let named = |case: &Case| {
        let Description { service, infrastructure, .. } = &case.request;
        let word = word(&case.request)?;
        let parts = [("service", service), ("infrastructure", infrastructure)];
        let context = parts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        Some((word, context.collect()))
    };
    suite.cases().iter().filter_map(named).collect()
}

fn word(request: &Description) -> Option<String> {
    let Description { service, infrastructure, .. } = request;
    service.as_ref().or(infrastructure.as_ref())?;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    Some(format!("{}/{}", part(service), part(infrastructure)))
}

/// The request, behind a line of the PROXY protocol that says where it comes from.
fn bytes(described: &Description, number: usize) -> Vec<u8> {
    let described = &sent_as(described);
    let number = number.to_string();
    let mut lines: Vec<(&str, &str)> = vec![("x-case", &number)];
    lines.extend(described.host.iter().map(|host| ("Host", host.as_str())));
    let word = word(described);
    lines.extend(word.iter().map(|word| ("x-route", word.as_str())));
    lines.extend(described.headers.iter().flatten().map(|(n, v)| (n.as_str(), v.as_str())));
    let method = described.method.as_deref().unwrap_or("GET");
    let target = described.target.as_deref().unwrap_or("/");
    let body = described.body.as_deref().unwrap_or_default();
    let request = request(method, target, &lines, body.as_bytes());
    let from = |source: &str| match source.contains(':') {
        true => format!("PROXY TCP6 {source} ::1 40000 443\r\n").into_bytes(),
        false => format!("PROXY TCP4 {source} 127.0.0.1 40000 443\r\n").into_bytes(),
    };
    let source = described.source.as_deref().filter(|source| *source != "unix");
    let proxy = source.map(from).unwrap_or_default();
    [proxy, request].concat()
}

/// What differs of that which can be seen from outside.
fn differences(case: &Case, reply: &Reply, reached: bool) -> Vec<String> {
    let Expect { passes, verdict, code, status, set, absent, challenges, remove_query, .. } = &case.expect;
    let mut wrong = Vec::new();
    let mut compare = |what: &str, same: bool, found: String| {
        if !same {
            wrong.push(format!("{what}: found {found}"));
        }
    };
    let passes = passes.or(verdict.as_ref().map(|verdict| verdict == "allow"));
    compare("passes", passes.is_none_or(|passes| passes == reached), format!("{reached}, {}", face(reply)));
    compare("status", status.is_none_or(|status| status == reply.status), reply.status.to_string());
    // A HEAD has no body to say the code in.
    let silent = case.request.method.as_deref() == Some("HEAD");
    if !reached && !silent {
        compare("code", code.as_ref().is_none_or(|code| *code == reply.code()), face(reply));
    }
    let told: Vec<&String> =
        reply.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, v)| v).collect();
    let as_told = challenges.as_ref().is_none_or(|wanted| wanted.iter().eq(told.iter().copied()));
    compare("challenges", as_told, format!("{told:?}"));
    let Some(seen) = reply.seen() else { return wrong };
    for (name, value) in set {
        let found = seen.all(&name.to_lowercase());
        compare(&format!("set {name}"), found == [value.as_str()], format!("{found:?}"));
    }
    for name in absent {
        let found = seen.all(&name.to_lowercase());
        compare(&format!("absent {name}"), found.is_empty(), format!("{found:?}"));
    }
    for name in remove_query.iter().flatten() {
        compare("remove_query", !seen.target.contains(&format!("{name}=")), seen.target.clone());
    }
    if *remove_query == Some(Vec::new()) {
        let target = case.request.target.as_deref().unwrap_or("/");
        compare("remove_query", seen.target == target, seen.target.clone());
    }
    wrong
}

fn face(reply: &Reply) -> String {
    let code = reply.code();
    format!("{} {}", reply.status, if code.is_empty() { reply.text() } else { code })
}
