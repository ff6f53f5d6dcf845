//! Why a store's file is not opened, copied or replaced.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::codec::Distrust;
use crate::store::ring::RingError;

/// What a refused file is told. The file is then as it was, byte for byte.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another process has it. Ask that one.
    #[error("the store {} is already in use by another doorward; ask that one, or stop it first", path.display())]
    InUse { path: PathBuf },
    #[error("there is no store at {}", path.display())]
    Missing { path: PathBuf },
    #[error("{} exists already and is not overwritten; remove it, or name another", path.display())]
    Exists { path: PathBuf },
    #[error(
        "secret_file {} is missing beside an existing store ({}), which cannot be read without it; put the file \
         back from your backup; to start anew instead, move the store away too", secret.display(), path.display()
    )]
    SecretMissing { path: PathBuf, secret: PathBuf },
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(
        "the store {} was written with another key ring than secret_file {}: {why}; put the right file back",
        path.display(), secret.display()
    )]
    WrongRing { path: PathBuf, secret: PathBuf, why: String },
    #[error("{} is not a store of Doorward: {found}; check the path, or move the file away to start anew", path.display())]
    NotAStore { path: PathBuf, found: String },
    #[error("the store {} was written by a newer doorward: {found}; start that version, or restore a backup made by \
         this one with `doorward store restore`", path.display())]
    Newer { path: PathBuf, found: String },
    #[error(
        "the store {} is damaged: {why}; it was left as it is; put a backup in its place with `doorward store restore`",
        path.display()
    )]
    Damaged { path: PathBuf, why: String },
    #[error("the store {} cannot be {doing}: {error}", path.display())]
    Io { path: PathBuf, doing: &'static str, error: io::Error },
}

impl FileError {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { path: path.to_owned(), doing, error }
    }
}

/// A [`FileError`] that does not know its file yet.
#[derive(Debug)]
pub(super) enum Fault {
    WrongRing(String),
    NotAStore(String),
    Newer(String),
    Damaged(String),
    Io(io::Error),
}

impl Fault {
    pub(super) fn at(self, path: &Path, secret: &Path) -> FileError {
        let (path, secret) = (path.to_owned(), secret.to_owned());
        match self {
            Self::WrongRing(why) => FileError::WrongRing { path, secret, why },
            Self::NotAStore(found) => FileError::NotAStore { path, found },
            Self::Newer(found) => FileError::Newer { path, found },
            Self::Damaged(why) => FileError::Damaged { path, why },
            Self::Io(error) => FileError::Io { path, doing: "used", error },
        }
    }

    /// `what` could not be trusted.
    pub(super) fn distrust(what: &str, distrust: Distrust) -> Self {
        let text = format!("{what}: {distrust}");
        match distrust {
            Distrust::Newer { .. } => Self::Newer(text),
            Distrust::UnknownRingKey { .. } => Self::WrongRing(text),
            Distrust::Malformed | Distrust::BadMac => Self::Damaged(text),
        }
    }
}

impl From<::redb::Error> for Fault {
    fn from(error: ::redb::Error) -> Self {
        use ::redb::Error;
        match error {
            // What redb makes of bytes that cannot be, rather than of a disk that refuses.
            Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged(error.to_string())
            }
            Error::Io(error) => Self::Io(error),
            Error::TableDoesNotExist(table) => {
                Self::NotAStore(format!("a redb file without the table `{table}`"))
            }
            Error::TableTypeMismatch { table, .. } => {
                Self::NotAStore(format!("a redb file whose table `{table}` is of another type"))
            }
            Error::TableIsMultimap(table) | Error::TableIsNotMultimap(table) => {
                Self::NotAStore(format!("a redb file whose table `{table}` is of another kind"))
            }
            Error::UpgradeRequired(version) => {
                Self::NotAStore(format!("a redb file of the old format {version}"))
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

macro_rules! through_the_common_error {
    ($($error:ident),+) => {$(
        impl From<::redb::$error> for Fault {
            fn from(error: ::redb::$error) -> Self {
                ::redb::Error::from(error).into()
            }
        }
    )+};
}

through_the_common_error!(
    CommitError,
    DatabaseError,
    SetDurabilityError,
    StorageError,
    TableError,
    TransactionError
);

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WrongRing(why) | Self::NotAStore(why) | Self::Newer(why) | Self::Damaged(why) => {
                f.write_str(why)
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}
