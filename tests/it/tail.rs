//! `doorward tail`, as it is typed: what it shows, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::admin::admin_key;
use crate::asked::{Answer, Call, Line};
use crate::monitoring::metrics;
use crate::rig::doorward::Doorward;
use crate::rig::process::Signal;
use crate::rig::wait::until;
use crate::world::{ALICE, BOB, HOUSE, command, said, start_doorward};

const PATIENCE: Duration = Duration::from_secs(30);

/// No allow has a line in the log.
fn house() -> (Doorward, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("log: {{allows: 0}}\nlimits: {{followers: 4, recent_decisions: 64KiB}}\n{HOUSE}");
    let doorward = start_doorward(folder.path(), &config);
    (doorward, folder)
}

/// Ended when dropped.
struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        // Both only fail where it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Tail {
    fn start(doorward: &Doorward, arguments: &[&str]) -> Self {
        Self::of(doorward.setup().command(&[&["tail"], arguments].concat()))
    }

    fn of(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its exit code, and what it had still to say.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String, String) {
        let ended = until("tail has ended", PATIENCE, || self.0.try_wait().unwrap());
        let status = ended.unwrap_or_else(|message| panic!("{message}"));
        let (mut shown, mut remarks) = (String::new(), String::new());
        if let Some(mut stdout) = self.0.stdout.take() {
            stdout.read_to_string(&mut shown).unwrap();
        }
        self.0.stderr.take().unwrap().read_to_string(&mut remarks).unwrap();
        (status.code(), shown, remarks)
    }
}

#[track_caller]
fn so_many_follow(doorward: &Doorward, count: usize) {
    let sample = format!("\ndoorward_followers {count}\n");
    let there =
        until(&format!("{count} follow"), PATIENCE, || metrics(doorward).contains(&sample).then_some(()));
    there.unwrap_or_else(|message| panic!("{message}"));
}

fn ask(doorward: &Doorward, calls: &[Call]) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let line = Line::to(doorward.grpc()).await;
        let mut answers = Vec::new();
        for call in calls {
            answers.push(line.ask(call).await);
        }
        answers
    })
}

fn call(path: &str, key: &str, id: &str) -> Call {
    Call::get("api.example", path).with("apikey", key).with("x-request-id", id)
}

