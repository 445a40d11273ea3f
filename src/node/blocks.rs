//! How a block gets from a header to the tip: header, body, verification, and the switch of the best chain.
//!
//! A header is checked before its body is asked for; a body is checked against its header before its signatures are
//! looked at; the state rules run last, when the block's turn comes on a chain that has more work than the present
//! one. Nothing is stored before that.

use std::collections::BTreeMap;

use tracing::{debug, warn};
use votenode_p2p::{MessageId, PeerId, Verdict};

use super::fetch::WINDOW_BYTES;
use super::{Effect, Job, Node};
use crate::chain::block::{BlockId, CompactBlock, Header};
use crate::chain::invalid::{BlockInvalid, Invalid};
use crate::chain::merkle::Tree;
use crate::chain::rules;
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::verify::Verified;
use crate::wire;

/// Bodies in memory, under way or ready. With blocks of at most 4 MiB this is what bounds memory while catching up.
pub(super) const MAX_BODIES_HELD: usize = 384;
/// Of these, bodies that are put together from gossip above the block after the tip: what lies between may never come, and
/// the rest of the room is for what is fetched in order.
const MAX_BODIES_AHEAD: usize = 128;
/// Bodies that are held whatever their length; above that they may have [`super::fetch::WINDOW_BYTES`] together.
const FREE_BODIES: usize = 16;
/// Blocks from the future held until they are due.
pub(super) const MAX_FUTURE: usize = 64;
/// A block further in the future than this is not held, in milliseconds.
const MAX_FUTURE_MS: u64 = 60_000;
/// How long a gossiped block may wait for its verdict: within what gossip remembers a message.
const VERDICT_MS: u64 = 7_000;
/// Verdicts on blocks that may be outstanding: far more than there are honest blocks in [`VERDICT_MS`].
pub(super) const MAX_BLOCK_TICKETS: usize = 128;
/// How long the sender of a compact block may take for the transactions that it lacks; then the body is fetched from
/// anyone.
const ASSEMBLE_MS: u64 = 3_000;
/// Score points for a block that no correct peer makes or passes on.
const INVALID_BLOCK_POINTS: u32 = 60;

/// A block's transactions on their way to the tip.
pub(super) enum Body {
    /// Some transactions of a compact block are asked for.
    Assembling {
        ids: Vec<TxId>,
        have: BTreeMap<TxId, Verified<Transaction>>,
        deadline_ms: u64,
    },
    /// Signatures of some are being verified.
    Verifying {
        slots: Vec<Option<Verified<Transaction>>>,
        from: Option<PeerId>,
    },
    /// Everything but the state rules has been checked.
    Ready {
        transactions: Vec<Verified<Transaction>>,
        from: Option<PeerId>,
    },
}

/// A gossiped block that waits for its verdict.
pub(super) struct BlockTicket {
    pub(super) id: MessageId,
    pub(super) from: PeerId,
    pub(super) deadline_ms: u64,
}

/// A gossiped block whose time has not come.
pub(super) struct Future {
    pub(super) block: CompactBlock,
    pub(super) id: MessageId,
    pub(super) from: PeerId,
}

/// Why a header is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderRefusal {
    #[error("its parent is unknown")]
    Orphan,
    #[error("its time has not come")]
    Early,
    #[error("{0}")]
    Invalid(BlockInvalid),
    #[error("it belongs to a branch that was found invalid")]
    OnInvalidBranch,
    #[error("it forks off where the chain is settled")]
    Settled,
    #[error("its transactions were asked for in vain a moment ago")]
    Withheld,
    #[error("there are too many side branches")]
    TooMany,
    #[error("{0}")]
    Store(String),
}

impl HeaderRefusal {
    /// Whether no correct peer would have sent it.
    pub(super) fn is_lie(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::OnInvalidBranch)
    }
}

impl Node {
    /// A compact block from gossip.
    pub(super) fn gossiped_block(&mut self, id: MessageId, from: PeerId, data: &[u8]) {
        let block: CompactBlock = match wire::decode(data) {
            Ok(block) => block,
            Err(error) => return self.reject_gossip(id, from, &error.to_string()),
        };
        self.compact_block(block, id, from);
    }

