//! The walk: each request as the `curl` line it equals, its answer, and what the upstream saw of it.

use std::time::Duration;

use serde_json::Value;

use crate::rig::Outcome;
use crate::rig::http1::{Reply, Seen, request, send};
use crate::rig::wait::until;
use crate::stage::Stage;

pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// What an answer has to be.
pub(crate) enum Promise<'a> {
    /// Status and code.
    Denied(u16, &'a str),
    /// What the upstream sees; `None`: no such header.
    Allowed(&'a [(&'a str, Option<&'a str>)]),
}

use Promise::{Allowed, Denied};

/// The promises that were not kept.
pub(crate) fn walk(stage: &Stage) -> Outcome<Vec<String>> {
    let mut walk = Walk { stage, steps: 0, keys: Vec::new(), broken: Vec::new() };
    walk.keys_by_header_and_query()?;
    walk.what_proves_nothing()?;
    walk.who_is_told_what()?;
    walk.other_doors()?;
    walk.addresses()?;
    walk.permissions()?;
    walk.a_login()?;
    walk.a_login_at_a_service()?;
    walk.infrastructures()?;
    walk.shadow()?;
    walk.the_end_of_a_key()?;
    Ok(walk.broken)
}

pub(crate) struct Walk<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) steps: usize,
    /// All keys made so far, with the shell variables that stand for them; no upstream may see one.
    pub(crate) keys: Vec<(String, String)>,
    broken: Vec<String>,
}

