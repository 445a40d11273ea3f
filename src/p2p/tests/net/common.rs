//! A node with its events, and waiting for what should happen.

use std::time::Duration;

use votenode_p2p::{
    Config, Event, Events, Handle, Keypair, Multiaddr, PeerId, ProtocolConfig, TopicConfig,
    Verdict, spawn,
};

/// Generous: a test fails because something did not happen, never because the machine was slow.
pub const DEADLINE: Duration = Duration::from_secs(90);

pub const TOPIC: &str = "/test/topic/1";
pub const OTHER: &str = "/test/other/1";
pub const ECHO: &str = "/test/echo/1";
pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

pub struct Node {
    pub handle: Handle,
    pub events: Events,
    pub addr: Multiaddr,
}

/// One topic joined at start, one for later, one small protocol.
pub fn config() -> Config {
    let mut other = TopicConfig::new(OTHER, 1024);
    other.subscribe = false;
    Config {
        listen: vec![TCP.parse().unwrap()],
        topics: vec![TopicConfig::new(TOPIC, 64 * 1024), other],
        protocols: vec![ProtocolConfig::new(ECHO, 1000, 1000)],
        ..Config::default()
    }
}

pub async fn start(config: Config) -> Node {
    start_as(Keypair::generate(), config).await
}

pub async fn start_as(keypair: Keypair, config: Config) -> Node {
    let listens = !config.listen.is_empty();
    let (handle, events) = spawn(keypair, config).await.unwrap();
    let addr = if listens {
        handle.snapshot().await.unwrap().listening[0].clone()
    } else {
        Multiaddr::empty()
    };
    Node {
        handle,
        events,
        addr,
    }
}

impl Node {
    pub fn id(&self) -> PeerId {
        self.handle.local_peer()
    }

    /// Reads events until one matches, and returns what `pick` made of it.
    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let wait = async {
            loop {
                let event = self.events.next().await.unwrap();
                if let Some(found) = pick(&event) {
                    return found;
                }
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("{}: no {what}", self.id()),
        }
    }

    pub async fn connected(&mut self, peer: PeerId) {
        self.until("connection", |e| {
            matches!(e, Event::Connected { peer: p, .. } if *p == peer).then_some(())
        })
        .await;
    }

    pub async fn disconnected(&mut self, peer: PeerId) {
        self.until("disconnection", |e| {
            (*e == Event::Disconnected { peer }).then_some(())
        })
        .await;
    }

    pub async fn subscribed(&mut self, peer: PeerId, topic: &str) {
        self.until("subscription", |e| {
            matches!(e, Event::Subscription { peer: p, topic: t, subscribed: true } if *p == peer && t == topic)
                .then_some(())
        })
        .await;
    }

    /// Waits for a gossip message and gives it this verdict.
    pub async fn gossip(&mut self, verdict: Verdict) -> Vec<u8> {
        let (id, from, data) = self
            .until("gossip", |e| match e {
                Event::Gossip { id, from, data, .. } => Some((*id, *from, data.clone())),
                _ => None,
            })
            .await;
        self.handle.report(id, from, verdict).unwrap();
        data
    }
}

/// Dials and waits until both have joined [`TOPIC`] as far as the other knows.
pub async fn link(a: &mut Node, b: &mut Node) {
    a.handle.dial(b.addr.clone()).unwrap();
    let (a_id, b_id) = (a.id(), b.id());
    tokio::join!(a.subscribed(b_id, TOPIC), b.subscribed(a_id, TOPIC));
}