    fn compact_block(&mut self, block: CompactBlock, id: MessageId, from: PeerId) {
        let block_id = block.header.id();
        // What can be seen from the message alone: cheap for us, and work for whoever sends it.
        if block.header.network != self.network.id() || !block_id.meets(&self.network) {
            return self.reject_gossip(id, from, "a block without work for this network");
        }
        if root_of(&block.transactions) != block.header.transaction_root {
            return self.reject_gossip(id, from, "a block with other transactions than it says");
        }
        if self.bodies.contains_key(&block_id) || self.has_body(&block_id) {
            return self.ignore_useless(id, from);
        }
        let early_ms = block.header.timestamp_ms.saturating_sub(self.now.wall_ms);
        if early_ms > 0 {
            if early_ms > MAX_FUTURE_MS {
                return self.ignore_useless(id, from);
            }
            let due = (block.header.timestamp_ms, block_id);
            self.future.insert(due, Future { block, id, from });
            // Those that are due last make room: whoever fills the places with blocks of the next minute does not keep
            // the next block out.
            if self.future.len() > MAX_FUTURE
                && let Some((_, last)) = self.future.pop_last()
            {
                self.ignore_useless(last.id, last.from);
            }
            return;
        }
        // Whoever passes a block on has it.
        self.fetch.offered(&block_id);
        match self.learn_header(&block.header, block_id) {
            Ok(()) => self.peers.note_height(&from, block.header.height),
            Err(HeaderRefusal::Orphan) => {
                self.ignore_useless(id, from);
                return self.ask_headers(from);
            }
            Err(refusal) if refusal.is_lie() => {
                return self.reject_gossip(id, from, &refusal.to_string());
            }
            Err(refusal) => {
                debug!(%refusal, "a gossiped block is not taken");
                return self.ignore_useless(id, from);
            }
        }
        if block.header.height < self.tree.tip_height() {
            // On a branch with less work than the best chain. Should it overtake, its bodies are fetched then; before
            // that they would only fill the disk of whoever listens.
            return self.ignore_useless(id, from);
        }
        if self.block_tickets.len() >= MAX_BLOCK_TICKETS {
            // Taken all the same, but not passed on.
            self.report(id, from, Verdict::Ignore);
            return self.assemble(block_id, block.transactions.into_vec(), from);
        }
        self.block_tickets.insert(
            block_id,
            BlockTicket {
                id,
                from,
                deadline_ms: self.now.mono_ms + VERDICT_MS,
            },
        );
        self.assemble(block_id, block.transactions.into_vec(), from);
    }

    /// Blocks whose time has come.
    pub(super) fn take_due_blocks(&mut self) {
        while let Some(entry) = self.future.first_entry() {
            if entry.key().0 > self.now.wall_ms {
                break;
            }
            let Future { block, id, from } = entry.remove();
            self.compact_block(block, id, from);
        }
    }

    /// Checks a header against its parent and keeps it.
    pub(super) fn learn_header(
        &mut self,
        header: &Header,
        id: BlockId,
    ) -> Result<(), HeaderRefusal> {
        match self.place_header(header, id) {
            Err(HeaderRefusal::TooMany | HeaderRefusal::Orphan) if self.set_aside(header, id) => {
                Ok(())
            }
            placed => placed,
        }
    }

    fn place_header(&mut self, header: &Header, id: BlockId) -> Result<(), HeaderRefusal> {
        if self.tree.get(&id).is_some() {
            return Ok(());
        }
        if self.fetch.is_withheld(&id, self.now.mono_ms) {
            return Err(HeaderRefusal::Withheld);
        }
        let parent = self
            .header(&header.parent)
            .map_err(|error| HeaderRefusal::Store(error.to_string()))?
            .ok_or(HeaderRefusal::Orphan)?;
        rules::check_header(&self.network, &parent, header).map_err(HeaderRefusal::Invalid)?;
        if header.timestamp_ms > self.now.wall_ms {
            return Err(HeaderRefusal::Early);
        }
        self.insert_header(header)
    }

    /// Puts a compact block's body together from the mempool, asking the sender for the rest.
    fn assemble(&mut self, block: BlockId, ids: Vec<TxId>, from: PeerId) {
        if !self.has_room_for_body(&block) {
            return;
        }
        let have: BTreeMap<TxId, Verified<Transaction>> = ids
            .iter()
            .filter_map(|id| Some((*id, self.mempool.get(id)?.clone())))
            .collect();
        let missing: Vec<TxId> = ids
            .iter()
            .filter(|id| !have.contains_key(id))
            .copied()
            .collect();
        if missing.is_empty() {
            let transactions = ids.iter().filter_map(|id| have.get(id).cloned()).collect();
            self.body_ready(block, transactions, Some(from));
            return;
        }
        if self.ask_block_transactions(from, block, missing) {
            let deadline_ms = self.now.mono_ms + ASSEMBLE_MS;
            let body = Body::Assembling {
                ids,
                have,
                deadline_ms,
            };
            self.bodies.insert(block, body);
        }
    }

