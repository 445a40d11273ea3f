//! The one writer.

use std::sync::Arc;

use redb::Database;

use super::StoreConfig;
use super::commit::Commit;
use super::disk::Disk;
use super::elections::ElectionCache;
use super::error::StoreError;
use super::snapshot::{Common, Reader, Snapshot};
use super::tables::{self, meta};
use super::tail::Tail;
use crate::wire;

/// Commits that pass before a flush that failed is tried again, so that a full disk does not make every commit dear.
const FLUSH_RETRY_COMMITS: u64 = 64;

/// The database, and the one who may write to it.
pub struct Store {
    pub(super) disk: Disk,
    pub(super) config: StoreConfig,
    /// Gone between an I/O error and the next successful reopening.
    pub(super) database: Option<Database>,
    pub(super) common: Arc<Common>,
    pub(super) elections: Arc<ElectionCache>,
    pub(super) tail: Tail,
    pub(super) snapshot: Snapshot,
    pub(super) reader: Reader,
    /// Commits so far, which the database counts too: tells whether a commit that failed was durable after all.
    pub(super) commits: u64,
    /// Arrival number of the next pending transaction.
    pub(super) arrivals: u64,
    /// Whether a commit failed and the database couldn't be asked yet whether it happened all the same.
    pub(super) in_doubt: bool,
    pub(super) closed_before: bool,
    pub(super) retry_flush_at: u64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("disk", &self.disk)
            .field("height", &self.tail.height())
            .field("flushed", &self.tail.base().header.height)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The state after the latest commit.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// Gives snapshots to other threads.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Whether the store was closed in order before it was opened this time.
    pub fn was_closed(&self) -> bool {
        self.closed_before
    }

    /// Makes all of `commit` durable, or nothing.
    ///
    /// An error leaves the store as it was, readable, and open to later commits: [`StoreError::Full`] passes when there
    /// is room again.
    pub fn commit(&mut self, commit: Commit) -> Result<(), StoreError> {
        if commit.is_empty() {
            return Ok(());
        }
        self.settle()?;
        let written = self.write(|store, transaction| store.apply(transaction, &commit));
        self.in_doubt = written.is_err() && self.database.is_none();
        let plan = written?;
        self.arrivals = plan.arrivals;
        self.install(plan.tail, plan.elections);
        self.flush_if_due();
        Ok(())
    }

    /// Ends in order, which spares the next opening a repair and most of the replay. Dropping the store instead loses
    /// nothing.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.settle()?;
        // A short tail is replayed in less time than it takes to write. The last blocks are the ones that a
        // reorganisation is likely to take back.
        if self.tail.transactions() * 10 >= self.config.flush_transactions {
            let last_blocks = self.config.flush_depth / 10;
            let height = self.tail.height().saturating_sub(last_blocks);
            if let Err(error) = self.flush(height) {
                tracing::warn!(%error, "the indexes cannot be written to disk; the next start reads the blocks again");
            }
        }
        self.write(|_, transaction| {
            transaction
                .open_table(tables::META)?
                .insert(meta::CLOSED, wire::encode(&1u8).as_slice())?;
            Ok(())
        })?;
        match self.database.take() {
            Some(database) => Ok(database.close()?),
            None => Ok(()),
        }
    }

    /// Writes a run if enough of the tail lies deep enough. A failure is no failure of the commit that went before: the
    /// tail just stays longer.
    fn flush_if_due(&mut self) {
        if self.commits < self.retry_flush_at {
            return;
        }
        let Some(height) = self.due() else {
            return;
        };
        if let Err(error) = self.flush(height) {
            tracing::warn!(%error, height, "the indexes cannot be written to disk; they stay in memory");
            self.retry_flush_at = self.commits + FLUSH_RETRY_COMMITS;
        }
    }

    /// Height up to which the tail should be flushed now.
    fn due(&self) -> Option<u64> {
        let base = self.tail.base();
        let tip = self.tail.height();
        let deep = tip.saturating_sub(self.config.flush_depth);
        if deep > base.header.height {
            let transactions =
                self.tail.block(deep)?.counts.transactions - base.counts.transactions;
            let blocks = deep - base.header.height;
            if transactions >= self.config.flush_transactions || blocks >= self.config.flush_blocks
            {
                return Some(deep);
            }
        }
        if self.tail.transactions() > self.config.tail_transactions {
            // Half of it, so that it takes as many again until this is due the next time.
            let keep_from = base.counts.transactions + self.tail.transactions() / 2;
            return self
                .tail
                .blocks()
                .find(|block| block.counts.transactions >= keep_from)
                .map(|block| block.header.height);
        }
        None
    }
}
