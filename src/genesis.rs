//! Genesis files, and the networks that this release knows by heart.
//!
//! A genesis is the canonical CBOR that its hash, the network id, is taken over. People read and write it as TOML,
//! which converts to the same bytes and back without loss ([`to_toml`]). Everything here is pure but [`read`] and
//! [`write()`].

mod text;

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::chain::genesis::{
    Finaliser, Genesis, GenesisError, NetworkId, OpenAdmission, Organiser, PROTOCOL_VERSION,
};
use crate::crypto::Hash;
use crate::wire::{self, DecodeError, LimitError, List, Message as _, Text, TextError};

pub use text::{FieldError, Problem, to_toml};

/// Longest genesis file in bytes: the canonical form eight times over, for comments.
pub const MAX_FILE_BYTES: u64 = 8 * Genesis::MAX_BYTES as u64;

/// Header hashes that one core tries in a second, for [`target_for`]. One core of a current server was measured at 9
/// million, small single-board computers do about one; nobody's block takes much longer than planned.
pub const HASHES_PER_SECOND: u64 = 4_000_000;

/// A block takes one core this part of the block time on average.
const WORK_PART: u64 = 20;

/// When the `lan` network began: 1 November 2026, 0:00 UTC, in Unix milliseconds.
const LAN_TIMESTAMP_MS: u64 = 1_793_491_200_000;

/// Why there is no genesis.
#[derive(Debug, thiserror::Error)]
pub enum GenesisFileError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// Too long to be a genesis.
    #[error("a genesis file has at most {MAX_FILE_BYTES} bytes")]
    TooLong,
    /// Neither text nor CBOR.
    #[error("neither a TOML text nor the canonical CBOR of a genesis")]
    NotText,
    /// The text is not TOML, lacks a key or has one too many; the message names line and key.
    #[error("{0}")]
    Toml(String),
    /// A value of the text cannot be read.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Not the canonical CBOR of a genesis.
    #[error("not the canonical CBOR of a genesis: {0}")]
    Decode(#[from] DecodeError),
    /// Well-formed, but no network can run with it.
    #[error("{0}")]
    Check(#[from] GenesisError),
    /// A list has too many elements.
    #[error("{field}: {error}")]
    Limit {
        /// Which list.
        field: &'static str,
        /// How many are allowed.
        error: LimitError,
    },
    /// The name cannot be used.
    #[error("name: {0}")]
    Name(#[from] TextError),
}

/// The target under which one core finds a block in a twentieth of the block time, on average.
pub fn target_for(block_time_ms: u64) -> Hash {
    let hashes =
        u128::from(block_time_ms) * u128::from(HASHES_PER_SECOND) / u128::from(1_000 * WORK_PART);
    // Long division of 2^256 − 1, byte by byte.
    let divisor = hashes.max(1);
    let mut remainder = 0u128;
    let quotient = std::array::from_fn(|_| {
        let dividend = remainder << 8 | 0xff;
        remainder = dividend % divisor;
        (dividend / divisor) as u8
    });
    Hash::from_bytes(quotient)
}

/// What a new network is made from; the default is that of `lan`.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Name, for people.
    pub name: String,
    /// Least time between a block and its parent, in milliseconds.
    pub block_time_ms: u64,
    /// The target; [`target_for`] the block time if none is given.
    pub target: Option<Hash>,
    /// How long after the close of polls blocks may still carry votes, in milliseconds.
    pub close_grace_ms: u64,
    /// Blocks that stand in for finality where nobody finalises.
    pub confirmations: u64,
    /// Longest block in bytes.
    pub max_block_bytes: u64,
    /// Most transactions in a block.
    pub max_block_transactions: u64,
    /// Bits of the stamp on an open registration; `None` forbids open registration.
    pub open_stamp_bits: Option<u8>,
    /// Bits of the stamp on an anonymous vote.
    pub vote_stamp_bits: u8,
    /// Whether only organisers may open elections.
    pub elections_by_organisers: bool,
    /// Keys with permissions.
    pub organisers: Vec<Organiser>,
    /// Keys that decide checkpoints.
    pub finalisers: Vec<Finaliser>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            name: "lan".to_owned(),
            block_time_ms: 2_000,
            target: None,
            close_grace_ms: 30_000,
            confirmations: 3,
            max_block_bytes: 2 * 1024 * 1024,
            max_block_transactions: 4_096,
            open_stamp_bits: Some(16),
            vote_stamp_bits: 16,
            elections_by_organisers: false,
            organisers: Vec::new(),
            finalisers: Vec::new(),
        }
    }
}

