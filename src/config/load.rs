//! Reading it all: file, environment, flags, and the texts of keys.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::duration::Span;
use super::fault::{Fault, Faults, Remark, Source, quoted};
use super::issuers::{Issuer, KeyFile, LONGEST_KEY_FILE};
use super::keys::{Sources, check_distinct};
use super::limits::within;
use super::node::{Bounds, Node};
use super::overlay::Overlay;
use super::place::{At, Place};
use super::{Config, decode, policy, show};
use crate::domain::catalog::Catalog;

/// The file that is read where none is named.
const USUAL_FILE: &str = "doorward.yaml";

/// A Unix socket's path, in bytes: `sun_path` less its final NUL.
const LONGEST_SOCKET_PATH: usize = 107;

/// A configuration that can be used.
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Remark>,
    /// The file it was read from; `None`: there is none, and the defaults hold.
    pub file: Option<PathBuf>,
    /// For each setting that somebody wrote, who and where: `log.level` → `doorward.yaml:3`.
    pub origins: BTreeMap<String, String>,
    pub(super) tree: Node,
}

impl Loaded {
    /// Whether there is no service, and nobody wrote that there shall be none.
    pub fn has_lost_services(&self) -> bool {
        self.config.services.is_empty() && self.tree.get(SERVICES).is_none()
    }
}

/// The setting whose absence may be a mistake.
const SERVICES: &str = "services";

/// Reads the configuration: the file, under the variables `DOORWARD_…` of `env`, under `overlay`.
///
/// `file` is the one that was asked for; without, `./doorward.yaml` is read where it exists. `env`
/// is also where `from_env` of a key looks. Nothing is read but these files and the files of keys.
///
/// # Errors
///
/// Everything that is wrong; of a file that is no YAML or has the wrong form, the first thing.
pub fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    overlay: &[Overlay],
) -> Result<Loaded, Faults> {
    let (file, text) = read(file, Path::new(USUAL_FILE))?;
    understand(file, text, env, overlay, Keys::Read)
}

/// Reads the configuration but for the texts of the keys that it declares: whoever lists or
/// revokes keys need not have them.
///
/// # Errors
///
/// As [`load`].
pub fn load_places(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Faults> {
    let (file, text) = read(file, Path::new(USUAL_FILE))?;
    understand(file, text, env, &[], Keys::LeftAlone)
}

/// Reads a configuration that is no file: nothing else is read, the texts of keys neither.
///
/// # Errors
///
/// As [`load`].
pub fn load_text(text: String) -> Result<Loaded, Faults> {
    understand(None, text, std::iter::empty(), &[], Keys::LeftAlone)
}

/// Reads a configuration that stands in another file, as if it were a file beside that one.
///
/// # Errors
///
/// As [`load`].
pub fn load_beside(
    file: &Path,
    text: String,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Faults> {
    understand(Some(file.to_path_buf()), text, env, &[], Keys::Read)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Read,
    LeftAlone,
}

fn understand(
    file: Option<PathBuf>,
    text: String,
    env: impl Iterator<Item = (String, String)>,
    overlay: &[Overlay],
    keys: Keys,
) -> Result<Loaded, Faults> {
    let variables: HashMap<String, String> = env.collect();
    let mut source =
        Source { file: file.as_ref().map(|path| path.display().to_string()), text, overlays: Vec::new() };
    let tree = tree(&mut source, &variables, overlay);
    let source = Arc::new(source);
    let tree = tree.map_err(|fault| Faults::one(&source, fault))?;
    let mut config: Config = decode::decode(&tree).map_err(|fault| Faults::one(&source, fault))?;
    config.folder = file.as_deref().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
    config.source = Arc::clone(&source);

    let mut faults = check(&config);
    if keys == Keys::Read {
        read_key_files(&mut config);
    }
    let policy::Resolved { parts, faults: more, mut warnings, .. } = policy::resolve(&config);
    // Where names are wrong already, clashes would only repeat it.
    if more.is_empty()
        && let Err(clash) = Catalog::new(parts)
    {
        faults.push(policy::clashing(&config, &clash));
    }
    faults.extend(more);
    if keys == Keys::Read {
        read_keys(&mut config, &variables, &mut faults);
    }
    if let Some(faults) = Faults::gather(&source, faults) {
        return Err(faults);
    }
    if config.keys.insecure_allow_weak.value {
        let message =
            format!("`keys.insecure_allow_weak` lets short keys pass; {} are in use", config.weak_keys());
        warnings.push(Fault::new(config.keys.insecure_allow_weak.place, message));
    }
    let loaded = Loaded { origins: show::origins(&tree, &source), warnings: Vec::new(), config, file, tree };
    if loaded.has_lost_services() {
        let message = "no service is declared: every check is `unknown_service`, but for the services that the store \
                       holds; `services: []` says that this is meant";
        warnings.push(Fault::new(Place::Default, message));
    }
    Ok(Loaded { warnings: source.report_all(warnings), ..loaded })
}

/// The file and its text; both empty where none was asked for and the usual one is not there.
pub(super) fn read(asked: Option<&Path>, usual: &Path) -> Result<(Option<PathBuf>, String), Faults> {
    let path = asked.unwrap_or(usual);
    let source = Source { file: Some(path.display().to_string()), ..Source::default() };
    let refuse = |message: String| Faults::one(&source, Fault::new(Place::Default, message));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if asked.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((None, String::new()));
        }
        Err(error) => return Err(refuse(format!("cannot be read: {error}"))),
    };
    let mut bytes = Vec::new();
    file.take(Bounds::FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > Bounds::FILE_BYTES {
        return Err(refuse(format!("has more than {} MiB", Bounds::FILE_BYTES >> 20)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((Some(path.to_path_buf()), text)),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(refuse(format!("is no text in UTF-8: the first other byte is in line {line}")))
        }
    }
}

/// What the file says, and over it what the environment and the flags say.
fn tree(source: &mut Source, variables: &HashMap<String, String>, flags: &[Overlay]) -> Result<Node, Fault> {
    let mut tree = Node::parse(&source.text)?;
    let mut elsewhere = Vec::new();
    tree.texts_under("from_env", &mut elsewhere);
    tree.texts_under("password_from_env", &mut elsewhere);
    let mut overlays: Vec<Overlay> = variables
        .iter()
        .filter(|(name, _)| !elsewhere.contains(&name.as_str()))
        .filter_map(|(name, value)| Overlay::variable(name, value))
        .collect();
    // Variables have no order; faults shall have one.
    overlays.sort_by(|one, other| one.origin.cmp(&other.origin));
    overlays.extend_from_slice(flags);
    source.overlays = overlays;
    for (index, overlay) in (0..).zip(&source.overlays) {
        overlay.apply(index, &mut tree)?;
    }
    Ok(tree)
}

/// What can be said of each setting without looking at the policy.
fn check(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    config.store.check(&mut faults);
    config.revocation.check(&mut faults);
    config.lifetimes.check(&mut faults);
    config.forward_auth.check(&mut faults);
    config.cookie.check(&mut faults);
    if let Some(url) = &config.public_url {
        check_public_url(url, &mut faults);
    }
    config.limits.check(&mut faults);
    config.log.check(&mut faults);
    config.headers.check(&mut faults);
    config.listen.check(&mut faults);
    config.listen.tls.check(&config.listen.grpc, &mut faults);
    within("drain_delay", &config.drain_delay, Span::seconds(0)..=Span::seconds(300), &mut faults);
    if let Some(workers) = &config.workers {
        within("workers", workers, 1..=1024, &mut faults);
    }
    let no_path = |path: &&At<PathBuf>| path.as_os_str().is_empty();
    let paths = [Some(&config.secret_file), config.data_dir.as_ref(), Some(&config.listen.admin_socket)];
    for path in paths.into_iter().flatten().filter(no_path) {
        faults.push(Fault::new(path.place, "expected a path, found ``"));
    }
    let socket = config.admin_socket();
    if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
        let message = format!(
            "the path of the admin socket, {}, has {} bytes, and a Unix socket's has at most {LONGEST_SOCKET_PATH}; \
             set a shorter `listen.admin_socket`",
            quoted(&socket.display().to_string()),
            socket.as_os_str().len()
        );
        faults.push(Fault::new(config.listen.admin_socket.place, message));
    }
    faults
}

/// Others compare it by bytes, so it has one spelling.
fn check_public_url(url: &At<String>, faults: &mut Vec<Fault>) {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'@' | b'"'))
    };
    if url.len() > LONGEST_URL || url.ends_with('/') || !host.is_some_and(plain) {
        let message = format!(
            "`public_url` is {}, expected `https://`, a host and perhaps a path, of at most {LONGEST_URL} bytes \
             and without `/` at its end",
            quoted(url)
        );
        faults.push(Fault::new(url.place, message));
    }
}

