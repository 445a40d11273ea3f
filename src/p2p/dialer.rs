//! Whom to dial, and when: bootstrap addresses and candidates from every discovery mechanism, with growing pauses.
//!
//! Pure bookkeeping over a clock that is passed in; the service does the dialling and reports how it went.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::addr::split_peer;

/// Most candidates remembered; when full, newcomers wait until somebody is dropped.
const MAX_CANDIDATES: usize = 1024;
/// Most addresses remembered per candidate.
const MAX_ADDRS: usize = 8;
/// Dials started per round, so that a long peer book does not storm the network.
const DIALS_PER_ROUND: usize = 8;
/// Failures in a row after which a candidate is forgotten (discovery may bring it back).
const MAX_FAILURES: u32 = 8;
/// First pause after a failure; it doubles from there.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause for candidates.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Longest pause for bootstrap addresses while there is no peer at all: somebody is waiting for this node.
const PAUSE_ALONE: Duration = Duration::from_secs(15);

/// Something to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dial {
    /// A bootstrap address, by its index.
    Bootstrap(usize),
    /// A known peer.
    Peer(PeerId, Vec<Multiaddr>),
}

#[derive(Debug)]
struct Attempts {
    /// Not before.
    due: Instant,
    failures: u32,
    under_way: bool,
}

impl Attempts {
    fn new(now: Instant) -> Self {
        Self {
            due: now,
            failures: 0,
            under_way: false,
        }
    }

    /// Books a failure and returns the pause that follows: doubling, spread by ±25 % so that nodes that lost the same
    /// peer do not come back in step.
    fn failed(&mut self, now: Instant) -> Duration {
        let base = PAUSE_MIN * 2u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let spread = (RandomState::new().hash_one(self.failures) % 500) as f64 / 1000.0;
        let pause = base.min(PAUSE_MAX).mul_f64(0.75 + spread);
        self.due = now + pause;
        self.under_way = false;
        pause
    }

    /// Somebody is there; earlier failures still count.
    fn answered(&mut self, now: Instant) {
        self.due = now;
        self.under_way = false;
    }
}

#[derive(Debug)]
struct Bootstrap {
    addr: Multiaddr,
    /// Who answers there: pinned by the address, or learnt.
    peer: Option<PeerId>,
    /// It is this node itself.
    own: bool,
    attempts: Attempts,
}

#[derive(Debug)]
struct Candidate {
    addrs: Vec<Multiaddr>,
    attempts: Attempts,
}

#[derive(Debug)]
pub(crate) struct Dialer {
    bootstrap: Vec<Bootstrap>,
    candidates: HashMap<PeerId, Candidate>,
    local: PeerId,
    target: usize,
}

impl Dialer {
    pub(crate) fn new(local: PeerId, bootstrap: &[Multiaddr], target: usize, now: Instant) -> Self {
        let bootstrap = bootstrap.iter().map(|addr| {
            let peer = split_peer(addr).1;
            Bootstrap {
                addr: addr.clone(),
                peer,
                own: peer == Some(local),
                attempts: Attempts::new(now),
            }
        });
        Self {
            bootstrap: bootstrap.collect(),
            candidates: HashMap::new(),
            local,
            target,
        }
    }

    pub(crate) fn bootstrap_addr(&self, index: usize) -> &Multiaddr {
        &self.bootstrap[index].addr
    }

    /// Adds addresses of a peer; new ones make it due at once.
    pub(crate) fn add(
        &mut self,
        peer: PeerId,
        addrs: impl IntoIterator<Item = Multiaddr>,
        now: Instant,
    ) {
        if peer == self.local
            || (self.candidates.len() >= MAX_CANDIDATES && !self.candidates.contains_key(&peer))
        {
            return;
        }
        let mut addrs = addrs.into_iter().map(|addr| split_peer(&addr).0).peekable();
        if addrs.peek().is_none() {
            return;
        }
        let candidate = self.candidates.entry(peer).or_insert_with(|| Candidate {
            addrs: Vec::new(),
            attempts: Attempts::new(now),
        });
        for addr in addrs {
            if candidate.addrs.contains(&addr) {
                continue;
            }
            if candidate.addrs.len() >= MAX_ADDRS {
                candidate.addrs.remove(0);
            }
            candidate.addrs.push(addr);
            if !candidate.attempts.under_way {
                candidate.attempts.due = now;
            }
        }
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.candidates.remove(peer);
    }

