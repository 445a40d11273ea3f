//! What was handed in, what nodes said of it and of themselves, and when: everything that the checker may look at.
//!
//! Ids are hexadecimal, as nodes show them; nodes are numbered from 0, and behind the last comes the program that people
//! vote with. Times are Unix milliseconds by the clock of the
//! test, which goes right.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

/// What a transaction is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Somebody comes on the roll.
    Registration { voter: String },
    /// A question is asked, until then.
    Election { election: String, closes_at_ms: u64 },
    /// Somebody votes for the option with this index.
    Vote {
        voter: String,
        election: String,
        choice: u8,
    },
}

/// What a node answers to a transaction that is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is on this node's disk.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It breaks this rule.
    Rejected(String),
    /// Not now.
    Busy,
    /// Nothing: the connection failed, or the node did not answer in time.
    Silence,
}

/// Where a node says that a transaction is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for a block.
    Pending,
    /// In this block, which may still be left.
    Included { block: String },
    /// In this block, which is final.
    Final { block: String },
    /// It waited and cannot be mined any more, for this reason.
    Dropped { reason: String },
    /// The node does not know it.
    Unknown,
}

/// Something that a node said, or that happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction was handed in. The time is when that began.
    Answered {
        tx: String,
        what: What,
        answer: Answer,
    },
    /// The node was asked where a transaction is. The time is when it was asked if it knows the transaction, and when the
    /// answer came if it does not: so that what happens to the node in between lies between the two.
    Seen { tx: String, state: State },
    /// The node named a checkpoint.
    Checkpoint {
        number: u64,
        block: String,
        height: u64,
    },
    /// The node's process has ended, whatever ended it.
    Ended,
}

/// An event, where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at_ms: u64,
    pub node: usize,
    pub event: Event,
}

/// The record that all threads write to.
#[derive(Default)]
pub struct History(Mutex<Vec<Entry>>);

impl History {
    pub fn note(&self, at_ms: u64, node: usize, event: Event) {
        self.0.lock().unwrap().push(Entry { at_ms, node, event });
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }
}

/// Now.
pub fn now_ms() -> u64 {
    UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_millis()
        .try_into()
        .unwrap()
}

/// What a node holds at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its chain as exported, from height 1 on.
    pub chain: Vec<Block>,
    /// Number, block and height of its last checkpoint.
    pub checkpoint: (u64, String, u64),
    /// Results by election, as the node tells them.
    pub results: BTreeMap<String, Outcome>,
    /// Results by election, as an audit of the exported chain finds them, or why it does not pass.
    pub audit: Result<BTreeMap<String, Outcome>, String>,
    /// Finalisers who were convicted.
    pub convictions: u64,
}

/// A block with what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub id: String,
    pub height: u64,
    pub timestamp_ms: u64,
    pub transactions: Vec<(String, What)>,
}

/// How an election came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The block that closed it, if the chain is that far.
    pub closing_block: Option<String>,
    /// Whether that is final.
    pub is_final: bool,
    /// Votes counted.
    pub votes: u64,
    /// Votes by option, in the order of the ballot.
    pub totals: Vec<u64>,
}
