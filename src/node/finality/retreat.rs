//! Leaving a chain that the tree of headers has settled on before any certificate came.
//!
//! A node that knows no certificate yet follows the most work, and after a window's length of blocks the tree forgets
//! where other branches fork off. If a certificate then names a block of such a branch, whoever made the long chain has
//! misled the node. It goes back to where the way to that block parts from its own chain, and follows from there. Only
//! such a way, proved by its hashes, makes it do so.

use tracing::warn;

use crate::chain::block::BlockId;
use crate::chain::transaction::TxId;
use crate::node::recall::load_tree;
use crate::node::{Effect, Node};
use crate::store::{Commit, StoreError, Switch};
use crate::wire;

impl Node {
    /// Goes back to a block of the best chain below the tree's root. What the blocks above held waits again, as far as
    /// there is room.
    ///
    /// Whatever can fail comes first or is the commit itself: after an error nothing has changed, and this may be tried
    /// again. A commit that failed may turn out to be on disk after all. Then the best chain does not tell any more what
    /// was above, and what was noted before does.
    pub(in crate::node) fn retreat(&mut self, to: u64) -> Result<(), StoreError> {
        let snapshot = self.store.snapshot();
        let mut left: Vec<BlockId> = Vec::new();
        for height in to + 1..=snapshot.tip().height {
            left.extend(snapshot.main_id(height)?);
        }
        for id in &self.finality.leaving {
            if !snapshot.is_main(id)? {
                left.push(*id);
            }
        }
        let mut pending: Vec<(TxId, Vec<u8>)> = Vec::new();
        let mut waiting = Vec::new();
        let mut room = self.mempool.room_bytes();
        for id in &left {
            if room == 0 {
                break;
            }
            for transaction in self.load_body(id)?.unwrap_or_default() {
                room = room.saturating_sub(transaction.encoded_len());
                pending.push((transaction.id(), wire::encode(&*transaction)));
                waiting.push(transaction);
            }
        }
        let tree = load_tree(&snapshot, to, self.finality.last(), self.tree.limits())?;
        self.finality.leaving.clone_from(&left);
        let rewound = self.store.commit(Commit {
            pending_insert: pending,
            chain: Some(Switch {
                rewind_to: to,
                append: Vec::new(),
            }),
            ..Commit::default()
        });
        if let Err(failure) = rewound {
            self.write_failed(&failure);
            return Err(failure);
        }
        self.finality.leaving.clear();
        warn!(
            blocks = left.len(),
            to,
            "the chain that was followed is not the one that the finalisers decided on; going back to follow theirs"
        );
        self.counters.blocks_disconnected += left.len() as u64;
        self.stage.forget.extend(left);
        self.stage.forget.extend(self.tree.take_forgotten());
        // The new tree knows no branches, and nobody else would remember that their bodies are on disk.
        self.stage.forget.extend(self.tree.present_beside());
        self.tree = tree;
        self.bodies.clear();
        self.own_blocks.clear();
        self.future.clear();
        if let Err(failure) = self.note_elections_anew() {
            // What was noted before holds for the blocks that stay too, and is noted anew with the next reorganisation.
            self.store_failed(&failure.to_string());
        }
        self.recount_quiet(to);
        for transaction in waiting {
            self.requeue(transaction);
        }
        self.counters.reorganisations += 1;
        self.tip_changed = true;
        let tip = self.store.snapshot().tip();
        self.out.push(Effect::NewTip {
            id: tip.id,
            height: tip.height,
        });
        Ok(())
    }
}
