//! Reading a chain file: one record at a time, each bounded before room is made for it.

use std::io::{self, Read};

use crate::chain::block::{Block, BlockId};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::{Genesis, GenesisError};
use crate::chain::network::Network;
use crate::protocol::export::{MAGIC, Record};
use crate::wire::{self, DecodeError, Message as _};

/// Why a chain file cannot be read on. Offsets are in bytes from the beginning of the file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Reading failed.
    #[error("at byte {offset}: {error}")]
    Io {
        /// Where.
        offset: u64,
        /// What happened.
        error: io::Error,
    },
    /// The file does not begin as a chain file.
    #[error("this is not an exported chain: it does not begin with \"votenode chain 1\"")]
    NotAChain,
    /// The file ends within a record, or without its end record.
    #[error("at byte {offset}: the file was cut off")]
    CutOff {
        /// Where it ends.
        offset: u64,
    },
    /// A record claims to be longer than any may be.
    #[error(
        "at byte {offset}: a record of {len} bytes, where {} are allowed",
        Record::MAX_BYTES
    )]
    TooLong {
        /// Where it begins.
        offset: u64,
        /// Its length in bytes.
        len: u32,
    },
    /// A record is not in its one canonical form.
    #[error("at byte {offset}: {error}")]
    Decode {
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A record stands where it may not.
    #[error("at byte {offset}: {what}")]
    Misplaced {
        /// Where it begins.
        offset: u64,
        /// What is wrong with its place.
        what: &'static str,
    },
    /// No network can run with the genesis.
    #[error("the genesis: {0}")]
    Genesis(#[from] GenesisError),
}

/// A block out of a chain file, with the certificate that makes it final if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainBlock {
    /// The block.
    pub block: Block,
    /// Its certificate.
    pub certificate: Option<CommitCertificate>,
}

/// Reads a chain file.
///
/// As an iterator it gives the blocks. After an error or the end it gives nothing more; a file that was cut off
/// anywhere ends in an error.
pub struct ChainReader<R> {
    input: R,
    offset: u64,
    network: Network,
    /// The record after the last block, which had to be looked at for its certificate.
    next: Option<(u64, Record)>,
    tip: BlockId,
    height: u64,
    done: bool,
}

impl<R: Read> ChainReader<R> {
    /// Reads the beginning of the file, the genesis included. Buffer the input: it is read in small pieces.
    pub fn new(mut input: R) -> Result<Self, ExportError> {
        let mut offset = 0;
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => offset += MAGIC.len() as u64,
            Ok(()) => return Err(ExportError::NotAChain),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ExportError::NotAChain);
            }
            Err(error) => return Err(ExportError::Io { offset, error }),
        }
        let (at, first) = read_record(&mut input, &mut offset)?;
        let Record::Genesis { genesis } = first else {
            return Err(ExportError::Misplaced {
                offset: at,
                what: "the first record is not the genesis",
            });
        };
        let network = Network::new(genesis)?;
        Ok(Self {
            input,
            offset,
            next: None,
            tip: network.genesis_block(),
            height: 0,
            network,
            done: false,
        })
    }

    /// The network that the chain is of.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The genesis of that network.
    pub fn genesis(&self) -> &Genesis {
        self.network.genesis()
    }

    fn record(&mut self) -> Result<(u64, Record), ExportError> {
        match self.next.take() {
            Some(next) => Ok(next),
            None => read_record(&mut self.input, &mut self.offset),
        }
    }

    fn read_block(&mut self) -> Result<Option<ChainBlock>, ExportError> {
        let (offset, record) = self.record()?;
        let misplaced = |what| Err(ExportError::Misplaced { offset, what });
        let block = match record {
            Record::Block { block } => block,
            Record::Genesis { .. } => return misplaced("a second genesis"),
            Record::Certificate { .. } => {
                return misplaced("a certificate without a block before it");
            }
            Record::End { tip, height } if tip == self.tip && height == self.height => {
                return self.check_end().map(|()| None);
            }
            Record::End { .. } => return misplaced("the end names another block than the last"),
        };
        if block.header.parent != self.tip || block.header.height != self.height + 1 {
            return misplaced("a block that does not follow the one before it");
        }
        self.tip = block.header.id();
        self.height = block.header.height;
        let (at, next) = self.record()?;
        let certificate = match next {
            Record::Certificate { .. } if self.network.finalisers.is_empty() => {
                return Err(ExportError::Misplaced {
                    offset: at,
                    what: "a certificate, although nobody finalises in this network",
                });
            }
            Record::Certificate { certificate } if certificate.block == self.tip => {
                Some(certificate)
            }
            Record::Certificate { .. } => {
                return Err(ExportError::Misplaced {
                    offset: at,
                    what: "a certificate of another block than the one before it",
                });
            }
            other => {
                self.next = Some((at, other));
                None
            }
        };
        Ok(Some(ChainBlock { block, certificate }))
    }

    /// Nothing may follow the end.
    fn check_end(&mut self) -> Result<(), ExportError> {
        let offset = self.offset;
        match self.input.read_exact(&mut [0]) {
            Ok(()) => Err(ExportError::Misplaced {
                offset,
                what: "something follows the end",
            }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(ExportError::Io { offset, error }),
        }
    }
}

impl<R: Read> Iterator for ChainReader<R> {
    type Item = Result<ChainBlock, ExportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let block = self.read_block().transpose();
        self.done = !matches!(block, Some(Ok(_)));
        block
    }
}

/// Reads a record and says where it begins.
fn read_record(input: &mut impl Read, offset: &mut u64) -> Result<(u64, Record), ExportError> {
    let start = *offset;
    let mut head = [0; 4];
    fill(input, &mut head, start)?;
    let len = u32::from_be_bytes(head);
    if len as usize > Record::MAX_BYTES {
        return Err(ExportError::TooLong { offset: start, len });
    }
    let mut bytes = vec![0; len as usize];
    fill(input, &mut bytes, start)?;
    *offset += 4 + u64::from(len);
    let record = wire::decode(&bytes).map_err(|error| ExportError::Decode {
        offset: start,
        error,
    })?;
    Ok((start, record))
}

fn fill(input: &mut impl Read, bytes: &mut [u8], offset: u64) -> Result<(), ExportError> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => ExportError::CutOff { offset },
        _ => ExportError::Io { offset, error },
    })
}
