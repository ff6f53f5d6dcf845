//! `doorward import kong FILE`: takes over what Kong's declarative file says.

mod kong;
mod twins;

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::kong::{Document, LeftOut};
use self::twins::Twins;
use super::door::Door;
use super::{Common, Failure, read_file};
use crate::config::Config;

#[derive(Subcommand)]
pub enum Command {
    /// Kong's declarative file (`deck gateway dump`, `kong config db_export`): consumers, keys, groups,
    /// basic-auth, JWT credentials, and what plugins ask for of services that are here
    #[command(after_help = "Example: doorward import kong kong.yaml --dry-run\n\
                            Importing the same file again changes nothing.")]
    Kong(Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    /// `-` reads it from standard input
    file: PathBuf,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Take keys of fewer than 16 bytes (guessable: they are logged and counted)
    #[arg(long)]
    insecure_allow_weak: bool,
}

/// Objects that are sent in one call, where the body may be so large.
const AT_ONCE: usize = 10_000;
/// Passwords are hashed one by one, some 30 ms each.
const PASSWORDS_AT_ONCE: usize = 50;
/// A catalog is made with each.
const POLICIES_AT_ONCE: usize = 50;

/// Refusals that are printed one by one; of more only the number is told.
const TOLD: usize = 100;

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let Command::Kong(arguments) = command;
    let document = read(&arguments.file)?;
    if document.is_empty() {
        return Err(Failure::Usage(format!(
            "{} has no consumers, credentials or plugins; is it Kong's declarative file?",
            arguments.file.display()
        )));
    }
    let mut import = Import {
        door: if arguments.dry_run { Door::open_or_pretend(common) } else { Door::open_or_make(common) }?,
        dry_run: arguments.dry_run,
        twins: Twins::default(),
        report: Map::new(),
        refused: Vec::new(),
        progress: Progress::default(),
        body_limit: body_limit(common)?,
    };
    let parts = document.into_parts(arguments.insecure_allow_weak);
    import.send("consumers", &parts.consumers, AT_ONCE)?;
    import.send("acls", &parts.acls, AT_ONCE)?;
    import.send("keys", &parts.keys, AT_ONCE)?;
    import.send("basics", &parts.basics, PASSWORDS_AT_ONCE)?;
    import.send("jwts", &parts.jwts, AT_ONCE)?;
    import.send("plugins", &parts.plugins, POLICIES_AT_ONCE)?;
    import.progress.end();
    let refused = import.refused.len();
    let told = json!({
        "dry_run": arguments.dry_run,
        "objects": import.report,
        "refused": import.refused,
        "left_out": parts.left_out,
    });
    common.print(&told, |_| text(&import, &parts.left_out))?;
    if refused > 0 {
        return Err(Failure::Refused(format!("{refused} of the file's objects were refused")));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Document, Failure> {
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let text = read_file(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    Document::parse(&text).map_err(wrong)
}

/// An import under way.
struct Import {
    door: Door,
    dry_run: bool,
    /// What the same import would have made, of which the server knows nothing.
    twins: Twins,
    /// How many came to what, by kind.
    report: Map<String, Value>,
    refused: Vec<Value>,
    progress: Progress,
    /// Bytes that a body may have.
    body_limit: usize,
}

/// What the server takes; of one elsewhere, what it takes unless it is told otherwise.
fn body_limit(common: &Common) -> Result<usize, Failure> {
    let config = if common.url.is_some() { Config::default() } else { common.load()? };
    Ok(config.limits.admin_body_bytes.value.bytes())
}

impl Import {
    fn send(
        &mut self,
        kind: &str,
        objects: &[impl Serialize + kong::Named],
        at_once: usize,
    ) -> Result<(), Failure> {
        let mut counts = Map::new();
        let rows: Vec<String> = objects.iter().map(row).collect();
        let mut done = 0;
        while done < objects.len() {
            let (head, tail) = (self.head(kind, &objects[done..objects.len().min(done + at_once)]), "]}");
            let room = self.body_limit.saturating_sub(head.len() + tail.len());
            let count = fitting(&rows[done..], room).min(at_once);
            let (some, bodies) = (&objects[done..done + count], &rows[done..done + count]);
            let answer = self.door.post_patiently("/import", head + &bodies.join(",") + tail)?;
            let outcomes = answer[kind].as_array().map_or(&[][..], Vec::as_slice);
            for (object, outcome) in some.iter().zip(outcomes) {
                let foretold = (self.dry_run && outcome == "made").then(|| object.beside(&mut self.twins));
                let outcome = foretold.as_ref().unwrap_or(outcome);
                let word = outcome.as_str().unwrap_or("refused");
                let count = counts.get(word).and_then(Value::as_u64).unwrap_or(0);
                counts.insert(word.to_owned(), json!(count + 1));
                if let Some(why) = outcome["refused"].as_str() {
                    self.refused.push(json!({ "what": object.called(), "why": why }));
                }
            }
            done += count;
            self.progress.show(kind, (done, objects.len()));
        }
        if !counts.is_empty() {
            self.report.insert(kind.to_owned(), Value::Object(counts));
        }
        Ok(())
    }

    /// A body up to where the objects begin.
    fn head(&self, kind: &str, objects: &[impl kong::Named]) -> String {
        let mut announced = Vec::new();
        if self.dry_run {
            let wanted: HashSet<String> = objects.iter().filter_map(kong::Named::owner).collect();
            announced.extend(wanted.into_iter().filter(|name| self.twins.would_make(name)));
        }
        let announced = json!(announced);
        format!(r#"{{"dry_run":{},"announced":{announced},"{kind}":["#, self.dry_run)
    }
}

fn row(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("what was read as text is written as text")
}

/// How many of these, with commas between them, have so many bytes together; one at least.
fn fitting(rows: &[String], room: usize) -> usize {
    let mut bytes = 0;
    let fits = |row: &&String| {
        bytes += row.len() + 1;
        bytes <= room
    };
    rows.iter().take_while(fits).count().max(1)
}

/// On stderr: what is done is for people, what came of it is on stdout.
#[derive(Default)]
struct Progress {
    /// Tenths of the kind that was shown last.
    shown: usize,
    open: bool,
}

impl Progress {
    fn show(&mut self, kind: &str, (done, all): (usize, usize)) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            let _ = write!(stderr, "\r\x1b[K{kind}: {done} of {all}");
            let _ = stderr.flush();
            self.open = true;
            return;
        }
        let tenths = done * 10 / all.max(1);
        if all > AT_ONCE && tenths != self.shown {
            self.shown = tenths;
            let _ = writeln!(stderr, "{kind}: {done} of {all}");
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            eprint!("\r\x1b[K");
        }
    }
}

fn text(import: &Import, left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    if import.dry_run {
        text.push_str("nothing was done; it would have come to this:\n");
    }
    for (kind, counts) in &import.report {
        let counts = counts.as_object().into_iter().flatten();
        let counts: Vec<String> = counts.map(|(word, count)| format!("{count} {word}")).collect();
        text.push_str(&format!("{kind}: {}\n", counts.join(", ")));
    }
    for refused in import.refused.iter().take(TOLD) {
        text.push_str(&format!(
            "refused: {}: {}\n",
            super::cell(&refused["what"]),
            super::cell(&refused["why"])
        ));
    }
    if import.refused.len() > TOLD {
        text.push_str(&format!("refused: {} more\n", import.refused.len() - TOLD));
    }
    for LeftOut { what, why } in left_out {
        text.push_str(&format!("left out: {what}: {why}\n"));
    }
    text
}
