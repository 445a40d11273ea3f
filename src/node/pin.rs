//! Where nobody finalises: keeping to the closing blocks that this node saw, until its operator says otherwise.

use tracing::{debug, info, warn};

use super::Node;
use crate::chain::state::Tip;
use crate::planted::{self, Fault};
use crate::store::Commit;

/// Name of the note that keeps the pinned closing block.
pub(super) const PIN_NOTE: &str = "pin";
/// Name of the note that keeps the height at which the operator let go of a pinned closing block.
pub(super) const RELEASED_NOTE: &str = "released";
/// How long a pin is held back for better headers whose bodies are missing, in milliseconds: three blocks that nobody
/// gives are set aside meanwhile.
const PIN_PATIENCE_MS: u64 = 60_000;

impl Node {
    /// Whether a block with this timestamp after that parent is the closing block of an election.
    pub(super) fn passes_closing(&self, parent_timestamp_ms: u64, timestamp_ms: u64) -> bool {
        self.closings
            .range(
                parent_timestamp_ms.saturating_add(1)..=timestamp_ms.max(parent_timestamp_ms + 1),
            )
            .any(|closing_ms| *closing_ms <= timestamp_ms)
    }

    /// Where nobody finalises, keeps to the latest closing block that is deep enough.
    pub(super) fn pin_closings(&mut self, tip_height: u64) {
        if self.network.finalises() || planted::is(Fault::PinIgnored) {
            return;
        }
        let pinned = self.tree.pin().map_or(0, |(_, pinned)| pinned);
        let Some(closing) = self
            .deep_closing(tip_height)
            .filter(|closing| closing.height > pinned.max(self.released_height))
        else {
            self.pin_held_back_ms = None;
            return;
        };
        let since_ms = *self.pin_held_back_ms.get_or_insert(self.now.mono_ms);
        if self.best_header_height() > tip_height && self.may_hold_back_pin(since_ms) {
            return;
        }
        self.pin_held_back_ms = None;
        if self.tree.set_pin(closing.id, closing.height) {
            debug!(
                height = closing.height,
                "keeps to the closing block of an election"
            );
            let commit = Commit {
                notes: vec![(PIN_NOTE.to_owned(), Some(closing.id.to_bytes().to_vec()))],
                ..Commit::default()
            };
            // Losing it in a crash is harmless: the closing block is found again at start.
            if let Err(failure) = self.store.commit(commit) {
                warn!(%failure, "the pinned closing block is not written");
            }
        }
    }

    /// Who is catching up may stand on a branch that the others have left, and knows of a better one. But headers alone
    /// cost little: whoever adds one to them now and then, and never the bodies, must not leave this node without a pin.
    fn may_hold_back_pin(&self, since_ms: u64) -> bool {
        self.is_syncing() || self.now.mono_ms < since_ms.saturating_add(PIN_PATIENCE_MS)
    }

    /// Takes a pin that was held back, when the better headers came to nothing or have been waited for long enough.
    pub(super) fn pin_held_back(&mut self) {
        if self.pin_held_back_ms.is_some() {
            self.pin_closings(self.tree.tip_height());
        }
    }

    /// When a pin that is held back is taken at the latest; nothing while bodies come in plenty, which ends by itself.
    pub(super) fn next_pin_ms(&self) -> Option<u64> {
        let since_ms = self.pin_held_back_ms.filter(|_| !self.is_syncing())?;
        Some(since_ms.saturating_add(PIN_PATIENCE_MS))
    }

    /// The latest closing block of any election with the confirmations on top.
    fn deep_closing(&self, tip_height: u64) -> Option<Tip> {
        let height = tip_height.checked_sub(self.network.confirmations)?;
        let snapshot = self.store.snapshot();
        let (_, deep) = snapshot.main_block(height).ok()??;
        let closing_ms = self.closings.range(..=deep.timestamp_ms).next_back()?;
        snapshot.first_block_from(*closing_ms).ok()?
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
