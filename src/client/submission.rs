//! Getting transactions into the chain: what is known of each, and what follows from what nodes say.
//!
//! Pure bookkeeping: no network, no clock. Many transactions travel together, as in a demo with thousands of voters, so
//! every step works on batches. What is sent is never changed: the same bytes may be handed to any number of nodes any
//! number of times, and a transaction's id says that it is the same.

use std::collections::{BTreeMap, BTreeSet};

use votenode_p2p::PeerId;

use crate::chain::block::BlockId;
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::transaction::{Kind, Transaction, TxId};
use crate::protocol::gossip::{MAX_BATCH, TransactionBatch};
use crate::protocol::submit::{Inclusion, Outcome, Reason};
use crate::wire::{self, List, Message as _};

/// Nodes that should hold a transaction before it counts as well published.
pub const HOLDERS: usize = 3;

/// Bytes that a batch leaves for its own head: the heads of its array and list.
const BATCH_HEAD_BYTES: usize = 16;

/// How far to follow transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// Until enough nodes hold them.
    Held,
    /// Until they are in a block of the best chain.
    Included,
    /// Until that block is final, or `confirmations` deep where nobody finalises.
    Final,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// So many nodes hold it. The end only where [`Goal::Held`] was the goal.
    Held {
        /// How many.
        nodes: usize,
    },
    /// In a block; the proof was checked.
    Included(Box<Included>),
    /// Nodes refuse it, and none holds it.
    Rejected {
        /// The reason that a node gave.
        reason: Reason,
    },
    /// The time was up. It may still get into the chain.
    Unknown {
        /// How many nodes held it then.
        nodes: usize,
    },
}

/// Where a transaction is in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// The proof, checked.
    pub inclusion: Inclusion,
    /// The block.
    pub block: BlockId,
    /// Blocks on top of it, as a node says.
    pub depth: u64,
    /// The certificate of a checkpoint at or above the block, checked together with the headers up to it.
    pub certificate: Option<CommitCertificate>,
    /// As deep as the goal asks, with the headers on top checked.
    pub settled: bool,
}

/// A transaction that was handed in.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Its id.
    pub id: TxId,
    /// What became of it.
    pub fate: Fate,
    /// Nodes that said the same, and nodes that were asked.
    pub agreement: Agreement,
    /// How far it was to be followed.
    pub goal: Goal,
    /// Why the last proof that did not hold did not, if there was one and the goal was not reached.
    pub refuted: Option<String>,
}

/// How many nodes say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Nodes that were asked and answered.
    pub asked: usize,
    /// Those that agree with what is reported.
    pub agree: usize,
    /// What the others say, in words.
    pub others: Vec<String>,
}

/// A picture of how far it is, for a display.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Transactions altogether.
    pub total: usize,
    /// Connected nodes.
    pub nodes: usize,
    /// Nodes that hold the transaction held by fewest.
    pub held_by: usize,
    /// Transactions in a block.
    pub included: usize,
    /// Transactions refused.
    pub rejected: usize,
    /// Height of the block of the transaction included last, if any is.
    pub height: Option<u64>,
    /// Blocks on top of that.
    pub depth: u64,
}

/// What one node said about one transaction.
#[derive(Clone, Debug)]
pub enum Word {
    /// It has it, waiting or in a block.
    Holds,
    /// It does not have it.
    Lacks,
    /// It refuses it, or let it go.
    Refuses(Reason),
    /// It is in a block, by a proof that was checked.
    Includes(Box<Included>),
}

impl From<&Outcome> for Word {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted {} | Outcome::Duplicate {} => Self::Holds,
            Outcome::Rejected { reason } => Self::Refuses(reason.clone()),
            Outcome::Busy {} => Self::Lacks,
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    transaction: Transaction,
    id: TxId,
    bytes: usize,
    holders: BTreeSet<PeerId>,
    refusals: BTreeMap<PeerId, Reason>,
    latest: Option<Box<Included>>,
    fate: Option<Fate>,
}

