//! The best chain: which block ought to be the tip, whether it may be, and the one commit that makes it so.
//!
//! A switch is validated block by block on an overlay of the state at the fork, and committed whole: blocks, state and
//! pool change together. Only when the commit succeeded does anything in memory follow, and only then is anybody told.

use std::collections::BTreeSet;

use tracing::{debug, error, info, warn};
use votenode_p2p::Verdict;

use super::blocks::{Body, HeaderRefusal};
use super::status::CompetingChain;
use super::{DISK_RETRY_MS, Effect, Node};
use crate::chain::block::{BlockId, CompactBlock, Header};
use crate::chain::invalid::Failure;
use crate::chain::merkle::Tree;
use crate::chain::overlay::Overlay;
use crate::chain::rules;
use crate::chain::schedule;
use crate::chain::state::{Delta, ViewError};
use crate::chain::transaction::{Kind, Transaction, TxId};
use crate::chain::tree::{self, HeaderSource, HeaderTree, Inserted};
use crate::chain::verify::Verified;
use crate::protocol::names::Topic;
use crate::protocol::submit::Outcome;
use crate::store::{Appended, Commit, NewBlock, Snapshot, Store, StoreError, Switch, encode_body};
use crate::wire::{self, List};

/// Blocks that join in one commit while catching up, so that a batch stays short.
const MAX_JOIN: usize = 64;
/// Miners of so many last blocks are known at start, for the leases.
const RECENT_BLOCKS: u64 = schedule::RECENT_MINERS;
/// Elections read at once at start.
const ELECTION_PAGE: usize = 256;
/// Blocks for which a transaction waits for something that left the chain in a reorganisation.
const PATIENCE: u64 = 100;
/// Name of the note that keeps the pinned closing block.
const PIN_NOTE: &str = "pin";
/// Name of the note that is written to see whether the disk has room again.
const PROBE_NOTE: &str = "disk-probe";

/// Headers of the best chain, for the tree.
struct Source(Snapshot);

impl HeaderSource for Source {
    fn id_at(&self, height: u64) -> Result<Option<BlockId>, ViewError> {
        Ok(self.0.main_id(height)?)
    }

    fn header(&self, id: &BlockId) -> Result<Option<Header>, ViewError> {
        Ok(self.0.header(id)?)
    }
}

/// The tree as of what the store holds, with the pin that was set before.
pub(super) fn load_tree(store: &Store) -> Result<HeaderTree, StoreError> {
    let snapshot = store.snapshot();
    let height = snapshot.tip().height;
    let mut tree = HeaderTree::open(&Source(snapshot.clone()), height, tree::Limits::default())
        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
    if let Some(bytes) = snapshot.note(PIN_NOTE)?
        && let Ok(pinned) = <[u8; 32]>::try_from(bytes.as_slice()).map(BlockId::from_bytes)
        && let Some(header) = snapshot.header(&pinned)?
    {
        tree.set_pin(pinned, header.height);
    }
    Ok(tree)
}

/// A block that is valid on its parent and waits for the commit.
struct Joining {
    id: BlockId,
    header: Header,
    delta: Delta,
    transactions: Vec<Verified<Transaction>>,
}

/// A switch of the best chain that is valid and waits for the commit.
struct Prepared {
    fork_height: u64,
    leave: Vec<Leaving>,
    join: Vec<Joining>,
}

/// A block that leaves the best chain.
struct Leaving {
    id: BlockId,
    transactions: Vec<Verified<Transaction>>,
}

impl Node {
    /// Moves to the best chain as far as its bodies are here, and commits the batch.
    pub(super) fn advance(&mut self) {
        if self.disk_full && self.now.mono_ms < self.disk_retry_ms {
            return self.undo_stage();
        }
        let switch = match self.prepare_switch() {
            Ok(switch) => switch,
            Err(error) => {
                self.store_failed(&error.to_string());
                None
            }
        };
        let commit = self.build_commit(switch.as_ref());
        match self.store.commit(commit) {
            Ok(()) => {
                if std::mem::take(&mut self.disk_full) {
                    info!("the disk takes writes again");
                }
                self.release_stage();
                if let Some(switch) = switch {
                    self.follow(switch);
                }
            }
            Err(failure) => {
                if !self.disk_full {
                    error!(%failure, "the store cannot be written; nothing is accepted until it can");
                }
                self.disk_full = true;
                self.disk_retry_ms = self.now.mono_ms + DISK_RETRY_MS;
                self.undo_stage();
            }
        }
        for id in self.tree.take_forgotten() {
            self.bodies.remove(&id);
        }
        self.look_for_competing();
    }

    /// Validates the way to the best block whose bodies are here.
    fn prepare_switch(&mut self) -> Result<Option<Prepared>, StoreError> {
        loop {
            let (tip, best) = (self.tree.tip(), self.tree.best());
            if tip == best {
                return Ok(None);
            }
            let Some(mut path) = self.tree.path(&tip, &best) else {
                return Ok(None);
            };
            if path.leave.is_empty() {
                path.join.truncate(MAX_JOIN);
            }
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
                    Ok(delta) => {
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
                leave.push(Leaving { id, transactions });
            }
            return Ok(Some(Prepared {
                fork_height: path.fork_height,
                leave,
                join,
            }));
        }
    }

