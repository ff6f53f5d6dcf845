//! What a configuration says, from outside: files in, settings or complaints out.

#![allow(clippy::unwrap_used, reason = "tests")]

mod deployments;
mod faults;
mod issuers;
mod never_panics;
mod policy;
mod policy_faults;
mod sample;
mod settings;
mod stored;
mod tls;

use super::*;
use crate::domain::secret::{ENTROPY_BYTES, Kind};

const SAMPLE: &str = include_str!("../../doorward.yaml");

/// The pepper of a ring with one key.
fn peppers() -> Peppers {
    Peppers::new(vec![crate::domain::verifier::Pepper::new(&[7; 32])])
}

/// A folder with a `doorward.yaml` and some files of keys.
struct Desk(tempfile::TempDir);

impl Desk {
    fn with(yaml: impl AsRef<[u8]>) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.write("bob.key", "bobs-key-is-a-long-one\n");
        desk.write("empty.key", "\n");
        desk.write("short.key", "fifteen-letters");
        desk.write("comma.key", "a-key,with-a-comma");
        for (file, kind) in [("ours.key", Kind::Key), ("session.key", Kind::Session)] {
            desk.write(file, Secret::generate(kind, &[7; ENTROPY_BYTES]).unwrap().0.expose());
        }
        desk.write("pretender.key", "dw_key_that_is_not_one_of_ours");
        std::fs::write(desk.0.path().join("doorward.yaml"), yaml).unwrap();
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn load(&self, env: &[(&str, &str)], overlay: &[Overlay]) -> Result<Loaded, Faults> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(&self.0.path().join("doorward.yaml")), env, overlay)
    }

    /// Without the folder, which differs from run to run.
    fn told(&self, text: impl ToString) -> String {
        text.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }

    /// What is wrong: `line:column: message` of each fault.
    fn remarks<T>(&self, read: Result<T, Faults>) -> Vec<String> {
        let Err(faults) = read else { return Vec::new() };
        let remark = |it: &Remark| {
            format!("{}:{}: {}", it.line.unwrap_or(0), it.column.unwrap_or(0), self.told(&it.message))
        };
        faults.remarks().iter().map(remark).collect()
    }
}

/// A configuration that is good.
#[track_caller]
fn good(yaml: &str) -> Config {
    good_with(yaml, &[])
}

#[track_caller]
fn good_with(yaml: &str, env: &[(&str, &str)]) -> Config {
    match Desk::with(yaml).load(env, &[]) {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{faults}"),
    }
}