/// Transactions on their way.
#[derive(Debug)]
pub struct Submission {
    goal: Goal,
    entries: Vec<Entry>,
}

impl Submission {
    /// Begins with these transactions. One that stands there twice is followed once.
    pub fn new(transactions: Vec<Transaction>, goal: Goal) -> Self {
        let mut seen = BTreeSet::new();
        let entries = transactions
            .into_iter()
            .map(|transaction| {
                let encoded = wire::encode(&transaction);
                Entry {
                    id: Transaction::id_of(&encoded),
                    bytes: encoded.len(),
                    transaction,
                    holders: BTreeSet::new(),
                    refusals: BTreeMap::new(),
                    latest: None,
                    fate: None,
                }
            })
            .filter(|entry| seen.insert(entry.id))
            .collect();
        Self { goal, entries }
    }

    /// How far the transactions are followed.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// Number of transactions.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The id of the transaction with this index.
    pub fn id(&self, index: usize) -> TxId {
        self.entries[index].id
    }

    /// Whether what becomes of every transaction is known.
    pub fn is_done(&self) -> bool {
        self.entries.iter().all(|entry| entry.fate.is_some())
    }

    /// Transactions that this node has not said to hold and that are still open.
    pub fn to_check(&self, peer: &PeerId) -> Vec<usize> {
        self.open(|entry| !entry.holders.contains(peer) && !entry.refusals.contains_key(peer))
    }

    /// Transactions to hand in to this node: open, not held by it, and held by fewer than `wanted` of the `nodes`. What
    /// it refused is offered again as long as another node holds it: the refusal may have come too early.
    pub fn to_submit(&self, peer: &PeerId, nodes: &BTreeSet<PeerId>, wanted: usize) -> Vec<usize> {
        self.open(|entry| {
            let held = entry.held(nodes);
            !entry.holders.contains(peer)
                && held < wanted
                && (held > 0 || !entry.refusals.contains_key(peer))
        })
    }

    /// Transactions to follow at this node: open, and held by it.
    pub fn to_follow(&self, peer: &PeerId) -> Vec<usize> {
        match self.goal {
            Goal::Held => Vec::new(),
            Goal::Included | Goal::Final => self.open(|entry| entry.holders.contains(peer)),
        }
    }

    fn open(&self, fits: impl Fn(&Entry) -> bool) -> Vec<usize> {
        (0..self.entries.len())
            .filter(|index| {
                let entry = &self.entries[*index];
                entry.fate.is_none() && fits(entry)
            })
            .collect()
    }

    /// Notes what a node said.
    pub fn hear(&mut self, index: usize, peer: PeerId, word: Word) {
        let entry = &mut self.entries[index];
        match word {
            Word::Holds => {
                entry.holders.insert(peer);
                entry.refusals.remove(&peer);
            }
            Word::Lacks => {
                entry.holders.remove(&peer);
            }
            Word::Refuses(reason) => {
                entry.holders.remove(&peer);
                entry.refusals.insert(peer, reason);
            }
            Word::Includes(included) => {
                entry.holders.insert(peer);
                entry.refusals.remove(&peer);
                if self.goal == Goal::Included || included.settled {
                    entry.fate = Some(Fate::Included(included.clone()));
                }
                entry.latest = Some(included);
            }
        }
    }

    /// Draws conclusions: with these nodes connected and these `witnesses` asked, what is well published and what is
    /// refused by all of them.
    pub fn conclude(&mut self, nodes: &BTreeSet<PeerId>, witnesses: &[PeerId]) {
        let wanted = HOLDERS.min(nodes.len()).max(1);
        for entry in self.entries.iter_mut().filter(|entry| entry.fate.is_none()) {
            let held = entry.held(nodes);
            if self.goal == Goal::Held && held >= wanted {
                entry.fate = Some(Fate::Held { nodes: held });
            }
            let refused = !witnesses.is_empty()
                && witnesses
                    .iter()
                    .all(|witness| entry.refusals.contains_key(witness));
            if refused && held == 0 {
                let reason = witnesses
                    .first()
                    .and_then(|first| entry.refusals.get(first));
                entry.fate = reason.cloned().map(|reason| Fate::Rejected { reason });
            }
        }
    }

