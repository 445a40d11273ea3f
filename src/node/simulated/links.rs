//! Links between hosts, cut and healed, and the power of each host.

use std::sync::Arc;

use votenode_p2p::PeerId;

use super::host::StartError;
use super::net::{Delivery, Net};
use crate::node::Input;

impl Net {
    pub(super) fn index_of(&self, peer: &PeerId) -> Option<usize> {
        self.hosts.iter().position(|host| host.peer == *peer)
    }

    pub(super) fn linked(&self, a: usize, b: usize) -> bool {
        let running = |host: usize| self.hosts[host].running.is_some();
        self.links.contains(&(a.min(b), a.max(b))) && running(a) && running(b)
    }

    /// Lets two hosts know each other.
    pub fn link(&mut self, a: usize, b: usize) {
        if self.links.insert((a.min(b), a.max(b))) && self.linked(a, b) {
            self.greet(a, b);
        }
    }

    fn greet(&mut self, a: usize, b: usize) {
        for (to, other) in [(a, b), (b, a)] {
            let peer = self.hosts[other].peer;
            self.send(to, 1, Delivery::Input(Input::PeerReady { peer }));
        }
    }

    /// Cuts the link between two hosts. Says whether there was one.
    pub fn unlink(&mut self, a: usize, b: usize) -> bool {
        let cut = self.links.remove(&(a.min(b), a.max(b)));
        if cut {
            for (to, other) in [(a, b), (b, a)] {
                let peer = self.hosts[other].peer;
                self.send(to, 1, Delivery::Input(Input::PeerGone { peer }));
            }
        }
        cut
    }

    /// Cuts every link between the two halves. Says how many there were.
    pub fn partition(&mut self, left: &[usize], right: &[usize]) -> usize {
        let mut cut = 0;
        for a in left {
            for b in right {
                cut += usize::from(self.unlink(*a, *b));
            }
        }
        cut
    }

    /// Links everybody again.
    pub fn heal(&mut self) {
        for b in 0..self.hosts.len() {
            for a in 0..b {
                self.link(a, b);
            }
        }
    }

    /// A host loses its power.
    pub fn crash(&mut self, host: usize) {
        self.hosts[host].crash();
        let peer = self.hosts[host].peer;
        for other in 0..self.hosts.len() {
            if self.links.contains(&(host.min(other), host.max(other))) {
                self.send(other, 1, Delivery::Input(Input::PeerGone { peer }));
            }
        }
    }

    /// Starts a host's node.
    pub fn start(&mut self, host: usize) {
        self.try_start(host).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Starts a host's node, if its disk allows.
    pub fn try_start(&mut self, host: usize) -> Result<(), StartError> {
        let (network, now) = (Arc::clone(&self.network), self.now(host));
        self.plant(host);
        self.hosts[host].start(&network, now)?;
        self.trace(host, b'+', &[]);
        self.send(host, 0, Delivery::Input(Input::Tick));
        for other in 0..self.hosts.len() {
            if self.linked(host, other) {
                self.greet(host, other);
            }
        }
        Ok(())
    }
}
