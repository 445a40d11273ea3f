//! Where nobody finalises: keeping to the closing blocks that this node saw, until its operator says otherwise.

use tracing::{debug, info, warn};

use super::Node;
use super::advance::MAX_JOIN;
use crate::planted::{self, Fault};
use crate::store::Commit;

/// Name of the note that keeps the pinned closing block.
pub(super) const PIN_NOTE: &str = "pin";
/// Name of the note that keeps the height at which the operator let go of a pinned closing block.
pub(super) const RELEASED_NOTE: &str = "released";
/// Blocks looked at for a closing block that became deep enough: as many as may join at once.
const MAX_SCAN: u64 = MAX_JOIN as u64;

impl Node {
    /// Whether a block with this timestamp after that parent is the closing block of an election.
    pub(super) fn passes_closing(&self, parent_timestamp_ms: u64, timestamp_ms: u64) -> bool {
        self.closings
            .range(
                parent_timestamp_ms.saturating_add(1)..=timestamp_ms.max(parent_timestamp_ms + 1),
            )
            .any(|closing_ms| *closing_ms <= timestamp_ms)
    }

    /// Where nobody finalises, keeps to closing blocks that are deep enough.
    pub(super) fn pin_closings(&mut self, tip_height: u64) {
        if self.network.finalises() || planted::is(Fault::PinIgnored) {
            return;
        }
        let Some(height) = tip_height
            .checked_sub(self.network.confirmations)
            .filter(|height| *height > 0)
        else {
            return;
        };
        let pinned = self.tree.pin().map_or(0, |(_, pinned)| pinned);
        let from = pinned.max(self.released_height) + 1;
        // Several blocks may have joined at once; each of them may have closed an election.
        for height in (from.max(height.saturating_sub(MAX_SCAN))..=height).rev() {
            let snapshot = self.store.snapshot();
            let (Ok(Some((_, parent))), Ok(Some((id, header)))) =
                (snapshot.main_block(height - 1), snapshot.main_block(height))
            else {
                return;
            };
            if !self.passes_closing(parent.timestamp_ms, header.timestamp_ms) {
                continue;
            }
            if self.tree.set_pin(id, height) {
                debug!(height, "keeps to the closing block of an election");
                let commit = Commit {
                    notes: vec![(PIN_NOTE.to_owned(), Some(id.to_bytes().to_vec()))],
                    ..Commit::default()
                };
                // Losing it in a crash is harmless: the closing block is found again when the next block joins.
                if let Err(failure) = self.store.commit(commit) {
                    warn!(%failure, "the pinned closing block is not written");
                }
            }
            return;
        }
    }

    /// The operator's word: most work is followed again.
    pub(super) fn release_pin(&mut self) {
        if self.tree.pin().is_some() {
            info!("released: the chain with the most work is followed again");
        }
        self.tree.unpin();
        self.released_height = self.tree.tip_height();
        let height = self.released_height.to_be_bytes().to_vec();
        self.stage.notes.insert(PIN_NOTE.to_owned(), None);
        self.stage
            .notes
            .insert(RELEASED_NOTE.to_owned(), Some(height));
    }
}
