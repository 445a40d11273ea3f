//! A machine of the network: a disk that survives crashes, a node that may not, and a gossip layer's memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use votenode_p2p::{MessageId, PeerId, Verdict};

use crate::chain::network::Network;
use crate::chain::tree;
use crate::crypto::SigningKey;
use crate::node::finality::{Conflict, Finaliser, MemoryPromise};
use crate::node::mempool::MempoolLimits;
use crate::node::serve::Server;
use crate::node::{Node, NodeConfig, Now};
use crate::protocol::names::Topic;
use crate::protocol::submit::Outcome;
use crate::store::{Expect, MemoryDisk, OpenError, Store, StoreConfig, StoreError};

/// A peer id that is the same in every run.
pub fn peer_id(number: u8) -> PeerId {
    // An identity multihash of an Ed25519 public key in libp2p's protobuf: 36 bytes, 4 of them the head.
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend([number; 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a node is made with, each time that it starts.
#[derive(Clone)]
pub struct Setup {
    /// Whether it mines.
    pub mine: bool,
    /// Bounds of its pool.
    pub mempool: MempoolLimits,
    /// How its store is opened.
    pub store: StoreConfig,
    /// Bounds of its tree of headers.
    pub tree: tree::Limits,
    /// Seed of the finaliser's key, on a finaliser's host.
    pub finaliser: Option<u8>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            mine: true,
            mempool: MempoolLimits::default(),
            store: StoreConfig {
                cache_bytes: 1024 * 1024,
                check_on_open: false,
                ..StoreConfig::default()
            },
            tree: tree::Limits::default(),
            finaliser: None,
        }
    }
}

/// A node that runs, with what answers requests from its store.
pub struct Running {
    /// The state machine.
    pub node: Node,
    /// What answers requests from its store.
    pub server: Server,
    /// When the node wants to be looked at, as of its last batch.
    pub(super) wakeup_ms: Option<u64>,
}

impl Running {
    /// When the node wants to be looked at.
    pub(super) fn wakeup_ms(&self) -> u64 {
        self.wakeup_ms.unwrap_or_else(|| self.node.next_wakeup_ms())
    }
}

/// A gossip message as this host's gossip layer remembers it.
pub struct Seen {
    /// Its topic.
    pub topic: Topic,
    /// Its payload.
    pub data: Vec<u8>,
    /// What the node said of it, once it did.
    pub verdict: Option<Verdict>,
}

/// A machine.
pub struct Host {
    /// By this its node is known to others.
    pub peer: PeerId,
    /// What outlives its node.
    pub disk: MemoryDisk,
    /// The longest that a commit takes, in milliseconds; with 0 all are done at once.
    pub commit_ms: u64,
    /// What its node is made with.
    pub setup: Setup,
    /// Its wall clock less everybody's, in milliseconds.
    pub clock_offset_ms: i64,
    /// The node, unless it is down.
    pub running: Option<Running>,
    /// Counts starts: what was on its way to a node that crashed does not reach its successor.
    pub incarnation: u64,
    /// Whether it has joined the topics that carry transactions.
    pub following: bool,
    /// What its gossip layer remembers.
    pub seen: BTreeMap<MessageId, Seen>,
    /// Answers to submissions, by their numbers.
    pub answers: BTreeMap<u64, Vec<Outcome>>,
    /// Operations in the journal of the disk when each submission was answered.
    pub answered_at: BTreeMap<u64, usize>,
    /// The number beside the finaliser's key.
    pub promise: MemoryPromise,
    /// Why the node stopped itself, if it did.
    pub conflict: Option<Box<Conflict>>,
    /// Until when the commit of the last batch takes (monotonic).
    pub(super) busy_until_ms: u64,
    number: u8,
}

impl Host {
    /// A machine that is off, with an empty disk. The number makes its peer id and its miner's key.
    pub fn new(number: u8, setup: Setup) -> Self {
        Self {
            peer: peer_id(number),
            disk: MemoryDisk::default(),
            commit_ms: 0,
            setup,
            clock_offset_ms: 0,
            running: None,
            incarnation: 0,
            following: false,
            seen: BTreeMap::new(),
            answers: BTreeMap::new(),
            answered_at: BTreeMap::new(),
            promise: MemoryPromise::default(),
            conflict: None,
            busy_until_ms: 0,
            number,
        }
    }

    /// Starts a node on what the disk holds. A full disk may not allow it.
    pub fn start(&mut self, network: &Arc<Network>, now: Now) -> Result<(), StartError> {
        let expect = Expect::Genesis(network);
        let store = Store::open_memory(&self.disk, expect, self.setup.store.clone())?;
        let config = NodeConfig {
            network: Arc::clone(network),
            miner: SigningKey::from_seed(&[self.number; 32]),
            mine: self.setup.mine,
            mempool: self.setup.mempool,
            tree: self.setup.tree,
            finaliser: self.setup.finaliser.map(|seed| Finaliser {
                key: SigningKey::from_seed(&[seed; 32]),
                promise: Box::new(self.promise.clone()),
            }),
        };
        let reader = store.reader();
        let node = Node::new(config, store, now)?;
        let server = Server::new(Arc::clone(network), reader, node.drop_log(), node.board());
        self.running = Some(Running {
            node,
            server,
            wakeup_ms: None,
        });
        self.incarnation += 1;
        Ok(())
    }

    /// The machine loses its power: the node is gone in the middle of whatever it did, and of the disk what was not
    /// synced.
    pub fn crash(&mut self) {
        // Before the node goes: a database that is dropped writes a few last words.
        self.disk = self.disk.after_power_loss();
        self.running = None;
        self.busy_until_ms = 0;
        self.following = false;
        self.seen.clear();
    }
}
