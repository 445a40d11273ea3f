//! The node: a state machine that is fed inputs and gives back effects, and the shell that drives it.
//!
//! [`Node::handle`] takes a batch of [`Input`]s and the time, and returns [`Effect`]s. It does no input or output but
//! reads of its store and at most one commit per batch, whose effects are released after it: what the node says to
//! others is on its disk. Randomness, clocks, signatures' verification and nonces come in from outside, so that the
//! same machine runs under the [`shell`] and in a simulation.
//!
//! - `ingest`: transactions, from arrival to mempool
//! - `blocks`: blocks, from header to ready body
//! - `advance`: the best chain: validation, commit, reorganisation
//! - `sync`: comparing notes with peers
//! - [`finality`]: checkpoints: messages, certificates, the part of a finaliser
//! - `dropped`: why a transaction that waited can no longer be mined
//! - `mining`: templates, leases, mining states
//! - [`serve`]: answers from snapshots, on other threads
//! - [`shell`]: threads, tasks and channels around all of it

mod advance;
mod blocks;
mod dropped;
mod fetch;
pub mod finality;
mod follow;
pub mod handle;
mod headers;
mod ingest;
mod intake;
mod io;
pub mod mempool;
pub mod miner;
mod mining;
mod outbox;
mod patience;
mod peers;
mod pin;
mod queue;
mod quiet;
mod recall;
pub mod results;
pub mod serve;
pub mod shell;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
mod stage;
pub mod status;
mod sync;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{error, warn};

pub use dropped::DropLog;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use dropped::Kept;
pub use io::{Effect, Input, Now, Submitter};

use crate::chain::block::BlockId;
use crate::chain::invalid::Invalid;
use crate::chain::network::Network;
use crate::chain::schedule;
use crate::chain::state::View;
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::tree::{self, HeaderTree};
use crate::chain::verify::Verified;
use crate::crypto::SigningKey;
use crate::planted::{self, Fault};
use crate::protocol::names::Topic;
use crate::protocol::submit::{Outcome, Reason};
use crate::store::{Store, StoreError};
use blocks::{BlockTicket, Body, Future};
use finality::{Finaliser, Finality, FinalityStage};
use intake::Intake;
use mempool::{Mempool, MempoolLimits};
use mining::Mining;
use outbox::Outbox;
use peers::Peers;
use status::{CompetingChain, Counters, MempoolStatus, NodeStatus, TipStatus};

/// Time between two attempts to write while the disk is full, in milliseconds.
const DISK_RETRY_MS: u64 = 2_000;
/// Longest time without a look at the clock, in milliseconds.
const MAX_SLEEP_MS: u64 = 60_000;

/// What a node is made with.
pub struct NodeConfig {
    /// The network.
    pub network: Arc<Network>,
    /// Key that goes into the headers of blocks that this node mines, and signs its mining states.
    pub miner: SigningKey,
    /// Whether to mine.
    pub mine: bool,
    /// Bounds of the mempool.
    pub mempool: MempoolLimits,
    /// Bounds of the tree of headers.
    pub tree: tree::Limits,
    /// What makes this a finaliser's node, where it is one.
    pub finaliser: Option<Finaliser>,
}

/// What a verification job was for.
enum Job {
    /// Items of an array, by index.
    Transactions { ticket: u64, indexes: Vec<usize> },
    /// Transactions of a block, by index.
    Body { block: BlockId, indexes: Vec<usize> },
}

/// What the running batch will commit besides blocks.
#[derive(Default)]
struct Stage {
    /// Taken into the mempool in this batch; whether to publish them.
    pending: Vec<(Verified<Transaction>, bool)>,
    /// Blocks off the best chain whose transactions are of no more use.
    forget: BTreeSet<BlockId>,
    /// Out of the mempool since the last commit.
    removed: BTreeSet<TxId>,
    /// Small facts to write; `None` removes one.
    notes: BTreeMap<String, Option<Vec<u8>>>,
    /// Entries of the peer book.
    peers: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Entries of the block list.
    bans: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Of checkpoints.
    finality: FinalityStage,
}

