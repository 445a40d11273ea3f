//! One batch, one commit: what it writes, and what happens to it in memory when the write succeeds or fails.
//!
//! Nobody is told that something was accepted before it is on disk; what a failed commit carried is staged for the next.

use std::collections::BTreeSet;

use votenode_p2p::Verdict;

use super::advance::Prepared;
use super::blocks::Body;
use super::{Effect, Node};
use crate::chain::block::BlockId;
use crate::chain::transaction::TxId;
use crate::chain::verify::Verified;
use crate::protocol::submit::Outcome;
use crate::store::{Appended, Commit, NewBlock, Switch, encode_body};
use crate::wire::{self};

/// Name of the note that is written to see whether the disk has room again.
const PROBE_NOTE: &str = "disk-probe";
/// Blocks forgotten in one commit. A long chain that is left goes piece by piece.
const FORGET_AT_ONCE: usize = 1_024;

impl Node {
    /// What the batch writes. Nothing staged is given up before it is on disk.
    pub(super) fn build_commit(&self, switch: Option<&Prepared>, side: &[BlockId]) -> Commit {
        let snapshot = self.store.snapshot();
        let on_main = |id: &BlockId| !matches!(snapshot.is_main(id), Ok(false));
        let mut commit = Commit {
            notes: self.stage.notes.clone().into_iter().collect(),
            peers: self.stage.peers.clone().into_iter().collect(),
            bans: self.stage.bans.clone().into_iter().collect(),
            forget: self
                .stage
                .forget
                .iter()
                .take(FORGET_AT_ONCE)
                .filter(|id| self.tree.get(id).is_none() && !on_main(id))
                .copied()
                .collect(),
            ..Commit::default()
        };
        self.stage.finality.add_to(&mut commit);
        for (transaction, _) in &self.stage.pending {
            commit
                .pending_insert
                .push((transaction.id(), wire::encode(&**transaction)));
        }
        if let Some(switch) = switch {
            let joined: BTreeSet<TxId> = switch
                .join
                .iter()
                .flat_map(|block| block.transactions.iter().map(Verified::id))
                .collect();
            // What the blocks that leave held waits again, on disk before anything else can happen to it.
            for transaction in switch
                .leave
                .iter()
                .rev()
                .flat_map(|block| &block.transactions)
            {
                if !joined.contains(&transaction.id()) {
                    commit
                        .pending_insert
                        .push((transaction.id(), wire::encode(&**transaction)));
                }
            }
            commit.pending_remove.extend(joined);
            for block in &switch.join {
                commit.blocks.push(NewBlock {
                    id: block.id,
                    header: block.header.clone(),
                    body: Some(encode_body(&block.transactions)),
                });
            }
            commit.chain = Some(Switch {
                rewind_to: switch.fork_height,
                append: switch
                    .join
                    .iter()
                    .map(|block| Appended {
                        id: block.id,
                        delta: block.delta.clone(),
                    })
                    .collect(),
            });
        }
        // Whatever went out and comes in again with this commit waits.
        let coming: BTreeSet<TxId> = commit.pending_insert.iter().map(|(id, _)| *id).collect();
        commit
            .pending_remove
            .extend(self.stage.removed.difference(&coming));
        for id in side {
            if let (Some(Body::Ready { transactions, .. }), Some(header)) =
                (self.bodies.get(id), self.tree.get(id))
            {
                commit.blocks.push(NewBlock {
                    id: *id,
                    header: header.clone(),
                    body: Some(encode_body(transactions)),
                });
            }
        }
        if self.write_failure.is_some() {
            let moment = self.now.wall_ms.to_be_bytes().to_vec();
            commit.notes.push((PROBE_NOTE.to_owned(), Some(moment)));
        }
        commit
    }

    /// Ready bodies of branches beside the best chain. They wait on disk: such a branch may grow long before it has more
    /// work.
    pub(super) fn side_bodies(&self, switch: Option<&Prepared>) -> Vec<BlockId> {
        let tip = self.tree.tip();
        let height = self.tree.tip_height();
        let joining: BTreeSet<BlockId> = switch
            .iter()
            .flat_map(|switch| switch.join.iter().map(|block| block.id))
            .collect();
        self.bodies
            .iter()
            .filter(|(id, body)| {
                matches!(body, Body::Ready { .. })
                    && !joining.contains(*id)
                    && self.tree.ancestor_at(id, height) != Some(tip)
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// The commit succeeded: who waits for it is told.
    pub(super) fn release_stage(&mut self, side: &[BlockId]) {
        self.stage.notes.clear();
        self.release_finality();
        self.stage.peers.clear();
        self.stage.bans.clear();
        self.stage.removed.clear();
        if let Some(next) = self.stage.forget.iter().nth(FORGET_AT_ONCE).copied() {
            self.stage.forget = self.stage.forget.split_off(&next);
        } else {
            self.stage.forget.clear();
        }
        for id in side {
            self.bodies.remove(id);
            self.own_blocks.remove(id);
            // It is known and kept, but not followed: nobody is told.
            if let Some(ticket) = self.block_tickets.remove(id) {
                self.report(ticket.id, ticket.from, Verdict::Ignore);
            }
        }
        for (transaction, publish) in std::mem::take(&mut self.stage.pending) {
            if publish {
                self.outbox.push(&transaction, self.now.mono_ms);
            }
        }
        for (submitter, outcomes) in std::mem::take(&mut self.answers) {
            self.out.push(Effect::Answer {
                submitter,
                outcomes,
            });
        }
    }

    /// The commit failed: nothing was accepted.
    pub(super) fn undo_stage(&mut self) {
        let pending = std::mem::take(&mut self.stage.pending);
        let lost = !pending.is_empty();
        if lost {
            self.intake.forget_acceptances();
        }
        for (transaction, _) in pending {
            self.mempool.remove(&transaction.id());
        }
        for (submitter, mut outcomes) in std::mem::take(&mut self.answers) {
            for outcome in &mut outcomes {
                if matches!(outcome, Outcome::Accepted {} | Outcome::Duplicate {}) {
                    *outcome = Outcome::Busy {};
                }
            }
            self.out.push(Effect::Answer {
                submitter,
                outcomes,
            });
        }
        if lost {
            for effect in &mut self.out {
                if let Effect::Report { verdict, .. } = effect
                    && *verdict == Verdict::Accept
                {
                    *verdict = Verdict::Ignore;
                }
            }
        }
    }
}
