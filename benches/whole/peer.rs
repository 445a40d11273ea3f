//! A bare peer of a network, connected with one node and discovered by nobody: it publishes, listens and asks.

use std::time::Duration;

use tokio::sync::mpsc;
use votenode::chain::network::Network;
use votenode::protocol::gossip::TransactionBatch;
use votenode::protocol::names::{
    GENESIS_PROTOCOL, IDENTIFY_PROTOCOL, Topic, kademlia_protocol, member_protocol,
    submit_protocol, sync_protocol,
};
use votenode::protocol::submit::{Reply, Request};
use votenode::protocol::{genesis, sync};
use votenode::wire::{self, Message as _};
use votenode_p2p::{
    Config, Event, Handle, KadMode, Keypair, PeerId, ProtocolConfig, TopicConfig, Verdict, spawn,
};

/// Messages that may wait to be looked at.
const QUEUE: usize = 4_096;

/// A connected peer.
pub struct Peer {
    pub handle: Handle,
    /// The node.
    pub node: PeerId,
    submit: String,
    /// Messages of the topics that it listens to, as they come.
    pub heard: mpsc::Receiver<Vec<u8>>,
}

impl Peer {
    /// Connects with the node at this address, listening to these topics, and waits until the node is known to take
    /// what is published.
    pub async fn connect(network: &Network, address: &str, listen: &[Topic]) -> Self {
        let id = network.id();
        let submit = submit_protocol(&id);
        let protocol = |name: &str, request, reply, serve| ProtocolConfig {
            serve,
            timeout: Duration::from_secs(60),
            ..ProtocolConfig::new(name, request, reply)
        };
        let topics = Topic::TRANSACTIONS.into_iter().map(|topic| TopicConfig {
            subscribe: listen.contains(&topic),
            ..TopicConfig::new(topic.full_name(&id), TransactionBatch::MAX_BYTES)
        });
        let config = Config {
            bootstrap: vec![address.parse().unwrap()],
            kad: KadMode::Off,
            kad_protocol: kademlia_protocol(&id),
            identify_protocol: IDENTIFY_PROTOCOL.into(),
            topics: topics.collect(),
            protocols: vec![
                protocol(&submit, Request::MAX_BYTES, Reply::MAX_BYTES, false),
                protocol(
                    &sync_protocol(&id),
                    sync::Request::MAX_BYTES,
                    sync::Reply::MAX_BYTES,
                    false,
                ),
                protocol(&member_protocol(&id), 0, 0, true),
                protocol(
                    GENESIS_PROTOCOL,
                    genesis::MAX_REQUEST_BYTES,
                    genesis::MAX_REPLY_BYTES,
                    false,
                ),
            ],
            target_outbound: 1,
            ..Config::default()
        };
        let (handle, mut events) = spawn(Keypair::generate(), config).await.unwrap();
        let mut waiting: Vec<String> = [Topic::Registration, Topic::Vote]
            .map(|topic| topic.full_name(&id))
            .to_vec();
        let mut node = None;
        while !waiting.is_empty() {
            if let Event::Subscription {
                peer,
                topic,
                subscribed: true,
            } = events.next().await.unwrap()
            {
                waiting.retain(|wanted| *wanted != topic);
                node = Some(peer);
            }
        }
        let (sender, heard) = mpsc::channel(QUEUE);
        let reporter = handle.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Gossip { id, from, data, .. } = event {
                    let _ = reporter.report(id, from, Verdict::Accept);
                    let _ = sender.try_send(data);
                }
            }
        });
        Self {
            handle,
            node: node.unwrap(),
            submit,
            heard,
        }
    }

    /// Asks the node.
    pub async fn ask(&self, request: &Request) -> Option<Reply> {
        let data = wire::encode(request);
        let answer = self
            .handle
            .request(self.node, &self.submit, data)
            .await
            .ok()?;
        wire::decode(&answer).ok()
    }

    /// Waits until the network task has worked through what it was told.
    pub async fn settle(&self) {
        let _ = self.handle.snapshot().await;
    }
}
