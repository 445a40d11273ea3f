//! What follows a switch of the best chain that is on disk: memory, mempool, and whoever has to be told.
//!
//! A transaction of a block that left waits again, whatever the mempool's bounds say: it was acknowledged. If it can
//! never be mined again it is reported with its reason, and so is everything else that a new block leaves without a
//! place.

use tracing::{debug, error, info};
use votenode_p2p::Verdict;

use super::advance::{Joining, Prepared};
use super::mempool::Refusal;
use super::{Effect, Node};
use crate::chain::block::CompactBlock;
use crate::chain::invalid::Invalid;
use crate::chain::schedule;
use crate::chain::transaction::{Kind, Transaction, TxId};
use crate::chain::verify::Verified;
use crate::protocol::names::Topic;
use crate::wire::{self, List};

/// Blocks for which a transaction waits for something that left the chain in a reorganisation.
const PATIENCE: u64 = 100;
/// The same in milliseconds, since a chain at rest grows no blocks: ten minutes.
const PATIENCE_MS: u64 = 600_000;

/// Since when a transaction waits for something that left the chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dubious {
    height: u64,
    mono_ms: u64,
}

impl Node {
    /// The switch is on disk: memory follows, and others are told.
    pub(super) fn follow(&mut self, switch: Prepared) {
        let last = switch.join.last();
        let (tip, height) = last.map_or((switch.fork, switch.fork_height), |last| {
            (last.id, last.header.height)
        });
        let reorganised = !switch.leave.is_empty();
        for block in &switch.join {
            self.tree.set_valid(&block.id);
            self.finality
                .block_joined(block.header.height, self.now.mono_ms);
        }
        self.tree.set_tip(&tip);
        self.tip_changed = true;
        if reorganised {
            self.counters.reorganisations += 1;
            self.counters.blocks_disconnected += switch.leave.len() as u64;
            info!(
                left = switch.leave.len(),
                joined = switch.join.len(),
                fork_height = switch.fork_height,
                "another chain takes precedence: reorganised"
            );
            if let Err(failure) = self.note_elections_anew() {
                self.store_failed(&failure.to_string());
            }
        }
        let closed = self.note_joined(&switch);
        self.counters.blocks_connected += switch.join.len() as u64;
        for block in switch.join {
            self.joined(block);
        }
        if reorganised {
            self.recheck_pool();
        }
        // The blocks that left were younger than their replacement only in time: the oldest transactions first.
        for block in switch.leave.into_iter().rev() {
            debug!(block = %block.id.short(), "left the best chain");
            for transaction in block.transactions {
                self.requeue(transaction);
            }
        }
        if reorganised {
            self.recount_quiet(height);
        }
        self.settle_dubious(height);
        if closed {
            self.drop_late();
        }
        self.pin_closings(height);
        self.out.push(Effect::NewTip { id: tip, height });
    }

    /// Notes elections, activity and miners of the blocks that join. Says whether one closes an election.
    fn note_joined(&mut self, switch: &Prepared) -> bool {
        let mut closed = false;
        let mut parent_timestamp_ms = self
            .store
            .snapshot()
            .main_block(switch.fork_height)
            .ok()
            .flatten()
            .map_or(0, |(_, header)| header.timestamp_ms);
        for block in &switch.join {
            for election in &block.delta.elections {
                self.note_election(&election.election.terms);
            }
            let timestamp_ms = block.header.timestamp_ms.max(parent_timestamp_ms);
            closed |= self.passes_closing(parent_timestamp_ms, timestamp_ms);
            let boundary = schedule::is_boundary_block(
                parent_timestamp_ms,
                timestamp_ms,
                self.boundaries
                    .range(parent_timestamp_ms..=timestamp_ms)
                    .copied(),
            );
            if boundary || !block.transactions.is_empty() {
                self.last_active_height = Some(block.header.height);
            }
            parent_timestamp_ms = timestamp_ms;
            self.mining
                .connected(block.header.height, block.header.miner);
        }
        closed
    }

    fn joined(&mut self, block: Joining) {
        for transaction in &block.transactions {
            for rival in self.mempool.remove_confirmed(transaction) {
                self.settle_rival(&rival);
            }
        }
        self.bodies.remove(&block.id);
        if let Some(ticket) = self.block_tickets.remove(&block.id) {
            self.report(ticket.id, ticket.from, Verdict::Accept);
        }
        if self.own_blocks.remove(&block.id) {
            let ids = block.transactions.iter().map(Verified::id).collect();
            let compact = CompactBlock {
                header: block.header,
                transactions: List::new(ids).expect("a valid block is within bounds"),
            };
            self.out.push(Effect::Publish {
                topic: Topic::Block,
                data: wire::encode(&compact),
            });
        }
    }

