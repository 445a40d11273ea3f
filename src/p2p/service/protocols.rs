//! What the single behaviours report.

use std::time::Instant;

use libp2p::gossipsub::{self, MessageAcceptance};
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, identify, kad, mdns, ping};

use super::{Identity, Service, Waiting};
use crate::addr::{self, Scope};
use crate::behaviour::BehaviourEvent;
use crate::error::RequestError;
use crate::event::{Event, RequestId};
use crate::exchange;
use crate::gossip::{self, topic_hash};
use crate::handle::AnswerTo;

/// Most addresses believed per identify message.
const MAX_ADDRS: usize = 16;
/// Most characters kept of what a peer calls itself.
const MAX_AGENT: usize = 128;
/// Most protocols reported per peer.
const MAX_PROTOCOLS: usize = 64;
/// Pings in a row that may go unanswered before a connection counts as dead.
const MAX_PING_FAILURES: u32 = 2;
/// Score points for an answer that is none.
const MALFORMED_ANSWER_POINTS: f64 = 20.0;
/// Score points for an answer that did not come. Not enough ever to let go of a peer that is only slow: several a minute
/// are forgiven.
const NO_ANSWER_POINTS: f64 = 5.0;
/// Score points for an identity too many.
const IDENTITY_POINTS: f64 = 10.0;