    /// What to dial now. Everything returned counts as under way until one of the outcomes below is reported.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        outbound: usize,
        peers: usize,
        is_connected: impl Fn(&PeerId) -> bool,
        is_barred: impl Fn(&PeerId) -> bool,
    ) -> Vec<Dial> {
        let under_way = self
            .candidates
            .values()
            .filter(|c| c.attempts.under_way)
            .count()
            + self
                .bootstrap
                .iter()
                .filter(|b| b.attempts.under_way)
                .count();
        let wanted = self
            .target
            .saturating_sub(outbound + under_way)
            .min(DIALS_PER_ROUND);
        let mut dials = Vec::new();
        for (index, entry) in self.bootstrap.iter_mut().enumerate() {
            let useless = entry
                .peer
                .is_some_and(|p| is_connected(&p) || is_barred(&p));
            if entry.own || entry.attempts.under_way || useless {
                continue;
            }
            let due = if peers == 0 {
                entry.attempts.due.min(now + PAUSE_ALONE)
            } else {
                entry.attempts.due
            };
            entry.attempts.due = due;
            // Alone, every bootstrap address is tried; otherwise they are candidates like any other.
            if due <= now && (peers == 0 || dials.len() < wanted) {
                entry.attempts.under_way = true;
                dials.push(Dial::Bootstrap(index));
            }
        }
        for (peer, candidate) in &mut self.candidates {
            if dials.len() >= wanted {
                break;
            }
            let attempts = &mut candidate.attempts;
            if attempts.under_way || attempts.due > now || is_connected(peer) || is_barred(peer) {
                continue;
            }
            attempts.under_way = true;
            dials.push(Dial::Peer(*peer, candidate.addrs.clone()));
        }
        dials
    }

    /// A bootstrap address answered as `peer`.
    pub(crate) fn bootstrap_connected(&mut self, index: usize, peer: PeerId, now: Instant) {
        let entry = &mut self.bootstrap[index];
        entry.peer = Some(peer);
        entry.attempts.answered(now);
    }

    /// The bootstrap address at which this peer answered last.
    pub(crate) fn bootstrap_of(&self, peer: &PeerId) -> Option<usize> {
        self.bootstrap
            .iter()
            .position(|entry| entry.peer == Some(*peer))
    }

    /// A bootstrap address failed; returns the pause until the next attempt.
    pub(crate) fn bootstrap_failed(&mut self, index: usize, now: Instant, alone: bool) -> Duration {
        let attempts = &mut self.bootstrap[index].attempts;
        let pause = attempts.failed(now);
        if alone && pause > PAUSE_ALONE {
            attempts.due = now + PAUSE_ALONE;
            return PAUSE_ALONE;
        }
        pause
    }

    /// A bootstrap address turned out to be this node.
    pub(crate) fn bootstrap_is_own(&mut self, index: usize) {
        self.bootstrap[index].own = true;
        self.bootstrap[index].attempts.under_way = false;
    }

    /// There is a connection to `peer`. Whether it wants this node shows when it says who it is.
    pub(crate) fn connected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(peer) {
            candidate.attempts.answered(now);
        }
    }

    /// `peer` said who it is, and belongs here: earlier failures are forgotten.
    pub(crate) fn identified(&mut self, peer: &PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(peer) {
            candidate.attempts = Attempts::new(now);
        }
        for entry in self.bootstrap.iter_mut().filter(|b| b.peer == Some(*peer)) {
            entry.attempts = Attempts::new(now);
        }
    }

    /// The last connection to `peer` is gone: it is due again after a short pause.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(candidate) = self.candidates.get_mut(peer) {
            candidate.attempts.due = now + PAUSE_MIN;
        }
        for entry in self.bootstrap.iter_mut().filter(|b| b.peer == Some(*peer)) {
            entry.attempts.due = now + PAUSE_MIN;
        }
    }

    /// Dialling `peer` failed, or it hung up before it said who it is.
    pub(crate) fn failed(&mut self, peer: &PeerId, now: Instant) {
        let Some(candidate) = self.candidates.get_mut(peer) else {
            return;
        };
        candidate.attempts.failed(now);
        if candidate.attempts.failures >= MAX_FAILURES {
            self.candidates.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn addr(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn due(dialer: &mut Dialer, now: Instant, outbound: usize, peers: usize) -> Vec<Dial> {
        dialer.due(now, outbound, peers, |_| false, |_| false)
    }

    #[test]
    fn bootstrap_is_retried_for_ever_while_alone() {
        let mut now = Instant::now();
        let mut dialer = Dialer::new(PeerId::random(), &[addr(1)], 8, now);
        for _ in 0..50 {
            assert_eq!(due(&mut dialer, now, 0, 0), [Dial::Bootstrap(0)]);
            assert_eq!(due(&mut dialer, now, 0, 0), [], "one attempt at a time");
            let pause = dialer.bootstrap_failed(0, now, true);
            assert!(pause <= PAUSE_ALONE, "{pause:?}");
            now += pause;
        }
    }

    #[test]
    fn losing_everybody_shortens_the_pause() {
        let now = Instant::now();
        let mut dialer = Dialer::new(PeerId::random(), &[addr(1)], 8, now);
        for _ in 0..12 {
            dialer.bootstrap_failed(0, now, false);
        }
        assert_eq!(due(&mut dialer, now, 0, 0), []);
        assert_eq!(
            due(&mut dialer, now + PAUSE_ALONE, 0, 0),
            [Dial::Bootstrap(0)]
        );
    }

    #[test]
    fn the_target_bounds_dialling() {
        let now = Instant::now();
        let mut dialer = Dialer::new(PeerId::random(), &[], 3, now);
        for port in 1..=10 {
            dialer.add(PeerId::random(), [addr(port)], now);
        }
        assert_eq!(due(&mut dialer, now, 1, 1).len(), 2);
        assert_eq!(due(&mut dialer, now, 1, 1).len(), 0, "two are under way");
        assert_eq!(due(&mut dialer, now, 3, 3).len(), 0);
    }

    #[test]
    fn a_hopeless_candidate_is_forgotten_and_may_come_back() {
        let mut now = Instant::now();
        let mut dialer = Dialer::new(PeerId::random(), &[], 3, now);
        let peer = PeerId::random();
        dialer.add(peer, [addr(1)], now);
        for _ in 0..MAX_FAILURES {
            assert_eq!(due(&mut dialer, now, 0, 0).len(), 1);
            dialer.failed(&peer, now);
            now += PAUSE_MAX * 2;
        }
        assert_eq!(due(&mut dialer, now, 0, 0), []);
        dialer.add(peer, [addr(1)], now);
        assert_eq!(due(&mut dialer, now, 0, 0).len(), 1);
    }

    #[test]
    fn whoever_hangs_up_at_once_is_tried_ever_less_often() {
        let mut now = Instant::now();
        let mut dialer = Dialer::new(PeerId::random(), &[addr(1)], 3, now);
        let (peer, other) = (PeerId::random(), PeerId::random());
        dialer.add(peer, [addr(2)], now);
        let mut last = Duration::ZERO;
        for _ in 0..4 {
            assert_eq!(due(&mut dialer, now, 0, 0).len(), 2);
            dialer.bootstrap_connected(0, other, now);
            dialer.connected(&peer, now);
            dialer.failed(&peer, now);
            let pause = dialer.bootstrap_failed(0, now, false);
            assert!(pause > last, "{pause:?} after {last:?}");
            last = pause;
            now += pause * 2;
        }
        assert_eq!(due(&mut dialer, now, 0, 0).len(), 2);
        dialer.bootstrap_connected(0, other, now);
        dialer.connected(&peer, now);
        dialer.identified(&other, now);
        dialer.identified(&peer, now);
        assert!(dialer.bootstrap_failed(0, now, false) < PAUSE_MIN * 2);
        dialer.failed(&peer, now);
        assert_eq!(due(&mut dialer, now + PAUSE_MIN * 2, 0, 0).len(), 2);
    }

    #[test]
    fn own_barred_and_connected_ones_are_left_alone() {
        let now = Instant::now();
        let local = PeerId::random();
        let own: Multiaddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{local}").parse().unwrap();
        let mut dialer = Dialer::new(local, &[own, addr(2)], 3, now);
        dialer.add(local, [addr(1)], now);
        let peer = PeerId::random();
        dialer.add(peer, [addr(3)], now);
        dialer.bootstrap_is_own(1);
        assert_eq!(dialer.due(now, 0, 0, |p| *p == peer, |_| false), []);
        assert_eq!(dialer.due(now, 0, 0, |_| false, |p| *p == peer), []);
        assert_eq!(
            due(&mut dialer, now, 0, 0),
            [Dial::Peer(peer, vec![addr(3)])]
        );
    }
}
