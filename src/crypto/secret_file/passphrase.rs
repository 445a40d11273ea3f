//! Secrets under a passphrase: Argon2id (RFC 9106) makes a key of it, ChaCha20-Poly1305 (RFC 8439) encrypts.

use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit as _, Nonce};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::format::Sealed;
use super::{SecretFileError, random_bytes};

/// What it costs to try one passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes, which are computed one after the other here.
    pub lanes: u32,
}

impl Cost {
    /// The second recommendation of RFC 9106 §4 with a single lane: a fraction of a second.
    pub const DEFAULT: Self = Self {
        memory_kib: 64 << 10,
        passes: 3,
        lanes: 1,
    };

    /// The most that a file may ask of whoever opens it: some seconds.
    pub const MAX: Self = Self {
        memory_kib: 256 << 10,
        passes: 16,
        lanes: 4,
    };
}

/// Why a passphrase does not open or close a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// A passphrase with nothing in it.
    #[error("the passphrase is empty")]
    Empty,
    /// The file has one and none was given.
    #[error("{} is protected by a passphrase, which must be given", .0.display())]
    Needed(PathBuf),
    /// The passphrase is another, or the file was changed.
    #[error("the passphrase does not open {}, or the file is damaged", .0.display())]
    Wrong(PathBuf),
    /// The parameters of Argon2id are outside what is admitted.
    #[error("the secret asks for {} KiB, {} passes and {} lanes of Argon2id, which is not admitted", .0.memory_kib, .0.passes, .0.lanes)]
    Cost(Cost),
    /// Argon2id found no memory.
    #[error("not enough memory to use the passphrase: {0} KiB are needed")]
    Memory(u32),
}

/// Encrypts `secret` under `passphrase`.
pub fn seal(secret: &str, passphrase: &str, cost: Cost) -> Result<Sealed, SecretFileError> {
    let mut sealed = Sealed {
        cost,
        salt: *random_bytes()?,
        nonce: *random_bytes()?,
        ciphertext: Vec::new(),
    };
    let cipher = cipher(&sealed, passphrase)?;
    let header = sealed.header();
    let payload = Payload {
        msg: secret.as_bytes(),
        aad: header.as_bytes(),
    };
    sealed.ciphertext = cipher
        .encrypt(Nonce::from_slice(&sealed.nonce), payload)
        .map_err(|_| SecretFileError::SecretSize(secret.len()))?;
    Ok(sealed)
}

/// Decrypts; `path` is for the error.
pub fn open(
    sealed: &Sealed,
    passphrase: &str,
    path: &Path,
) -> Result<Zeroizing<String>, PassphraseError> {
    let header = sealed.header();
    let payload = Payload {
        msg: &sealed.ciphertext,
        aad: header.as_bytes(),
    };
    let wrong = || PassphraseError::Wrong(path.to_owned());
    let secret = cipher(sealed, passphrase)?
        .decrypt(Nonce::from_slice(&sealed.nonce), payload)
        .map(Zeroizing::new)
        .map_err(|_| wrong())?;
    std::str::from_utf8(&secret)
        .map(|secret| Zeroizing::new(secret.to_owned()))
        .map_err(|_| wrong())
}

fn cipher(sealed: &Sealed, passphrase: &str) -> Result<ChaCha20Poly1305, PassphraseError> {
    if passphrase.is_empty() {
        return Err(PassphraseError::Empty);
    }
    let cost = sealed.cost;
    if cost.memory_kib > Cost::MAX.memory_kib
        || cost.passes > Cost::MAX.passes
        || cost.lanes > Cost::MAX.lanes
    {
        return Err(PassphraseError::Cost(cost));
    }
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(key.len()))
        .map_err(|_| PassphraseError::Cost(cost))?;
    // The same passphrase typed on another keyboard may come as other code points. Normalising lengthens a text at
    // most threefold; with room for it no copy stays behind.
    let mut normal = Zeroizing::new(String::with_capacity(3 * passphrase.len()));
    normal.extend(passphrase.nfc());
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(normal.as_bytes(), &sealed.salt, key.as_mut_slice())
        .map_err(|_| PassphraseError::Memory(cost.memory_kib))?;
    Ok(ChaCha20Poly1305::new(Key::from_slice(key.as_slice())))
}
