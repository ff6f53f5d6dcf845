//! Certificates and keys as PEM (RFC 7468). What stands in a key's file is never shown, not even where
//! it is wrong: the parser's own errors quote it.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::super::fault::{Fault, quoted};
use super::super::place::At;

/// The largest file that is read, in bytes: all authorities that browsers trust take 250 KiB.
const MOST: u64 = 1 << 20;

/// At least one certificate, in the order of the file.
pub(super) fn certificates(path: &At<PathBuf>, folder: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let whole = folder.join(&path.value);
    let (_, text) = read(path, &whole)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        wrong(
            path,
            &whole,
            "holds no certificate in PEM, or a broken one; expected `-----BEGIN CERTIFICATE-----`",
        )
    })
}

/// The first private key, if nobody may read it who should not.
pub(super) fn private_key(path: &At<PathBuf>, folder: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let whole = folder.join(&path.value);
    let (file, text) = read(path, &whole)?;
    // Of the open file, not of the path: the two may differ by now.
    let about = file.metadata().map_err(|error| unreadable(path, &whole, &error))?;
    let owner = Owner { uid: about.uid(), mode: about.mode() & 0o7777 };
    if let Some(why) = owner.exposes(rustix::process::geteuid().as_raw()) {
        return Err(wrong(path, &whole, &why));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        wrong(
            path,
            &whole,
            "holds no private key in PEM, or a broken one; expected `-----BEGIN PRIVATE KEY-----`, and no \
             passphrase on it",
        )
    })
}

/// Whose a file is, and what others may do with it.
pub(super) struct Owner {
    pub uid: u32,
    pub mode: u32,
}

impl Owner {
    /// Why the file is no place for a private key of the user `ours`; `None` where it is.
    ///
    /// Root's file may be its group's to read: so Kubernetes mounts secrets for a process that is not
    /// root's, and so Debian keeps keys for the group `ssl-cert`.
    pub(super) fn exposes(&self, ours: u32) -> Option<String> {
        let Self { uid, mode } = *self;
        if uid != ours && uid != 0 {
            return Some(format!(
                "belongs to user {uid}, but Doorward runs as user {ours}; make it that user's or root's"
            ));
        }
        let more = if uid == 0 { 0o037 } else { 0o077 };
        (mode & more != 0).then(|| {
            let expected = if uid == 0 { "at most 0640, because it is root's" } else { "0600 or 0400" };
            format!("has mode {mode:04o}, so others may use the private key; expected {expected}")
        })
    }
}

fn read(path: &At<PathBuf>, whole: &Path) -> Result<(File, Zeroizing<Vec<u8>>), Fault> {
    // Opened without waiting: a named pipe would have us wait for somebody to write to it.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(whole);
    let mut file = opened.map_err(|error| unreadable(path, whole, &error))?;
    let about = file.metadata().map_err(|error| unreadable(path, whole, &error))?;
    if !about.is_file() || about.len() > MOST {
        return Err(wrong(path, whole, "is no regular file of at most 1 MiB; expected a file in PEM"));
    }
    // Never grows, so that no copy of a key stays behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MOST as usize));
    file.by_ref().take(MOST).read_to_end(&mut text).map_err(|error| unreadable(path, whole, &error))?;
    Ok((file, text))
}

fn unreadable(path: &At<PathBuf>, whole: &Path, error: &std::io::Error) -> Fault {
    wrong(path, whole, &format!("cannot be read: {error}"))
}

fn wrong(path: &At<PathBuf>, whole: &Path, why: &str) -> Fault {
    Fault::new(path.place, format!("{} {why}", quoted(&whole.display().to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_private_key_is_its_owners_and_a_group_may_read_roots() {
        let check = |uid: u32, mode: u32, expected: &str| {
            let found = Owner { uid, mode }.exposes(1000).unwrap_or_default();
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{uid} {mode:o}: {found}");
        };
        check(1000, 0o600, "");
        check(1000, 0o400, "");
        check(1000, 0o640, "has mode 0640");
        check(1000, 0o604, "has mode 0604");
        check(1000, 0o610, "expected 0600 or 0400");
        check(0,    0o640, "");
        check(0,    0o440, "");
        check(0,    0o600, "");
        check(0,    0o644, "has mode 0644");
        check(0,    0o660, "expected at most 0640");
        check(1001, 0o600, "belongs to user 1001, but Doorward runs as user 1000");
    }
}
