//! Once a second: dialling, scores, and whatever is past its time.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::gossipsub::MessageAcceptance;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use super::{Service, network};
use crate::addr::split_peer;
use crate::dialer::Dial;
use crate::event::Event;
use crate::gossip;

/// What is left of a penalty after a second.
const FORGIVENESS: f64 = 0.99;
/// Most peers whose penalties are remembered; when full, the smallest is forgiven.
const MAX_PENALTIES: usize = 1024;
/// First pause between random walks through the Kademlia table while connections are missing; it doubles.
const WALK_MIN: Duration = Duration::from_secs(5);
/// Longest pause between random walks: a network smaller than the target must not be searched all day.
const WALK_MAX: Duration = Duration::from_secs(600);

/// When to look for more peers through Kademlia.
#[derive(Debug)]
pub(super) struct Walk {
    due: Instant,
    pause: Duration,
    /// Connections at the last walk: fewer now means that looking is worth the while again.
    peers: usize,
}

impl Walk {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            due: now,
            pause: WALK_MIN,
            peers: 0,
        }
    }

    fn is_due(&mut self, now: Instant, peers: usize) -> bool {
        if peers < self.peers {
            self.pause = WALK_MIN;
            self.due = self.due.min(now + WALK_MIN);
        }
        self.peers = peers;
        if now < self.due {
            return false;
        }
        self.due = now + self.pause;
        self.pause = (self.pause * 2).min(WALK_MAX);
        true
    }
}

/// Attempts to make a peer tell its topics by connecting anew, and how long they are remembered.
const MUTE_TRIES: u32 = 5;
const MUTE_MEMORY: Duration = Duration::from_secs(600);