    /// How far it is.
    pub fn progress(&self, nodes: &BTreeSet<PeerId>) -> Progress {
        let latest = self
            .entries
            .iter()
            .filter_map(|entry| entry.latest.as_ref())
            .max_by_key(|included| included.inclusion.header.height);
        let open = |entry: &&Entry| !matches!(entry.fate, Some(Fate::Rejected { .. }));
        Progress {
            total: self.entries.len(),
            nodes: nodes.len(),
            held_by: self
                .entries
                .iter()
                .filter(open)
                .map(|entry| entry.held(nodes))
                .min()
                .unwrap_or(0),
            included: self
                .entries
                .iter()
                .filter(|entry| entry.latest.is_some())
                .count(),
            rejected: self.entries.len() - self.entries.iter().filter(open).count(),
            height: latest.map(|included| included.inclusion.header.height),
            depth: latest.map_or(0, |included| included.depth),
        }
    }

    /// The transactions with these indices in batches that gossip and `submit/1` take, all of one kind each if
    /// `by_kind`.
    pub fn batches(&self, indices: &[usize], by_kind: bool) -> Vec<Batch> {
        let mut indices = indices.to_vec();
        if by_kind {
            indices.sort_by_key(|index| self.entries[*index].transaction.kind());
        }
        let mut batches = Vec::new();
        let mut current: Vec<usize> = Vec::new();
        let mut bytes = BATCH_HEAD_BYTES;
        for index in indices {
            let entry = &self.entries[index];
            let kind = |index: &usize| self.entries[*index].transaction.kind();
            let full = current.len() == MAX_BATCH
                || bytes + entry.bytes > TransactionBatch::MAX_BYTES
                || (by_kind
                    && current
                        .last()
                        .is_some_and(|last| kind(last) != kind(&index)));
            if full && !current.is_empty() {
                batches.extend(self.batch(std::mem::take(&mut current)));
                bytes = BATCH_HEAD_BYTES;
            }
            bytes += entry.bytes;
            current.push(index);
        }
        batches.extend(self.batch(current));
        batches
    }

    fn batch(&self, indices: Vec<usize>) -> Option<Batch> {
        let kind = self.entries[*indices.first()?].transaction.kind();
        let transactions = indices
            .iter()
            .map(|index| self.entries[*index].transaction.clone())
            .collect();
        // `batches` keeps to the bound, and nothing is an empty batch.
        let transactions = List::new(transactions).ok()?;
        Some(Batch {
            indices,
            kind,
            transactions,
        })
    }

    /// What became of the transactions, in the order in which they were given; the open ones are unknown now.
    pub fn finish(self, nodes: &BTreeSet<PeerId>) -> Vec<Submitted> {
        let goal = self.goal;
        self.entries
            .into_iter()
            .map(|entry| {
                let nodes = entry.held(nodes);
                let included = entry.latest.map(Fate::Included);
                let fate = entry.fate.or(included).unwrap_or(Fate::Unknown { nodes });
                Submitted {
                    id: entry.id,
                    fate,
                    agreement: Agreement::default(),
                    goal,
                    refuted: None,
                }
            })
            .collect()
    }
}

impl Entry {
    fn held(&self, nodes: &BTreeSet<PeerId>) -> usize {
        self.holders.intersection(nodes).count()
    }
}

/// Transactions that travel together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Their indices in the submission.
    pub indices: Vec<usize>,
    /// The kind of the first.
    pub kind: Kind,
    /// The transactions.
    pub transactions: List<Transaction, 1, MAX_BATCH>,
}

#[cfg(test)]
mod tests;
