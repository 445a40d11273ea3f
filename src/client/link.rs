//! The way to the nodes: a peer of its own that dials, publishes and asks, and answers next to nothing.
//!
//! The peer is new for every session (a fresh key, so that nothing ties two sessions together), takes no part in the
//! gossip meshes and is a client in Kademlia. A node is whoever says that it serves `submit/1` of this network.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use votenode_p2p::{
    Config, Event, Events, Handle, HandleError, KadMode, Keypair, Multiaddr, PeerId,
    ProtocolConfig, PublishError, RequestError, TopicConfig,
};

use crate::chain::network::Network;
use crate::client::finality::KnownSets;
use crate::client::proof::ProofError;
use crate::protocol::names::{
    GENESIS_PROTOCOL, IDENTIFY_PROTOCOL, Topic, kademlia_protocol, member_protocol,
    submit_protocol, sync_protocol,
};
use crate::protocol::{genesis, gossip::TransactionBatch, submit, sync};
use crate::wire::{self, DecodeError, Message};

/// Nodes that a client looks for by itself: enough to ask three when some are slow or gone.
const TARGET_NODES: usize = 5;

/// How to reach a network.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// Addresses of nodes.
    pub bootstrap: Vec<Multiaddr>,
    /// Addresses to listen on; none is normal.
    pub listen: Vec<Multiaddr>,
    /// Find nodes on the local network.
    pub mdns: bool,
}

/// What is known of the nodes at a moment.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Connected nodes, in the order of their ids.
    pub serving: BTreeSet<PeerId>,
    /// The last thing that went wrong on the way to one, in words.
    pub trouble: Option<String>,
    /// The network task has ended.
    pub stopped: bool,
}

/// Why an answer did not come, or is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The node has too much to do.
    #[error("the node is busy")]
    Busy,
    /// The answer is not well-formed.
    #[error("the node's answer is malformed: {0}")]
    Decode(#[from] DecodeError),
    /// The answer claims what its own proof refutes.
    #[error("the node's proof does not hold: {0}")]
    Refuted(ProofError),
    /// The answer is to another question.
    #[error("the node's answer does not fit the question")]
    Unfit,
}

/// A running peer of one network.
#[derive(Clone, Debug)]
pub struct Link {
    handle: Handle,
    network: Arc<Network>,
    submit: Arc<str>,
    sync: Arc<str>,
    nodes: watch::Receiver<Nodes>,
    known_sets: Arc<KnownSets>,
}

impl Link {
    /// Starts the peer. Nobody is connected yet.
    pub async fn open(
        network: Arc<Network>,
        options: LinkOptions,
    ) -> Result<Self, votenode_p2p::Error> {
        let submit = submit_protocol(&network.id());
        let sync = sync_protocol(&network.id());
        let config = config(&network, &submit, &sync, options);
        let (handle, events) = votenode_p2p::spawn(Keypair::generate(), config).await?;
        let (sender, nodes) = watch::channel(Nodes::default());
        let watcher = Watcher {
            handle: handle.clone(),
            genesis: wire::encode(network.genesis()),
            submit: submit.clone(),
            nodes: sender,
        };
        tokio::spawn(watcher.run(events));
        Ok(Self {
            handle,
            known_sets: Arc::new(KnownSets::new(&network)),
            network,
            submit: submit.into(),
            sync: sync.into(),
            nodes,
        })
    }

    /// The network.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Sets of finalisers that were followed over this link.
    pub fn known_sets(&self) -> &KnownSets {
        &self.known_sets
    }

    /// The nodes at this moment.
    pub fn nodes(&self) -> Nodes {
        self.nodes.borrow().clone()
    }

