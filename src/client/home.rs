//! The voter's files: the secret, and beside it what helps to find the network and the voter's transactions again.
//!
//! ```text
//! voter                the voter_id, mode 0600, perhaps under a passphrase
//! voter.d/
//!   network            the genesis that was fetched first, canonical CBOR
//!   bootstrap          where it was fetched from, an address a line
//!   elections/ID       elections seen, canonical CBOR
//!   sent/ID            transactions handed in, with network and time
//!   receipts/ID        receipts
//! ```
//!
//! Only `voter` is secret, and only it has to be kept: all else can be made again from it and the network. Files are
//! written under another name first, so that a crash leaves the old file or the new one.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use votenode_p2p::Multiaddr;
use zeroize::Zeroizing;

use crate::chain::election::{Election, ElectionId};
use crate::chain::genesis::{Genesis, NetworkId};
use crate::chain::transaction::{Transaction, TxId};
use crate::crypto::code::redact;
use crate::crypto::secret_file::{self, Cost, Existing, Protection, SecretFileError};
use crate::crypto::{CodeError, RandomError, VoterId, random_bytes};
use crate::protocol::receipt::Receipt;
use crate::wire::{self, DecodeError, Message, array_struct};

/// Most files read from a directory: more is not the work of one voter.
const MAX_FILES: usize = 10_000;
/// Longest list of addresses, in bytes.
const MAX_BOOTSTRAP_BYTES: usize = 64 * 1024;

array_struct! {
    /// A transaction that was handed in.
    pub struct Sent {
        /// The network.
        pub network: NetworkId,
        /// When, Unix milliseconds.
        pub at_ms: u64,
        /// The transaction.
        pub transaction: Transaction,
    }
}

impl Message for Sent {
    const MAX_BYTES: usize = Transaction::MAX_BYTES + 256;
}

/// Why a file of the voter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// There is no HOME and no file was named.
    #[error("there is no HOME to keep the voter file in: name one with --voter or VOTENODE_VOTER")]
    NoHome,
    /// The voter_id was given where a file is wanted.
    #[error(
        "--voter names a file, and this is a secret itself: `ballot voter restore` makes a voter file from a voter_id"
    )]
    NotAFile,
    /// The voter file cannot be read or written.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The voter file holds something else.
    #[error("{}: {source}", path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CodeError,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A file is there already, and would be lost.
    #[error("{} exists already; name another file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file is damaged.
    #[error("{} is damaged: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DecodeError,
    },
    /// A list of addresses is damaged.
    #[error("{} is damaged: '{text}' is not an address", path.display())]
    Address {
        /// The file.
        path: PathBuf,
        /// What stands there.
        text: String,
    },
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Where a voter's files are.
#[derive(Clone, Debug)]
pub struct Home {
    voter: PathBuf,
    directory: PathBuf,
}

impl Home {
    /// The files of the voter file `voter`; without one, those in the user's data directory.
    pub fn new(voter: Option<PathBuf>) -> Result<Self, HomeError> {
        let voter = match voter {
            // Its name would stand in messages and on the disk.
            Some(voter) if is_secret(&voter) => return Err(HomeError::NotAFile),
            Some(voter) => voter,
            None => data_home()
                .ok_or(HomeError::NoHome)?
                .join("votenode")
                .join("voter"),
        };
        let mut directory = voter.clone().into_os_string();
        directory.push(".d");
        Ok(Self {
            voter,
            directory: directory.into(),
        })
    }

    /// The voter file.
    pub fn voter_file(&self) -> &Path {
        &self.voter
    }

    /// Where receipts are kept.
    pub fn receipts(&self) -> PathBuf {
        self.directory.join("receipts")
    }

    /// Whether there is a voter file.
    pub fn has_voter(&self) -> bool {
        fs::symlink_metadata(&self.voter).is_ok()
    }

    /// Whether the voter file needs a passphrase.
    pub fn is_sealed(&self) -> Result<bool, HomeError> {
        Ok(secret_file::read(&self.voter)?.is_sealed())
    }

