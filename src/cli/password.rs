//! `doorward password set|hash`: a password is read from standard input and from nowhere else.

use std::io::{IsTerminal, Write as _, stderr, stdin};
use std::process::{Command as Process, Stdio};

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::door::Door;
use super::{Common, Failure, cell, segment};
use crate::domain::secret::Secret;
use crate::passwords::{Passwords, rules};

#[derive(Subcommand)]
pub enum Command {
    /// Set the password that a consumer logs in with, read from standard input
    #[command(after_help = "Example: doorward password set alice < password.txt")]
    Set {
        /// Username or id
        consumer: String,
    },
    /// Print the hash of a password from standard input, for `password_from_env`
    #[command(after_help = "Example: doorward password hash < password.txt")]
    Hash,
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::Set { consumer } => set(common, &consumer),
        Command::Hash => hash(common),
    }
}

fn set(common: &Common, consumer: &str) -> Result<(), Failure> {
    let mut door = Door::open_or_make(common)?;
    let password = read()?;
    let path = format!("/consumers/{}/password", segment(consumer)?);
    let set = door.put(&path, &json!({ "password": *password }))?;
    common.print(&set, |set| format!("set the password of {}\n", cell(&set["username"])))?;
    // The one before has ended, and all that was had by it.
    door.has_ended()
}

fn hash(common: &Common) -> Result<(), Failure> {
    let password = read()?;
    if let Some(why) = rules::refusal(&password, "") {
        return Err(Failure::Refused(format!("the password {why}")));
    }
    let hashing = async { Passwords::default().hash(Secret::from(password.to_string())).await };
    let hash = super::runtime()?.block_on(hashing);
    let hash = hash.map_err(|_| Failure::Refused("the password could not be hashed; try again".into()))?;
    common.print(&json!({ "password_hash": hash }), |hash| format!("{}\n", cell(&hash["password_hash"])))
}

/// One line. A terminal is asked for it, and does not show it.
fn read() -> Result<Zeroizing<String>, Failure> {
    let asked = stdin().is_terminal();
    if asked {
        let _ = write!(stderr(), "Password: ");
        show_what_is_typed(false);
    }
    let mut line = Zeroizing::new(String::with_capacity(2 * rules::LONGEST));
    let read = stdin().read_line(&mut line);
    if asked {
        show_what_is_typed(true);
        let _ = writeln!(stderr());
    }
    read.map_err(|error| Failure::Usage(format!("cannot read the password from standard input: {error}")))?;
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    if line.is_empty() {
        return Err(Failure::Usage("there is no password on standard input".into()));
    }
    Ok(line)
}

/// Where there is no `stty`, it is shown, and nothing worse.
fn show_what_is_typed(shown: bool) {
    let word = if shown { "echo" } else { "-echo" };
    let _ = Process::new("stty").arg(word).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
}
