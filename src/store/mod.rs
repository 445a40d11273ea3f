//! The store: everything that a node keeps, in one redb database, crash-safe.
//!
//! [`Store`] is the one writer. A [`Commit`] is exactly one durable transaction: once it returned, what it says is on
//! disk, and if it fails nothing changed. Bodies of blocks, headers, the main chain and the pool are written with every
//! commit. What blocks insert into the state trails in memory (the tail) and is written in sorted runs once enough of it
//! lies deep enough, because inserting hashes one block at a time costs several times what checking the signatures does;
//! opening a store replays the bodies above the flushed block. A reorganisation drops blocks from the tail, and
//! below it takes out of the tables exactly what their bodies inserted.
//!
//! Every other thread reads a [`Snapshot`], which a [`Reader`] gives without ever waiting for the writer.
//!
//! The module knows blocks, transactions and the state of the chain. It must not know peers' protocols, clocks or why a
//! chain is preferred.

mod apply;
mod body;
mod commit;
mod disk;
mod durable;
mod elections;
mod error;
mod finalisers;
mod finality;
mod flush;
#[cfg(any(test, feature = "simulation"))]
pub(crate) mod fuzzing;
mod load;
mod open;
mod pool;
mod record;
mod roll;
mod snapshot;
mod tables;
mod tail;
mod undo;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use body::BlockBody;
pub use commit::{Appended, Commit, NewBlock, Switch, encode_body};
pub use disk::{Journal, Loss, MemoryDisk, Replay};
pub use error::{OpenError, StoreError};
pub use finality::Checkpoint;
pub use open::{Expect, ReadOnlyStore};
pub use pool::PeerEntry;
pub use record::{Counts, Validity};
pub use snapshot::{Inclusion, KnownBlock, Reader, Snapshot};
pub use view::{RollRange, StateAt};
pub use writer::Store;

/// Format of the database that this release writes, and the latest that it reads.
pub const FORMAT: u64 = 1;

/// Most entries of the roll in one answer.
pub const MAX_ROLL_RANGE: u64 = 1_024;

/// How a store uses memory and disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Memory for pages of the database, in bytes.
    pub cache_bytes: usize,
    /// Blocks that stay in memory: no reorganisation up to this depth has to touch the tables.
    pub flush_depth: u64,
    /// Transactions below that depth that make a run worth writing.
    pub flush_transactions: u64,
    /// Blocks below that depth that make one worth writing, so that an idle chain does not pile up.
    pub flush_blocks: u64,
    /// Transactions in memory that make a run due whatever its depth, which bounds memory and the time to open.
    pub tail_transactions: u64,
    /// Whether opening checks the checksum of every page. It reads the whole file: about a second per gigabyte.
    pub check_on_open: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
            flush_depth: 100,
            flush_transactions: 100_000,
            flush_blocks: 10_000,
            tail_transactions: 150_000,
            check_on_open: true,
        }
    }
}
