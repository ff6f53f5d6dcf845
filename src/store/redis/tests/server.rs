//! A Redis of one test.

#[path = "../../../../tests/rig/port.rs"]
mod port;
#[path = "../../../../tests/rig/tools.rs"]
mod tools;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(super) use self::port::free_port;
use super::super::acl;
use super::{RedisSettings, Target};
use crate::store::redis::{Address, Password};

/// Ends with this.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    arguments: Vec<String>,
    pub(super) port: u16,
}

/// The user that tests have, and the password.
pub(super) const USER: &str = "doorward";
pub(super) const PASSWORD: &str = "a-password-of-the-tests";

impl Server {
    /// Starts one with more arguments, as `redis-server` takes them, and a user of the least rights.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let user = format!("--user {USER} on >{PASSWORD} {}", acl::RULES);
        let arguments: Vec<_> =
            user.split_whitespace().chain(arguments.iter().copied()).map(str::to_owned).collect();
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port().unwrap());
        let child = spawn(&folder, port, &arguments);
        let child = child.unwrap_or_else(|| panic!("redis-server does not start with {arguments:?}"));
        Self { child, folder, arguments, port }
    }

    /// Starts one with the `redis.conf` that is in `folder`, which names this port.
    pub(super) fn start_in(folder: TempDir, port: u16, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(&folder, port, &arguments).unwrap();
        Self { child, folder, arguments, port }
    }

    pub(super) fn address(&self) -> Address {
        Address { host: "127.0.0.1".into(), port: self.port }
    }

    /// As the user with the least rights.
    pub(super) fn settings(&self) -> RedisSettings {
        as_user(Target::Single(self.address()))
    }

    /// Asks as the server's own administrator; gives the answer as it comes over the wire.
    pub(super) fn ask(&self, words: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let answer = self.try_ask(words);
        assert!(!answer.starts_with(b"-"), "{}", String::from_utf8_lossy(&answer));
        answer
    }

    /// The same, of words that have no blanks in them; gives text.
    pub(super) fn tell(&self, line: &str) -> String {
        String::from_utf8_lossy(&self.ask(&line.split(' ').collect::<Vec<_>>())).into_owned()
    }

    /// The same, where an error is an answer.
    pub(super) fn try_ask(&self, words: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            let word = word.as_ref();
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(&request).unwrap();
        // It closes once it has answered; a sentinel knows no QUIT.
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    /// Waits until an answer has these words in it; at most 20 s.
    pub(super) fn wait_for(&self, line: &str, expected: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let mut answer = String::new();
        for _ in 0..1_000 {
            answer = String::from_utf8_lossy(&self.try_ask(&words)).into_owned();
            if answer.contains(expected) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{line}: expected {expected} in {answer}");
    }

    /// Kills it, as a crash would.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again in its place, after it was killed.
    pub(super) fn restart(&mut self) {
        self.child = spawn(&self.folder, self.port, &self.arguments).unwrap();
    }

    /// Has it hang, and go on.
    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn as_user(target: Target) -> RedisSettings {
    RedisSettings {
        username: Some(USER.into()),
        password: Some(Password::new(PASSWORD.into())),
        ..RedisSettings::new(target)
    }
}

static PROGRAM: LazyLock<PathBuf> =
    LazyLock::new(|| tools::program("redis").unwrap_or_else(|message| panic!("{message}")));

/// `None` where it ends at once.
fn spawn(folder: &TempDir, port: u16, arguments: &[String]) -> Option<Child> {
    // What it reads first: a sentinel writes into it, so it must be a file. The rest follows it.
    let settings = folder.path().join("redis.conf");
    if !settings.exists() {
        std::fs::write(&settings, format!("port {port}\n")).unwrap();
    }
    let mut child = Command::new(&*PROGRAM)
        .arg(&settings)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", PROGRAM.display()));
    // Nothing tells when it listens but that it does.
    for _ in 0..1_000 {
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(child);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