impl Service {
    pub(super) fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Exchange(event) => self.on_exchange(event),
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => self.on_identified(connection_id, peer_id, info),
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => self.on_mdns(found),
            BehaviourEvent::Kad(event) => self.on_kad(event),
            // An expired mDNS record says nothing about a connection.
            BehaviourEvent::Mdns(mdns::Event::Expired(_)) | BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Limits(never)
            | BehaviourEvent::Memory(never)
            | BehaviourEvent::Gate(never) => match never {},
        }
    }

    fn on_gossip(&mut self, event: gossip::Event) {
        let event = match event {
            gossip::Event::Gossip(event) => event,
            gossip::Event::Abuse {
                peer,
                points,
                reason,
            } => return self.penalize(peer, points, reason.into()),
        };
        match event {
            gossipsub::Event::Message {
                propagation_source: from,
                message_id,
                message,
            } => {
                let topics = &self.config.topics;
                let topic = topics.iter().find(|t| topic_hash(&t.name) == message.topic);
                let id = gossip::parse_id(&message_id);
                let refusal = match (topic, id) {
                    (Some(topic), Some(id)) if message.data.len() <= topic.max_bytes => {
                        let event = Event::Gossip {
                            topic: topic.name.clone(),
                            id,
                            from,
                            data: message.data,
                        };
                        let bytes = match &event {
                            Event::Gossip { data, .. } => data.len(),
                            _ => 0,
                        };
                        if self.events.gossip(bytes, event) {
                            return;
                        }
                        MessageAcceptance::Ignore
                    }
                    _ => MessageAcceptance::Reject,
                };
                let gossip = &mut self.swarm.behaviour_mut().gossip;
                gossip.report_message_validation_result(&message_id, &from, refusal);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                self.on_subscription(peer_id, topic.as_str(), true);
                self.flush_outbox(topic.as_str());
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                self.on_subscription(peer_id, topic.as_str(), false);
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                tracing::debug!(peer = %peer_id, "peer does not speak gossipsub");
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "peer takes gossip too slowly");
            }
        }
    }

    fn on_subscription(&mut self, peer: PeerId, topic: &str, subscribed: bool) {
        self.events.notice(Event::Subscription {
            peer,
            topic: topic.into(),
            subscribed,
        });
    }

    fn on_exchange(&mut self, event: exchange::Event) {
        match event {
            exchange::Event::Request {
                peer,
                protocol,
                data,
                reply,
            } => {
                self.is_active(&peer);
                let id = self.fresh_id();
                let config = self.swarm.behaviour().exchange.protocol(protocol);
                let event = Event::Request {
                    peer,
                    protocol: config.name.clone(),
                    id: RequestId(id),
                    data,
                };
                if self.events.request(event) {
                    self.waiting.insert(id, Waiting { protocol, reply });
                } else {
                    // The exchange may have timed out meanwhile, then nobody listens.
                    let _ = reply.send(config.busy_response.clone());
                }
            }
            exchange::Event::Broken { peer, broken } => {
                self.penalize(peer, broken.points(), broken.to_string());
            }
            exchange::Event::Response { id, peer, result } => {
                self.judge_answer(peer, &result);
                self.answered(id, peer, result);
            }
        }
    }

    /// A peer owes a whole answer in time.
    fn judge_answer(&mut self, peer: PeerId, result: &Result<Vec<u8>, RequestError>) {
        let points = match result {
            Err(RequestError::Malformed(_)) => MALFORMED_ANSWER_POINTS,
            Err(RequestError::Timeout(_)) => NO_ANSWER_POINTS,
            Ok(_) => return self.is_active(&peer),
            Err(_) => return,
        };
        if let Err(error) = result {
            self.penalize(peer, points, error.to_string());
        }
    }

    fn answered(&mut self, id: u64, peer: PeerId, result: Result<Vec<u8>, RequestError>) {
        match self.asking.remove(&id) {
            Some(AnswerTo::Event(tag)) => {
                self.events.control(Event::Response { tag, peer, result });
            }
            Some(AnswerTo::Caller(caller)) => {
                // The caller may have stopped waiting.
                let _ = caller.send(result);
            }
            None => {}
        }
    }

    fn on_identified(&mut self, connection: ConnectionId, peer: PeerId, info: identify::Info) {
        if let Some(entry) = self.peers.get_mut(&peer)
            && !entry.identities.take(1, Instant::now())
        {
            let reason = "it says again and again who it is".to_owned();
            return self.penalize(peer, IDENTITY_POINTS, reason);
        }
        let agent = clean(&info.agent_version);
        let offers = |name: &String| info.protocols.iter().any(|p| p.as_ref() == name.as_str());
        let missing = self
            .config
            .required_protocols
            .iter()
            .find(|name| !offers(name));
        if let Some(missing) = missing.cloned() {
            if self.config.guest_protocols.iter().any(offers) {
                if let Some(entry) = self.peers.get_mut(&peer) {
                    let guest_time = self.config.guest_time;
                    entry
                        .guest_until
                        .get_or_insert_with(|| Instant::now() + guest_time);
                }
                return;
            }
            // Connections that crossed bring an identity each; the first was reason enough.
            let known = self.swarm.behaviour().gate.bars(&peer, Instant::now());
            self.let_go(peer);
            if !known {
                self.events.notice(Event::Foreign {
                    peer,
                    agent,
                    missing,
                });
            }
            return;
        }
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let heard_from = entry
            .connections
            .get(&connection)
            .and_then(|c| addr::scope(&c.addr));
        let heard_from = heard_from.unwrap_or(Scope::Global);
        let mut addrs: Vec<Multiaddr> = Vec::new();
        let dialled = entry
            .connections
            .values()
            .filter(|c| c.outbound)
            .map(|c| c.addr.clone());
        let told = info
            .listen_addrs
            .iter()
            .map(|addr| addr::split_peer(addr).0);
        for addr in dialled.chain(told.filter(|addr| addr::plausible(addr, heard_from))) {
            if addrs.len() < MAX_ADDRS && !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        let protocols = info
            .protocols
            .iter()
            .take(MAX_PROTOCOLS)
            .map(ToString::to_string);
        let mut identity = Identity {
            agent,
            protocols: protocols.collect(),
            addrs,
        };
        // Both come in any order.
        identity.protocols.sort_unstable();
        identity.addrs.sort_unstable();
        // Identify repeats itself per connection and every few minutes.
        if entry.identity.as_ref() == Some(&identity) {
            return;
        }
        entry.identity = Some(identity.clone());
        let Identity {
            agent,
            protocols,
            addrs,
        } = identity;
        self.dialer.add(peer, addrs.iter().cloned(), Instant::now());
        self.dialer.identified(&peer, Instant::now());
        // Only peers that serve the table belong into it.
        if protocols.contains(&self.config.kad_protocol)
            && let Some(kad) = self.swarm.behaviour_mut().kad.as_mut()
        {
            for addr in &addrs {
                kad.add_address(&peer, addr.clone());
            }
        }
        self.events.control(Event::Identified {
            peer,
            agent,
            protocols,
            addrs,
        });
    }

    /// Disconnects a peer, leaves it alone for a while and forgets its addresses.
    pub(super) fn let_go(&mut self, peer: PeerId) {
        let hold = self.config.foreign_hold;
        self.swarm
            .behaviour_mut()
            .gate
            .hold(peer, Instant::now(), hold);
        self.drop_peer(peer);
    }

    /// Disconnects a peer and forgets its addresses.
    pub(super) fn drop_peer(&mut self, peer: PeerId) {
        self.dialer.forget(&peer);
        if let Some(kad) = self.swarm.behaviour_mut().kad.as_mut() {
            kad.remove_peer(&peer);
        }
        // An error says that there was no connection.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    fn on_ping(&mut self, event: ping::Event) {
        let Some(peer) = self.peers.get_mut(&event.peer) else {
            return;
        };
        let Some(connection) = peer.connections.get_mut(&event.connection) else {
            return;
        };
        match event.result {
            Ok(rtt) => {
                connection.ping_failures = 0;
                let rtt_ms = u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX);
                peer.rtt_ms = Some(rtt_ms);
                self.events.notice(Event::Rtt {
                    peer: event.peer,
                    rtt_ms,
                });
            }
            Err(ping::Failure::Unsupported) => {}
            Err(_) => {
                connection.ping_failures += 1;
                if connection.ping_failures >= MAX_PING_FAILURES {
                    // TCP itself would take a quarter of an hour to notice a cable that was pulled.
                    self.swarm.close_connection(event.connection);
                }
            }
        }
    }

    fn on_mdns(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let scope = self.own_scope();
        let now = Instant::now();
        for (peer, addr) in found {
            if addr::plausible(&addr, scope) {
                self.dialer.add(peer, [addr], now);
            }
        }
        self.dial_due();
    }

    fn on_kad(&mut self, event: kad::Event) {
        let scope = self.own_scope();
        let now = Instant::now();
        let mut add = |peer: PeerId, addrs: Vec<Multiaddr>| {
            let addrs = addrs
                .into_iter()
                .filter(|addr| addr::plausible(addr, scope));
            self.dialer.add(peer, addrs, now);
        };
        match event {
            kad::Event::RoutingUpdated {
                peer, addresses, ..
            } => add(peer, addresses.into_vec()),
            kad::Event::RoutablePeer { peer, address }
            | kad::Event::PendingRoutablePeer { peer, address } => add(peer, vec![address]),
            kad::Event::OutboundQueryProgressed {
                result: kad::QueryResult::GetClosestPeers(Ok(found)),
                ..
            } => found
                .peers
                .into_iter()
                .for_each(|p| add(p.peer_id, p.addrs)),
            _ => {}
        }
    }
}

/// A peer's own words, fit for a log or a terminal.
fn clean(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(MAX_AGENT).collect()
}
