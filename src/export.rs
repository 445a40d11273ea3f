//! Chain files: everything an auditor needs, in one file.
//!
//! [`crate::protocol::export`] defines the format: a magic line, then length-prefixed records: the genesis, every block
//! from height 1 on in chain order, each with its certificate behind it if it has one, and the end, which names the last
//! block. This module streams it, one record in
//! memory at a time. The reader checks that the records are what the format wants, where it wants them, and that each
//! block names the one before it; whether they are valid is for [`crate::audit`] to find out.

mod file;
mod read;
mod stored;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde::Serialize;

use crate::chain::block::{Block, BlockId, Header};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::Genesis;
use crate::protocol::export::{MAGIC, Record};
use crate::wire;

pub use file::ChainFile;
pub use read::{ChainBlock, ChainReader, ExportError};
pub use stored::stored_blocks;

/// Writes a chain, block by block.
pub struct ChainWriter<W> {
    output: W,
    tip: BlockId,
    height: u64,
}

impl<W: Write> ChainWriter<W> {
    /// Begins a file: the magic line and the genesis. `genesis_block` is the id of the genesis block.
    pub fn new(mut output: W, genesis: &Genesis, genesis_block: BlockId) -> io::Result<Self> {
        output.write_all(MAGIC)?;
        let mut writer = Self {
            output,
            tip: genesis_block,
            height: 0,
        };
        writer.record(&Record::Genesis {
            genesis: genesis.clone(),
        })?;
        Ok(writer)
    }

    /// Writes the next block of the chain.
    pub fn block(&mut self, block: Block) -> io::Result<()> {
        let (tip, height) = (block.header.id(), block.header.height);
        self.follow(&block.header)?;
        self.record(&Record::Block { block })?;
        (self.tip, self.height) = (tip, height);
        Ok(())
    }

    /// Writes what makes the last block final.
    pub fn certificate(&mut self, certificate: CommitCertificate) -> io::Result<()> {
        if certificate.block != self.tip {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a certificate of another block than block {}", self.height),
            ));
        }
        self.record(&Record::Certificate { certificate })
    }

    /// Ends the file and gives the output back, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        let (tip, height) = (self.tip, self.height);
        self.record(&Record::End { tip, height })?;
        self.output.flush()?;
        Ok(self.output)
    }

    /// Height of the last block that was written.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// A file with a gap would be refused by every reader; better not to write it.
    fn follow(&self, header: &Header) -> io::Result<()> {
        if header.parent == self.tip && header.height == self.height + 1 {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "block {} does not follow block {}",
                header.height, self.height
            ),
        ))
    }

    fn record(&mut self, record: &impl Serialize) -> io::Result<()> {
        let bytes = wire::encode(record);
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.output.write_all(&len.to_be_bytes())?;
        self.output.write_all(&bytes)
    }
}
