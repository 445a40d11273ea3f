//! The shell: what surrounds the state machine so that it runs on a real machine.
//!
//! | who | runs on | does |
//! |---|---|---|
//! | node thread | a thread of its own | the state machine, the store's only writer |
//! | network | a tokio task of the `p2p` package | sockets, gossip, discovery |
//! | `pump` | a tokio task | turns network events into inputs, requests into answers |
//! | verification | a rayon pool | signatures and proofs |
//! | miner | a thread of its own | nonces |
//! | commands | a tokio task | HTTP and the control socket ask through a [`NodeHandle`] |
//!
//! Inputs go through one bounded queue (`queue`). Nothing that talks to peers ever waits for the node thread;
//! the node thread itself waits only for the disk, and for a moment when the network task is behind.

mod commands;
mod config;
mod finaliser;
mod keys;
mod link;
mod listening;
mod pump;
#[cfg(test)]
mod tests;
mod thread;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use votenode_p2p::{Limits, Multiaddr, PeerId};

use super::finality::Finaliser;
use super::handle::{COMMAND_QUEUE, NodeHandle};
use super::mempool::MempoolLimits;
use super::queue::InputQueue;
use super::serve::Server;
use super::{Node, NodeConfig, Now};
use crate::chain::network::Network;
use crate::datadir::DataDir;
use crate::store::{Expect, OpenError, Store, StoreConfig, StoreError};

pub use finaliser::PromiseFile;
pub use keys::KeyFileError;
use link::Link;

/// What a node is started with.
pub struct Options {
    /// The network.
    pub network: Arc<Network>,
    /// Whether it is the compiled-in network for trials.
    pub trial: bool,
    /// The data directory, locked.
    pub dir: DataDir,
    /// How the store uses memory and disk.
    pub store: StoreConfig,
    /// Bounds of the mempool.
    pub mempool: MempoolLimits,
    /// Whether to mine.
    pub mine: bool,
    /// The finaliser's key and where its state is kept, on a finaliser's node.
    pub finaliser: Option<Finaliser>,
    /// Addresses to listen on.
    pub listen: Vec<Multiaddr>,
    /// Addresses under which others reach this node, if they differ.
    pub external: Vec<Multiaddr>,
    /// Nodes to connect with; they may omit `/p2p/…`.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// Connection limits.
    pub limits: Limits,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The finalisers once decided two checkpoints that no chain contains both.
    #[error(
        "the finalisers decided two conflicting checkpoints; the evidence is in {}. Take it to the organisers. Once they \
         have settled which chain holds, move the file away; then this node starts again", .0.display()
    )]
    Conflict(std::path::PathBuf),
    /// A key file cannot be read or made.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The network part does not start: a port in use, say.
    #[error(transparent)]
    Network(#[from] votenode_p2p::Error),
    /// A thread cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a node ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// The node thread panicked. What it had acknowledged is on disk.
    #[error(
        "the node stopped because of a bug in it; its data is safe. Please report the log above"
    )]
    Panicked,
    /// The finalisers decided two checkpoints that no chain contains both. Whoever runs the network has to look into it.
    #[error(
        "the finalisers decided two conflicting checkpoints: more than a third of their power broke the rules. The \
         evidence is in {}; take it to the organisers", .0.display()
    )]
    Conflict(std::path::PathBuf),
    /// The store could not be closed in order. The next start repairs it.
    #[error("the store could not be closed in order: {0}")]
    Close(#[from] StoreError),
}

/// A node that runs. It ends when this is dropped; whoever wants to know how waits for it before.
pub struct Running {
    handle: NodeHandle,
    peer: PeerId,
    listening: Vec<Multiaddr>,
    queue: Arc<InputQueue>,
    done: JoinHandle<Result<(), EndError>>,
    // Locked for as long as the node runs.
    _dir: DataDir,
}

