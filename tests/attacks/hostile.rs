//! A peer that speaks the protocols well and says whatever it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use votenode::chain::network::Network;
use votenode::protocol::names::{
    GENESIS_PROTOCOL, IDENTIFY_PROTOCOL, Topic, kademlia_protocol, member_protocol,
    submit_protocol, sync_protocol,
};
use votenode::protocol::{submit, sync};
use votenode::wire;
use votenode_p2p::{
    Config, Event, Events, Handle, HandleError, Keypair, PeerId, ProtocolConfig, PublishError,
    RequestError, TopicConfig, Verdict,
};

use crate::arena::Arena;
use crate::harness::DEADLINE;

/// Longest message that an attacker can send: above every limit of a node.
const LONGEST: usize = 4 * 1024 * 1024;

/// What an attacker says to a request.
pub enum Answer {
    /// This.
    Reply(sync::Reply),
    /// These bytes.
    Bytes(Vec<u8>),
    /// That it does not want to.
    Refusal,
}

type Answers = Arc<dyn Fn(sync::Request) -> Answer + Send + Sync>;

/// The attacker.
pub struct Hostile {
    handle: Handle,
    network: Arc<Network>,
    victim: PeerId,
    gone: watch::Receiver<bool>,
    asked: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    heard: Heard,
}

/// Gossip by topic, in the order that it came.
type Heard = Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>;

/// How often the victim asked for something, by name.
fn name_of(request: &sync::Request) -> &'static str {
    match request {
        sync::Request::Status { .. } => "status",
        sync::Request::Headers { .. } => "headers",
        sync::Request::Bodies { .. } => "bodies",
        sync::Request::Certificates { .. } => "certificates",
        sync::Request::Roll { .. } => "roll",
        sync::Request::PendingIds { .. } => "pending_ids",
        sync::Request::Transactions { .. } => "transactions",
        sync::Request::FinalityMessages { .. } => "finality_messages",
    }
}

impl Hostile {
    /// Joins the network by way of the victim; refuses all requests.
    pub async fn join(arena: &Arena<'_>) -> Self {
        Self::answering(arena, |_| Answer::Refusal).await
    }

