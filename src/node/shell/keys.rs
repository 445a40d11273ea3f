//! The node's own keys: made at the first start, kept in private files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use votenode_p2p::Keypair;
use zeroize::Zeroizing;

use crate::crypto::secret_file::{self, Existing, Protection, SecretFileError};
use crate::crypto::{RandomError, Role, RoleKey, SigningKey};
use crate::datadir::DataPaths;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Reading, writing, or its mode.
    #[error("{error}")]
    File {
        /// What is wrong.
        #[source]
        error: SecretFileError,
    },
    /// Not the form of a key file.
    #[error("{error}; move the file away and a new one is made at the next start")]
    Damaged {
        /// What is wrong.
        #[source]
        error: SecretFileError,
    },
    /// Not a key of the kind that belongs there.
    #[error(
        "the key file {} does not hold the key that belongs there; move it away and a new one is made at the next start",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gives no random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Reads the secret at `path`, or makes it.
fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Result<Zeroizing<String>, KeyFileError>,
) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |error| match error {
        SecretFileError::Format { .. } => KeyFileError::Damaged { error },
        error => KeyFileError::File { error },
    };
    if !path.exists() {
        let text = make()?;
        secret_file::write(path, &text, Protection::ModeOnly, Existing::Keep).map_err(failed)?;
        return Ok(text);
    }
    let file = secret_file::read(path).map_err(failed)?;
    file.open(None).map_err(failed)
}

/// The key of the libp2p peer id.
pub(super) fn node_key(dir: &DataPaths) -> Result<Keypair, KeyFileError> {
    let path = dir.node_key();
    let malformed = || KeyFileError::Malformed { path: path.clone() };
    let text = read_or_make(&path, || {
        let bytes = Keypair::generate().to_protobuf().map_err(|_| malformed())?;
        let bytes = Zeroizing::new(bytes);
        let mut digits = Zeroizing::new(String::with_capacity(2 * bytes.len()));
        for byte in bytes.iter() {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        Ok(digits)
    })?;
    let digits = text.trim();
    if digits.len() % 2 != 0 || !digits.is_ascii() {
        return Err(malformed());
    }
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect();
    bytes
        .map(Zeroizing::new)
        .and_then(|bytes| Keypair::from_protobuf(&bytes).ok())
        .ok_or_else(malformed)
}

/// The key that names this node in the headers of its blocks.
pub(super) fn miner_key(dir: &DataPaths) -> Result<SigningKey, KeyFileError> {
    let path = dir.miner_key();
    let text = read_or_make(&path, || Ok(RoleKey::generate(Role::Miner)?.to_text()))?;
    match RoleKey::parse(Role::Miner, text.trim()) {
        Ok(key) => Ok(SigningKey::from_seed(&key.signing_key().seed())),
        Err(_) => Err(KeyFileError::Malformed { path }),
    }
}
