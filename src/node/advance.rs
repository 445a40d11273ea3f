//! The best chain: which block ought to be the tip, whether it may be, and the one commit that makes it so.
//!
//! A switch is validated block by block on an overlay of the state at the fork, and committed whole: blocks, state and
//! pool change together. Only when the commit succeeded does anything in memory follow, and only then is anybody told.

use tracing::{error, info};

use super::blocks::Body;
use super::status::CompetingChain;
use super::{DISK_RETRY_MS, Node, WriteFailure};
use crate::chain::block::{BlockId, Header};
use crate::chain::invalid::Failure;
use crate::chain::overlay::Overlay;
use crate::chain::rules;
use crate::chain::state::Delta;
use crate::chain::transaction::Transaction;
use crate::chain::verify::Verified;
use crate::planted::{self, Fault};
use crate::store::StoreError;
use crate::wire::{self};

/// Blocks that join in one commit while catching up, so that a batch stays short.
pub(super) const MAX_JOIN: usize = 64;

/// A block that is valid on its parent and waits for the commit.
pub(super) struct Joining {
    pub(super) id: BlockId,
    pub(super) header: Header,
    pub(super) delta: Delta,
    pub(super) transactions: Vec<Verified<Transaction>>,
}

/// A switch of the best chain that is valid and waits for the commit.
pub(super) struct Prepared {
    /// The last block that both chains share.
    pub(super) fork: BlockId,
    pub(super) fork_height: u64,
    /// The highest first.
    pub(super) leave: Vec<Leaving>,
    /// The lowest first; none, if the finalisers decided on a branch whose bodies have yet to come.
    pub(super) join: Vec<Joining>,
    /// Whether more of the same branch is ready to join after this.
    pub(super) partial: bool,
}

/// A block that leaves the best chain.
pub(super) struct Leaving {
    pub(super) id: BlockId,
    pub(super) transactions: Vec<Verified<Transaction>>,
}

impl Node {
    /// Moves to the best chain as far as its bodies are here, and commits the batch.
    pub(super) fn advance(&mut self) {
        self.more_to_join = false;
        if self.write_failure.is_some() && self.now.mono_ms < self.disk_retry_ms {
            return self.undo_stage();
        }
        let switch = match self.prepare_switch() {
            Ok(switch) => switch,
            Err(error) => {
                self.store_failed(&error.to_string());
                None
            }
        };
        let side = self.side_bodies(switch.as_ref());
        let commit = self.build_commit(switch.as_ref(), &side);
        match self.store.commit(commit) {
            Ok(()) => {
                if self.write_failure.take().is_some() {
                    info!("the store takes writes again");
                }
                self.release_stage(&side);
                if let Some(switch) = switch {
                    self.more_to_join = switch.partial;
                    self.follow(switch);
                }
            }
            Err(failure) => {
                self.write_failed(&failure);
                self.undo_stage();
            }
        }
        for id in self.tree.take_forgotten() {
            self.bodies.remove(&id);
            self.own_blocks.remove(&id);
            self.stage.forget.insert(id);
        }
        self.look_for_competing();
    }

    /// A commit failed: nothing is accepted until one succeeds.
    pub(super) fn write_failed(&mut self, failure: &StoreError) {
        if self.write_failure.is_none() {
            error!(%failure, "the store cannot be written; nothing is accepted until it can");
        }
        self.write_failure = Some(WriteFailure {
            full: matches!(failure, StoreError::Full),
            words: failure.to_string(),
        });
        self.disk_retry_ms = self.now.mono_ms + DISK_RETRY_MS;
    }

    /// Validates the way to the best block whose bodies are here.
    pub(super) fn prepare_switch(&mut self) -> Result<Option<Prepared>, StoreError> {
        loop {
            let (tip, best) = (self.tree.tip(), self.tree.best());
            if tip == best {
                return Ok(None);
            }
            let Some(mut path) = self.tree.path(&tip, &best) else {
                return Ok(None);
            };
            // One block more than what it replaces is more work: the rest of a long branch can follow piece by piece.
            let enough = MAX_JOIN.max(path.leave.len() + 1);
            let partial = path.join.len() > enough;
            path.join.truncate(enough);
            let snapshot = self.store.snapshot();
            let Some(base) = snapshot.at(path.fork_height) else {
                return Ok(None);
            };
            let Some(mut parent) = snapshot.header(&path.fork)? else {
                return Ok(None);
            };
            let mut overlay = Overlay::new(&base);
            let mut join: Vec<Joining> = Vec::with_capacity(path.join.len());
            let mut refused = None;
            for id in path.join {
                let Some(header) = self.tree.get(&id).cloned() else {
                    return Ok(None);
                };
                let Some(transactions) = self.load_body(&id)? else {
                    // Given up meanwhile; it is fetched again.
                    self.tree.forget(&id);
                    return Ok(None);
                };
                match rules::apply_block(&overlay, &self.network, &parent, &header, &transactions) {
                    Ok(mut delta) => {
                        if planted::is(Fault::VoteLost) {
                            delta.votes.pop();
                        }
                        overlay.push(delta.clone());
                        parent = header.clone();
                        join.push(Joining {
                            id,
                            header,
                            delta,
                            transactions,
                        });
                    }
                    Err(Failure::State(failure)) => {
                        return Err(StoreError::Corrupt(failure.to_string()));
                    }
                    Err(Failure::Invalid(invalid)) => {
                        refused = Some((id, invalid));
                        break;
                    }
                }
            }
            if let Some((id, invalid)) = refused {
                let from = match self.bodies.get(&id) {
                    Some(Body::Ready { from, .. }) => *from,
                    _ => None,
                };
                self.block_is_invalid(id, from, &invalid);
                continue;
            }
            let mut leave = Vec::with_capacity(path.leave.len());
            for id in path.leave {
                let transactions = self.load_body(&id)?.ok_or_else(|| {
                    StoreError::Corrupt("a block of the best chain lacks its body".to_owned())
                })?;
                let transactions = match planted::is(Fault::NoRequeue) {
                    true => Vec::new(),
                    false => transactions,
                };
                leave.push(Leaving { id, transactions });
            }
            return Ok(Some(Prepared {
                fork: path.fork,
                fork_height: path.fork_height,
                leave,
                join,
                partial,
            }));
        }
    }

    /// A block's transactions, from memory or the store.
    pub(super) fn load_body(
        &self,
        id: &BlockId,
    ) -> Result<Option<Vec<Verified<Transaction>>>, StoreError> {
        if let Some(Body::Ready { transactions, .. }) = self.bodies.get(id) {
            return Ok(Some(transactions.clone()));
        }
        let Some(transactions) = self.store.snapshot().transactions(id)? else {
            return Ok(None);
        };
        transactions
            .iter()
            .map(|transaction| {
                Verified::from_own_store(&wire::encode(transaction))
                    .map_err(|error| StoreError::Corrupt(error.to_string()))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }

    pub(super) fn look_for_competing(&mut self) {
        let competing = self
            .tree
            .competing()
            .zip(self.tree.pin())
            .map(|(chain, (pinned, _))| CompetingChain {
                tip: chain.tip,
                height: chain.height,
                forks_at_height: chain.fork_height,
                pinned,
            });
        self.report_competing(competing);
    }
}