/// Both clocks.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono_ms: millis(self.start.elapsed()),
            wall_ms: millis(wall),
        }
    }

    /// The moment at which the monotonic clock shows this.
    fn instant(&self, mono_ms: u64) -> Instant {
        self.start + std::time::Duration::from_millis(mono_ms)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Starts a node: opens its store, takes its keys, listens.
pub async fn start(mut options: Options) -> Result<Running, StartError> {
    let finaliser = options.finaliser.take();
    let Options { network, dir, .. } = &options;
    if dir.paths().conflict().exists() {
        return Err(StartError::Conflict(dir.paths().conflict()));
    }
    let keypair = keys::node_key(dir)?;
    let miner = keys::miner_key(dir)?;
    let store = Store::open(dir, Expect::Genesis(network), options.store.clone())?;
    if !store.was_closed() && store.snapshot().tip().height > 0 {
        warn!("the node was not ended in order the last time; its store was checked and is whole");
    }
    let reader = store.reader();
    let clock = Clock::new();
    let config = config::p2p(&options, &store.snapshot())?;
    let book = store.snapshot().peers()?;
    let served = Arc::new(pump::Served::default());
    let node = Node::new(
        NodeConfig {
            network: Arc::clone(network),
            miner,
            mine: options.mine,
            mempool: options.mempool,
            tree: Default::default(),
            finaliser,
        },
        store,
        clock.now(),
    )?;

    let peer = keypair.peer_id();
    let (p2p, mut events) = votenode_p2p::spawn(keypair.clone(), config.clone()).await?;
    let listening = listening::first_addresses(&mut events, config.listen.len()).await;
    let link = Arc::new(Link::new(p2p));
    let queue = Arc::new(InputQueue::default());
    let mut picture = node.status();
    picture.trial = options.trial;
    picture.peer_id = peer.to_string();
    picture.started_at_ms = clock.now().wall_ms;
    picture.listening = listening.iter().map(ToString::to_string).collect();
    let (status, status_receiver) = watch::channel(Arc::new(picture));
    let (commands, command_receiver) = mpsc::channel(COMMAND_QUEUE);
    let handle = NodeHandle::new(status_receiver, reader.clone(), node.drop_log(), commands);
    let locals = Arc::new(commands::Locals::default());

    let server = Server::new(Arc::clone(network), reader, node.drop_log(), node.board());
    let node_thread = thread::spawn(thread::Parts {
        node,
        network: Arc::clone(network),
        queue: Arc::clone(&queue),
        link: Arc::clone(&link),
        locals: Arc::clone(&locals),
        clock,
        status: status.clone(),
        served: Arc::clone(&served),
    })
    .map_err(StartError::Thread)?;
    let pumping = tokio::spawn(pump::run(pump::Parts {
        events,
        keypair,
        config,
        network: Arc::clone(network),
        queue: Arc::clone(&queue),
        link: Arc::clone(&link),
        server,
        status,
        clock,
        book,
        served,
    }));
    let commanding = tokio::spawn(commands::run(
        command_receiver,
        commands::Parts {
            queue: Arc::clone(&queue),
            link: Arc::clone(&link),
            locals,
            handle: handle.clone(),
        },
    ));
    let (paths, network_id) = (dir.paths().clone(), network.id());
    let input_queue = Arc::clone(&queue);
    let done = tokio::spawn(async move {
        // Whichever of the two ends first ends the rest: the operator's word, or the node thread by itself.
        let node_ended = tokio::task::spawn_blocking(move || node_thread.join());
        tokio::pin!(node_ended);
        let mut commanding = commanding;
        let early = tokio::select! {
            ended = &mut node_ended => Some(ended),
            _ = &mut commanding => None,
        };
        link.shutdown().await;
        queue.close();
        let ended = match early {
            Some(ended) => ended,
            None => node_ended.await,
        };
        commanding.abort();
        pumping.abort();
        let Ok(Ok(ended)) = ended else {
            return Err(EndError::Panicked);
        };
        if let Some(conflict) = ended.conflict {
            finaliser::keep_evidence(&paths, &network_id, &conflict);
            return Err(EndError::Conflict(paths.conflict()));
        }
        ended.closed.map_err(EndError::Close)
    });
    info!(%peer, network = %options.network.id().short(), "the node runs");
    Ok(Running {
        handle,
        peer,
        listening,
        queue: input_queue,
        done,
        _dir: options.dir,
    })
}

impl Drop for Running {
    /// Nobody is left who could end it: a program that failed after it had started the node would wait for its thread for
    /// ever.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Running {
    /// The way to talk to it.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Its peer id.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The addresses that it listens on.
    pub fn listening(&self) -> &[Multiaddr] {
        &self.listening
    }

    /// Waits until it ends, by [`NodeHandle::shutdown`] or on its own.
    pub async fn ended(&mut self) -> Result<(), EndError> {
        match (&mut self.done).await {
            Ok(result) => result,
            Err(_) => Err(EndError::Panicked),
        }
    }
}