/// Why the store does not take writes.
struct WriteFailure {
    full: bool,
    words: String,
}

/// The state machine.
pub struct Node {
    network: Arc<Network>,
    store: Store,
    tree: HeaderTree,
    mempool: Mempool,
    intake: Intake,
    outbox: Outbox,
    peers: Peers,
    mining: Mining,
    jobs: BTreeMap<u64, Job>,
    next_job: u64,
    bodies: BTreeMap<BlockId, Body>,
    block_tickets: BTreeMap<BlockId, BlockTicket>,
    future: BTreeMap<(u64, BlockId), Future>,
    own_blocks: BTreeSet<BlockId>,
    /// Transactions in the mempool that need something which left the chain, and since when.
    dubious: BTreeMap<TxId, follow::Dubious>,
    /// Opening, roll-closing and closing times of all elections on the chain.
    boundaries: BTreeSet<u64>,
    /// Closing times alone, with the grace.
    closings: BTreeSet<u64>,
    last_active_height: Option<u64>,
    competing: Option<CompetingChain>,
    following: bool,
    tip_changed: bool,
    /// Why the last write failed, until one succeeds.
    write_failure: Option<WriteFailure>,
    disk_retry_ms: u64,
    /// Height at which the operator last let go of a pinned closing block.
    released_height: u64,
    /// Since when a closing block is deep enough to be pinned, while better headers hold that back (monotonic).
    pin_held_back_ms: Option<u64>,
    fetch: fetch::Fetch,
    finality: Finality,
    /// Whether the commit took only a part of what was ready to join.
    more_to_join: bool,
    dropped: Arc<DropLog>,
    quiet: quiet::Quiet,
    patience: patience::Patience,
    counters: Counters,
    now: Now,
    stage: Stage,
    answers: Vec<(Submitter, Vec<Outcome>)>,
    out: Vec<Effect>,
}

impl Node {
    /// A node on its store. The mempool is what the store holds as pending and is still valid.
    pub fn new(config: NodeConfig, store: Store, now: Now) -> Result<Self, StoreError> {
        let finality = Finality::load(&store, config.finaliser)?;
        let snapshot = store.snapshot();
        let tip_height = snapshot.tip().height;
        let tree = recall::load_tree(&snapshot, tip_height, finality.last(), config.tree)?;
        let dropped = Arc::new(DropLog::load(&store.snapshot())?);
        let block_time_ms = config.network.block_time_ms;
        let mut node = Self {
            network: config.network,
            store,
            tree,
            mempool: Mempool::new(config.mempool),
            intake: Intake::default(),
            outbox: Outbox::default(),
            peers: Peers::default(),
            mining: Mining::new(config.miner, config.mine, block_time_ms),
            jobs: BTreeMap::new(),
            next_job: 0,
            bodies: BTreeMap::new(),
            block_tickets: BTreeMap::new(),
            future: BTreeMap::new(),
            own_blocks: BTreeSet::new(),
            dubious: BTreeMap::new(),
            boundaries: BTreeSet::new(),
            closings: BTreeSet::new(),
            last_active_height: None,
            competing: None,
            following: false,
            tip_changed: false,
            write_failure: None,
            disk_retry_ms: 0,
            released_height: 0,
            pin_held_back_ms: None,
            fetch: fetch::Fetch::default(),
            finality,
            more_to_join: false,
            dropped,
            quiet: quiet::Quiet::default(),
            patience: patience::Patience::default(),
            counters: Counters::default(),
            now,
            stage: Stage::default(),
            answers: Vec::new(),
            out: Vec::new(),
        };
        node.recall()?;
        Ok(node)
    }

    /// Handles a batch of inputs. The effects are for the caller to carry out, in order.
    pub fn handle(&mut self, inputs: Vec<Input>, now: Now) -> Vec<Effect> {
        self.now = now;
        if self.finality.has_stopped() {
            return Vec::new();
        }
        let tip_changed = std::mem::take(&mut self.tip_changed);
        for input in inputs {
            self.dispatch(input);
        }
        self.retry_held(tip_changed);
        self.take_due_blocks();
        self.expire_blocks();
        self.expire_dubious();
        self.ask_due_statuses();
        self.work_on_checkpoint();
        self.advance();
        self.ask_bodies();
        self.pin_held_back();
        self.follow_when_near();
        self.plan_mining();
        for (topic, data) in self.outbox.take_due(self.now.mono_ms) {
            self.out.push(Effect::Publish { topic, data });
        }
        std::mem::take(&mut self.out)
    }

