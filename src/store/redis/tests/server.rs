//! A Redis of one test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::super::acl;
use super::{RedisSettings, Target};
use crate::store::redis::{Address, Password};

/// Ends with this.
pub(crate) struct Server {
    child: Child,
    pub(super) folder: TempDir,
    pub(super) port: u16,
}

/// The user that tests have, and the password.
pub(super) const USER: &str = "doorward";
pub(super) const PASSWORD: &str = "a-password-of-the-tests";

impl Server {
    /// Starts one with more arguments, as `redis-server` takes them.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Another process may take a free port before Redis does; then another one is tried.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(server) = Self::try_start(&folder, port, arguments) {
                return Self { child: server, folder, port };
            }
        }
        panic!("redis-server does not start; see its output above");
    }

    fn try_start(folder: &TempDir, port: u16, arguments: &[&str]) -> Option<Child> {
        let mut child = Command::new(program())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "redis-server cannot be started ({error}); install it (`tests/tools.sh redis` says how), or \
                     name one with REDIS_SERVER"
                )
            });
        // Nothing tells when it listens but that it does.
        for _ in 0..500 {
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

    /// Allows nothing but the user with the least rights.
    pub(super) fn limit_user(&self) {
        let rules = format!("ACL SETUSER {USER} on >{PASSWORD} {}", acl::RULES);
        self.ask(&rules.split_whitespace().collect::<Vec<_>>());
    }

    pub(super) fn address(&self) -> Address {
        Address { host: "127.0.0.1".into(), port: self.port }
    }

    /// As the user with the least rights.
    pub(super) fn settings(&self) -> RedisSettings {
        RedisSettings {
            username: Some(USER.into()),
            password: Some(Password::new(PASSWORD.into())),
            ..RedisSettings::new(Target::Single(self.address()))
        }
    }

    /// Asks as the server's own administrator; gives the answer as it comes over the wire.
    pub(super) fn ask(&self, words: &[impl AsRef<[u8]>]) -> Vec<u8> {
        ask(self.port, words)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `REDIS_SERVER`, or the one on the path.
pub(super) fn program() -> PathBuf {
    std::env::var_os("REDIS_SERVER").map_or_else(|| "redis-server".into(), PathBuf::from)
}

pub(super) fn ask(port: u16, words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"*1\r\n$4\r\nQUIT\r\n");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(&request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.len().saturating_sub(b"+OK\r\n".len());
    answer.truncate(end);
    assert!(!answer.starts_with(b"-"), "{}", String::from_utf8_lossy(&answer));
    answer
}
