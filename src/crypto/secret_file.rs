//! Secrets in text files: private to their owner, written whole or not at all, optionally under a passphrase.
//!
//! A secret is a short text, such as a code of [`super::code`]. Files are made with mode 0600 under another name,
//! flushed to disk and then given their name, so that a crash leaves either no file or a whole one; an existing file
//! is replaced only when that is asked for. A file that the group or others can read or write is refused, because its
//! secret may be known already. Symbolic links are followed when reading: what counts is the file at their end, which
//! is checked after it was opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{RandomError, random_bytes};

mod format;
mod passphrase;
#[cfg(test)]
mod tests;

pub use format::{FormatError, MAX_FILE_BYTES, MAX_SECRET_BYTES};
pub use passphrase::{Cost, PassphraseError};

/// Whether a secret is encrypted in its file.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    /// By the file's mode alone.
    ModeOnly,
    /// Under a passphrase as well.
    Passphrase {
        /// The passphrase; not empty. It is brought to Unicode form NFC.
        passphrase: &'a str,
        /// What guessing one passphrase costs; [`Cost::DEFAULT`] but for tests.
        cost: Cost,
    },
}

/// What to do with a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse and leave it alone.
    Keep,
    /// Replace it. A symbolic link itself is replaced, not the file at its end.
    Replace,
}

/// Why a secret could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file is there already.
    #[error("{} exists already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others may read or write the file.
    #[error("{} can be accessed by others (mode {mode:04o}): run chmod 600 {}", path.display(), path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, device or pipe.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is not a secret file.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The secret is longer than a secret file holds, or empty.
    #[error("a secret has 1 to {MAX_SECRET_BYTES} bytes, not {0}")]
    SecretSize(usize),
    /// The passphrase does not serve.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// No randomness for salt, nonce or the temporary name.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Writes `secret` to `path`, readable by its owner alone.
pub fn write(
    path: &Path,
    secret: &str,
    protection: Protection<'_>,
    existing: Existing,
) -> Result<(), SecretFileError> {
    if secret.is_empty() || secret.len() > MAX_SECRET_BYTES {
        return Err(SecretFileError::SecretSize(secret.len()));
    }
    let exists = || SecretFileError::Exists {
        path: path.to_owned(),
    };
    // Asked early so that nobody waits for a passphrase in vain; what decides is the link below.
    if existing == Existing::Keep && fs::symlink_metadata(path).is_ok() {
        return Err(exists());
    }
    let text = match protection {
        Protection::ModeOnly => format::write_plain(secret),
        Protection::Passphrase { passphrase, cost } => {
            let sealed = passphrase::seal(secret, passphrase, cost)?;
            Zeroizing::new(sealed.to_text())
        }
    };
    let suffix = u64::from_le_bytes(*random_bytes()?);
    write_private(path, suffix, text.as_bytes(), existing).map_err(|source| {
        match (source.kind(), existing) {
            (io::ErrorKind::AlreadyExists, Existing::Keep) => exists(),
            _ => SecretFileError::Io {
                action: "write",
                path: path.to_owned(),
                source,
            },
        }
    })
}

/// Puts a whole file of mode 0600 in place of `path` by way of a temporary one in the same directory.
fn write_private(path: &Path, suffix: u64, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = Temporary(directory.join(format!(".votenode-{suffix:016x}.tmp")));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary.0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match existing {
        // Unlike a rename, a link never replaces what is there.
        Existing::Keep => fs::hard_link(&temporary.0, path)?,
        Existing::Replace => fs::rename(&temporary.0, path)?,
    }
    drop(temporary);
    File::open(directory)?.sync_all()
}

/// The name of a temporary file, which is removed when this is dropped. After a rename there is nothing to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Refuses a file that the group or others can read or write. `metadata` is that of the open file.
pub fn check_private(path: &Path, metadata: &fs::Metadata) -> Result<(), SecretFileError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(SecretFileError::NotPrivate {
        path: path.to_owned(),
        mode,
    })
}

/// A secret file that was read but not opened yet.
pub struct SecretFile {
    path: PathBuf,
    content: format::Content,
}

/// Reads a secret file after checking that nobody else can.
///
/// A file that holds nothing but a code of [`super::code`] is a secret file too, so that a printed secret can be
/// typed into one.
pub fn read(path: &Path) -> Result<SecretFile, SecretFileError> {
    let io_error = |source| SecretFileError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    // Opening a pipe would wait for its other end, therefore the name is looked at first and the open file again.
    if !fs::metadata(path).map_err(io_error)?.is_file() {
        return Err(SecretFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(io_error)?;
    let metadata = file.metadata().map_err(io_error)?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    check_private(path, &metadata)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(SecretFileError::Format {
            path: path.to_owned(),
            source: FormatError::TooLong,
        });
    }
    // One byte of room beyond the expected end lets the read finish without moving the secret.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(io_error)?;
    parse(path, &bytes)
}

/// Takes the bytes of a secret file; `path` is what messages call it.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<SecretFile, SecretFileError> {
    match format::parse(bytes) {
        Ok(content) => Ok(SecretFile {
            path: path.to_owned(),
            content,
        }),
        Err(source) => Err(SecretFileError::Format {
            path: path.to_owned(),
            source,
        }),
    }
}

impl SecretFile {
    /// Whether a passphrase is needed.
    pub fn is_sealed(&self) -> bool {
        matches!(self.content, format::Content::Sealed(_))
    }

    /// The secret. A file without a passphrase ignores the one that is given.
    pub fn open(self, passphrase: Option<&str>) -> Result<Zeroizing<String>, SecretFileError> {
        match self.content {
            format::Content::Plain(secret) => Ok(secret),
            format::Content::Sealed(sealed) => {
                let passphrase =
                    passphrase.ok_or_else(|| PassphraseError::Needed(self.path.clone()))?;
                Ok(passphrase::open(&sealed, passphrase, &self.path)?)
            }
        }
    }
}

impl std::fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SecretFile({}, sealed: {})",
            self.path.display(),
            self.is_sealed()
        )
    }
}