impl Parameters {
    /// What `votenode demo` runs on: everything faster, so that an election fits into a minute.
    pub fn demo() -> Self {
        Self {
            name: "demo".to_owned(),
            block_time_ms: 500,
            close_grace_ms: 2_000,
            confirmations: 2,
            open_stamp_bits: Some(8),
            vote_stamp_bits: 8,
            ..Self::default()
        }
    }

    /// The genesis of a network that begins at `timestamp_ms`, Unix milliseconds.
    pub fn build(self, timestamp_ms: u64) -> Result<Genesis, GenesisFileError> {
        let genesis = Genesis {
            version: PROTOCOL_VERSION,
            name: Text::new(&self.name)?,
            timestamp_ms: text::uint("timestamp_ms", timestamp_ms)?,
            block_time_ms: self.block_time_ms,
            target: self
                .target
                .unwrap_or_else(|| target_for(self.block_time_ms)),
            close_grace_ms: self.close_grace_ms,
            confirmations: self.confirmations,
            max_block_bytes: self.max_block_bytes,
            max_block_transactions: self.max_block_transactions,
            open_admission: match self.open_stamp_bits {
                Some(bits) => OpenAdmission::Stamped { bits },
                None => OpenAdmission::Forbidden {},
            },
            vote_stamp_bits: self.vote_stamp_bits,
            elections_by: if self.elections_by_organisers {
                Genesis::ORGANISERS
            } else {
                Genesis::ANYONE
            },
            organisers: list("organisers", self.organisers)?,
            finalisers: list("finalisers", self.finalisers)?,
        };
        checked(genesis)
    }
}

/// The compiled-in network for trials: whoever starts a node with neither flag nor data is in it.
pub fn lan() -> Genesis {
    Parameters::default()
        .build(LAN_TIMESTAMP_MS)
        .expect("the compiled-in parameters are within their bounds")
}

/// Whether this is the compiled-in network, whose results are for trials.
pub fn is_lan(network: &NetworkId) -> bool {
    *network == lan().network_id()
}

/// Reads a genesis from its TOML or its canonical CBOR, and checks it.
pub fn parse(bytes: &[u8]) -> Result<Genesis, GenesisFileError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(GenesisFileError::TooLong);
    }
    // CBOR begins with the head of an array, which no UTF-8 text begins with.
    let genesis = match bytes.first() {
        Some(0x80..=0x9f) => wire::decode(bytes)?,
        _ => {
            let text = std::str::from_utf8(bytes).map_err(|_| GenesisFileError::NotText)?;
            text::from_toml(text)?
        }
    };
    checked(genesis)
}

/// Reads a genesis file.
pub fn read(path: &Path) -> Result<Genesis, GenesisFileError> {
    let io = |error| GenesisFileError::Io {
        path: path.to_owned(),
        error,
    };
    let mut bytes = Vec::new();
    crate::files::open(path)
        .map_err(io)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    parse(&bytes)
}

/// Writes a genesis as commented TOML. A file that is there already is left alone.
pub fn write(path: &Path, genesis: &Genesis) -> Result<(), GenesisFileError> {
    let io = |error| GenesisFileError::Io {
        path: path.to_owned(),
        error,
    };
    let mut file = File::create_new(path).map_err(io)?;
    let written = file
        .write_all(to_toml(genesis).as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a genesis would only be mistaken for a whole one; that it cannot be removed either adds nothing.
        let _ = fs::remove_file(path);
        return Err(io(error));
    }
    Ok(())
}

/// What `--network FILE|ID` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkChoice {
    /// A genesis file.
    Genesis(Box<Genesis>),
    /// An id: the genesis comes from elsewhere and has to have it.
    Id(NetworkId),
}

impl NetworkChoice {
    /// Reads what a user wrote: 64 hexadecimal digits are an id, everything else the path of a genesis file.
    pub fn read(text: &str) -> Result<Self, GenesisFileError> {
        match text.trim().parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => read(Path::new(text)).map(|genesis| Self::Genesis(Box::new(genesis))),
        }
    }

    /// The id of the network.
    pub fn network_id(&self) -> NetworkId {
        match self {
            Self::Genesis(genesis) => genesis.network_id(),
            Self::Id(id) => *id,
        }
    }
}

fn checked(genesis: Genesis) -> Result<Genesis, GenesisFileError> {
    genesis.check()?;
    Ok(genesis)
}

fn list<T, const MIN: usize, const MAX: usize>(
    field: &'static str,
    items: Vec<T>,
) -> Result<List<T, MIN, MAX>, GenesisFileError> {
    List::new(items).map_err(|error| GenesisFileError::Limit { field, error })
}