    /// A block's transactions, from memory or the store.
    fn load_body(&self, id: &BlockId) -> Result<Option<Vec<Verified<Transaction>>>, StoreError> {
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

    fn build_commit(&mut self, switch: Option<&Prepared>) -> Commit {
        let mut commit = Commit {
            notes: std::mem::take(&mut self.stage.notes),
            peers: std::mem::take(&mut self.stage.peers),
            bans: std::mem::take(&mut self.stage.bans),
            ..Commit::default()
        };
        for (transaction, _) in &self.stage.pending {
            commit
                .pending_insert
                .push((transaction.id(), wire::encode(&**transaction)));
        }
        commit.pending_remove.append(&mut self.stage.removed);
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
        self.spill_side_bodies(switch, &mut commit);
        if self.disk_full {
            let moment = self.now.wall_ms.to_be_bytes().to_vec();
            commit.notes.push((PROBE_NOTE.to_owned(), Some(moment)));
        }
        commit
    }

    /// Bodies of branches beside the best chain wait on disk: such a branch may grow long before it has more work.
    fn spill_side_bodies(&mut self, switch: Option<&Prepared>, commit: &mut Commit) {
        let tip = self.tree.tip();
        let height = self.tree.tip_height();
        let joining: BTreeSet<BlockId> = switch
            .iter()
            .flat_map(|switch| switch.join.iter().map(|block| block.id))
            .collect();
        let side: Vec<BlockId> = self
            .bodies
            .iter()
            .filter(|(id, body)| {
                matches!(body, Body::Ready { .. })
                    && !joining.contains(*id)
                    && self.tree.ancestor_at(id, height) != Some(tip)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in side {
            let Some(Body::Ready { transactions, .. }) = self.bodies.remove(&id) else {
                continue;
            };
            if let Some(header) = self.tree.get(&id) {
                commit.blocks.push(NewBlock {
                    id,
                    header: header.clone(),
                    body: Some(encode_body(&transactions)),
                });
            }
            // It is known and kept, but not followed: nobody is told.
            if let Some(ticket) = self.block_tickets.remove(&id) {
                self.report(ticket.id, ticket.from, Verdict::Ignore);
            }
        }
    }

    /// The commit succeeded: who waits for it is told.
    fn release_stage(&mut self) {
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
    fn undo_stage(&mut self) {
        let pending = std::mem::take(&mut self.stage.pending);
        let lost = !pending.is_empty();
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

    /// The switch is on disk: memory follows, and others are told.
    fn follow(&mut self, switch: Prepared) {
        let Some(last) = switch.join.last() else {
            return;
        };
        let (tip, height) = (last.id, last.header.height);
        let reorganised = !switch.leave.is_empty();
        for block in &switch.join {
            self.tree.set_valid(&block.id);
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
                "another chain has more work: reorganised"
            );
        }
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
            closed |= self.passes_closing(parent_timestamp_ms, block.header.timestamp_ms);
            let boundary = schedule::is_boundary_block(
                parent_timestamp_ms,
                block.header.timestamp_ms,
                self.boundaries
                    .range(parent_timestamp_ms..=block.header.timestamp_ms)
                    .copied(),
            );
            if boundary || !block.transactions.is_empty() {
                self.last_active_height = Some(block.header.height);
            }
            parent_timestamp_ms = block.header.timestamp_ms;
            self.mining
                .connected(block.header.height, block.header.miner);
        }
        self.counters.blocks_connected += switch.join.len() as u64;
        for block in switch.join {
            self.joined(block);
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
    fn requeue(&mut self, transaction: Verified<Transaction>) {
        if matches!(
            self.store.snapshot().position(&transaction.id()),
            Ok(Some(_))
        ) {
            return;
        }
        match self.check_state(&transaction) {
            Ok(Ok(())) => self.queue_again(transaction),
            Ok(Err(invalid)) if invalid.may_become_valid() => {
                // What it depends on left the chain with it, and comes back before it.
                self.dubious
                    .insert(transaction.id(), self.store.snapshot().tip().height);
                self.queue_again(transaction);
            }
            Ok(Err(invalid)) => self.report_dropped(transaction.id(), &transaction, &invalid),
            Err(failure) => self.store_failed(&failure.to_string()),
        }
    }

    fn queue_again(&mut self, transaction: Verified<Transaction>) {
        let id = transaction.id();
        if let Err(refusal) = self.mempool.insert(transaction) {
            debug!(transaction = %id, ?refusal, "not queued again");
        }
    }

    /// Looks again at what waits for something that left the chain: it comes back, or it is reported.
    fn settle_dubious(&mut self, tip_height: u64) {
        for (id, since) in std::mem::take(&mut self.dubious) {
            let Some(transaction) = self.mempool.get(&id).cloned() else {
                continue;
            };
            match self.check_state(&transaction) {
                Ok(Err(invalid))
                    if !invalid.may_become_valid() || since + PATIENCE < tip_height =>
                {
                    self.drop_pending(&id, &invalid);
                }
                Ok(Ok(())) => {}
                _ => {
                    self.dubious.insert(id, since);
                }
            }
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

    /// Whether a block with this timestamp after that parent is the closing block of an election.
    fn passes_closing(&self, parent_timestamp_ms: u64, timestamp_ms: u64) -> bool {
        self.closings
            .range(
                parent_timestamp_ms.saturating_add(1)..=timestamp_ms.max(parent_timestamp_ms + 1),
            )
            .any(|closing_ms| *closing_ms <= timestamp_ms)
    }

    /// Where nobody finalises, keeps to closing blocks that are deep enough.
    fn pin_closings(&mut self, tip_height: u64) {
        if self.network.finalises() {
            return;
        }
        let Some(height) = tip_height
            .checked_sub(self.network.confirmations)
            .filter(|height| *height > 0)
        else {
            return;
        };
        let from = self.tree.pin().map_or(1, |(_, pinned)| pinned + 1);
        // Several blocks may have joined at once; each of them may have closed an election.
        for height in (from.max(height.saturating_sub(MAX_JOIN as u64))..=height).rev() {
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
        self.tree.unpin();
        self.stage.notes.push((PIN_NOTE.to_owned(), None));
        info!("released: the chain with the most work is followed again");
    }

    fn look_for_competing(&mut self) {
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

    /// Finds the last block that was not empty, or was a boundary, within the confirmations.
    fn recount_quiet(&mut self, tip_height: u64) {
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

    /// What a restart has to find out again: elections, recent miners, the pool.
    pub(super) fn recall(&mut self) -> Result<(), StoreError> {
        let snapshot = self.store.snapshot();
        let mut skip = 0;
        loop {
            let page = snapshot.elections(skip, ELECTION_PAGE)?;
            for record in &page {
                self.note_election(&record.election.terms);
            }
            skip += page.len() as u64;
            if page.len() < ELECTION_PAGE {
                break;
            }
        }
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
        Ok(())
    }

    /// The last checkpoint: without finalisers, the genesis block.
    pub(super) fn checkpoint(&self) -> (BlockId, u64) {
        self.tree
            .checkpoint()
            .unwrap_or((self.network.genesis_block(), 0))
    }

    /// Height of the best chain of headers.
    pub(super) fn best_header_height(&self) -> u64 {
        self.tree
            .get(&self.tree.best_header())
            .map_or(self.tree.tip_height(), |header| header.height)
    }

    /// The header of a block of the tree or the best chain.
    pub(super) fn header(&self, id: &BlockId) -> Result<Option<Header>, StoreError> {
        match self.tree.get(id) {
            Some(header) => Ok(Some(header.clone())),
            None => {
                let snapshot = self.store.snapshot();
                if snapshot.is_main(id)? {
                    snapshot.header(id)
                } else {
                    Ok(None)
                }
            }
        }
    }

    /// Whether a block's transactions are here.
    pub(super) fn has_body(&self, id: &BlockId) -> bool {
        self.tree
            .body(id)
            .is_some_and(|body| body != tree::Body::Missing)
    }

    /// Keeps a checked header.
    pub(super) fn insert_header(&mut self, header: &Header) -> Result<(), HeaderRefusal> {
        let source = Source(self.store.snapshot());
        match self.tree.insert(header.clone(), &source) {
            Ok(Inserted::New | Inserted::Known) => Ok(()),
            Ok(Inserted::UnknownParent) => Err(HeaderRefusal::Orphan),
            Ok(Inserted::Invalid) => Err(HeaderRefusal::OnInvalidBranch),
            Ok(Inserted::BelowRoot | Inserted::OffCheckpoint) => Err(HeaderRefusal::Settled),
            Ok(Inserted::Full) => Err(HeaderRefusal::TooMany),
            Err(error) => Err(HeaderRefusal::Store(error.to_string())),
        }
    }

    /// Where to go on from, for a peer.
    pub(super) fn locator(&self) -> Result<List<BlockId, 0, 64>, StoreError> {
        let source = Source(self.store.snapshot());
        let ids = self
            .tree
            .locator(&self.tree.best_header(), &source)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(List::new(ids).expect("a locator has at most 64 ids"))
    }

    /// Blocks that lack their bodies on the way to the best header, with their heights. Those that the store has from
    /// before are taken from there.
    pub(super) fn missing_bodies(&mut self, max: usize) -> Vec<(BlockId, u64)> {
        let snapshot = self.store.snapshot();
        let mut missing = Vec::new();
        for id in self.tree.missing_bodies(max) {
            match snapshot.block(&id) {
                Ok(Some(known)) if known.body_len.is_some() => self.tree.set_present(&id),
                _ => {
                    if let Some(header) = self.tree.get(&id) {
                        missing.push((id, header.height));
                    }
                }
            }
        }
        missing
    }

    /// A block's transactions are here and verified.
    pub(super) fn tree_body_ready(&mut self, id: &BlockId) {
        self.tree.set_present(id);
    }

    /// A block breaks a rule.
    pub(super) fn invalidate(&mut self, id: &BlockId) {
        self.tree.set_invalid(id);
    }
}