#[test]
fn everybody_sees_what_he_asked_for_and_allows_too_however_few_are_logged() {
    let (doorward, _folder) = house();
    let wrong = "wrong-0123456789-abcdef";
    let all = Tail::start(&doorward, &["--count", "4", "--output", "json"]);
    let refusals = Tail::start(&doorward, &["--refusals", "--count", "2"]);
    let alice = Tail::start(&doorward, &["--consumer", "alice", "--count", "1"]);
    let service =
        Tail::start(&doorward, &["--service", "orders", "--code", "invalid_credential", "--count", "1"]);
    so_many_follow(&doorward, 4);
    let answers = ask(
        &doorward,
        &[
            call("/elsewhere", BOB, "one"),
            call("/orders/1?key=not-shown", ALICE, "two"),
            call("/orders/2", wrong, "three"),
            call("/public/4", "", "four"),
        ],
    );
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [404, 200, 401, 200]);

    let (code, shown, remarks) = all.end();
    assert_eq!((code, &remarks[..]), (Some(0), ""));
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let field = |name: &str| lines.iter().map(|line| line[name].as_str().unwrap_or("")).collect::<Vec<_>>();
    assert_eq!(field("request_id"), ["one", "two", "three", "four"]);
    assert_eq!(field("verdict"), ["deny", "allow", "deny", "allow"]);
    assert!(!shown.contains("not-shown"), "{shown}");

    let (code, shown, _) = refusals.end();
    let ids: Vec<&str> =
        shown.lines().filter_map(|line| line.split_once(" id=")?.1.split(' ').next()).collect();
    assert_eq!((code, ids), (Some(0), vec!["one", "three"]), "{shown}");
    let (code, shown, _) = alice.end();
    assert_eq!((code, shown.lines().count()), (Some(0), 1), "{shown}");
    for part in ["  allow  ", " GET api.example/orders/1  service=orders consumer=alice ", " id=two"] {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    let (code, shown, _) = service.end();
    assert!(
        code == Some(0) && shown.contains("  deny   invalid_credential ") && shown.contains(" id=three"),
        "{shown}"
    );
    assert!(shown.ends_with(" why=\"unknown\"\n"), "{shown}");
    so_many_follow(&doorward, 0);
    assert!(!doorward.output().contains(r#""request_id":"two""#), "allows are not logged");
}

#[test]
fn it_ends_without_a_trace_when_nobody_wants_more() {
    let (doorward, _folder) = house();
    for signal in [Signal::INT, Signal::TERM] {
        let tail = Tail::start(&doorward, &[]);
        so_many_follow(&doorward, 1);
        tail.signal(signal);
        assert_eq!(tail.end(), (Some(0), String::new(), String::new()), "{signal:?}");
        so_many_follow(&doorward, 0);
    }
    // As with `| head -n 1`: one line is read, and then there is no next decision.
    let mut tail = Tail::start(&doorward, &[]);
    so_many_follow(&doorward, 1);
    ask(&doorward, &[call("/orders", ALICE, "one")]);
    let mut line = String::new();
    BufReader::new(tail.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(" id=one"), "{line}");
    assert_eq!(tail.end(), (Some(0), String::new(), String::new()));
    so_many_follow(&doorward, 0);
}

#[test]
fn it_ends_with_its_server_and_says_how() {
    let (mut doorward, folder) = house();
    let tail = Tail::start(&doorward, &[]);
    so_many_follow(&doorward, 1);
    doorward.signal(Signal::TERM).unwrap();
    let (code, shown, remarks) = tail.end();
    assert_eq!((code, &shown[..], &remarks[..]), (Some(0), "", "doorward: the server ends\n"));
    assert!(doorward.process().wait(PATIENCE).unwrap().success(), "and holds nobody up");

    let none = doorward.setup().run(&["tail"]).unwrap();
    assert_eq!(none.status.code(), Some(3), "{}", said(&none));
    assert!(said(&none).contains("no server answers at"), "{}", said(&none));

    let mut doorward = start_doorward(folder.path(), HOUSE);
    let tail = Tail::start(&doorward, &[]);
    so_many_follow(&doorward, 1);
    doorward.process().kill();
    let (code, _, remarks) = tail.end();
    assert_eq!(code, Some(3), "{remarks}");
    assert!(remarks.contains("broke off"), "{remarks}");
}

#[test]
fn there_are_no_more_followers_than_may_be_and_unknown_names_are_refused() {
    let (doorward, _folder) = house();
    let followers: Vec<Tail> = (0..4).map(|_| Tail::start(&doorward, &[])).collect();
    so_many_follow(&doorward, 4);
    let check = |arguments: &[&str], part: &str| {
        let (code, shown, remarks) = Tail::start(&doorward, arguments).end();
        assert_eq!((code, &shown[..]), (Some(1), ""), "{arguments:?}: {remarks}");
        assert!(remarks.contains(part), "{arguments:?}: {remarks}");
    };
    check(&[], "`limits.followers`");
    drop(followers);
    so_many_follow(&doorward, 0);
    check(&["--service", "order"], "no service or deployment is called `order`");
    check(&["--code", "deny"], "expected a code of a check: malformed_request, ");
    let wrong = doorward.setup().run(&["tail", "--count", "0"]).unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
}

#[test]
fn it_follows_a_server_elsewhere_with_an_admin_key_and_without_one_nobody() {
    let (doorward, _folder) = house();
    let (key, _) = admin_key(&doorward);
    let url = format!("http://{}", doorward.admin_address());
    let elsewhere = |key: &str| {
        let mut command = doorward.setup().command(&["tail", "--count", "1", "--url", &url]);
        command.env("DOORWARD_ADMIN_KEY", key);
        Tail::of(command)
    };
    let (code, shown, remarks) = elsewhere("dw_admin_nobodys").end();
    assert_eq!((code, &shown[..]), (Some(1), ""), "{remarks}");
    let tail = elsewhere(&key);
    so_many_follow(&doorward, 1);
    ask(&doorward, &[call("/orders", ALICE, "one")]);
    let (code, shown, remarks) = tail.end();
    assert!(code == Some(0) && shown.contains(" id=one"), "{shown}{remarks}");
}

#[test]
fn whoever_follows_with_an_admin_key_is_told_nothing_more_once_it_is_deleted() {
    let (doorward, _folder) = house();
    let (key, id) = admin_key(&doorward);
    let mut elsewhere =
        doorward.setup().command(&["tail", "--url", &format!("http://{}", doorward.admin_address())]);
    elsewhere.env("DOORWARD_ADMIN_KEY", &key);
    let (elsewhere, here) = (Tail::of(elsewhere), Tail::start(&doorward, &["--count", "1"]));
    so_many_follow(&doorward, 2);
    command(&doorward, &["admin-key", "delete", &id]);
    so_many_follow(&doorward, 1);
    ask(&doorward, &[call("/orders", ALICE, "late")]);

    let remark = "doorward: the admin key that this was asked with is not known any more\n";
    assert_eq!(elsewhere.end(), (Some(0), String::new(), remark.to_owned()));
    let (code, shown, _) = here.end();
    assert!(code == Some(0) && shown.contains(" id=late"), "the socket needs no key: {shown}");
    for said in ["decisions are followed", "decisions are not followed there any more"] {
        let log = doorward.logged(said);
        let named = |line: &str| line.contains(said) && line.contains(&id) && line.contains("127.0.0.1");
        assert!(log.lines().any(named), "no `{said}` of {id} in {log}");
    }
}
