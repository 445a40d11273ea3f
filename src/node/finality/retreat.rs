//! Leaving a chain that the tree of headers has settled on before any certificate came.
//!
//! A node that knows no certificate yet follows the most work, and after a window's length of blocks the tree forgets
//! where other branches fork off. If a certificate then names a block of such a branch, whoever made the long chain has
//! misled the node. It goes back to its own last checkpoint, the genesis block as a rule, and fetches what follows anew.

use tracing::warn;

use crate::chain::block::BlockId;
use crate::chain::transaction::TxId;
use crate::node::recall::load_tree;
use crate::node::{Effect, Node};
use crate::store::{Commit, StoreError, Switch};
use crate::wire;

/// Least time between two retreats, in milliseconds.
const RETREAT_PAUSE_MS: u64 = 60_000;
/// Blocks forgotten in one commit.
const FORGET_AT_ONCE: usize = 1_024;

impl Node {
    /// A header forks off where the tree has settled.
    pub(in crate::node) fn met_settled_header(&mut self) {
        let finality = &mut self.finality;
        let number = finality.votes.checkpoint();
        let waits = finality
            .coming
            .get(&number)
            .is_some_and(|coming| coming.checked);
        // Anybody can send headers: not again and again.
        let rested = finality
            .retreated_ms
            .is_none_or(|at_ms| at_ms + RETREAT_PAUSE_MS <= self.now.mono_ms);
        if waits && self.tree.root_height() > finality.last_height() && rested {
            finality.retreat = true;
            finality.again = true;
        }
    }

    /// Goes back to the last checkpoint, if it has to be. What the blocks held waits again, as far as there is room.
    pub(super) fn retreat(&mut self) -> Result<(), StoreError> {
        if !self.finality.retreat || self.write_failure.is_some() {
            return Ok(());
        }
        let height = self.finality.last_height();
        let tip = self.store.snapshot().tip().height;
        warn!(
            from = tip,
            to = height,
            "the chain that was followed is not the one that the finalisers decided on; going back to fetch theirs"
        );
        let snapshot = self.store.snapshot();
        let mut left: Vec<BlockId> = Vec::new();
        let mut pending: Vec<(TxId, Vec<u8>)> = Vec::new();
        let mut waiting = Vec::new();
        let mut room = self.mempool.room_bytes();
        for height in height + 1..=tip {
            let Some(id) = snapshot.main_id(height)? else {
                continue;
            };
            left.push(id);
            if room == 0 {
                continue;
            }
            for transaction in self.load_body(&id)?.unwrap_or_default() {
                room = room.saturating_sub(transaction.encoded_len());
                pending.push((transaction.id(), wire::encode(&*transaction)));
                waiting.push(transaction);
            }
        }
        self.store.commit(Commit {
            pending_insert: pending,
            chain: Some(Switch {
                rewind_to: height,
                append: Vec::new(),
            }),
            ..Commit::default()
        })?;
        self.finality.retreat = false;
        self.finality.retreated_ms = Some(self.now.mono_ms);
        self.tree = load_tree(&self.store, self.finality.last(), self.tree.limits())?;
        for blocks in left.chunks(FORGET_AT_ONCE) {
            self.store.commit(Commit {
                forget: blocks.to_vec(),
                ..Commit::default()
            })?;
        }
        self.bodies.clear();
        self.own_blocks.clear();
        self.future.clear();
        self.note_elections_anew()?;
        self.recount_quiet(height);
        for transaction in waiting {
            self.requeue(transaction);
        }
        self.counters.reorganisations += 1;
        self.counters.blocks_disconnected += tip - height;
        self.tip_changed = true;
        let tip = self.store.snapshot().tip();
        self.out.push(Effect::NewTip {
            id: tip.id,
            height: tip.height,
        });
        for peer in self.peers.iter().map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.ask_headers(peer);
        }
        Ok(())
    }
}