    fn dispatch(&mut self, input: Input) {
        match input {
            Input::Tick => {}
            Input::PeerReady { peer } => self.peer_ready(peer),
            Input::PeerGone { peer } => {
                for asked in self.peers.remove(&peer) {
                    self.unanswered(asked);
                }
            }
            Input::PeerStatus { peer, status } => self.peer_status(peer, status),
            Input::Gossip {
                topic,
                id,
                from,
                data,
            } => match topic {
                Topic::Block => self.gossiped_block(id, from, &data),
                Topic::Mining => self.gossiped_mining_state(id, from, &data),
                Topic::Finality => self.gossiped_finality(id, from, &data),
                _ => self.gossiped_transactions(topic, id, from, &data),
            },
            Input::Response { tag, peer, reply } => self.response(tag, peer, reply),
            Input::Submit {
                submitter,
                transactions,
            } => self.submitted(submitter, transactions),
            Input::Verified { job, verdicts } => self.verified(job, verdicts),
            Input::Mined {
                epoch,
                nonce,
                hash_rate,
            } => self.mined(epoch, nonce, hash_rate),
            Input::Remember { peers, bans } => {
                self.stage.peers.extend(peers);
                self.stage.bans.extend(bans);
            }
            Input::ReleasePin => self.release_pin(),
        }
    }