    /// The same, answering the victim's `sync` requests like this.
    pub async fn answering(
        arena: &Arena<'_>,
        answers: impl Fn(sync::Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::with(arena, Keypair::generate(), config(&arena.network), answers).await
    }

    /// The same with a key and configuration of its own.
    pub async fn with(
        arena: &Arena<'_>,
        keypair: Keypair,
        config: Config,
        answers: impl Fn(sync::Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (handle, mut events) = votenode_p2p::spawn(keypair, config).await.unwrap();
        handle.dial(arena.address.clone()).unwrap();
        let joined = async {
            loop {
                match events.next().await.unwrap() {
                    Event::Subscription { peer, topic, .. }
                        if peer == arena.peer
                            && topic == Topic::Block.full_name(&arena.network.id()) =>
                    {
                        break;
                    }
                    Event::DialFailed { .. } | Event::Disconnected { .. } => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        handle.dial(arena.address.clone()).unwrap();
                    }
                    _ => {}
                }
            }
        };
        let in_time = timeout(DEADLINE, joined).await;
        assert!(in_time.is_ok(), "an attacker never got in");
        let (sender, gone) = watch::channel(false);
        let (asked, heard) = (Arc::default(), Heard::default());
        let task = Task {
            handle: handle.clone(),
            sync: sync_protocol(&arena.network.id()),
            victim: arena.peer,
            answers: Arc::new(answers),
            gone: sender,
            asked: Arc::clone(&asked),
            heard: Arc::clone(&heard),
        };
        tokio::spawn(task.run(events));
        Self {
            handle,
            network: Arc::clone(&arena.network),
            victim: arena.peer,
            gone,
            asked,
            heard,
        }
    }

    /// Who it is.
    pub fn id(&self) -> PeerId {
        self.handle.local_peer()
    }

    /// Gossips these bytes, whatever they are. An error once the victim is gone.
    pub async fn gossip(&self, topic: Topic, data: Vec<u8>) -> Result<(), PublishError> {
        let name = topic.full_name(&self.network.id());
        loop {
            match self.handle.publish(&name, data.clone()).await {
                Ok(_) => return Ok(()),
                Err(PublishError::QueueFull | PublishError::Handle(HandleError::Busy)) => {
                    tokio::task::yield_now().await
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the victim with these bytes, whatever they are.
    pub async fn ask(&self, protocol: &str, data: Vec<u8>) -> Result<Vec<u8>, RequestError> {
        self.handle.request(self.victim, protocol, data).await
    }

    /// Asks the victim over `sync`.
    pub async fn ask_sync(&self, request: &sync::Request) -> Option<sync::Reply> {
        let name = sync_protocol(&self.network.id());
        let reply = self.ask(&name, wire::encode(request)).await.ok()?;
        wire::decode(&reply).ok()
    }

    /// Asks the victim over `submit`.
    pub async fn ask_submit(&self, request: &submit::Request) -> Option<submit::Reply> {
        let name = submit_protocol(&self.network.id());
        let reply = self.ask(&name, wire::encode(request)).await.ok()?;
        wire::decode(&reply).ok()
    }

    /// Whether the victim has thrown it out.
    pub fn is_out(&self) -> bool {
        *self.gone.borrow()
    }

    /// Waits until the victim has thrown it out.
    pub async fn until_out(&self) {
        let mut gone = self.gone.clone();
        let out = timeout(DEADLINE, gone.wait_for(|gone| *gone)).await;
        assert!(out.is_ok(), "the attacker {} is still welcome", self.id());
    }

    /// How often the victim asked for this.
    pub fn was_asked(&self, what: &str) -> usize {
        self.asked.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    /// What the victim and others gossiped so far on a topic.
    pub fn heard(&self, topic: Topic) -> Vec<Vec<u8>> {
        let name = topic.full_name(&self.network.id());
        let heard = self.heard.lock().unwrap();
        heard.get(&name).cloned().unwrap_or_default()
    }

    /// Leaves.
    pub async fn leave(self) {
        self.handle.shutdown().await;
    }
}

/// A node's topics and protocols, with no limits to speak of and no judgement about others.
pub fn config(network: &Network) -> Config {
    let id = network.id();
    let protocol = |name: String| ProtocolConfig {
        inbound_per_peer: 64,
        outbound_per_peer: 4096,
        timeout: Duration::from_secs(60),
        ..ProtocolConfig::new(name, LONGEST, 4 * LONGEST)
    };
    Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        kad_protocol: kademlia_protocol(&id),
        identify_protocol: IDENTIFY_PROTOCOL.into(),
        agent: "hostile/1".into(),
        topics: Topic::ALL
            .into_iter()
            .map(|topic| TopicConfig {
                keep: Duration::ZERO,
                ..TopicConfig::new(topic.full_name(&id), LONGEST)
            })
            .collect(),
        protocols: vec![
            protocol(GENESIS_PROTOCOL.to_owned()),
            protocol(member_protocol(&id)),
            protocol(sync_protocol(&id)),
            protocol(submit_protocol(&id)),
        ],
        target_outbound: 0,
        gossip: votenode_p2p::GossipConfig {
            disconnect_score: -1e12,
            ..Default::default()
        },
        ..Config::default()
    }
}

struct Task {
    handle: Handle,
    sync: String,
    victim: PeerId,
    answers: Answers,
    gone: watch::Sender<bool>,
    asked: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    heard: Heard,
}

impl Task {
    async fn run(self, mut events: Events) {
        while let Some(event) = events.next().await {
            match event {
                Event::Disconnected { peer } if peer == self.victim => {
                    self.gone.send_replace(true);
                }
                Event::Gossip {
                    id,
                    from,
                    topic,
                    data,
                    ..
                } => {
                    self.heard
                        .lock()
                        .unwrap()
                        .entry(topic)
                        .or_default()
                        .push(data);
                    let _ = self.handle.report(id, from, Verdict::Ignore);
                }
                Event::Request {
                    protocol, id, data, ..
                } => {
                    let request = (protocol == self.sync)
                        .then(|| wire::decode::<sync::Request>(&data).ok())
                        .flatten();
                    let answer = match request {
                        Some(request) => {
                            let name = name_of(&request);
                            *self.asked.lock().unwrap().entry(name).or_default() += 1;
                            (self.answers)(request)
                        }
                        None => Answer::Refusal,
                    };
                    let _ = match answer {
                        Answer::Reply(reply) => self.handle.respond(id, wire::encode(&reply)),
                        Answer::Bytes(bytes) => self.handle.respond(id, bytes),
                        Answer::Refusal => self.handle.refuse(id),
                    };
                }
                _ => {}
            }
        }
        self.gone.send_replace(true);
    }
}
