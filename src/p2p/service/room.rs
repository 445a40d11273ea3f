//! Who has to go when inbound connections run short.
//!
//! Identities are free, so whoever wants to can fill every place that is open to all and sit there. Were places given
//! to those who came first, nobody else would get in any more. So a few are kept free: when they are used up, the peer
//! that has done nothing for the longest time makes room. Whoever is let go for this may come back at once.

use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::{Peer, Service};
use crate::event::Event;

/// The part of the inbound places that is kept free. With fewer places than this none is.
const FREE_PART: usize = 8;
/// How long a peer may take to say who it is. Honest ones do within a few round trips.
const IDENTIFY_TIME: Duration = Duration::from_secs(20);
/// Connections a minute that may end before their handshake does without a word about it.
const MAX_STILLBORN: u64 = 200;
/// A minute.
const STILLBORN_SPAN: Duration = Duration::from_secs(60);

/// Inbound connections of this minute that ended before their handshake did. Nobody is known to have opened them.
#[derive(Debug, Default)]
pub(super) struct Stillborn {
    since: Option<Instant>,
    count: u64,
}

impl Stillborn {
    /// One more. Whether that is when many become too many.
    fn is_one_too_many(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| since + STILLBORN_SPAN < now) {
            self.since = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count == MAX_STILLBORN
    }
}

impl Service {
    /// An inbound connection ended before its handshake did, or was refused.
    pub(super) fn on_stillborn(&mut self) {
        if self.stillborn.is_one_too_many(Instant::now()) {
            let text = format!(
                "{MAX_STILLBORN} connections ended before their handshake did, within a minute: \
                 somebody may be keeping others out"
            );
            self.events.notice(Event::Warning { text });
        }
    }

    /// Notes that a peer does what peers are for.
    pub(super) fn is_active(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.active = Instant::now();
        }
    }

    /// Lets those go who have been idle longest, until some inbound places are free; never `newest`.
    pub(super) fn make_room(&mut self, newest: PeerId) {
        let places = usize::try_from(self.config.limits.max_inbound).unwrap_or(usize::MAX);
        let kept = places - places / FREE_PART;
        if kept == places {
            return;
        }
        let inbound = self.peers.values().map(Peer::inbound).sum::<usize>();
        let idle = self.peers.iter().filter(|(peer, entry)| {
            **peer != newest && !entry.leaving && entry.inbound() == entry.connections.len()
        });
        let mut idle: Vec<(Instant, usize, PeerId)> = idle
            .map(|(peer, entry)| (entry.active, entry.inbound(), *peer))
            .collect();
        idle.sort_unstable();
        let leaving = self.peers.values().filter(|entry| entry.leaving);
        let mut left = inbound - leaving.map(Peer::inbound).sum::<usize>();
        for (_, connections, peer) in idle {
            if left <= kept {
                return;
            }
            left -= connections;
            self.events.notice(Event::ShownOut {
                peer,
                reason: "idle for longest, it makes room for others",
            });
            if let Some(entry) = self.peers.get_mut(&peer) {
                entry.leaving = true;
            }
            // An error says that there was no connection.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Lets those go who did not say who they are.
    pub(super) fn drop_nameless(&mut self, now: Instant) {
        let nameless = self.peers.iter().filter(|(_, entry)| {
            entry.identity.is_none()
                && entry.guest_until.is_none()
                && entry.since + IDENTIFY_TIME < now
        });
        for peer in nameless.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.events.notice(Event::ShownOut {
                peer,
                reason: "it did not say who it is",
            });
            self.drop_peer(peer);
        }
    }
}

impl Peer {
    /// Connections that it opened.
    fn inbound(&self) -> usize {
        let connections = self.connections.values();
        connections
            .filter(|connection| !connection.outbound)
            .count()
    }
}