    /// When [`Input::Tick`] is wanted at the latest, by the monotonic clock.
    pub fn next_wakeup_ms(&self) -> u64 {
        let now = self.now;
        let from_wall = |wall_ms: u64| {
            now.mono_ms
                .saturating_add(wall_ms.saturating_sub(now.wall_ms))
        };
        let unwritten = !self.stage.removed.is_empty() && self.write_failure.is_none();
        if self.finality.has_stopped() {
            return now.mono_ms.saturating_add(MAX_SLEEP_MS);
        }
        let news = self.tip_changed && (self.intake.held() > 0 || self.network.finalises());
        if news || self.more_to_join || unwritten {
            return now.mono_ms;
        }
        let deadlines = [
            self.intake.next_deadline_ms(),
            self.outbox.next_due_ms(),
            self.peers.next_ask_ms(),
            self.peers.next_slow_ms(now.mono_ms),
            self.next_block_deadline_ms(),
            self.next_dubious_ms(),
            self.future
                .keys()
                .next()
                .map(|(due_ms, _)| from_wall(*due_ms)),
            self.mining.wake_at_ms().map(from_wall),
            self.next_boundary_wakeup().map(from_wall),
            self.write_failure.is_some().then_some(self.disk_retry_ms),
            self.fetch.next_deadline_ms(),
            self.next_pin_ms(),
            self.finality
                .next_wakeup_ms(now.mono_ms, self.write_failure.is_none()),
        ];
        deadlines
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX)
            .clamp(now.mono_ms, now.mono_ms.saturating_add(MAX_SLEEP_MS))
    }

    fn next_boundary_wakeup(&self) -> Option<u64> {
        self.next_boundary(self.store.snapshot().tip().timestamp_ms)
            .filter(|boundary_ms| *boundary_ms > self.now.wall_ms)
    }

    fn start_job(&mut self, job: Job) -> u64 {
        self.next_job += 1;
        self.jobs.insert(self.next_job, job);
        self.next_job
    }

    fn verified(&mut self, job: u64, verdicts: Vec<Result<Verified<Transaction>, Invalid>>) {
        self.counters.verified += verdicts.len() as u64;
        match self.jobs.remove(&job) {
            Some(Job::Transactions { ticket, indexes }) => {
                self.transactions_verified(ticket, indexes, verdicts);
            }
            Some(Job::Body { block, indexes }) => self.body_verified(block, indexes, verdicts),
            None => {}
        }
    }

    /// Joins the topics that carry transactions near the tip, leaves them far from it.
    fn follow_when_near(&mut self) {
        let near = !self.is_syncing();
        if near != self.following {
            self.following = near;
            self.out.push(Effect::Follow { transactions: near });
        }
    }

    /// Says that a transaction that waited can no longer be mined.
    fn report_dropped(&mut self, id: TxId, transaction: &Verified<Transaction>, invalid: &Invalid) {
        warn!(
            transaction = %id,
            kind = transaction.kind().name(),
            reason = invalid.name(),
            "a transaction that waited can no longer be mined: {invalid}"
        );
        self.counters.dropped += 1;
        self.stage.removed.insert(id);
        if !planted::is(Fault::DropUnsaid) {
            let (note, contents) = self.dropped.add(id, Reason::from(invalid));
            self.stage.notes.insert(note, Some(contents));
        }
    }

    /// The store could not be read or written. What was asked for is not done; later attempts may succeed.
    fn store_failed(&mut self, what: &str) {
        error!(what, "the store failed");
    }

    /// Where the reasons of dropped transactions are found.
    pub fn drop_log(&self) -> Arc<DropLog> {
        Arc::clone(&self.dropped)
    }

    /// The store, for readers' snapshots.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Ends: what is worth writing before the process goes is written.
    pub fn close(self) -> Result<(), StoreError> {
        self.store.close()
    }

    /// A picture of the node; what the shell knows better is filled in by it.
    pub fn status(&self) -> NodeStatus {
        let tip = self.store.snapshot().tip();
        let mut warnings = Vec::new();
        if let Some(failure) = &self.write_failure {
            warnings.push(format!(
                "{}: nothing is accepted until the store can be written again",
                failure.words
            ));
        }
        let mining = self.mining.status(&tip.id, self.mempool.counts());
        if let Some(paused) = &mining.paused {
            warnings.push(format!("mining is paused: {paused}"));
        }
        if self.competing.is_some() {
            warnings.push(
                "another chain has more work; this node keeps to the one on which it saw an election close"
                    .to_owned(),
            );
        }
        let finality = self.finality_status();
        warnings.extend(finality.iter().filter_map(|status| status.waiting.clone()));
        if let Some(count) = finality.as_ref().map(|status| status.convictions)
            && count > 0
        {
            warnings.push(format!(
                "finalisers of whom the chain proves that they signed two things at one place: {count}; the status page \
                 and the audit name them"
            ));
        }
        NodeStatus {
            version: env!("CARGO_PKG_VERSION"),
            network: self.network.id(),
            network_name: self.network.name.to_string(),
            trial: false,
            finalises: self.network.finalises(),
            confirmations: self.network.confirmations,
            peer_id: String::new(),
            miner: self.mining.miner(),
            started_at_ms: 0,
            now_ms: self.now.wall_ms,
            listening: Vec::new(),
            tip: TipStatus {
                id: tip.id,
                height: tip.height,
                timestamp_ms: tip.timestamp_ms,
                roll_size: self
                    .store
                    .snapshot()
                    .state()
                    .roll()
                    .map_or(0, |roll| roll.size()),
            },
            best_header_height: self.best_header_height(),
            syncing: self.is_syncing(),
            peers: self.peers.len(),
            mempool: MempoolStatus {
                transactions: self.mempool.counts(),
                bytes: self.mempool.bytes() as u64,
                held: self.intake.held() as u64,
                full: self.mempool.is_full(),
            },
            mining,
            mining_states: self.mining.others(tip.height),
            clock_offset_ms: self.clock_offset_ms(),
            disk_full: self
                .write_failure
                .as_ref()
                .is_some_and(|failure| failure.full),
            competing: self.competing,
            finality,
            warnings,
            counters: self.counters,
        }
    }

    /// Notes an election's boundaries.
    fn note_election(&mut self, terms: &crate::chain::election::Terms) {
        self.boundaries
            .extend(schedule::boundaries(&self.network, terms));
        self.closings
            .insert(schedule::closing_ms(&self.network, terms));
    }
}
