//! What the swarm itself reports: listeners, connections, dials.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId};

use super::{Connection, Peer, Service};
use crate::addr::split_peer;
use crate::allowance::Allowance;
use crate::behaviour::BehaviourEvent;
use crate::event::Event;
use crate::gate;

/// A connection that ends this early without the peer's identity was not wanted.
const TURNED_AWAY: Duration = Duration::from_secs(5);
/// Connections that two peers opened to each other within this time crossed.
const CROSSING: Duration = Duration::from_secs(3);
/// Identities taken from a peer at once: one per connection, and another for each address that it listens on or loses.
const IDENTITIES: u64 = 100;
/// In this time one is forgiven.
const IDENTITY_FORGIVEN: Duration = Duration::from_secs(5);

impl Service {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => self.on_closed(peer_id, connection_id),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => self.on_dial_failed(connection_id, peer_id, &error),
            SwarmEvent::NewListenAddr { address, .. } => {
                let addr = split_peer(&address).0;
                self.events.control(Event::Listening { addr });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let addr = split_peer(&address).0;
                self.events.control(Event::ListenStopped { addr });
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                if let Err(error) = reason {
                    let text = format!("a listener failed: {error}");
                    self.events.notice(Event::Warning { text });
                }
                for address in addresses {
                    let addr = split_peer(&address).0;
                    self.events.control(Event::ListenStopped { addr });
                }
            }
            SwarmEvent::NewExternalAddrCandidate { address } => {
                let addr = split_peer(&address).0;
                self.events.notice(Event::ExternalAddr {
                    addr,
                    confirmed: false,
                });
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                let addr = split_peer(&address).0;
                self.events.notice(Event::ExternalAddr {
                    addr,
                    confirmed: true,
                });
            }
            SwarmEvent::IncomingConnectionError { .. } => self.on_stillborn(),
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        let addr: Multiaddr = split_peer(endpoint.get_remote_address()).0;
        let outbound = endpoint.is_dialer();
        if let Some(index) = self.bootstrapping.remove(&id) {
            self.dialer.bootstrap_connected(index, peer, now);
        }
        self.dialling.remove(&id);
        if outbound {
            self.dialer.add(peer, [addr.clone()], now);
        }
        self.dialer.connected(&peer, now);
        let first = !self.peers.contains_key(&peer);
        let entry = self.peers.entry(peer).or_insert_with(|| Peer {
            connections: HashMap::new(),
            since: now,
            identity: None,
            guest_until: None,
            identities: Allowance::new(IDENTITIES, IDENTITY_FORGIVEN),
            rtt_ms: None,
            active: now,
            leaving: false,
        });
        // Whoever dials although connections are there knows nothing of them: it was started anew. What is sent over
        // the old ones is lost. Connections of the same moment are two that crossed.
        let stale: Vec<ConnectionId> = entry
            .connections
            .iter()
            .filter(|(_, old)| !outbound && old.since + CROSSING < now)
            .map(|(old, _)| *old)
            .collect();
        let connection = Connection {
            addr: addr.clone(),
            outbound,
            since: now,
            ping_failures: 0,
        };
        entry.connections.insert(id, connection);
        for old in stale {
            self.swarm.close_connection(old);
        }
        if first {
            self.apply_penalty(peer);
            self.events.control(Event::Connected {
                peer,
                addr,
                outbound,
            });
        }
        if !outbound {
            self.make_room(peer);
        }
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.connections.remove(&id);
        if entry.connections.is_empty() {
            let now = Instant::now();
            let unknown = entry.identity.is_none() && entry.guest_until.is_none();
            let turned_away = unknown
                && entry.since + TURNED_AWAY > now
                && !self.swarm.behaviour().gate.bars(&peer, now);
            self.peers.remove(&peer);
            self.dialer.disconnected(&peer, now);
            if turned_away {
                self.turned_away(peer);
            }
            self.events.control(Event::Disconnected { peer });
        }
    }

    /// A peer hung up before it said who it is. It may have been quicker to see that this node is foreign, or be full:
    /// dialling it again at once would only bother both.
    fn turned_away(&mut self, peer: PeerId) {
        self.dialer.failed(&peer, Instant::now());
        self.events.notice(Event::TurnedAway { peer });
        let Some(index) = self.dialer.bootstrap_of(&peer) else {
            return;
        };
        let alone = self.peers.is_empty();
        let retry_in = self.dialer.bootstrap_failed(index, Instant::now(), alone);
        self.events.notice(Event::BootstrapFailed {
            addr: self.dialer.bootstrap_addr(index).clone(),
            error: "it hung up at once, as nodes of another network do".into(),
            retry_in,
        });
    }

    fn on_dial_failed(&mut self, id: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        let now = Instant::now();
        if let Some(index) = self.bootstrapping.remove(&id) {
            if matches!(error, DialError::LocalPeerId { .. }) {
                self.dialer.bootstrap_is_own(index);
                return;
            }
            let retry_in = self
                .dialer
                .bootstrap_failed(index, now, self.peers.is_empty());
            self.events.notice(Event::BootstrapFailed {
                addr: self.dialer.bootstrap_addr(index).clone(),
                error: describe(error),
                retry_in,
            });
            return;
        }
        if let Some(addr) = self.dialling.remove(&id) {
            let error = describe(error);
            self.events.notice(Event::DialFailed { addr, error });
        } else if let Some(peer) = peer {
            tracing::debug!(%peer, error = describe(error), "dial failed");
            self.dialer.failed(&peer, now);
        }
    }
}

/// One line for people; libp2p's own text for failed transports spans several.
pub(super) fn describe(error: &DialError) -> String {
    match error {
        DialError::Transport(errors) => {
            // What the operating system says is at the bottom; what lies above only wraps it.
            let cause = |error: &dyn std::error::Error| {
                let mut cause = error.to_string();
                let mut source = error.source();
                while let Some(deeper) = source {
                    cause = deeper.to_string();
                    source = deeper.source();
                }
                cause.trim().replace('\n', " ")
            };
            if let [(_, error)] = errors.as_slice() {
                return cause(error);
            }
            let texts = errors
                .iter()
                .map(|(addr, error)| format!("{addr}: {}", cause(error)));
            texts.collect::<Vec<_>>().join("; ")
        }
        DialError::Denied { cause } if cause.downcast_ref::<gate::Barred>().is_some() => {
            gate::Barred.to_string()
        }
        DialError::WrongPeerId { obtained, .. } => {
            format!("somebody else answers there: {obtained}")
        }
        other => other.to_string(),
    }
}
