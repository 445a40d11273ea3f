//! How many handshakes one source may have under way.
//!
//! The bound on all handshakes is no use against one address that begins them without end: it would hold every place,
//! and every newcomer would be refused. So each source has a part. A source is an IPv4 address, or the 64 bits of an
//! IPv6 address that name a subnet: whoever has one address of a subnet has them all.
//!
//! A behaviour of its own, since libp2p's limits know no addresses. It knows nothing of peers: before the handshake
//! nobody is anybody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::addr;

/// Why a connection was denied.
#[derive(Debug, thiserror::Error)]
#[error("its address has as many handshakes under way as one may have")]
pub(crate) struct Crowded;

/// One place that connections come from: an IPv4 address, or an IPv6 subnet with its last 64 bits zero.
fn source(addr: &Multiaddr) -> Option<IpAddr> {
    let source = match addr::ip(addr)?.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        v4 => v4,
    };
    Some(source)
}

/// Handshakes that others began and that have not ended yet, by source. Their number is bounded by the limit on all.
#[derive(Debug)]
pub(crate) struct Behaviour {
    most: u32,
    pending: HashMap<ConnectionId, IpAddr>,
    by_source: HashMap<IpAddr, u32>,
}

impl Behaviour {
    /// At most so many handshakes under way for each source.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            pending: HashMap::new(),
            by_source: HashMap::new(),
        }
    }

    fn begin(&mut self, id: ConnectionId, remote: &Multiaddr) -> Result<(), Crowded> {
        let Some(source) = source(remote) else {
            return Ok(());
        };
        let count = self.by_source.entry(source).or_default();
        if *count >= self.most {
            return Err(Crowded);
        }
        *count += 1;
        self.pending.insert(id, source);
        Ok(())
    }

    fn end(&mut self, id: ConnectionId) {
        let Some(source) = self.pending.remove(&id) else {
            return;
        };
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin(id, remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.end(id);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // Whether the handshake failed or somebody else said no.
        if let FromSwarm::ListenFailure(failure) = event {
            self.end(failure.connection_id);
        }
    }

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
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn begin(sources: &mut Behaviour, id: usize, from: &str) -> bool {
        let id = ConnectionId::new_unchecked(id);
        sources.begin(id, &from.parse().unwrap()).is_ok()
    }

    #[test]
    fn each_source_has_its_part_and_gets_it_back() {
        let mut sources = Behaviour::new(2);
        assert!(begin(&mut sources, 1, "/ip4/127.0.0.2/tcp/1"));
        assert!(begin(&mut sources, 2, "/ip4/127.0.0.2/udp/9/quic-v1"));
        assert!(!begin(&mut sources, 3, "/ip4/127.0.0.2/tcp/3"));
        assert!(begin(&mut sources, 4, "/ip4/127.0.0.1/tcp/1"));
        // One that was refused has no place to give back.
        sources.end(ConnectionId::new_unchecked(3));
        assert!(!begin(&mut sources, 5, "/ip4/127.0.0.2/tcp/5"));
        sources.end(ConnectionId::new_unchecked(1));
        assert!(begin(&mut sources, 6, "/ip4/127.0.0.2/tcp/6"));
        for id in [2, 4, 6] {
            sources.end(ConnectionId::new_unchecked(id));
        }
        assert!(sources.pending.is_empty() && sources.by_source.is_empty());
    }

    #[test]
    fn a_subnet_of_ip_6_is_one_source() {
        let mut sources = Behaviour::new(1);
        assert!(begin(&mut sources, 1, "/ip6/2001:db8::1/tcp/1"));
        assert!(!begin(&mut sources, 2, "/ip6/2001:db8::ffff:2/tcp/1"));
        assert!(begin(&mut sources, 3, "/ip6/2001:db8:0:1::1/tcp/1"));
        assert!(begin(&mut sources, 4, "/ip4/10.0.0.1/tcp/1"));
        assert!(!begin(&mut sources, 5, "/ip6/::ffff:10.0.0.1/tcp/1"));
        assert!(begin(&mut sources, 6, "/ip6/::ffff:10.0.0.2/tcp/1"));
    }
}