/// Bytes.
const LONGEST_URL: usize = 1024;

/// Reads the key sets of issuers that have them in a file.
fn read_key_files(config: &mut Config) {
    let with_file = |(name, issuer): (&String, &At<Issuer>)| {
        issuer.jwks_file.as_ref().map(|file| (name.clone(), config.resolved(file)))
    };
    let files: Vec<_> = config.issuers.iter().filter_map(with_file).collect();
    config.key_files = files.into_iter().map(|(name, path)| (name, read_key_file(&path))).collect();
}

fn read_key_file(path: &Path) -> KeyFile {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LONGEST_KEY_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST_KEY_FILE {
        return Err(format!("has more than {} MiB", LONGEST_KEY_FILE >> 20));
    }
    Ok(bytes.into())
}

/// Reads the text of every key into the configuration.
fn read_keys(config: &mut Config, variables: &HashMap<String, String>, faults: &mut Vec<Fault>) {
    let folder = config.data_dir();
    let reading = Sources { variables, folder: &folder, allow_weak: config.keys.insecure_allow_weak.value };
    let mut keys = Vec::new();
    for key in config.consumers.iter().flat_map(|consumer| &consumer.keys) {
        match key.read(&reading) {
            Ok(text) => keys.push((key, text)),
            Err(fault) => faults.push(fault),
        }
    }
    let pairs: Vec<_> = keys.iter().map(|(key, text)| (*key, text)).collect();
    check_distinct(&pairs, faults);
    let mut passwords = Vec::with_capacity(config.consumers.len());
    for consumer in &config.consumers {
        passwords.push(consumer.read_password(variables).unwrap_or_else(|fault| {
            faults.push(fault);
            None
        }));
    }
    let texts = keys.into_iter().map(|(_, text)| Arc::new(text)).collect();
    config.texts = texts;
    config.passwords = passwords;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_file_may_be_missing_and_one_that_was_asked_for_may_not() {
        let nowhere = Path::new("/nonexistent/doorward.yaml");
        assert_eq!(read(None, nowhere), Ok((None, String::new())));
        assert!(read(Some(nowhere), nowhere).is_err());
        // Something that is there but cannot be read is no absence.
        assert!(read(None, Path::new("/")).is_err());
    }
}
