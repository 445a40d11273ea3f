//! Errors of the store: what a caller can act on is a variant of its own.

use std::io;
use std::path::PathBuf;

use crate::chain::genesis::NetworkId;
use crate::chain::state::ViewError;
use crate::datadir::owner;

/// Why a read or a commit failed. A failed commit changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the quota on it, is full. Later commits succeed once there is room.
    #[error("the disk is full")]
    Full,
    /// The file system failed.
    #[error("the database cannot be read or written: {0}")]
    Io(#[source] io::Error),
    /// What is in the database contradicts itself.
    #[error("the database is corrupt: {0}")]
    Corrupt(String),
    /// The database was reopened after an error; a fresh snapshot can be read.
    #[error("this snapshot ended when the database was reopened")]
    Stale,
    /// The caller asked for something that doesn't fit the chain in the store.
    #[error("not applicable to the stored chain: {0}")]
    Inconsistent(&'static str),
}

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// Sorts an I/O error into "full" and the rest.
pub(super) fn from_io(error: io::Error) -> StoreError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => StoreError::Full,
        _ => StoreError::Io(error),
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => from_io(error),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Self::Stale,
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// Lets `?` turn each of redb's error types into a [`StoreError`].
macro_rules! from_redb {
    ($($error:ty),+) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })+
    };
}
from_redb!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the database open.
    #[error("the database {} is in use by {}", path.display(), owner(*pid))]
    Locked {
        /// The process that holds the directory's lock, if it is known.
        pid: Option<u32>,
        /// The database.
        path: PathBuf,
    },
    /// The file is damaged, or isn't a database.
    #[error(
        "the database {} is damaged ({what}). Move it away and start again: the node fetches the chain from its peers. \
         Transactions that only this node held and no block contains yet are lost with it; their voters have to submit \
         them again",
        path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The directory belongs to another network.
    #[error(
        "the data directory holds network {have}, not {want}; name another one with --data-dir"
    )]
    WrongNetwork {
        /// The network in the directory.
        have: NetworkId,
        /// The network asked for.
        want: NetworkId,
    },
    /// There is no database yet, and no genesis to make one with.
    #[error("there is no database at {}", path.display())]
    Empty {
        /// Where it would be.
        path: PathBuf,
    },
    /// Written by a later release.
    #[error(
        "the database has format {have}, and this release reads formats up to {known}; use a later release"
    )]
    NewerFormat {
        /// Format of the database.
        have: u64,
        /// Latest format that this release knows.
        known: u64,
    },
    /// The disk is full.
    #[error("the disk of {} is full", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("the database {} cannot be opened: {error}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
}
