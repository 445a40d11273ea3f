//! What a node is told before it starts. Plain data with sensible defaults; nothing here touches the network.
//!
//! Everything that bounds memory or traffic is a field or a documented constant, so that an operator can add the
//! bounds up: the worst case of each queue is its length times its largest item.

use std::collections::HashSet;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use crate::error::Error;

/// Longest name of a topic or protocol, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Most topics: announcing all of them at once must fit into one gossipsub control message.
pub const MAX_TOPICS: usize = 64;
/// Most request-response protocols.
pub const MAX_PROTOCOLS: usize = 32;
/// Largest gossip message that may be configured: every peer's queue may hold many.
pub const MAX_GOSSIP_BYTES: usize = 4 * 1024 * 1024;
/// Largest request or response that may be configured.
pub const MAX_EXCHANGE_BYTES: usize = 64 * 1024 * 1024;

/// Everything a node needs to know to start, see [`spawn`](crate::spawn).
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on (`/ip4/0.0.0.0/tcp/4001`, `/ip4/0.0.0.0/udp/4001/quic-v1`); port 0 picks a free one.
    /// None: the node only dials.
    pub listen: Vec<Multiaddr>,
    /// Addresses under which others reach this node, if they differ (port forwarding).
    pub external: Vec<Multiaddr>,
    /// Addresses dialled at start and, with growing pauses, for ever while connections are missing.
    /// `/p2p/PEER` at the end pins who must answer, and may be left out.
    pub bootstrap: Vec<Multiaddr>,
    /// Peers of earlier runs, to be dialled at start. The caller keeps the book, see [`PeerInfo::addrs`](crate::PeerInfo).
    pub known_peers: Vec<(PeerId, Vec<Multiaddr>)>,
    /// Peers never to be connected with.
    pub banned: Vec<PeerId>,
    /// Find peers on the local network by multicast DNS (IPv4).
    pub mdns: bool,
    /// Part played in the Kademlia table.
    pub kad: KadMode,
    /// Protocol name of this network's own Kademlia table, so that unrelated networks never mix.
    pub kad_protocol: String,
    /// Protocol version string told in identify.
    pub identify_protocol: String,
    /// Program name and version told in identify.
    pub agent: String,
    /// Protocols a peer must list in identify. Whoever lacks one is foreign: reported, let go, and left alone for
    /// [`Config::foreign_hold`].
    pub required_protocols: Vec<String>,
    /// A peer that lacks a required protocol but lists one of these is a guest: someone who has yet to learn what he
    /// needs in order to belong. It may ask for [`Config::guest_time`], and is then disconnected without being held off.
    pub guest_protocols: Vec<String>,
    /// How long a guest may stay.
    pub guest_time: Duration,
    /// How long a peer that serves the Kademlia table may be connected without having joined any topic, before it is
    /// disconnected and dialled anew; `None`: for ever. A peer tells its topics once, on its first connection: one that
    /// has not noticed yet that this node was started anew does not tell them again.
    pub mute_time: Option<Duration>,
    /// How long a foreign or misbehaving peer is neither dialled nor let in.
    pub foreign_hold: Duration,
    /// Gossip topics this node may join or publish to; there are no others.
    pub topics: Vec<TopicConfig>,
    /// Request-response protocols.
    pub protocols: Vec<ProtocolConfig>,
    /// Bytes of large responses (above 64 KiB) that may be on their way to others, all protocols together. Beyond them a
    /// request is answered with its protocol's busy response.
    pub max_reply_bytes: usize,
    /// Connection and memory limits.
    pub limits: Limits,
    /// Gossip tuning.
    pub gossip: GossipConfig,
    /// Outbound connections the node keeps looking for. Inbound ones do not count: whoever is only called can be
    /// surrounded.
    pub target_outbound: usize,
    /// How long a connection may carry nothing but pings before it is closed.
    pub idle_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            known_peers: Vec::new(),
            banned: Vec::new(),
            mdns: false,
            kad: KadMode::Server,
            kad_protocol: "/p2p-service/kad/1".into(),
            identify_protocol: "/p2p-service/1".into(),
            agent: concat!("votenode-p2p/", env!("CARGO_PKG_VERSION")).into(),
            required_protocols: Vec::new(),
            guest_protocols: Vec::new(),
            guest_time: Duration::from_secs(15),
            mute_time: None,
            foreign_hold: Duration::from_secs(600),
            topics: Vec::new(),
            protocols: Vec::new(),
            max_reply_bytes: 2 * MAX_EXCHANGE_BYTES,
            limits: Limits::default(),
            gossip: GossipConfig::default(),
            target_outbound: 10,
            idle_timeout: Duration::from_secs(3600),
        }
    }
}

/// The part a node plays in the Kademlia table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KadMode {
    /// Answers others and is listed by them: nodes.
    Server,
    /// Only asks: light clients, nodes nobody can dial.
    Client,
    /// Takes no part.
    Off,
}

