//! What was found, and what it does.

use std::fmt;

/// What an ill leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// Somebody may pass who should not.
    Unsafe,
    /// Somebody does not pass who should, or is told the wrong reason.
    Broken,
    /// Answers are late, or come from too few replicas.
    Slow,
}

impl Harm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsafe => "unsafe",
            Self::Broken => "broken",
            Self::Slow => "slow",
        }
    }
}

/// A kind of mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Ill {
    /// Does not change.
    pub code: &'static str,
    pub harm: Harm,
    /// What comes of it.
    pub why: &'static str,
    /// What to write instead.
    pub fix: &'static str,
}

/// One mistake, and where it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub ill: &'static Ill,
    /// In words: ``filter `doorward` of listener `main` ``.
    pub place: String,
    /// What stands there.
    pub found: String,
}

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// The same at the same place is told once: two listeners may have one cluster.
    pub(super) fn add(&mut self, place: impl fmt::Display, ill: &'static Ill, found: &str) {
        let finding = Finding { ill, place: place.to_string(), found: found.to_owned() };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// The worst first.
    pub(super) fn all(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.ill.harm);
        self.0
    }
}
