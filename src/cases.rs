//! Decision cases: requests beside a policy, each with what is expected of it. For `doorward test`
//! in a user's own pipeline, and for our own tables; no server and no store are needed.
//!
//! The consumers and keys that requests need are declared in the configuration: there is no store
//! to find others in.

mod expect;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;

pub use expect::Expect;

use crate::check::Checker;
use crate::clock::{Clock, Hand};
use crate::config::{self, At, Config, Document, Faults, Loaded, Moment, Place};
use crate::domain::time::Timestamp;
use crate::domain::verifier::{Pepper, Peppers};
use crate::explain::{Account, Description, explain};
use crate::replica::Replica;
use crate::telemetry::{Readiness, Telemetry};

/// A file of cases, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The configuration's file, relative to this one; or else `policy`.
    config: Option<At<PathBuf>>,
    /// The configuration itself.
    policy: Option<At<String>>,
    /// The environment, for the configuration: nothing of the real one is seen. In requests
    /// `{NAME}` stands for the value of `NAME`.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// When it is. Default: the real time.
    now: Option<At<Moment>>,
    /// What requests have that do not say otherwise.
    #[serde(default)]
    defaults: Description,
    cases: At<Vec<At<Row>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// What is claimed. Default: method and target.
    case: Option<String>,
    #[serde(default)]
    request: Description,
    /// Default: the file's.
    now: Option<At<Moment>>,
    expect: At<Expect>,
}

/// A request, and what is expected of it.
pub struct Case {
    pub name: String,
    /// With the defaults, and every `{NAME}` replaced.
    pub request: Description,
    pub expect: Expect,
    pub now: Timestamp,
}

/// Cases, and the policy that they are held against.
pub struct Suite {
    cases: Vec<Case>,
    policy: String,
    env: BTreeMap<String, String>,
    checker: Checker,
    hand: Hand,
}

/// A case that was decided.
pub struct Tried<'s> {
    pub case: &'s Case,
    pub account: Account,
    /// What is not as expected; empty where all is.
    pub differences: Vec<String>,
}

impl Suite {
    /// # Errors
    ///
    /// The file, or its configuration, cannot be read or used.
    pub fn read(file: &Path) -> Result<Self, Faults> {
        let document: Document<File> = Document::read(file)?;
        let (loaded, policy) = configured(file, &document)?;
        let clock = Clock::system();
        let now = document.value.now.as_ref().map_or_else(|| clock.now(), |now| now.value.0);
        let (checker, hand) = checker(&loaded.config, now)?;
        let (mut cases, mut wrong) = (Vec::new(), Vec::new());
        for row in &document.value.cases.value {
            let case = row.value.filled(&document.value, now);
            if let Err(misdescribed) = case.request.understood() {
                wrong.push((row.place, misdescribed.to_string()));
            }
            cases.push(case);
        }
        if cases.is_empty() {
            let message = "`cases` is empty, and a file that tests nothing is never wrong";
            wrong.push((document.value.cases.place, message.to_owned()));
        }
        match document.faults(wrong) {
            Some(faults) => Err(faults),
            None => Ok(Self { cases, policy, env: document.value.env, checker, hand }),
        }
    }

    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The text of the configuration.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// What the configuration finds in the environment.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Decides every case.
    pub fn run(&self) -> Vec<Tried<'_>> {
        self.cases.iter().filter_map(|case| self.decide(case, &case.request)).collect()
    }

    /// Decides a case as another request describes it; `None` where that describes none.
    pub fn decide<'s>(&'s self, case: &'s Case, request: &Description) -> Option<Tried<'s>> {
        let described = request.understood().ok()?;
        self.hand.set_wall(case.now);
        let account = explain(&self.checker, &described);
        let differences = case.expect.differences(&account, request);
        Some(Tried { case, account, differences })
    }
}

impl Row {
    fn filled(&self, file: &File, now: Timestamp) -> Case {
        let fill = |text: &mut String| {
            for (name, value) in &file.env {
                *text = text.replace(&format!("{{{name}}}"), value);
            }
        };
        let mut request = self.request.or(&file.defaults);
        let texts = [&mut request.target, &mut request.host, &mut request.body];
        texts.into_iter().flatten().for_each(fill);
        request.headers.iter_mut().flatten().for_each(|(_, value)| fill(value));
        let unnamed = || {
            let Description { method, target, .. } = self.request.or(&file.defaults);
            format!("{} {}", method.as_deref().unwrap_or("GET"), target.as_deref().unwrap_or("/"))
        };
        Case {
            // Before names are replaced by what may be a key.
            name: self.case.clone().unwrap_or_else(unnamed),
            request,
            expect: self.expect.value.clone(),
            now: self.now.as_ref().map_or(now, |now| now.value.0),
        }
    }
}

/// The configuration that a file of cases names or holds, and its text.
fn configured(file: &Path, document: &Document<File>) -> Result<(Loaded, String), Faults> {
    let File { config, policy, env, .. } = &document.value;
    let env = env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let complain = |place: Place, message: String| match document.faults([(place, message)]) {
        Some(faults) => Err(faults),
        None => unreachable!("one complaint was made"),
    };
    match (config, policy) {
        (Some(config), None) => {
            let path = file.parent().unwrap_or(Path::new("")).join(&config.value);
            let loaded = config::load(Some(&path), env, &[])?;
            match std::fs::read_to_string(&path) {
                Ok(text) => Ok((loaded, text)),
                Err(error) => complain(config.place, format!("{} cannot be read: {error}", path.display())),
            }
        }
        (None, Some(policy)) => {
            let mut name = file.as_os_str().to_owned();
            name.push(": policy");
            let loaded = config::load_beside(Path::new(&name), policy.value.clone(), env)?;
            Ok((loaded, policy.value.clone()))
        }
        (config, _) => {
            let found = if config.is_some() { "both" } else { "neither" };
            let message = format!("there is {found} of `config` and `policy`, expected exactly one of them");
            complain(config.as_ref().map_or(document.value.cases.place, |config| config.place), message)
        }
    }
}

/// Decides by the file alone, on a clock that stands.
fn checker(config: &Config, now: Timestamp) -> Result<(Checker, Hand), Faults> {
    let (clock, hand) = Clock::stopped(now);
    // Any pepper serves: no verifier leaves this process.
    let peppers = Peppers::new(vec![Pepper::new(&[0; 32])]);
    let catalog = Arc::new(ArcSwap::from_pointee(config.catalog(&peppers)?));
    let replica = Arc::new(Replica::of_no_store(&clock));
    let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())));
    let checker = Checker::new(catalog, peppers, replica, clock, telemetry);
    Ok((checker.with_on_fault(config.on_fault.into()), hand))
}

#[cfg(test)]
mod tests;
