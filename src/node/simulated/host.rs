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
use crate::store::{Expect, MemoryDisk, Store, StoreConfig};

/// A peer id that is the same in every run.
pub(crate) fn peer_id(number: u8) -> PeerId {
    // An identity multihash of an Ed25519 public key in libp2p's protobuf: 36 bytes, 4 of them the head.
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend([number; 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

/// What a node is made with, each time that it starts.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) mine: bool,
    pub(crate) mempool: MempoolLimits,
    pub(crate) store: StoreConfig,
    pub(crate) tree: tree::Limits,
    /// Seed of the finaliser's key, on a finaliser's host.
    pub(crate) finaliser: Option<u8>,
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
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) server: Server,
}

/// A gossip message as this host's gossip layer remembers it.
pub(crate) struct Seen {
    pub(crate) topic: Topic,
    pub(crate) data: Vec<u8>,
    pub(crate) verdict: Option<Verdict>,
}

/// A machine.
pub(crate) struct Host {
    pub(crate) peer: PeerId,
    pub(crate) disk: MemoryDisk,
    pub(crate) setup: Setup,
    /// Its wall clock less everybody's, in milliseconds.
    pub(crate) clock_offset_ms: i64,
    pub(crate) running: Option<Running>,
    /// Counts starts: what was on its way to a node that crashed does not reach its successor.
    pub(crate) incarnation: u64,
    pub(crate) following: bool,
    pub(crate) seen: BTreeMap<MessageId, Seen>,
    pub(crate) answers: BTreeMap<u64, Vec<Outcome>>,
    /// The number beside the finaliser's key.
    pub(crate) promise: MemoryPromise,
    /// Why the node stopped itself, if it did.
    pub(crate) conflict: Option<Box<Conflict>>,
    number: u8,
}

impl Host {
    pub(crate) fn new(number: u8, setup: Setup) -> Self {
        Self {
            peer: peer_id(number),
            disk: MemoryDisk::default(),
            setup,
            clock_offset_ms: 0,
            running: None,
            incarnation: 0,
            following: false,
            seen: BTreeMap::new(),
            answers: BTreeMap::new(),
            promise: MemoryPromise::default(),
            conflict: None,
            number,
        }
    }

    /// Starts a node on what the disk holds.
    pub(crate) fn start(&mut self, network: &Arc<Network>, now: Now) {
        let expect = Expect::Genesis(network);
        let store = Store::open_memory(&self.disk, expect, self.setup.store.clone()).unwrap();
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
        let node = Node::new(config, store, now).unwrap();
        let server = Server::new(Arc::clone(network), reader, node.drop_log(), node.board());
        self.running = Some(Running { node, server });
        self.incarnation += 1;
    }

    /// The node is gone in the middle of whatever it did; the disk stays.
    pub(crate) fn crash(&mut self) {
        self.running = None;
        self.following = false;
        self.seen.clear();
    }
}
