//! The part of the walk in which alice has a password.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::Outcome;
use crate::rig::http1::{Reply, request, send};
use crate::rig::wait::until;
use crate::walk::Promise::{Allowed, Denied};
use crate::walk::{Headers, Walk, brief, curl};

const PASSWORD: &str = "four other words of hers";

impl Walk<'_> {
    pub(crate) fn a_login(&mut self) -> Outcome<()> {
        self.set_password("four words of her own")?;
        let login = json!({ "username": "alice", "password": "four words of her own" });
        let title = "Whoever logs in needs no credential before";
        let reply = self.post(title, "/api/auth/access-token", &[], &login)?;
        let token = self.got("TOKEN", reply.json()["data"]["access_token"].as_str(), &reply)?;
        let bearer = format!("Bearer {token}");
        let with_token: Headers<'_> = &[("Authorization", &bearer)];
        let seen: &[_] = &[("X-Consumer-Username", Some("alice")), ("Authorization", None)];
        self.ask("Its token opens what alice may", "/users/7", with_token, &Allowed(seen))?;
        self.set_password(PASSWORD)?;
        let over = Denied(401, "invalid_credential");
        self.ask("and is over with the password that it was got by", "/users/7", with_token, &over)
    }

    pub(crate) fn a_login_at_a_service(&mut self) -> Outcome<()> {
        let login = json!({ "username": "alice", "password": PASSWORD });
        let title = "A login at a service gives what the service takes: a grant, and a session for browsers";
        let reply = self.post(title, "/auth/members/login", &[], &login)?;
        let grant = self.got("GRANT", reply.json()["grant_token"].as_str(), &reply)?;
        let set = reply.header("set-cookie").unwrap_or_default();
        let text = set.split(['=', ';']).nth(1).filter(|text| !text.is_empty());
        let session = self.got("SESSION", text, &reply)?;
        println!("    Set-Cookie: {}", self.named(set));

        let asked = json!({ "grant_token": grant });
        let reply = self.post("The grant buys a token, once", "/auth/members/token", &[], &asked)?;
        let token = self.got("DYNAMIC", reply.json()["access_token"]["value"].as_str(), &reply)?;
        let bearer = format!("Bearer {token}");
        let seen: &[_] = &[("X-Consumer-Username", Some("alice")), ("Authorization", None)];
        self.ask("which opens this service", "/members", &[("Authorization", &bearer)], &Allowed(seen))?;

        let cookie = format!("__Host-doorward_session={session}");
        let seen: &[_] = &[("X-Consumer-Username", Some("alice")), ("Cookie", None)];
        self.ask("So does the session", "/members", &[("Cookie", &cookie)], &Allowed(seen))?;
        let foreign: Headers<'_> = &[("Cookie", &cookie), ("Origin", "https://elsewhere.example")];
        let denied = Denied(403, "origin_denied");
        self.ask("but not for a page of another site", "/members", foreign, &denied)?;
        self.post("Logged out", "/auth/members/logout", &[("Cookie", &cookie)], &Value::Null)?;
        let over = Denied(401, "invalid_credential");
        self.ask("it is over everywhere", "/members", &[("Cookie", &cookie)], &over)
    }

    fn set_password(&mut self, password: &str) -> Outcome<()> {
        println!("\n    $ echo \"{password}\" | doorward password set alice");
        self.stage.doorward().set_password("alice", password)
    }

    /// A request to log in or out, at Envoy like everything else.
    fn post(&mut self, title: &str, target: &str, headers: Headers<'_>, body: &Value) -> Outcome<Reply> {
        self.steps += 1;
        println!("\n{:>2}  {title}", self.steps);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        let line = format!("{} -d '{body}'", curl(self.stage, target, &headers));
        println!("    $ {}", self.named(&line));
        let (address, bytes) = (self.stage.address(), request("POST", target, &headers, body.as_bytes()));
        // The first keys to sign with may be on their way.
        let reply = until("somebody can log in", Duration::from_secs(10), || {
            send(address, &bytes).ok().filter(|reply| reply.status != 503)
        })?;
        println!("    {}", brief(&reply));
        if reply.status >= 300 {
            self.breaks(title, &format!("promised to be done, got {}", brief(&reply)));
        }
        Ok(reply)
    }

    /// What was got, called `name` from here on.
    fn got(&mut self, name: &str, text: Option<&str>, reply: &Reply) -> Outcome<String> {
        let text = text.ok_or_else(|| format!("no ${name} in {}", reply.text()))?.to_owned();
        self.keys.push((name.to_owned(), text.clone()));
        if reply.text().contains(&text) {
            println!("    {}", self.named(&reply.text()));
        }
        Ok(text)
    }
}