impl Service {
    pub(super) fn on_tick(&mut self) {
        let now = Instant::now();
        self.dial_due();
        self.walk(now);
        self.outbox.expire(now);
        for topic in self.outbox.topics() {
            self.flush_outbox(&topic);
        }
        self.forward_again();
        self.forgive();
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.judge(peer);
        }
        let overstayed: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.guest_until.is_some_and(|until| until <= now))
            .map(|(id, _)| *id)
            .collect();
        for peer in overstayed {
            self.drop_peer(peer);
        }
        self.drop_nameless(now);
        self.reconnect_mute(now);
        // Requests whose exchange ended without the consumer's answer.
        self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
    }

    /// Reconnects with peers that should have joined topics and told none.
    fn reconnect_mute(&mut self, now: Instant) {
        let Some(mute_time) = self.config.mute_time else {
            return;
        };
        self.mute.retain(|_, (_, last)| *last + MUTE_MEMORY > now);
        let talking: HashSet<PeerId> = self
            .swarm
            .behaviour()
            .gossip
            .all_peers()
            .filter(|(_, topics)| !topics.is_empty())
            .map(|(peer, _)| *peer)
            .collect();
        let mute: Vec<PeerId> =
            self.peers
                .iter()
                .filter(|(peer, entry)| {
                    let whole = entry.identity.as_ref().is_some_and(|identity| {
                        identity.protocols.contains(&self.config.kad_protocol)
                    });
                    let tried = self.mute.get(*peer).map_or(0, |(times, _)| *times);
                    whole
                        && !talking.contains(*peer)
                        && entry.since + mute_time < now
                        && tried < MUTE_TRIES
                })
                .map(|(peer, _)| *peer)
                .collect();
        for peer in mute {
            tracing::debug!(%peer, "it told no topics; connecting anew");
            let (times, _) = self.mute.get(&peer).copied().unwrap_or((0, now));
            self.mute.insert(peer, (times + 1, now));
            // An error says that there was no connection.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Dials whoever is due.
    pub(super) fn dial_due(&mut self) {
        let now = Instant::now();
        let (outbound, peers) = (self.outbound(), self.peers.len());
        let gate = &self.swarm.behaviour().gate;
        let dials = self.dialer.due(
            now,
            outbound,
            peers,
            |peer| self.peers.contains_key(peer),
            |peer| gate.bars(peer, now),
        );
        for dial in dials {
            match dial {
                Dial::Bootstrap(index) => self.dial_bootstrap(index, now),
                Dial::Peer(peer, addrs) => {
                    let opts = DialOpts::peer_id(peer)
                        .condition(PeerCondition::DisconnectedAndNotDialing)
                        .addresses(addrs)
                        .build();
                    if self.swarm.dial(opts).is_err() {
                        self.dialer.failed(&peer, now);
                    }
                }
            }
        }
    }

    fn dial_bootstrap(&mut self, index: usize, now: Instant) {
        let (addr, peer) = split_peer(self.dialer.bootstrap_addr(index));
        let opts = match peer {
            Some(peer) => DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(vec![addr])
                .build(),
            None => DialOpts::unknown_peer_id().address(addr).build(),
        };
        let id = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.bootstrapping.insert(id, index);
            }
            Err(DialError::LocalPeerId { .. }) => self.dialer.bootstrap_is_own(index),
            Err(error) => {
                let retry_in = self
                    .dialer
                    .bootstrap_failed(index, now, self.peers.is_empty());
                self.events.notice(Event::BootstrapFailed {
                    addr: self.dialer.bootstrap_addr(index).clone(),
                    error: network::describe(&error),
                    retry_in,
                });
            }
        }
    }

    /// Looks for peers near a random place of the Kademlia table while connections are missing.
    fn walk(&mut self, now: Instant) {
        let peers = self.peers.len();
        if peers == 0 || self.outbound() >= self.config.target_outbound {
            return;
        }
        let Some(kad) = self.swarm.behaviour_mut().kad.as_mut() else {
            return;
        };
        if self.walk.is_due(now, peers) {
            kad.get_closest_peers(PeerId::random());
        }
    }

    /// Sends messages that met full queues to the mesh once more, as if they had just been accepted.
    fn forward_again(&mut self) {
        let local = *self.swarm.local_peer_id();
        for id in self.outbox.retry() {
            let gossip = &mut self.swarm.behaviour_mut().gossip;
            let accept = MessageAcceptance::Accept;
            gossip.report_message_validation_result(&gossip::raw_id(id), &local, accept);
        }
    }

    fn forgive(&mut self) {
        if self.penalties.is_empty() {
            return;
        }
        for penalty in self.penalties.values_mut() {
            penalty.points *= FORGIVENESS;
        }
        for (peer, _) in self.penalties.extract_if(|_, penalty| penalty.points < 0.1) {
            self.swarm
                .behaviour_mut()
                .gossip
                .set_application_score(&peer, 0.0);
        }
        while self.penalties.len() > MAX_PENALTIES {
            let smallest = self
                .penalties
                .iter()
                .min_by(|a, b| a.1.points.total_cmp(&b.1.points));
            let Some(smallest) = smallest.map(|(peer, _)| *peer) else {
                break;
            };
            self.penalties.remove(&smallest);
        }
        for peer in self.penalties.keys().copied().collect::<Vec<_>>() {
            self.apply_penalty(peer);
        }
    }

    pub(super) fn apply_penalty(&mut self, peer: PeerId) {
        if let Some(penalty) = self.penalties.get(&peer) {
            let gossip = &mut self.swarm.behaviour_mut().gossip;
            gossip.set_application_score(&peer, -penalty.points);
        }
    }

    /// Lets a peer go whose score is too low.
    pub(super) fn judge(&mut self, peer: PeerId) {
        let score = self.swarm.behaviour().gossip.peer_score(&peer);
        let Some(score) = score.filter(|score| *score < self.config.gossip.disconnect_score) else {
            return;
        };
        // What else it did costs it no second farewell.
        let is_going = self.swarm.behaviour().gate.bars(&peer, Instant::now());
        if is_going || !self.peers.contains_key(&peer) {
            return;
        }
        let reason = self
            .penalties
            .get(&peer)
            .and_then(|penalty| penalty.reason.clone());
        self.events.notice(Event::Misbehaved {
            peer,
            score,
            reason,
        });
        self.let_go(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_become_rare_and_resume_after_a_loss() {
        let mut now = Instant::now();
        let mut walk = Walk::new(now);
        let mut walks = 0;
        for _ in 0..3600 {
            walks += usize::from(walk.is_due(now, 3));
            now += Duration::from_secs(1);
        }
        assert!((8..15).contains(&walks), "{walks} walks in an hour");
        assert!(!walk.is_due(now, 3));
        assert!(!walk.is_due(now, 2));
        assert!(walk.is_due(now + WALK_MIN, 2));
    }
}