    /// Waits until the nodes change.
    pub async fn changed(&mut self) {
        if self.nodes.changed().await.is_err() {
            // The watcher has ended; nothing changes any more, and whoever waits has a deadline.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until `wanted` nodes are connected; false if they are not by `deadline`.
    pub async fn wait_for_nodes(&self, wanted: usize, deadline: Instant) -> bool {
        let mut nodes = self.nodes.clone();
        let enough = nodes.wait_for(|nodes| nodes.serving.len() >= wanted || nodes.stopped);
        match timeout_at(deadline, enough).await {
            Ok(Ok(nodes)) => nodes.serving.len() >= wanted,
            _ => false,
        }
    }

    /// Publishes transactions on their topic. What nobody is subscribed to yet waits for a subscriber.
    pub async fn publish(
        &self,
        topic: Topic,
        batch: &TransactionBatch,
    ) -> Result<(), PublishError> {
        let name = topic.full_name(&self.network.id());
        match self.handle.publish(&name, wire::encode(batch)).await {
            Ok(_) | Err(PublishError::Duplicate | PublishError::NoPeers { kept: true }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks a node over `submit/1`.
    pub async fn ask(
        &self,
        peer: PeerId,
        request: &submit::Request,
    ) -> Result<submit::Reply, AskError> {
        match self.request(peer, &self.submit, request).await? {
            submit::Reply::Busy {} => Err(AskError::Busy),
            reply => Ok(reply),
        }
    }

    /// Asks a node over `sync/1`.
    pub async fn ask_sync(
        &self,
        peer: PeerId,
        request: &sync::Request,
    ) -> Result<sync::Reply, AskError> {
        match self.request(peer, &self.sync, request).await? {
            sync::Reply::Busy {} => Err(AskError::Busy),
            reply => Ok(reply),
        }
    }

    async fn request<Q: Message, R: Message>(
        &self,
        peer: PeerId,
        protocol: &str,
        request: &Q,
    ) -> Result<R, AskError> {
        let reply = self
            .handle
            .request(peer, protocol, wire::encode(request))
            .await
            .map_err(|error| match error {
                // Both mean that the queues at this end are full.
                RequestError::TooManyOutstanding | RequestError::Handle(HandleError::Busy) => {
                    AskError::Busy
                }
                error => AskError::Request(error),
            })?;
        Ok(wire::decode(&reply)?)
    }

    /// Dials a node once.
    pub fn dial(&self, addr: &Multiaddr) -> Result<(), HandleError> {
        self.handle.dial(addr.clone())
    }

    /// Takes points off a node that answers what cannot be.
    pub fn distrust(&self, peer: PeerId, why: &str) {
        tracing::warn!(%peer, why, "a node gave an answer that cannot be true");
        // A busy task forgets a complaint; the answer is not used either way.
        let _ = self.handle.penalize(peer, 50.0, why);
    }

    /// Leaves the network.
    pub async fn close(&self) {
        self.handle.shutdown().await;
    }
}

fn config(network: &Network, submit: &str, sync: &str, options: LinkOptions) -> Config {
    let id = network.id();
    let protocol = |name: &str, request, reply, serve| ProtocolConfig {
        serve,
        timeout: Duration::from_secs(15),
        ..ProtocolConfig::new(name, request, reply)
    };
    Config {
        listen: options.listen,
        bootstrap: options.bootstrap,
        mdns: options.mdns,
        kad: KadMode::Client,
        kad_protocol: kademlia_protocol(&id),
        identify_protocol: IDENTIFY_PROTOCOL.into(),
        agent: concat!("ballot/", env!("CARGO_PKG_VERSION")).into(),
        required_protocols: vec![submit.into()],
        topics: Topic::TRANSACTIONS
            .into_iter()
            .map(|topic| TopicConfig {
                subscribe: false,
                ..TopicConfig::new(topic.full_name(&id), TransactionBatch::MAX_BYTES)
            })
            .collect(),
        protocols: vec![
            protocol(
                submit,
                submit::Request::MAX_BYTES,
                submit::Reply::MAX_BYTES,
                false,
            ),
            protocol(
                sync,
                sync::Request::MAX_BYTES,
                sync::Reply::MAX_BYTES,
                false,
            ),
            // Listed, so that nodes see a member of their network.
            protocol(&member_protocol(&id), 0, 0, true),
            protocol(
                GENESIS_PROTOCOL,
                genesis::MAX_REQUEST_BYTES,
                genesis::MAX_REPLY_BYTES,
                true,
            ),
        ],
        target_outbound: TARGET_NODES,
        ..Config::default()
    }
}

/// Reads the events of the peer and keeps the picture of the nodes.
struct Watcher {
    handle: Handle,
    genesis: Vec<u8>,
    submit: String,
    nodes: watch::Sender<Nodes>,
}

impl Watcher {
    async fn run(self, mut events: Events) {
        while let Some(event) = events.next().await {
            self.event(event);
        }
        self.nodes.send_modify(|nodes| nodes.stopped = true);
    }

    fn event(&self, event: Event) {
        match event {
            Event::Identified {
                peer, protocols, ..
            } if protocols.contains(&self.submit) => self.nodes.send_modify(|nodes| {
                nodes.serving.insert(peer);
            }),
            Event::Disconnected { peer } => self.nodes.send_modify(|nodes| {
                nodes.serving.remove(&peer);
            }),
            Event::Request {
                id, data, protocol, ..
            } => {
                // A busy task lets the request time out at the asker.
                let _ = if data.is_empty() && protocol == GENESIS_PROTOCOL {
                    self.handle.respond(id, self.genesis.clone())
                } else {
                    self.handle.refuse(id)
                };
            }
            Event::Foreign { peer, agent, .. } => self.trouble(format!(
                "the peer {peer} ({agent:?}) is no node of this network"
            )),
            Event::BootstrapFailed { addr, error, .. } => self.trouble(format!("{addr}: {error}")),
            Event::Warning { text } => self.trouble(text),
            Event::Stopped { error } => self.nodes.send_modify(|nodes| {
                nodes.serving.clear();
                nodes.stopped = true;
                nodes.trouble = error.or(nodes.trouble.take());
            }),
            _ => {}
        }
    }

    fn trouble(&self, text: String) {
        tracing::debug!(text, "trouble on the way to the nodes");
        self.nodes.send_modify(|nodes| nodes.trouble = Some(text));
    }
}
