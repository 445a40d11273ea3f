//! Checkpoints, as every node follows them and a finaliser's node helps to decide them.
//!
//! A certificate is the one thing that makes a block final, wherever it comes from: put together from precommits that
//! are gossiped, served by a peer, or decided by this node's own part in the consensus. Certificates are taken one after
//! the other: the set of finalisers in force for one checkpoint is what the chain says as of the last.
//!
//! - `votes`: what was heard about a checkpoint
//! - `hearing`: messages from gossip and from peers that are asked for what was missed
//! - `certificates`: from certificate to checkpoint, and what happens when two conflict
//! - `ancestry`: the way to a certified block that is not here
//! - `aside`: headers on the way to a block that others are locked on, for which the tree has no room
//! - `duty`: the part of a finaliser: proposals, verdicts on others', votes
//! - `release`: how what this node signed leaves it
//! - `past`: what was said about checkpoints that are decided, to convict whoever contradicts it late
//! - `retreat`: leaving a chain that was followed too long before a certificate came
//! - `promise`: what a finaliser's node knows of its own past beyond its store
//! - `board`: what peers are given of the checkpoint under way
//!
//! Nothing that this node signs leaves it before the log of the consensus and the guard's state are in the store, and
//! then its position beside the key.

mod ancestry;
mod aside;
mod board;
mod certificates;
mod duty;
mod hearing;
mod past;
mod promise;
mod release;
mod retreat;
mod view;
mod votes;

use std::collections::BTreeMap;
use std::sync::Arc;

use votenode_p2p::PeerId;

pub use board::Board;
pub use certificates::{Conflict, Final};
pub use duty::Finaliser;
#[cfg(test)]
pub(super) use past::MAX_PAST;
pub use promise::{MemoryPromise, Promise, Promised};
pub use view::{FinaliserView, FinalityStatus};

use super::Node;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet, SignedFinalityMessage};
use crate::protocol::receipt::MAX_RECEIPT_HEADERS;
use crate::store::{Commit, Store, StoreError};
use ancestry::Ancestry;
use aside::Aside;
use duty::Duty;
use past::Past;
use votes::Votes;

/// Blocks above the last checkpoint whose times are remembered.
pub(super) const MAX_TIMED: usize = 256;
/// Blocks from one checkpoint to the next at most, as far as this node has a say: a receipt of the lowest of them has
/// room for the headers of all.
const MAX_SPAN: u64 = MAX_RECEIPT_HEADERS as u64;
/// Certificates ahead of the chain that are kept: two replies' worth.
pub(super) const MAX_AHEAD: usize = 128;

/// A certificate that has yet to become a checkpoint of this node.
pub(super) struct Coming {
    certificate: CommitCertificate,
    /// Who gave it; nobody, if this node put it together.
    from: Option<PeerId>,
    /// Its signatures were checked against the set in force.
    checked: bool,
}

/// What this node knows of checkpoints.
pub(super) struct Finality {
    /// The set in force for the next checkpoint.
    set: FinaliserSet,
    /// The last checkpoint, in the store or on its way there with the next commit.
    last: Option<Final>,
    /// Certificates of later ones, by number.
    pub(super) coming: BTreeMap<u64, Coming>,
    /// Blocks from one checkpoint to the next at most, as far as this node has a say.
    pub(super) span: u64,
    /// What was heard about the next checkpoint.
    votes: Votes,
    /// What was heard about the one after, from finalisers who are ahead.
    early: Votes,
    /// What was said about the last ones.
    past: Past,
    /// The part of a finaliser, where this node is one.
    duty: Option<Duty>,
    board: Arc<Board>,
    pull: hearing::Pull,
    budget: hearing::Budget,
    /// When blocks above the last checkpoint joined the best chain (monotonic), by height.
    pub(super) joined: BTreeMap<u64, u64>,
    /// How long the last checkpoint's block took from joining the best chain to being final, in milliseconds.
    took_ms: Option<u64>,
    /// There is a block above the last checkpoint.
    candidate: bool,
    /// The search for the next certificate's block.
    ancestry: Ancestry,
    aside: Aside,
    /// Blocks of the chain that is being left, the lowest first, while it is not known that the store has left it.
    leaving: Vec<BlockId>,
    /// Something became possible with the last commit; the next batch is wanted at once.
    again: bool,
    /// Two certificates that no chain contains both: this node does nothing any more.
    conflict: Option<Conflict>,
}

/// What the running batch will commit of it.
#[derive(Default)]
pub(super) struct FinalityStage {
    certificates: Vec<CommitCertificate>,
    /// The log of the last checkpoint goes.
    clear_log: bool,
    log: Vec<Vec<u8>>,
    /// To be said once all of this is on disk.
    says: Vec<SignedFinalityMessage>,
}

