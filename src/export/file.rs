//! A chain file on disk that is either there and whole, or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::ChainWriter;
use crate::chain::block::{Block, BlockId};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::genesis::Genesis;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Writes a chain to a temporary file beside its destination; [`ChainFile::finish`] puts it in place. Dropped before
/// that, nothing is left behind.
pub struct ChainFile {
    writer: ChainWriter<BufWriter<File>>,
    temporary: Temporary,
    path: PathBuf,
}

impl ChainFile {
    /// Begins a file that will stand at `path`.
    pub fn create(path: &Path, genesis: &Genesis, genesis_block: BlockId) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the path does not name a file")
        })?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(hidden);
        // One that is there is of a process with this number that was killed.
        let file = File::create(&temporary)?;
        let temporary = Temporary(temporary);
        let output = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(Self {
            writer: ChainWriter::new(output, genesis, genesis_block)?,
            temporary,
            path: path.to_owned(),
        })
    }

    /// Writes the next block of the chain.
    pub fn block(&mut self, block: Block) -> io::Result<()> {
        self.writer.block(block)
    }

    /// Writes what makes the last block final.
    pub fn certificate(&mut self, certificate: CommitCertificate) -> io::Result<()> {
        self.writer.certificate(certificate)
    }

    /// Ends the file, waits until the disk has it, and puts it in place, over one that is there already. Gives the
    /// height of the last block.
    pub fn finish(self) -> io::Result<u64> {
        let height = self.writer.height();
        let file = self.writer.finish()?.into_inner()?;
        file.sync_all()?;
        fs::rename(&self.temporary.0, &self.path)?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()?;
        Ok(height)
    }
}

/// A file that goes when this is dropped. After a rename there is nothing to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