    /// A transaction that waited lost its place to one in a block.
    fn settle_rival(&mut self, rival: &Verified<Transaction>) {
        match self.check_state(rival) {
            Ok(Err(invalid)) => self.report_dropped(rival.id(), rival, &invalid),
            Ok(Ok(())) => {
                // It used up the same thing and is still valid: a rule would have to be missing.
                error!(transaction = %rival.id(), "a rival of a confirmed transaction is still valid");
            }
            Err(failure) => self.store_failed(&failure.to_string()),
        }
    }

    /// A transaction of a block that left the best chain waits again, or is reported.
    pub(super) fn requeue(&mut self, transaction: Verified<Transaction>) {
        if matches!(
            self.store.snapshot().position(&transaction.id()),
            Ok(Some(_))
        ) {
            return;
        }
        match self.check_state(&transaction) {
            Ok(Ok(())) => {
                self.queue_again(transaction);
            }
            Ok(Err(invalid)) if invalid.may_become_valid() => {
                // What it depends on left the chain with it, and comes back before it.
                let id = transaction.id();
                if self.queue_again(transaction) {
                    self.doubt(id);
                }
            }
            Ok(Err(invalid)) => self.report_dropped(transaction.id(), &transaction, &invalid),
            Err(failure) => {
                // Nothing is known: it stays until a block or a template finds out.
                self.store_failed(&failure.to_string());
                self.queue_again(transaction);
            }
        }
    }

    /// Says whether the transaction waits now.
    fn queue_again(&mut self, transaction: Verified<Transaction>) -> bool {
        let id = transaction.id();
        match self.mempool.restore(transaction.clone()) {
            Ok(()) | Err(Refusal::Known) => true,
            Err(Refusal::Conflict(invalid)) => {
                self.report_dropped(id, &transaction, &invalid);
                false
            }
            Err(Refusal::Full) => false,
        }
    }

    /// After a reorganisation: what waited was valid on the chain that was left.
    fn recheck_pool(&mut self) {
        let waiting: Vec<Verified<Transaction>> = self.mempool.iter().cloned().collect();
        for transaction in waiting {
            match self.check_state(&transaction) {
                Ok(Err(invalid)) if invalid.may_become_valid() => self.doubt(transaction.id()),
                Ok(Err(invalid)) => self.drop_pending(&transaction.id(), &invalid),
                Ok(Ok(())) => {}
                Err(failure) => return self.store_failed(&failure.to_string()),
            }
        }
    }

    /// Notes that a transaction that waits needs something that is not on the chain.
    pub(super) fn doubt(&mut self, id: TxId) {
        let since = Dubious {
            height: self.store.snapshot().tip().height,
            mono_ms: self.now.mono_ms,
        };
        self.dubious.entry(id).or_insert(since);
    }

    /// Looks again at what waits for something that left the chain: it comes back, or it is reported.
    pub(super) fn settle_dubious(&mut self, tip_height: u64) {
        for (id, since) in std::mem::take(&mut self.dubious) {
            let Some(transaction) = self.mempool.get(&id).cloned() else {
                continue;
            };
            let patient = since.height + PATIENCE >= tip_height
                && since.mono_ms + PATIENCE_MS > self.now.mono_ms;
            match self.check_state(&transaction) {
                Ok(Err(invalid)) if !invalid.may_become_valid() || !patient => {
                    self.drop_pending(&id, &invalid);
                }
                Ok(Ok(())) => {}
                _ => {
                    self.dubious.insert(id, since);
                }
            }
        }
    }

    /// When the first of the dubious has waited long enough.
    pub(super) fn next_dubious_ms(&self) -> Option<u64> {
        self.dubious
            .values()
            .map(|since| since.mono_ms + PATIENCE_MS)
            .min()
    }

    /// As [`Self::settle_dubious`], for a chain at rest.
    pub(super) fn expire_dubious(&mut self) {
        if self
            .next_dubious_ms()
            .is_some_and(|due_ms| due_ms <= self.now.mono_ms)
        {
            self.settle_dubious(self.tree.tip_height());
        }
    }

    /// Takes votes out of the mempool whose election has closed, each with its reason.
    fn drop_late(&mut self) {
        let votes: Vec<Verified<Transaction>> = self
            .mempool
            .iter()
            .filter(|transaction| matches!(transaction.kind(), Kind::Vote | Kind::Election))
            .cloned()
            .collect();
        for vote in votes {
            match self.check_state(&vote) {
                Ok(Err(invalid)) if !invalid.may_become_valid() => {
                    self.drop_pending(&vote.id(), &invalid);
                }
                _ => {}
            }
        }
    }

    /// A transaction that waited can no longer be mined: said once, kept for those who ask.
    pub(super) fn drop_pending(&mut self, id: &TxId, invalid: &Invalid) {
        self.dubious.remove(id);
        let Some(transaction) = self.mempool.remove(id) else {
            return;
        };
        self.report_dropped(*id, &transaction, invalid);
    }
}