impl Finality {
    /// What the store knows.
    pub(super) fn load(store: &Store, finaliser: Option<Finaliser>) -> Result<Self, StoreError> {
        let snapshot = store.snapshot();
        let last = snapshot.last_certificate()?.map(|last| Final {
            checkpoint: last.certificate.checkpoint,
            block: last.certificate.block,
            height: last.height,
        });
        let height = last.map_or(0, |last| last.height);
        let set = certificates::set_after(&snapshot, height)?;
        let next = last.map_or(0, |last| last.checkpoint) + 1;
        let duty = match finaliser {
            Some(finaliser) => Some(Duty::load(finaliser, snapshot.network().id(), &snapshot)?),
            None => None,
        };
        Ok(Self {
            set,
            last,
            coming: BTreeMap::new(),
            span: MAX_SPAN,
            votes: Votes::new(next),
            early: Votes::new(next + 1),
            past: Past::load(&snapshot)?,
            duty,
            board: Arc::default(),
            pull: hearing::Pull::default(),
            budget: hearing::Budget::default(),
            joined: BTreeMap::new(),
            took_ms: None,
            candidate: false,
            ancestry: Ancestry::default(),
            aside: Aside::default(),
            leaving: Vec::new(),
            again: snapshot.network().finalises(),
            conflict: None,
        })
    }

    /// Number of the checkpoint that is decided next.
    fn next(&self) -> u64 {
        self.votes.checkpoint()
    }

    /// Whether this node does nothing any more.
    pub(super) fn has_stopped(&self) -> bool {
        self.conflict.is_some()
    }

    /// The last checkpoint.
    pub(super) fn last(&self) -> Option<Final> {
        self.last
    }

    /// A block joined the best chain.
    pub(super) fn block_joined(&mut self, height: u64, now_ms: u64) {
        self.joined.insert(height, now_ms);
        if self.joined.len() > MAX_TIMED {
            self.joined.pop_first();
        }
    }

    pub(super) fn last_height(&self) -> u64 {
        self.last.map_or(0, |last| last.height)
    }

    /// Whether the next checkpoint is being decided, as far as this node hears.
    pub(super) fn is_under_way(&self) -> bool {
        self.candidate || !self.votes.is_empty() || !self.coming.is_empty()
    }

    /// When this is to be looked at again at the latest, by the monotonic clock. A finaliser says nothing while its node
    /// cannot write.
    pub(super) fn next_wakeup_ms(&self, now_ms: u64, can_write: bool) -> Option<u64> {
        if self.again {
            return Some(now_ms);
        }
        let pull = self.is_under_way().then(|| self.pull.due_ms());
        let duty = self.duty.as_ref().filter(|_| can_write);
        let duty = duty.and_then(Duty::next_deadline_ms);
        // A store that could not be written may not be readable either until it can.
        let ancestry = self.ancestry.next_deadline_ms().filter(|_| can_write);
        pull.into_iter().chain(duty).chain(ancestry).min()
    }
}

impl FinalityStage {
    /// Adds to the batch's commit.
    pub(super) fn add_to(&self, commit: &mut Commit) {
        commit.certificates = self.certificates.clone();
        commit.finality_log_clear = self.clear_log;
        commit.finality_log = self.log.clone();
    }
}

impl Node {
    /// Where messages about the checkpoint under way are found, by those who answer peers.
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.finality.board)
    }

    /// Does what has become possible: takes certificates, begins with the next checkpoint, asks for what was missed.
    pub(super) fn work_on_checkpoint(&mut self) {
        if !self.network.finalises() {
            return;
        }
        if std::mem::take(&mut self.finality.again) {
            self.serve_messages();
        }
        self.take_certificates();
        let candidate = self.store.snapshot().tip().height > self.finality.last_height();
        if candidate && !std::mem::replace(&mut self.finality.candidate, candidate) {
            self.finality.pull.reset(self.now.mono_ms);
        }
        self.finality.candidate = candidate;
        self.do_duty();
        self.hold_blocks();
        self.pull_messages();
    }

    /// Keeps the branches that finality rests on, whatever work others have: that of a certified block, and those of the
    /// blocks that this node's part in the consensus is bound to. No peer can name one by itself.
    fn hold_blocks(&mut self) {
        let finality = &self.finality;
        let coming = finality.coming.get(&finality.next());
        let certified = coming.filter(|coming| coming.checked);
        let certified = certified.map(|coming| coming.certificate.block);
        let bound = finality
            .duty
            .as_ref()
            .map(|duty| duty.bound_to(finality.next()));
        self.tree
            .hold(certified.into_iter().chain(bound.into_iter().flatten()));
    }

    /// Puts up what peers may ask for: what others said, and of this node's own what is on disk.
    fn serve_messages(&self) {
        let finality = &self.finality;
        let votes = &finality.votes;
        let messages = match finality.duty.as_ref().filter(|duty| duty.is_running()) {
            // The consensus knows what its rounds rest on; but not whether its own may leave already.
            Some(duty) => duty
                .held_messages()
                .into_iter()
                .filter(|message| message.finaliser != *duty.key() || duty.may_leave(message))
                .collect(),
            None => votes.to_serve(),
        };
        finality.board.set(votes.checkpoint(), messages);
    }

    /// How many messages of the consensus are kept: about the next checkpoint, the one after, by the consensus itself, and
    /// about each of the last.
    #[cfg(test)]
    pub(super) fn finality_kept(&self) -> Vec<usize> {
        let finality = &self.finality;
        let held = finality.duty.as_ref().map_or(0, Duty::held_count);
        let mut kept = vec![finality.votes.len(), finality.early.len(), held];
        kept.extend(finality.past.lens());
        kept
    }

    /// The last checkpoint, as others are told: the genesis block if there is none.
    pub(super) fn checkpoint(&self) -> (BlockId, u64) {
        self.finality
            .last()
            .map_or((self.network.genesis_block(), 0), |last| {
                (last.block, last.height)
            })
    }
}