/// One gossip topic.
#[derive(Debug, Clone)]
pub struct TopicConfig {
    /// Name on the wire.
    pub name: String,
    /// Largest message in bytes. Larger ones are not published, and count as invalid when received.
    pub max_bytes: usize,
    /// Join at start; otherwise with [`Handle::subscribe`](crate::Handle::subscribe).
    pub subscribe: bool,
    /// How long a message that found no subscriber waits for one; zero: it does not.
    pub keep: Duration,
}

impl TopicConfig {
    /// A topic joined at start whose unsent messages wait for a minute.
    pub fn new(name: impl Into<String>, max_bytes: usize) -> Self {
        Self {
            name: name.into(),
            max_bytes,
            subscribe: true,
            keep: Duration::from_secs(60),
        }
    }
}

/// One request-response protocol. Framing: see the crate's documentation.
#[derive(Debug, Clone)]
pub struct ProtocolConfig {
    /// Name negotiated on the wire, beginning with `/`.
    pub name: String,
    /// Largest request in bytes, checked before anything is allocated.
    pub max_request_bytes: usize,
    /// Largest response in bytes, checked before anything is allocated.
    pub max_response_bytes: usize,
    /// Bound on a whole exchange: request, thinking, response. Trickling does not extend it.
    pub timeout: Duration,
    /// Requests of one peer served at once.
    pub inbound_per_peer: usize,
    /// Requests served at once, beyond which each peer may have one.
    pub inbound_total: usize,
    /// Requests to one peer under way at once.
    pub outbound_per_peer: usize,
    /// Sent as the response when a limit is reached or the consumer lags; `None`: the stream is closed unanswered.
    pub busy_response: Option<Vec<u8>>,
    /// Whether inbound requests are accepted (and the protocol is listed in identify).
    pub serve: bool,
}

impl ProtocolConfig {
    /// A served protocol: 10 s per exchange, 4 requests per peer each way, 64 inbound in all.
    pub fn new(
        name: impl Into<String>,
        max_request_bytes: usize,
        max_response_bytes: usize,
    ) -> Self {
        Self {
            name: name.into(),
            max_request_bytes,
            max_response_bytes,
            timeout: Duration::from_secs(10),
            inbound_per_peer: 4,
            inbound_total: 64,
            outbound_per_peer: 4,
            busy_response: None,
            serve: true,
        }
    }
}

/// Bounds on connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Established connections that others opened. An eighth is kept free for newcomers: whoever has been idle longest
    /// makes room.
    pub max_inbound: u32,
    /// Established connections that this node opened.
    pub max_outbound: u32,
    /// Established connections per peer: two nodes that dial each other at once hold two for a moment.
    pub max_per_peer: u32,
    /// Handshakes under way, inbound and outbound each. A handshake costs a socket and little else, and those who begin
    /// them without end must not be alone with the places.
    pub max_pending: u32,
    /// Handshakes under way that one address began, or one /64 subnet of IPv6: everybody behind one router shares them.
    pub max_pending_per_source: u32,
    /// Resident memory of this process in bytes above which no new connection is made; `None`: 90 % of the machine's.
    pub max_memory_bytes: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_inbound: 100,
            max_outbound: 50,
            max_per_peer: 3,
            max_pending: 512,
            max_pending_per_source: 64,
            max_memory_bytes: None,
        }
    }
}

/// Gossip tuning. Mesh sizes as in the gossipsub 1.1 specification.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// Peers each topic's mesh aims for (D).
    pub mesh_n: usize,
    /// Below this many the mesh takes in more (D_lo).
    pub mesh_n_low: usize,
    /// Above this many the mesh lets some go (D_hi).
    pub mesh_n_high: usize,
    /// Mesh peers that this node dialled itself (D_out); at most `mesh_n / 2`.
    pub mesh_outbound_min: usize,
    /// Pause between mesh maintenance rounds, in which message ids are also advertised.
    pub heartbeat: Duration,
    /// How late a verdict may come: after this the message is forgotten, and never forwarded.
    pub validation_timeout: Duration,
    /// How long content counts as already seen.
    pub duplicate_cache: Duration,
    /// Messages that may wait for the consumer; further ones are ignored.
    pub queue_len: usize,
    /// Bytes of messages that may wait for the consumer; further ones are ignored.
    pub queue_bytes: usize,
    /// Score below which a peer is let go. An invalid message costs 2 times the square of the recent ones,
    /// [`Handle::penalize`](crate::Handle::penalize) its points.
    pub disconnect_score: f64,
}

impl Default for GossipConfig {
    fn default() -> Self {
        Self {
            mesh_n: 6,
            mesh_n_low: 4,
            mesh_n_high: 12,
            mesh_outbound_min: 2,
            heartbeat: Duration::from_secs(1),
            validation_timeout: Duration::from_secs(10),
            duplicate_cache: Duration::from_secs(120),
            queue_len: 1024,
            queue_bytes: 16 * 1024 * 1024,
            disconnect_score: -100.0,
        }
    }
}

