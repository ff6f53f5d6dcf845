//! How much is logged, and what is never asked to say more.

use std::str::FromStr;

use tracing::metadata::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Libraries whose lines below `info` may hold header values, keys or records. They are kept at
/// `info` whatever the configuration asks for; a name covers all that begin with it.
const CAPPED: [&str; 7] = ["h2", "hyper", "tonic", "tower", "rustls", "redis", "redb"];

/// A level for everything, and levels for parts of it: `info,doorward::store=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    everything: LevelFilter,
    parts: Vec<(String, LevelFilter)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelsError {
    #[error("found `{0}`, expected a level: error, warn, info, debug, trace or off")]
    Level(String),
    #[error("found `{0}`, expected a part of the program and its level: `doorward::store=debug`")]
    Part(String),
}

impl Default for Levels {
    fn default() -> Self {
        LevelFilter::INFO.into()
    }
}

impl From<LevelFilter> for Levels {
    fn from(everything: LevelFilter) -> Self {
        Self { everything, parts: Vec::new() }
    }
}

impl FromStr for Levels {
    type Err = LevelsError;

    /// Stricter than the crate's own parser, which reads a misspelt level as a part to be traced.
    fn from_str(text: &str) -> Result<Self, LevelsError> {
        let mut levels = Self::default();
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                None => levels.everything = level(directive)?,
                Some((part, wanted)) if is_part(part) => levels.parts.push((part.to_owned(), level(wanted)?)),
                Some(_) => return Err(LevelsError::Part(directive.to_owned())),
            }
        }
        Ok(levels)
    }
}

impl Levels {
    pub(super) fn targets(&self) -> Targets {
        let capped = CAPPED.map(|name| {
            // The longest prefix decides, here as in `Targets`.
            let wanted = self.parts.iter().filter(|(part, _)| name.starts_with(part.as_str()));
            let wanted =
                wanted.max_by_key(|(part, _)| part.len()).map_or(self.everything, |(_, level)| *level);
            (name.to_owned(), wanted.min(LevelFilter::INFO))
        });
        let parts = self.parts.iter().map(|(part, wanted)| {
            let below_cap = CAPPED.iter().any(|name| part.starts_with(name));
            (part.clone(), if below_cap { (*wanted).min(LevelFilter::INFO) } else { *wanted })
        });
        Targets::new().with_default(self.everything).with_targets(capped).with_targets(parts)
    }
}

fn level(text: &str) -> Result<LevelFilter, LevelsError> {
    match text {
        "off" => Ok(LevelFilter::OFF),
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err(LevelsError::Level(text.to_owned())),
    }
}

fn is_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tracing::Level;

    use super::*;

    #[test]
    fn a_misspelt_level_is_refused_with_the_way_out() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Levels>().unwrap_err().to_string(), expected);
        };
        check("inf", "found `inf`, expected a level: error, warn, info, debug, trace or off");
        check("", "found ``, expected a level: error, warn, info, debug, trace or off");
        check("info,h2=loud", "found `loud`, expected a level: error, warn, info, debug, trace or off");
        check(
            "info,=debug",
            "found `=debug`, expected a part of the program and its level: `doorward::store=debug`",
        );
    }

    #[test]
    fn no_directive_lifts_the_cap() {
        for text in [
            "trace",
            "trace,h2=trace",
            "info,hyper_util=debug",
            "info,h=trace",
            "off,hype=trace,redb::tree=trace",
        ] {
            let targets = text.parse::<Levels>().unwrap().targets();
            for library in
                ["h2", "h2::codec", "hyper::proto", "hyper_util::client", "tower_http", "redb::tree"]
            {
                assert!(!targets.would_enable(library, &Level::DEBUG), "{text}: {library}");
            }
        }
    }

    #[test]
    fn the_cap_makes_nothing_louder() {
        let targets = "warn,hyper=error".parse::<Levels>().unwrap().targets();
        assert!(!targets.would_enable("h2", &Level::INFO));
        assert!(targets.would_enable("h2", &Level::WARN));
        assert!(!targets.would_enable("hyper", &Level::WARN));
    }

    #[test]
    fn a_part_has_its_own_level() {
        let targets = "warn,doorward::store=debug".parse::<Levels>().unwrap().targets();
        assert!(targets.would_enable("doorward::store::redb", &Level::DEBUG));
        assert!(!targets.would_enable("doorward::grpc", &Level::INFO));
    }
}