impl Walk<'_> {
    fn keys_by_header_and_query(&mut self) -> Outcome<()> {
        self.ask("Nobody passes without a key", "/orders/1", &[], &Denied(401, "missing_credential"))?;
        let rights = ["--permission", "user-management", "--permission", "data-management"];
        self.command(&[&["consumer", "create", "alice", "--custom-id", "42"][..], &rights].concat())?;
        let (key, _) = self.key("KEY", &[])?;
        let alice: &[_] =
            &[("X-Consumer-Username", Some("alice")), ("X-Consumer-Custom-ID", Some("42")), ("apikey", None)];
        self.ask(
            "With it, the upstream learns who called, and never the key",
            "/orders/1",
            &[("apikey", &key)],
            &Allowed(alice),
        )?;
        self.ask("Another usual header", "/orders/1", &[("X-API-Key", &key)], &Allowed(alice))?;
        let target = format!("/orders/1?page=2&key={key}");
        self.ask("Or the query; what else stands there stays", &target, &[], &Allowed(alice))
    }

    fn what_proves_nothing(&mut self) -> Outcome<()> {
        let key = self.newest();
        let wrong = "not-a-key-that-anybody-has";
        self.ask("A wrong key", "/orders/1", &[("apikey", wrong)], &Denied(401, "invalid_credential"))?;
        let two: Headers<'_> = &[("apikey", &key), ("apikey", wrong)];
        self.ask(
            "Two keys: nobody guesses which one is meant",
            "/orders/1",
            two,
            &Denied(401, "duplicate_credential"),
        )?;
        let target = format!("/orders/1?api%6bey={key}");
        self.ask_for_refusal("A key under a disguised name", &target)?;
        self.ask(
            "A path that can be read in two ways",
            "/hello/..%2forders",
            &[],
            &Denied(400, "ambiguous_path"),
        )
    }

    fn who_is_told_what(&mut self) -> Outcome<()> {
        let key = self.newest();
        let forged: Headers<'_> = &[
            ("apikey", &key),
            ("X-Consumer-Username", "root"),
            ("X_Consumer_Username", "root"),
            ("X-Anonymous-Consumer", "true"),
        ];
        let seen: &[_] = &[
            ("X-Consumer-Username", Some("alice")),
            ("X_Consumer_Username", None),
            ("X-Anonymous-Consumer", None),
        ];
        self.ask("Nobody can claim to be somebody else", "/orders/1", forged, &Allowed(seen))?;
        let guest: &[_] = &[("X-Consumer-Username", Some("guest")), ("X-Anonymous-Consumer", Some("true"))];
        self.ask("A service for guests", "/catalogue", &[], &Allowed(guest))?;
        let nobody: &[_] = &[("X-Consumer-Username", None), ("X-Consumer-ID", None)];
        self.ask(
            "A public one, where nobody is named",
            "/hello",
            &[("X-Consumer-ID", "forged")],
            &Allowed(nobody),
        )
    }

    fn other_doors(&mut self) -> Outcome<()> {
        let (key, _) = self.key("ORDERS_KEY", &["--service", "orders"])?;
        let seen: &[_] = &[("X-Consumer-Username", Some("alice"))];
        self.ask("A key for one service opens it", "/orders/1", &[("apikey", &key)], &Allowed(seen))?;
        self.ask("and no other", "/reports", &[("apikey", &key)], &Denied(403, "service_denied"))?;
        self.ask(
            "What is not configured is closed",
            "/elsewhere",
            &[("apikey", &key)],
            &Denied(404, "unknown_service"),
        )
    }

    fn addresses(&mut self) -> Outcome<()> {
        let denied = Denied(403, "network_denied");
        let welcome = [("X-Forwarded-For", "198.51.100.7")];
        self.ask(
            "curl plays a proxy of ours: its client's address may pass",
            "/news",
            &welcome,
            &Allowed(&[]),
        )?;
        let blocked = [("X-Forwarded-For", "192.0.2.1")];
        self.ask("and one in 192.0.2.1-192.0.2.2 may not", "/news", &blocked, &denied)?;
        let forged = [("X-Forwarded-For", "198.51.100.7, 203.0.113.9")];
        self.ask(
            "What a client itself wrote stands further left, and counts for nothing",
            "/news",
            &forged,
            &denied,
        )
    }

    fn permissions(&mut self) -> Outcome<()> {
        let (key, _) = self.key("USERS_KEY", &["--permission", "user-management"])?;
        let seen: &[_] = &[
            ("X-Consumer-Username", Some("alice")),
            ("X-Permissions", Some("01968c91-8789-7288-a337-f0e398711aac")),
        ];
        self.ask("A key with one of alice's permissions", "/users/7", &[("apikey", &key)], &Allowed(seen))?;
        let denied = Denied(403, "permission_denied");
        self.ask("does not do what needs the other", "/datastore/7", &[("apikey", &key)], &denied)
    }

    fn infrastructures(&mut self) -> Outcome<()> {
        let (key, _) = self.key("STAGING_KEY", &["--service", "billing/staging"])?;
        let at = |host| [("Host", host), ("apikey", key.as_str())];
        let seen: &[_] = &[("X-Consumer-Username", Some("alice"))];
        self.ask("A key for staging opens staging", "/", &at("staging.example.com"), &Allowed(seen))?;
        let denied = Denied(403, "service_denied");
        self.ask("and not the same service in production", "/", &at("billing.example.com"), &denied)
    }

    fn shadow(&mut self) -> Outcome<()> {
        let nobody: &[_] = &[("X-Consumer-Username", None), ("X-Consumer-ID", None)];
        let title = "A service in shadow: without a key one passes, and is nobody";
        self.ask(title, "/beta/1", &[("X-Consumer-Username", "forged")], &Allowed(nobody))?;
        let line = until("the log has it", Duration::from_secs(5), || {
            let output = self.stage.doorward().output();
            let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| line["path"] == "/beta/1")
        })?;
        let told = ["mode", "verdict", "code"]
            .map(|field| format!("{field} {}", line[field].as_str().unwrap_or_default()))
            .join(", ");
        println!("    Doorward's log: {told}");
        if told != "mode shadow, verdict deny, code missing_credential" {
            self.breaks(title, &format!("the log says: {told}"));
        }
        Ok(())
    }

    fn the_end_of_a_key(&mut self) -> Outcome<()> {
        let (key, id) = self.key("NEW_KEY", &[])?;
        let seen: &[_] = &[("X-Credential-Identifier", Some(id.as_str()))];
        self.ask("A new key opens at once", "/orders/1", &[("apikey", &key)], &Allowed(seen))?;
        self.command(&["key", "revoke", &id])?;
        let revoked = Denied(401, "invalid_credential");
        self.ask(
            "revoked, it is denied on the very next request",
            "/orders/1",
            &[("apikey", &key)],
            &revoked,
        )?;

        let (key, _) = self.key("SHORT_KEY", &["--ttl", "1"])?;
        // Only time ends a key that expires.
        let bytes = request("GET", "/orders/1", &[("apikey", &key)], b"");
        let address = self.stage.address();
        until("the key expires", Duration::from_secs(5), || {
            send(address, &bytes).ok().filter(|reply| reply.status != 200)
        })?;
        self.ask("A key that lives one second, two seconds later", "/orders/1", &[("apikey", &key)], &revoked)
    }

    fn newest(&self) -> String {
        self.keys.last().map(|(_, key)| key.clone()).unwrap_or_default()
    }

    /// Runs a command as anybody would, and shows it.
    fn command(&mut self, arguments: &[&str]) -> Outcome<Value> {
        println!("\n    $ doorward {}", arguments.join(" "));
        self.stage.doorward().command(arguments)
    }

    /// Makes a key for alice, called `name` from here on; its text and its id.
    fn key(&mut self, name: &str, options: &[&str]) -> Outcome<(String, String)> {
        let arguments = [&["key", "create", "alice"], options].concat();
        println!("\n    $ {name}=$(doorward {})", arguments.join(" "));
        let made = self.stage.doorward().command(&arguments)?;
        let text = |name: &str| {
            made[name].as_str().map(str::to_owned).ok_or_else(|| format!("no `{name}` in {made}"))
        };
        let (key, id) = (text("key")?, text("id")?);
        println!("    {key}");
        self.keys.push((name.to_owned(), key.clone()));
        Ok((key, id))
    }

    pub(crate) fn ask(
        &mut self,
        title: &str,
        target: &str,
        headers: Headers<'_>,
        promise: &Promise<'_>,
    ) -> Outcome<()> {
        let reply = self.show(title, target, headers)?;
        match (promise, reply.seen()) {
            (Denied(status, code), _) if reply.status == *status && reply.code() == *code => {}
            (Denied(status, code), _) => {
                self.breaks(title, &format!("promised {status} {code}, got {}", brief(&reply)))
            }
            (Allowed(_), None) => self.breaks(title, &format!("promised to pass, got {}", brief(&reply))),
            (Allowed(headers), Some(seen)) => self.compare(title, headers, &seen),
        }
        Ok(())
    }

    /// Any denial will do.
    fn ask_for_refusal(&mut self, title: &str, target: &str) -> Outcome<()> {
        let reply = self.show(title, target, &[])?;
        if !(400..500).contains(&reply.status) {
            self.breaks(title, &format!("promised a refusal, got {}", brief(&reply)));
        }
        Ok(())
    }

    fn show(&mut self, title: &str, target: &str, headers: Headers<'_>) -> Outcome<Reply> {
        self.steps += 1;
        println!("\n{:>2}  {title}", self.steps);
        let line = curl(self.stage, target, headers);
        println!("    $ {}", self.named(&line));
        let reply = send(self.stage.address(), &request("GET", target, headers, b""))?;
        println!("    {}", brief(&reply));
        Ok(reply)
    }

    /// With the variables instead of what they stand for.
    pub(crate) fn named(&self, text: &str) -> String {
        self.keys.iter().fold(text.to_owned(), |text, (name, key)| text.replace(key, &format!("${name}")))
    }

    fn compare(&mut self, title: &str, headers: &[(&str, Option<&str>)], seen: &Seen) {
        let mut told = vec![format!("{} {}", seen.method, seen.target)];
        for (name, promised) in headers {
            let found = seen.all(&name.to_lowercase());
            told.push(match found.as_slice() {
                [] => format!("no {name}"),
                values => format!("{name}: {}", values.join(" and ")),
            });
            if found != promised.iter().copied().collect::<Vec<_>>() {
                self.breaks(title, &format!("{name}: promised {promised:?}, the upstream saw {found:?}"));
            }
        }
        println!("    upstream saw: {}", told.join(" | "));
        let whole = format!("{} {:?}", seen.target, seen.headers);
        if self.keys.iter().any(|(_, key)| whole.contains(key)) {
            self.breaks(title, "the upstream saw the key");
        }
    }

    pub(crate) fn breaks(&mut self, title: &str, how: &str) {
        println!("    NOT AS PROMISED: {how}");
        self.broken.push(format!("step {} ({title}): {how}", self.steps));
    }
}

pub(crate) fn curl(stage: &Stage, target: &str, headers: Headers<'_>) -> String {
    let mut line = format!("curl -i \"http://{}{target}\"", stage.address());
    if target.contains("..") {
        line.push_str(" --path-as-is");
    }
    for (name, value) in headers {
        line.push_str(&format!(" -H \"{name}: {value}\""));
    }
    line
}

/// Status, and what a person would look at.
pub(crate) fn brief(reply: &Reply) -> String {
    let first = reply.head.lines().next().unwrap_or_default();
    let status = first.split_once(' ').map_or(first, |(_, rest)| rest);
    match reply.json() {
        Value::Object(problem) if problem.contains_key("code") => {
            let word = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{status}: {} ({})", word("message"), word("code"))
        }
        _ => status.to_owned(),
    }
}