    /// The voter_id. The passphrase is asked for only if the file has one.
    pub fn read_voter<E: From<HomeError>>(
        &self,
        passphrase: impl FnOnce() -> Result<Option<Zeroizing<String>>, E>,
    ) -> Result<VoterId, E> {
        let file = secret_file::read(&self.voter).map_err(HomeError::from)?;
        let passphrase = if file.is_sealed() {
            passphrase()?
        } else {
            None
        };
        let secret = file
            .open(passphrase.as_ref().map(|text| text.as_str()))
            .map_err(HomeError::from)?;
        let id = secret.parse().map_err(|source| HomeError::Code {
            path: self.voter.clone(),
            source,
        })?;
        Ok(id)
    }

    /// Writes a voter file where there is none.
    pub fn write_voter(&self, id: &VoterId, passphrase: Option<&str>) -> Result<(), HomeError> {
        if let Some(parent) = self
            .voter
            .parent()
            .filter(|path| !path.as_os_str().is_empty())
        {
            make_directory(parent)?;
        }
        let protection = match passphrase {
            Some(passphrase) => Protection::Passphrase {
                passphrase,
                cost: Cost::DEFAULT,
            },
            None => Protection::ModeOnly,
        };
        Ok(secret_file::write(
            &self.voter,
            &id.to_text(),
            protection,
            Existing::Keep,
        )?)
    }

    /// The genesis of the network that the voter's files belong to, if one was fetched.
    pub fn network(&self) -> Result<Option<Genesis>, HomeError> {
        read_message(&self.directory.join("network"))
    }

