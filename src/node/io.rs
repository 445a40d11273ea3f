//! What goes into the state machine and what comes out of it.

use votenode_p2p::{MessageId, PeerId, RequestId, Verdict};

use crate::chain::block::{BlockId, Header, Nonce};
use crate::chain::invalid::Invalid;
use crate::chain::transaction::Transaction;
use crate::chain::verify::Verified;
use crate::node::finality::Conflict;
use crate::protocol::names::Topic;
use crate::protocol::submit::Outcome;
use crate::protocol::sync::Status;

/// The two clocks, read by the shell once per batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some fixed moment; never goes back. Deadlines and leases are measured with it.
    pub mono_ms: u64,
    /// Unix milliseconds; may jump. Only compared with timestamps of blocks and elections.
    pub wall_ms: u64,
}

/// Where submitted transactions came from, and so where the answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Submitter {
    /// A peer, over `submit/1`.
    Peer {
        /// Who.
        peer: PeerId,
        /// What is answered.
        request: RequestId,
    },
    /// This machine: HTTP or the control socket. The number is the shell's.
    Local(u64),
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// Time passed; [`super::Node::next_wakeup_ms`] says when this is wanted.
    Tick,
    /// A peer of this network is connected and identified.
    PeerReady {
        /// Who.
        peer: PeerId,
    },
    /// The last connection to a peer is gone.
    PeerGone {
        /// Who.
        peer: PeerId,
    },
    /// A peer told where it stands, by asking.
    PeerStatus {
        /// Who.
        peer: PeerId,
        /// Where.
        status: Status,
    },
    /// A gossip message waits for a verdict.
    Gossip {
        /// Topic.
        topic: Topic,
        /// Names the message in the verdict.
        id: MessageId,
        /// Who passed it on.
        from: PeerId,
        /// Payload.
        data: Vec<u8>,
    },
    /// The end of a request that this node made.
    Response {
        /// The request's tag.
        tag: u64,
        /// Who was asked.
        peer: PeerId,
        /// The reply's bytes; none if the request failed.
        reply: Option<Vec<u8>>,
    },
    /// Somebody submits transactions.
    Submit {
        /// Who.
        submitter: Submitter,
        /// What.
        transactions: Vec<Transaction>,
    },
    /// A verification job is done.
    Verified {
        /// The job's number.
        job: u64,
        /// A verdict per transaction, in order.
        verdicts: Vec<Result<Verified<Transaction>, Invalid>>,
    },
    /// The miner found a nonce.
    Mined {
        /// The job's number.
        epoch: u64,
        /// The nonce.
        nonce: Nonce,
        /// Hashes a second during this job.
        hash_rate: u64,
    },
    /// Entries of the peer book and the block list to keep, by peer id; nothing removes one.
    Remember {
        /// The peer book.
        peers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        /// The block list.
        bans: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    },
    /// The operator lets the node follow the chain with the most work again.
    ReleasePin,
}

/// Something to do. Effects of a batch are released after its commit.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Publish on a topic.
    Publish {
        /// Topic.
        topic: Topic,
        /// Payload.
        data: Vec<u8>,
    },
    /// The verdict on a gossip message.
    Report {
        /// The message.
        id: MessageId,
        /// Who passed it on.
        from: PeerId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Ask a peer over `sync/1`.
    Request {
        /// Comes back with the reply.
        tag: u64,
        /// Whom.
        peer: PeerId,
        /// Encoded [`crate::protocol::sync::Request`].
        data: Vec<u8>,
    },
    /// Verify signatures and proofs, off the node thread.
    Verify {
        /// Comes back with the verdicts.
        job: u64,
        /// What to verify; every one passed the cheap checks.
        transactions: Vec<Transaction>,
    },
    /// Answer a submission.
    Answer {
        /// Who submitted.
        submitter: Submitter,
        /// An outcome per transaction, in order.
        outcomes: Vec<Outcome>,
    },
    /// Look for a nonce; whatever was looked for before is of no interest any more.
    Mine {
        /// Comes back with the nonce.
        epoch: u64,
        /// The header, its nonce to be varied.
        header: Header,
    },
    /// Stop looking for a nonce.
    StopMining,
    /// Join (or leave) the topics that carry transactions.
    Follow {
        /// Join or leave.
        transactions: bool,
    },
    /// A peer sent something that no correct peer sends.
    Penalize {
        /// Who.
        peer: PeerId,
        /// How bad, in points of the gossip score.
        points: u32,
        /// What.
        reason: String,
    },
    /// Two certificates that no chain contains both: keep the evidence and end the node.
    Halt(Box<Conflict>),
    /// The best chain grew or changed, for those who wait for it.
    NewTip {
        /// The best block.
        id: BlockId,
        /// Its height.
        height: u64,
    },
}
