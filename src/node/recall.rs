//! What a restart has to find out again from the store: the tree, elections, recent miners, the pool.

use tracing::info;

use super::Node;
use super::finality::Final;
use super::pin::{PIN_NOTE, RELEASED_NOTE};
use crate::chain::block::{BlockId, Header};
use crate::chain::merkle::Tree;
use crate::chain::schedule;
use crate::chain::state::ViewError;
use crate::chain::tree::{self, HeaderSource, HeaderTree};
use crate::chain::verify::Verified;
use crate::planted::{self, Fault};
use crate::store::{Snapshot, StoreError};

/// Miners of so many last blocks are known at start, for the leases.
const RECENT_BLOCKS: u64 = schedule::RECENT_MINERS;
/// Elections read at once at start.
const ELECTION_PAGE: usize = 256;

/// Headers of the best chain, for the tree.
pub(super) struct Source(pub(super) Snapshot);

impl HeaderSource for Source {
    fn id_at(&self, height: u64) -> Result<Option<BlockId>, ViewError> {
        Ok(self.0.main_id(height)?)
    }

    fn header(&self, id: &BlockId) -> Result<Option<Header>, ViewError> {
        Ok(self.0.header(id)?)
    }
}

/// The tree of a node that stands on the block at this height of the best chain, with the last checkpoint and the pin that
/// was set before.
pub(super) fn load_tree(
    snapshot: &Snapshot,
    height: u64,
    last: Option<Final>,
    limits: tree::Limits,
) -> Result<HeaderTree, StoreError> {
    let mut tree = HeaderTree::open(&Source(snapshot.clone()), height, limits)
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    if let Some(last) = last {
        tree.set_checkpoint(last.block, last.height, &Source(snapshot.clone()))
            .map_err(|error| StoreError::Corrupt(error.to_string()))?
            .map_err(|conflict| StoreError::Corrupt(conflict.to_string()))?;
    }
    if let Some(bytes) = snapshot.note(PIN_NOTE)?
        && let Ok(pinned) = <[u8; 32]>::try_from(bytes.as_slice()).map(BlockId::from_bytes)
        && let Some(header) = snapshot.header(&pinned)?
    {
        tree.set_pin(pinned, header.height);
    }
    Ok(tree)
}

impl Node {
    /// What a restart has to find out again: elections, recent miners, the pool.
    pub(super) fn recall(&mut self) -> Result<(), StoreError> {
        let snapshot = self.store.snapshot();
        if let Some(bytes) = snapshot.note(RELEASED_NOTE)?
            && let Ok(bytes) = <[u8; 8]>::try_from(bytes.as_slice())
        {
            self.released_height = u64::from_be_bytes(bytes);
        }
        self.note_elections_anew()?;
        let tip = snapshot.tip().height;
        for height in tip.saturating_sub(RECENT_BLOCKS).max(1)..=tip {
            if let Some((_, header)) = snapshot.main_block(height)? {
                self.mining.connected(height, header.miner);
            }
        }
        self.recount_quiet(tip);
        let mut waiting = Vec::new();
        snapshot.for_each_pending(|arrival, _, encoded: &[u8]| {
            waiting.push((arrival, encoded.to_vec()));
        })?;
        waiting.sort_unstable_by_key(|(arrival, _)| *arrival);
        if planted::is(Fault::PendingForgotten) {
            waiting.clear();
        }
        let count = waiting.len();
        for (_, encoded) in waiting {
            let transaction = Verified::from_own_store(&encoded)
                .map_err(|error| StoreError::Corrupt(format!("table pending: {error}")))?;
            self.requeue(transaction);
        }
        if count > 0 {
            info!(
                on_disk = count,
                waiting = self.mempool.len(),
                "transactions from before wait for a block"
            );
        }
        self.pin_closings(tip);
        Ok(())
    }

    /// Notes the boundaries of all elections on the best chain, and of no others. After an error nothing has changed.
    pub(super) fn note_elections_anew(&mut self) -> Result<(), StoreError> {
        let snapshot = self.store.snapshot();
        let mut records = Vec::new();
        loop {
            let page = snapshot.elections(records.len() as u64, ELECTION_PAGE)?;
            let last = page.len() < ELECTION_PAGE;
            records.extend(page);
            if last {
                break;
            }
        }
        self.boundaries.clear();
        self.closings.clear();
        for record in records {
            self.note_election(&record.election.terms);
        }
        Ok(())
    }

    /// Finds the last block that was not empty, or was a boundary, within the confirmations.
    pub(super) fn recount_quiet(&mut self, tip_height: u64) {
        let snapshot = self.store.snapshot();
        let empty = Tree::Transactions.empty();
        self.last_active_height = None;
        let lowest = tip_height
            .saturating_sub(self.network.confirmations + 1)
            .max(1);
        for height in (lowest..=tip_height).rev() {
            let (Ok(Some((_, parent))), Ok(Some((_, header)))) =
                (snapshot.main_block(height - 1), snapshot.main_block(height))
            else {
                return;
            };
            let boundary = schedule::is_boundary_block(
                parent.timestamp_ms,
                header.timestamp_ms,
                self.boundaries
                    .range(parent.timestamp_ms..=header.timestamp_ms)
                    .copied(),
            );
            if boundary || header.transaction_root != empty {
                self.last_active_height = Some(height);
                return;
            }
        }
    }
}
