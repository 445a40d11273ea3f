//! Who may not come in: peers banned for good, and peers held off for a while (foreign or misbehaving ones).
//!
//! A behaviour of its own rather than libp2p's block list, because holds expire. It denies connections in both
//! directions; closing those that exist is the service's business.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Most peers held at once. Identities are free, so a hold is a courtesy to both sides and no defence: when the list
/// is full, the hold that ends first makes room.
const MAX_HELD: usize = 1024;

/// Why a connection was denied.
#[derive(Debug, thiserror::Error)]
#[error("the peer is banned or held off")]
pub(crate) struct Barred;

#[derive(Debug, Default)]
pub(crate) struct Behaviour {
    banned: BTreeSet<PeerId>,
    held: HashMap<PeerId, Instant>,
}

impl Behaviour {
    pub(crate) fn new(banned: impl IntoIterator<Item = PeerId>) -> Self {
        Self {
            banned: banned.into_iter().collect(),
            held: HashMap::new(),
        }
    }

    pub(crate) fn ban(&mut self, peer: PeerId) {
        self.banned.insert(peer);
    }

    /// Lifts a ban or hold.
    pub(crate) fn pardon(&mut self, peer: &PeerId) {
        self.banned.remove(peer);
        self.held.remove(peer);
    }

    pub(crate) fn hold(&mut self, peer: PeerId, now: Instant, duration: Duration) {
        self.held.retain(|_, until| *until > now);
        if self.held.len() >= MAX_HELD {
            let first = self.held.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(peer, _)| *peer) {
                self.held.remove(&first);
            }
        }
        self.held.insert(peer, now + duration);
    }

    pub(crate) fn bars(&self, peer: &PeerId, now: Instant) -> bool {
        self.banned.contains(peer) || self.held.get(peer).is_some_and(|until| *until > now)
    }

    pub(crate) fn banned(&self) -> impl Iterator<Item = PeerId> {
        self.banned.iter().copied()
    }

    fn check(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        if self.bars(peer, Instant::now()) {
            return Err(ConnectionDenied::new(Barred));
        }
        Ok(())
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer {
            self.check(&peer)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_expire_bans_do_not() {
        let now = Instant::now();
        let (banned, held) = (PeerId::random(), PeerId::random());
        let mut gate = Behaviour::new([banned]);
        gate.hold(held, now, Duration::from_secs(5));
        assert!(gate.bars(&held, now) && gate.bars(&banned, now));
        let later = now + Duration::from_secs(6);
        assert!(!gate.bars(&held, later) && gate.bars(&banned, later));
        gate.pardon(&banned);
        assert!(!gate.bars(&banned, later));
    }

    #[test]
    fn the_list_of_holds_is_bounded() {
        let now = Instant::now();
        let mut gate = Behaviour::default();
        let first = PeerId::random();
        gate.hold(first, now, Duration::from_secs(1));
        for _ in 0..MAX_HELD {
            gate.hold(PeerId::random(), now, Duration::from_secs(9));
        }
        assert_eq!(gate.held.len(), MAX_HELD);
        assert!(
            !gate.bars(&first, now),
            "the hold that ends first made room"
        );
    }
}
