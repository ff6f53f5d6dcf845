//! The keys that the file declares: where their texts are, never the texts themselves.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::fault::{Fault, quoted};
use super::id::{Id, given_or_derived};
use super::moment::Moment;
use super::names::Names;
use super::networks::Networks;
use super::place::{At, Place};
use crate::domain::key::KeyFacts;
use crate::domain::secret::{self, Kind, Reading, Secret};

/// How much of a key's file is read, in bytes: more than any key has.
const MOST: usize = 8192;

/// What holds for all keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// Whether keys of fewer than 16 bytes are accepted. Default: false.
    pub insecure_allow_weak: At<bool>,
}

/// A key of a consumer: exactly one of `from_env` and `from_file` says where its text is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Key {
    /// The variable of the environment that holds the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_env: Option<At<String>>,
    /// The file that holds the text; a final line feed does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_file: Option<At<PathBuf>>,
    /// Absent: derived from the consumer and the place of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    /// What it opens: services wherever they are deployed (`orders`), or single deployments
    /// (`orders/production`); names or ids. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<At<String>>>,
    /// Names or ids of what it may do at most. Absent: all that its consumer may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<At<String>>>,
    /// From where it may be used. Absent: from anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<At<Networks>>,
    /// Good from then on. Absent: since ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<At<Moment>>,
    /// No longer good from then on. Absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<At<Moment>>,
    /// Default: true.
    pub enabled: bool,
}

/// What the texts of keys are read from and measured by.
pub(super) struct Sources<'c> {
    pub variables: &'c HashMap<String, String>,
    /// Where relative paths begin.
    pub folder: &'c Path,
    pub allow_weak: bool,
}

impl Default for Key {
    fn default() -> Self {
        Self {
            from_env: None,
            from_file: None,
            id: None,
            services: None,
            permissions: None,
            networks: None,
            not_before: None,
            expires_at: None,
            enabled: true,
        }
    }
}

/// Whether a key is one that only `keys.insecure_allow_weak` lets pass.
pub(super) fn is_weak(text: &Secret) -> bool {
    secret::read(text.expose().as_bytes()) == Reading::Foreign
        && secret::check_foreign(text.expose(), false).is_err()
}

impl Key {
    /// Where the text is, in one word: what the derived id is made of.
    fn source(&self) -> String {
        match (&self.from_env, &self.from_file) {
            (Some(name), _) => format!("env:{}", name.value),
            (None, Some(path)) => format!("file:{}", path.display()),
            (None, None) => String::new(),
        }
    }
}

impl At<Key> {
    pub(super) fn id(&self, consumer: Uuid) -> At<Uuid> {
        let value = given_or_derived(self.id.as_ref(), "key", &format!("{consumer}/{}", self.source()));
        At { value, place: self.id.as_ref().map_or(self.place, |id| id.place) }
    }

    /// What becomes of it in the catalog, but for its text.
    pub(super) fn resolve(
        &self,
        consumer: Uuid,
        names: &Names,
        faults: &mut Vec<Fault>,
        warnings: &mut Vec<Fault>,
    ) -> KeyFacts {
        if let (Some(from), Some(to)) = (&self.not_before, &self.expires_at)
            && to.value <= from.value
        {
            let message =
                format!("`expires_at` is {}, expected after `not_before`, {}", to.value, from.value);
            faults.push(Fault::new(to.place, message));
        }
        let opens = self.services.as_ref().map(|services| {
            services.iter().filter_map(|service| names.opens(service, faults)).collect::<Arc<[_]>>()
        });
        let permissions = self.permissions.as_ref().map(|permissions| {
            permissions.iter().filter_map(|name| names.permissions.find(name, faults)).collect::<Arc<[_]>>()
        });
        let networks = self.networks.as_ref();
        KeyFacts {
            id: self.id(consumer).value,
            consumer,
            not_before: self.not_before.as_ref().map(|moment| moment.value.0),
            expires_at: self.expires_at.as_ref().map(|moment| moment.value.0),
            enabled: self.enabled,
            opens,
            permissions,
            networks: networks.map(|networks| Arc::new(networks.resolve(networks.place, faults, warnings))),
        }
    }

