//! Which addresses are worth dialling, judged from the text of the address alone.
//!
//! Peers tell each other every address they listen on, loopback and private ones included. Dialling `127.0.0.1`
//! because a machine across the country listens there would at best reach ourselves. So an address is taken only if
//! the place it was heard from makes it plausible.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::core::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// This machine.
    Loopback,
    /// This site: private, shared (RFC 6598), unique local and IPv4 link-local addresses.
    Site,
    /// Anywhere; names count here, since what they resolve to is unknown.
    Global,
}

/// The scope of a dialable address; `None` if nobody can dial it (unspecified, multicast, port 0, IPv6 link-local
/// without its zone, no IP or DNS name).
pub(crate) fn scope(addr: &Multiaddr) -> Option<Scope> {
    let mut parts = addr.iter();
    let host = parts.next()?;
    match parts.next()? {
        Protocol::Tcp(port) | Protocol::Udp(port) if port != 0 => {}
        _ => return None,
    }
    match host {
        Protocol::Ip4(ip) => scope_v4(ip),
        Protocol::Ip6(ip) => scope_v6(ip),
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_) => {
            Some(Scope::Global)
        }
        _ => None,
    }
}

fn scope_v4(ip: Ipv4Addr) -> Option<Scope> {
    let [a, b, ..] = ip.octets();
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        None
    } else if ip.is_loopback() {
        Some(Scope::Loopback)
    } else if ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64) {
        Some(Scope::Site)
    } else {
        Some(Scope::Global)
    }
}

fn scope_v6(ip: Ipv6Addr) -> Option<Scope> {
    if let Some(ip) = ip.to_ipv4_mapped() {
        return scope_v4(ip);
    }
    if ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() {
        None
    } else if ip.is_loopback() {
        Some(Scope::Loopback)
    } else if ip.is_unique_local() {
        Some(Scope::Site)
    } else {
        Some(Scope::Global)
    }
}

/// Whether `addr`, told by a peer that is reached in `heard_from`, is worth dialling: an address reaches at least
/// as far as the connection it was heard over.
pub(crate) fn plausible(addr: &Multiaddr, heard_from: Scope) -> bool {
    scope(addr).is_some_and(|scope| scope >= heard_from)
}

/// The IP address at the front, if there is one.
pub(crate) fn ip(addr: &Multiaddr) -> Option<IpAddr> {
    match addr.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Splits a trailing `/p2p/PEER` off.
pub(crate) fn split_peer(addr: &Multiaddr) -> (Multiaddr, Option<PeerId>) {
    let mut addr = addr.clone();
    match addr.iter().last() {
        Some(Protocol::P2p(peer)) => {
            addr.pop();
            (addr, Some(peer))
        }
        _ => (addr, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(text: &str) -> Option<Scope> {
        scope(&text.parse().unwrap())
    }

    #[test]
    fn scopes() {
        assert_eq!(of("/ip4/127.0.0.1/tcp/1"), Some(Scope::Loopback));
        assert_eq!(of("/ip6/::1/udp/1/quic-v1"), Some(Scope::Loopback));
        assert_eq!(of("/ip4/192.168.7.7/tcp/1"), Some(Scope::Site));
        assert_eq!(of("/ip4/100.64.0.1/tcp/1"), Some(Scope::Site));
        assert_eq!(of("/ip6/fd00::1/tcp/1"), Some(Scope::Site));
        assert_eq!(of("/ip4/9.9.9.9/tcp/1"), Some(Scope::Global));
        assert_eq!(of("/dns/example.org/tcp/1"), Some(Scope::Global));
        for dead in [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/9.9.9.9/tcp/0",
            "/ip6/fe80::1/tcp/1",
            "/tcp/1",
            "/ip4/224.0.0.1/udp/1",
        ] {
            assert_eq!(of(dead), None, "{dead}");
        }
    }

    #[test]
    fn loopback_is_only_believed_from_loopback() {
        let addr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        assert!(plausible(&addr, Scope::Loopback));
        assert!(!plausible(&addr, Scope::Site));
        let addr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        assert!(plausible(&addr, Scope::Loopback) && plausible(&addr, Scope::Site));
        assert!(!plausible(&addr, Scope::Global));
    }

    #[test]
    fn the_peer_is_split_off() {
        let peer = PeerId::random();
        let addr: Multiaddr = format!("/ip4/1.2.3.4/tcp/5/p2p/{peer}").parse().unwrap();
        assert_eq!(
            split_peer(&addr),
            ("/ip4/1.2.3.4/tcp/5".parse().unwrap(), Some(peer))
        );
    }
}