    /// Addresses that the genesis was fetched from.
    pub fn bootstrap(&self) -> Result<Vec<Multiaddr>, HomeError> {
        let path = self.directory.join("bootstrap");
        let Some(bytes) = read_bytes(&path, MAX_BOOTSTRAP_BYTES)? else {
            return Ok(Vec::new());
        };
        String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                line.parse().map_err(|_| HomeError::Address {
                    path: path.clone(),
                    text: line.chars().take(100).collect(),
                })
            })
            .collect()
    }

    /// Remembers a network and where it was found.
    pub fn remember(&self, genesis: &Genesis, bootstrap: &[Multiaddr]) -> Result<(), HomeError> {
        let lines: String = bootstrap.iter().map(|addr| format!("{addr}\n")).collect();
        self.write("bootstrap", None, lines.as_bytes())?;
        self.write("network", None, &wire::encode(genesis))
    }

    /// Keeps an election, for ballots that are made without a network.
    pub fn keep_election(&self, election: &Election) -> Result<(), HomeError> {
        let name = election.id().to_string();
        self.write("elections", Some(&name), &wire::encode(election))
    }

    /// The elections kept, each with its id.
    pub fn elections(&self) -> Result<Vec<(ElectionId, Election)>, HomeError> {
        let mut elections = Vec::new();
        for (path, bytes) in self.read_all("elections", Transaction::MAX_BYTES)? {
            let election: Election = wire::decode_bounded(&bytes, Transaction::MAX_BYTES)
                .map_err(|source| HomeError::Damaged { path, source })?;
            elections.push((election.id(), election));
        }
        Ok(elections)
    }

    /// Keeps a transaction before it is handed in, so that the same bytes can be handed in again.
    pub fn keep_sent(&self, sent: &Sent) -> Result<(), HomeError> {
        let name = sent.transaction.id().to_string();
        self.write("sent", Some(&name), &wire::encode(sent))
    }

    /// Forgets a transaction that the network refused.
    pub fn forget_sent(&self, id: &TxId) -> Result<(), HomeError> {
        let path = self.directory.join("sent").join(id.to_string());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// The transactions handed in, oldest first.
    pub fn sent(&self) -> Result<Vec<Sent>, HomeError> {
        let mut all = Vec::new();
        for (path, bytes) in self.read_all("sent", Sent::MAX_BYTES)? {
            let sent: Sent =
                wire::decode(&bytes).map_err(|source| HomeError::Damaged { path, source })?;
            all.push(sent);
        }
        all.sort_by_key(|sent| (sent.at_ms, sent.transaction.id()));
        Ok(all)
    }

    /// Keeps a receipt, and returns its file. One without a checkpoint never takes the place of one that has it.
    pub fn keep_receipt(&self, receipt: &Receipt) -> Result<PathBuf, HomeError> {
        let name = receipt.transaction.id().to_string();
        let path = self.receipts().join(&name);
        let kept = match receipt.certificate.is_empty() {
            true => read_bytes(&path, Receipt::MAX_BYTES)?,
            false => None,
        };
        let is_anchored = |bytes: &[u8]| {
            let kept: Result<Receipt, DecodeError> = wire::decode(bytes);
            kept.is_ok_and(|kept| kept.network == receipt.network && !kept.certificate.is_empty())
        };
        if kept.is_some_and(|bytes| is_anchored(&bytes)) {
            return Ok(path);
        }
        self.write("receipts", Some(&name), &wire::encode(receipt))?;
        Ok(path)
    }

    fn write(&self, place: &str, name: Option<&str>, bytes: &[u8]) -> Result<(), HomeError> {
        let mut path = self.directory.join(place);
        make_directory(&self.directory)?;
        if let Some(name) = name {
            make_directory(&path)?;
            path.push(name);
        }
        write_file(&path, bytes)
    }

    fn read_all(
        &self,
        place: &str,
        max_bytes: usize,
    ) -> Result<Vec<(PathBuf, Vec<u8>)>, HomeError> {
        let directory = self.directory.join(place);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(io_error("read", &directory))?,
        };
        let mut files = Vec::new();
        for entry in entries.take(MAX_FILES) {
            let path = entry.map_err(io_error("read", &directory))?.path();
            let is_hidden = path
                .file_name()
                .is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if !is_hidden && let Some(bytes) = read_bytes(&path, max_bytes)? {
                files.push((path, bytes));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Writes a file whole or not at all; one that is there is replaced. For files whose names are this program's own.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    publish_file(path, bytes, |temporary| fs::rename(temporary, path))
}

/// Writes a file that somebody named, whole or not at all. One that is there may be all that its owner has of a key: it
/// stays as it is.
pub fn write_new_file(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let written = publish_file(path, bytes, |temporary| {
        fs::hard_link(temporary, path)?;
        fs::remove_file(temporary)
    });
    match written {
        Err(HomeError::Io { path, source, .. })
            if source.kind() == io::ErrorKind::AlreadyExists =>
        {
            Err(HomeError::Exists { path })
        }
        written => written,
    }
}

/// Writes the bytes under another name, and has that moved. How somebody voted is nobody else's business until it is
/// handed in, so that the file is its owner's alone.
fn publish_file(
    path: &Path,
    bytes: &[u8],
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), HomeError> {
    let suffix = u64::from_le_bytes(*random_bytes()?);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = directory.join(format!(".votenode-{suffix:016x}.tmp"));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| publish(&temporary));
    if written.is_err() {
        // What is left of a failed attempt has no name that anybody looks for.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(io_error("write", path))
}

/// Reads a file of at most `max_bytes`; `None` if there is none. One byte more than that is read and no further, so
/// that whoever decodes sees that it is too long.
pub fn read_bytes(path: &Path, max_bytes: usize) -> Result<Option<Vec<u8>>, HomeError> {
    let file = match crate::files::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io_error("read", path))?,
    };
    let mut bytes = Vec::new();
    file.take(max_bytes as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error("read", path))?;
    Ok(Some(bytes))
}

fn read_message<T: Message>(path: &Path) -> Result<Option<T>, HomeError> {
    read_bytes(path, T::MAX_BYTES)?
        .map(|bytes| {
            wire::decode(&bytes).map_err(|source| HomeError::Damaged {
                path: path.to_owned(),
                source,
            })
        })
        .transpose()
}

/// Whether a path holds a secret code.
fn is_secret(path: &Path) -> bool {
    matches!(redact(&path.to_string_lossy()), Cow::Owned(_))
}

fn make_directory(path: &Path) -> Result<(), HomeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("make", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::Io {
        action,
        path,
        source,
    }
}

/// `$XDG_DATA_HOME`, or `~/.local/share` (XDG Base Directory Specification: a relative path is ignored).
fn data_home() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("share")))
}

#[cfg(test)]
mod tests;
