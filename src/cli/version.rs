//! `doorward version`: what is running, and what built it.

use serde::Serialize;

/// What this program is. Prints as one line; its JSON is `--output json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    pub name: &'static str,
    pub version: &'static str,
    /// The git commit a release was built from, twelve digits; `null` where nobody told.
    pub revision: Option<&'static str>,
    /// The compiler, as it calls itself.
    pub rustc: &'static str,
}

pub const VERSION: Version = Version {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    revision: option_env!("BUILT_FROM_REVISION"),
    rustc: env!("BUILT_BY_RUSTC"),
};

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, version, revision, rustc } = self;
        match revision {
            Some(revision) => write!(f, "{name} {version} ({revision}, {rustc})"),
            None => write!(f, "{name} {version} ({rustc})"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_line_names_program_version_and_compiler() {
        let line = VERSION.to_string();
        assert!(line.starts_with(concat!("doorward ", env!("CARGO_PKG_VERSION"), " (")), "{line}");
        assert!(line.contains("rustc 1."), "{line}");
    }

    #[test]
    fn json_has_every_field_also_without_a_revision() {
        let version = Version { revision: None, ..VERSION };
        let json = serde_json::to_value(version).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().collect();
        assert_eq!(names, ["name", "revision", "rustc", "version"]);
        assert!(json["revision"].is_null());
    }
}