    /// The text, from where the file says it is.
    pub(super) fn read(&self, reading: &Sources<'_>) -> Result<Secret, Fault> {
        let (place, mut text) = match (&self.from_env, &self.from_file) {
            (Some(name), None) => (name.place, from_env(name, reading)?),
            (None, Some(path)) => (path.place, from_file(path, reading)?),
            (env, _) => {
                let found = if env.is_some() { "both" } else { "neither" };
                let message =
                    format!("a key has {found} of `from_env` and `from_file`, expected exactly one");
                return Err(Fault::discreet(self.place, message));
            }
        };
        for ending in ['\n', '\r'] {
            if text.ends_with(ending) {
                text.pop();
            }
        }
        match refusal(&text, reading.allow_weak) {
            None => Ok(Secret::from(std::mem::take(&mut *text))),
            Some(why) => Err(Fault::new(place, format!("{}: {why}", self.described()))),
        }
    }

    /// For messages: where the text is.
    pub(super) fn described(&self) -> String {
        match (&self.from_env, &self.from_file) {
            (Some(name), _) => format!("the variable {}", quoted(name)),
            (None, Some(path)) => format!("the file {}", quoted(&path.display().to_string())),
            (None, None) => "nowhere".to_owned(),
        }
    }
}

fn from_env(name: &At<String>, reading: &Sources<'_>) -> Result<Zeroizing<String>, Fault> {
    if let Some(text) = reading.variables.get(&name.value) {
        return Ok(Zeroizing::new(text.clone()));
    }
    // What does not look like a variable's name may be the key itself: it is not shown.
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        let message = "`from_env` names no variable that is set; it takes the name of an environment variable \
                       that holds the key, never the key itself";
        return Err(Fault::discreet(name.place, message));
    }
    let message = format!("the environment variable {} is not set; it must hold the key", quoted(name));
    Err(Fault::new(name.place, message))
}

fn from_file(path: &At<PathBuf>, reading: &Sources<'_>) -> Result<Zeroizing<String>, Fault> {
    let whole = reading.folder.join(&path.value);
    // Never grows, so that no copy of it stays behind.
    let mut text = Zeroizing::new(String::with_capacity(MOST));
    let read = File::open(&whole).and_then(|file| file.take(MOST as u64).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        // The key itself instead of its file's name.
        Err(_) if path.to_string_lossy().contains("dw_") => {
            let message = "`from_file` takes the path of a file that holds the key, never the key itself";
            Err(Fault::discreet(path.place, message))
        }
        Err(error) => {
            let shown = quoted(&whole.display().to_string());
            let message = format!("the file {shown}, which must hold the key, cannot be read: {error}");
            Err(Fault::new(path.place, message))
        }
    }
}

/// Why a text cannot be a key.
fn refusal(text: &str, allow_weak: bool) -> Option<String> {
    match secret::read(text.as_bytes()) {
        Reading::Ours { kind: Kind::Key, .. } => None,
        Reading::Ours { kind, .. } => Some(format!("the text is no key, but a secret for `{}`", kind.name())),
        Reading::Broken => Some(
            "the key begins with `dw_`, but is not whole: it is cut short, mistyped or made up".to_owned(),
        ),
        Reading::Foreign => secret::check_foreign(text, allow_weak).err().map(|error| error.to_string()),
    }
}

/// Two keys with one text: nobody could say whose it is.
pub(super) fn check_distinct(keys: &[(&At<Key>, &Secret)], faults: &mut Vec<Fault>) {
    let mut taken: HashMap<&[u8], &At<Key>> = HashMap::new();
    for (key, text) in keys {
        if let Some(first) = taken.insert(text.expose().as_bytes(), key) {
            let message = format!(
                "the key from {} is the same as the one from {} in {}; each key opens for one consumer",
                key.described(),
                first.described(),
                place_of(first).describe()
            );
            faults.push(Fault::new(place_of(key), message));
        }
    }
}

fn place_of(key: &At<Key>) -> Place {
    let env = key.from_env.as_ref().map(|name| name.place);
    env.or(key.from_file.as_ref().map(|path| path.place)).unwrap_or(key.place)
}