    /// Whether another gossiped block may be put together. The next one always may, as far as there is any room.
    fn has_room_for_body(&self, block: &BlockId) -> bool {
        let header = self.tree.get(block);
        let is_next = header.is_some_and(|header| header.parent == self.tree.tip());
        let held = self.bodies.len();
        if is_next {
            return held < MAX_BODIES_HELD;
        }
        held < FREE_BODIES || held < MAX_BODIES_AHEAD && self.body_bytes() < WINDOW_BYTES
    }

    /// Encoded bytes of all bodies in memory.
    fn body_bytes(&self) -> u64 {
        let len = |transaction: &Verified<Transaction>| transaction.encoded_len() as u64;
        let bytes = self.bodies.values().map(|body| match body {
            Body::Assembling { have, .. } => have.values().map(len).sum::<u64>(),
            Body::Verifying { slots, .. } => slots.iter().flatten().map(len).sum(),
            Body::Ready { transactions, .. } => transactions.iter().map(len).sum(),
        });
        bytes.sum()
    }

    /// The sender of a compact block gave the transactions that were missing.
    pub(super) fn block_transactions_came(
        &mut self,
        peer: PeerId,
        block: BlockId,
        transactions: Vec<Transaction>,
    ) {
        let Some(Body::Assembling { ids, have, .. }) = self.bodies.get_mut(&block) else {
            return;
        };
        let mut came: BTreeMap<TxId, Transaction> = transactions
            .into_iter()
            .map(|transaction| (transaction.id(), transaction))
            .collect();
        if ids
            .iter()
            .any(|id| !have.contains_key(id) && !came.contains_key(id))
        {
            debug!(%peer, block = %block.short(), "a compact block stays incomplete");
            return self.give_up_assembling(&block);
        }
        let mut slots = Vec::with_capacity(ids.len());
        let mut to_verify = Vec::new();
        let mut indexes = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let known = have.get(id).cloned();
            if known.is_none()
                && let Some(transaction) = came.remove(id)
            {
                to_verify.push(transaction);
                indexes.push(index);
            }
            slots.push(known);
        }
        self.verify_body(block, slots, indexes, to_verify, Some(peer));
    }

    /// The whole body is fetched instead, as for any other missing one.
    pub(super) fn give_up_assembling(&mut self, block: &BlockId) {
        if let Some(Body::Assembling { .. }) = self.bodies.get(block) {
            self.bodies.remove(block);
        }
    }

    /// A whole body came. Says whether it is the block's.
    pub(super) fn body_came(
        &mut self,
        from: Option<PeerId>,
        block: BlockId,
        transactions: Vec<Transaction>,
    ) -> bool {
        let under_way = matches!(
            self.bodies.get(&block),
            Some(Body::Verifying { .. } | Body::Ready { .. })
        );
        if under_way || self.has_body(&block) {
            return true;
        }
        let Some(header) = self.tree.get(&block) else {
            // Given up meanwhile.
            return true;
        };
        let ids: Vec<TxId> = transactions.iter().map(Transaction::id).collect();
        if root_of(&ids) != header.transaction_root {
            if let Some(peer) = from {
                self.penalize(peer, INVALID_BLOCK_POINTS, "a body that is not the block's");
                self.peers.pause(&peer, self.now.mono_ms);
            }
            return false;
        }
        let mut slots = Vec::with_capacity(ids.len());
        let mut to_verify = Vec::new();
        let mut indexes = Vec::new();
        for (index, (id, transaction)) in ids.iter().zip(transactions).enumerate() {
            let known = self.mempool.get(id).cloned();
            if known.is_none() {
                to_verify.push(transaction);
                indexes.push(index);
            }
            slots.push(known);
        }
        self.verify_body(block, slots, indexes, to_verify, from);
        true
    }

    fn verify_body(
        &mut self,
        block: BlockId,
        slots: Vec<Option<Verified<Transaction>>>,
        indexes: Vec<usize>,
        to_verify: Vec<Transaction>,
        from: Option<PeerId>,
    ) {
        if to_verify.is_empty() {
            let transactions = slots.into_iter().flatten().collect();
            return self.body_ready(block, transactions, from);
        }
        self.bodies.insert(block, Body::Verifying { slots, from });
        let job = self.start_job(Job::Body { block, indexes });
        self.out.push(Effect::Verify {
            job,
            transactions: to_verify,
        });
    }

    /// The verdicts on a body's transactions came back.
    pub(super) fn body_verified(
        &mut self,
        block: BlockId,
        indexes: Vec<usize>,
        verdicts: Vec<Result<Verified<Transaction>, Invalid>>,
    ) {
        let Some(Body::Verifying { mut slots, from }) = self.bodies.remove(&block) else {
            return;
        };
        for (index, verdict) in indexes.into_iter().zip(verdicts) {
            match verdict {
                Ok(transaction) => slots[index] = Some(transaction),
                Err(reason) => {
                    let invalid = BlockInvalid::Transaction {
                        index: u32::try_from(index).unwrap_or(u32::MAX),
                        reason,
                    };
                    return self.block_is_invalid(block, from, &invalid);
                }
            }
        }
        let transactions = slots.into_iter().flatten().collect();
        self.body_ready(block, transactions, from);
    }

    fn body_ready(
        &mut self,
        block: BlockId,
        transactions: Vec<Verified<Transaction>>,
        from: Option<PeerId>,
    ) {
        self.fetch.came(&block);
        self.bodies
            .insert(block, Body::Ready { transactions, from });
        self.tree_body_ready(&block);
    }

    /// A block that this node mined.
    pub(super) fn own_block(&mut self, header: Header, transactions: Vec<Verified<Transaction>>) {
        let id = header.id();
        match self.learn_header(&header, id) {
            Ok(()) => {
                self.own_blocks.insert(id);
                self.body_ready(id, transactions, None);
            }
            Err(refusal) => warn!(%refusal, "the block that this node mined is not taken"),
        }
    }

    /// A block breaks a rule: neither it nor what builds on it is looked at again.
    pub(super) fn block_is_invalid(
        &mut self,
        block: BlockId,
        from: Option<PeerId>,
        invalid: &BlockInvalid,
    ) {
        if self.quiet.may_say("refused a block", self.now.mono_ms) {
            warn!(block = %block.short(), %invalid, "refused a block");
        }
        self.counters.blocks_invalid += 1;
        self.warn_of_invalid_checkpoint(&block);
        self.bodies.remove(&block);
        self.own_blocks.remove(&block);
        self.invalidate(&block);
        if let Some(ticket) = self.block_tickets.remove(&block) {
            self.reject_gossip(ticket.id, ticket.from, &invalid.to_string());
        }
        if let Some(peer) = from {
            self.penalize(peer, INVALID_BLOCK_POINTS, &invalid.to_string());
        }
    }

    /// When the next verdict, or the next compact block's transactions, are overdue.
    pub(super) fn next_block_deadline_ms(&self) -> Option<u64> {
        let tickets = self.block_tickets.values().map(|ticket| ticket.deadline_ms);
        let assembling = self.bodies.values().filter_map(|body| match body {
            Body::Assembling { deadline_ms, .. } => Some(*deadline_ms),
            _ => None,
        });
        tickets.chain(assembling).min()
    }

    /// Verdicts on blocks that came neither to the tip nor to grief in time, and senders that keep transactions back.
    pub(super) fn expire_blocks(&mut self) {
        let now_ms = self.now.mono_ms;
        self.bodies.retain(|_, body| {
            !matches!(body, Body::Assembling { deadline_ms, .. } if *deadline_ms <= now_ms)
        });
        let expired: Vec<BlockId> = self
            .block_tickets
            .iter()
            .filter(|(_, ticket)| ticket.deadline_ms <= now_ms)
            .map(|(block, _)| *block)
            .collect();
        for block in expired {
            if let Some(ticket) = self.block_tickets.remove(&block) {
                self.report(ticket.id, ticket.from, Verdict::Ignore);
            }
        }
    }
}

/// The root that a header with these transactions has.
fn root_of(ids: &[TxId]) -> crate::crypto::Hash {
    Tree::Transactions.root(ids.iter().map(|id| Tree::Transactions.leaf(id.as_bytes())))
}
