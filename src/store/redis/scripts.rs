//! What Redis does in one step, as Lua. Sent with `SCRIPT LOAD` on every new connection and run by
//! digest: the user needs no right to run any other.

use ::redis::Cmd;

use super::keys;
use crate::store::Table;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Open,
    Replace,
    Write,
    /// The same where Redis has no memory left: for what frees some.
    WriteRegardless,
    Changes,
    Heartbeat,
    Probe,
    Instances,
    Pack,
    Uses,
    SessionUses,
    Counters,
}

/// The digests that Redis gave the scripts, by their order in [`Script::ALL`].
pub(super) struct Digests(pub(super) Vec<String>);

impl Script {
    pub(super) const ALL: [Self; 12] = [
        Self::Open,
        Self::Replace,
        Self::Write,
        Self::WriteRegardless,
        Self::Changes,
        Self::Heartbeat,
        Self::Probe,
        Self::Instances,
        Self::Pack,
        Self::Uses,
        Self::SessionUses,
        Self::Counters,
    ];

    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Open => include_str!("scripts/open.lua"),
            Self::Replace => include_str!("scripts/replace.lua"),
            Self::Write => include_str!("scripts/write.lua"),
            Self::WriteRegardless => {
                concat!("#!lua flags=allow-oom\n", include_str!("scripts/write.lua"))
            }
            Self::Probe => include_str!("scripts/probe.lua"),
            Self::Changes => include_str!("scripts/changes.lua"),
            Self::Heartbeat => include_str!("scripts/heartbeat.lua"),
            Self::Instances => include_str!("scripts/instances.lua"),
            Self::Pack => include_str!("scripts/pack.lua"),
            Self::Uses => include_str!("scripts/uses.lua"),
            Self::SessionUses => include_str!("scripts/session_uses.lua"),
            Self::Counters => include_str!("scripts/counters.lua"),
        }
    }
}

/// One run of a script.
pub(super) struct Call {
    pub(super) script: Script,
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(script: Script, keys: &[&str]) -> Self {
        Self { script, keys: keys.iter().map(|key| (*key).to_owned()).collect(), arguments: Vec::new() }
    }

    pub(super) fn with(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With the keys by which it is seen whether there are records.
    pub(super) fn with_names(mut self) -> Self {
        self.keys.extend(Table::ALL.map(keys::names));
        self
    }

    pub(super) fn command(&self, digests: &Digests) -> Cmd {
        let mut command = ::redis::cmd("EVALSHA");
        let place = Script::ALL.iter().position(|script| *script == self.script);
        command.arg(place.and_then(|place| digests.0.get(place))).arg(self.keys.len());
        for key in &self.keys {
            command.arg(key);
        }
        for argument in &self.arguments {
            command.arg(&argument[..]);
        }
        command
    }
}