impl Config {
    /// Most inbound requests that may be under way, all protocols together.
    pub(crate) fn requests_at_once(&self) -> usize {
        let peers = self
            .limits
            .max_inbound
            .saturating_add(self.limits.max_outbound);
        let peers = usize::try_from(peers).unwrap_or(usize::MAX);
        let totals = self
            .protocols
            .iter()
            .map(|p| p.inbound_total.saturating_add(peers));
        totals.fold(0, usize::saturating_add)
    }

    /// Checks what the parts below rely on.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let fail = |text: String| Err(Error::Config(text));
        if self.topics.len() > MAX_TOPICS {
            return fail(format!("more than {MAX_TOPICS} topics"));
        }
        if self.protocols.len() > MAX_PROTOCOLS {
            return fail(format!("more than {MAX_PROTOCOLS} protocols"));
        }
        let mut names = HashSet::new();
        for topic in &self.topics {
            if topic.name.is_empty() || topic.name.len() > MAX_NAME_BYTES {
                return fail(format!(
                    "topic name {:?}: 1 to {MAX_NAME_BYTES} bytes",
                    topic.name
                ));
            }
            if topic.max_bytes == 0 || topic.max_bytes > MAX_GOSSIP_BYTES {
                return fail(format!(
                    "topic {}: max_bytes of 1 to {MAX_GOSSIP_BYTES}",
                    topic.name
                ));
            }
            if !names.insert(topic.name.as_str()) {
                return fail(format!("topic {} is listed twice", topic.name));
            }
        }
        names.clear();
        for protocol in &self.protocols {
            protocol.validate()?;
            if protocol.max_response_bytes > self.max_reply_bytes {
                return fail(format!(
                    "protocol {}: max_response_bytes exceeds max_reply_bytes",
                    protocol.name
                ));
            }
            if !names.insert(protocol.name.as_str()) {
                return fail(format!("protocol {} is listed twice", protocol.name));
            }
        }
        let gossip = &self.gossip;
        // gossipsub subtracts these from one another without looking.
        let ordered = gossip.mesh_outbound_min <= gossip.mesh_n / 2
            && gossip.mesh_outbound_min <= gossip.mesh_n_low
            && gossip.mesh_n_low <= gossip.mesh_n
            && gossip.mesh_n <= gossip.mesh_n_high;
        if !ordered {
            return fail("gossip: mesh_outbound_min ≤ mesh_n_low ≤ mesh_n ≤ mesh_n_high, and mesh_outbound_min ≤ mesh_n / 2".into());
        }
        if gossip.heartbeat < Duration::from_millis(100) {
            return fail("gossip.heartbeat below 100 ms".into());
        }
        if gossip.validation_timeout > gossip.heartbeat * 600 {
            return fail("gossip.validation_timeout above 600 heartbeats".into());
        }
        if !gossip.disconnect_score.is_finite() || gossip.disconnect_score >= 0.0 {
            return fail("gossip.disconnect_score must be negative".into());
        }
        if !self.kad_protocol.starts_with('/') {
            return fail("kad_protocol must begin with /".into());
        }
        Ok(())
    }
}

impl ProtocolConfig {
    fn validate(&self) -> Result<(), Error> {
        let fail = |text: &str| Err(Error::Config(format!("protocol {}: {text}", self.name)));
        if !self.name.starts_with('/') || self.name.len() > MAX_NAME_BYTES {
            return fail("the name must begin with / and be at most 255 bytes");
        }
        if self.max_request_bytes > MAX_EXCHANGE_BYTES
            || self.max_response_bytes > MAX_EXCHANGE_BYTES
        {
            return fail("at most 64 MiB per message");
        }
        if self.inbound_per_peer == 0 || self.inbound_total == 0 || self.outbound_per_peer == 0 {
            return fail("limits must be at least 1");
        }
        if self.inbound_total > 4096 || self.inbound_per_peer > 4096 {
            return fail("at most 4096 requests at once");
        }
        if self
            .busy_response
            .as_ref()
            .is_some_and(|busy| busy.len() > self.max_response_bytes)
        {
            return fail("busy_response exceeds max_response_bytes");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config
            .validate()
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn contradictions_are_named() {
        assert_eq!(complaint(|_| {}), "");
        assert!(complaint(|c| c.gossip.mesh_n_low = 99).contains("mesh_n_low"));
        assert!(complaint(|c| c.gossip.disconnect_score = 1.0).contains("disconnect_score"));
        assert!(complaint(|c| c.topics = vec![TopicConfig::new("", 1)]).contains("topic name"));
        let twice = vec![TopicConfig::new("a", 1), TopicConfig::new("a", 1)];
        assert!(complaint(|c| c.topics = twice).contains("twice"));
        let long = vec![ProtocolConfig::new("/x", 1, 2)];
        let narrow = |c: &mut Config| (c.protocols, c.max_reply_bytes) = (long, 1);
        assert!(complaint(narrow).contains("max_reply_bytes"));
        let mut protocol = ProtocolConfig::new("/x", 1, 1);
        protocol.busy_response = Some(vec![0; 2]);
        assert!(complaint(|c| c.protocols = vec![protocol]).contains("busy_response"));
    }
}
