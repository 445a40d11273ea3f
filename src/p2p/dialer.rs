//! Whom to dial, and when: bootstrap addresses and candidates from every discovery mechanism, with growing pauses.
//!
//! Pure bookkeeping over a clock that is passed in; the service does the dialling and reports how it went.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::addr::split_peer;

/// Most candidates remembered. When full, somebody who never was reached makes room: whoever tells of peers can tell of
/// as many as he likes that do not exist.
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
    /// It said once who it is, and belonged here.
    proven: bool,
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
        if peer == self.local {
            return;
        }
        let mut addrs = addrs.into_iter().map(|addr| split_peer(&addr).0).peekable();
        if addrs.peek().is_none() || !self.has_room_for(&peer) {
            return;
        }
        let candidate = self.candidates.entry(peer).or_insert_with(|| Candidate {
            addrs: Vec::new(),
            attempts: Attempts::new(now),
            proven: false,
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

    /// Whether another candidate may be remembered; the least promising goes for it.
    fn has_room_for(&mut self, peer: &PeerId) -> bool {
        if self.candidates.len() < MAX_CANDIDATES || self.candidates.contains_key(peer) {
            return true;
        }
        let hopeless = self
            .candidates
            .iter()
            .filter(|(_, known)| !known.proven && known.attempts.failures > 0)
            .max_by_key(|(peer, known)| (known.attempts.failures, **peer))
            .map(|(peer, _)| *peer);
        hopeless.is_some_and(|hopeless| self.candidates.remove(&hopeless).is_some())
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
        // What bootstrap addresses take is theirs alone: candidates without end do not keep them waiting.
        let candidates = self.candidates.values();
        let candidates = candidates.filter(|c| c.attempts.under_way).count();
        let bootstraps = self.bootstrap.iter();
        let bootstraps = bootstraps.filter(|b| b.attempts.under_way).count();
        let missing = self.target.saturating_sub(outbound);
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
            if due <= now && (peers == 0 || bootstraps + dials.len() < missing) {
                entry.attempts.under_way = true;
                dials.push(Dial::Bootstrap(index));
            }
        }
        let wanted = missing
            .saturating_sub(candidates + bootstraps + dials.len())
            .min(DIALS_PER_ROUND);
        // Those who were here before first, then those who failed least; in no order that others can know beyond that.
        let mut due: Vec<(bool, u32, PeerId)> = self
            .candidates
            .iter()
            .filter(|(peer, candidate)| {
                let attempts = &candidate.attempts;
                !(attempts.under_way || attempts.due > now || is_connected(peer) || is_barred(peer))
            })
            .map(|(peer, candidate)| (!candidate.proven, candidate.attempts.failures, *peer))
            .collect();
        due.sort_by_key(|(unproven, failures, _)| (*unproven, *failures));
        for (_, _, peer) in due.into_iter().take(wanted) {
            if let Some(candidate) = self.candidates.get_mut(&peer) {
                candidate.attempts.under_way = true;
                dials.push(Dial::Peer(peer, candidate.addrs.clone()));
            }
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
            candidate.proven = true;
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
    fn a_crowd_that_does_not_exist_keeps_nobody_waiting() {
        let now = Instant::now();
        let mut dialer = Dialer::new(PeerId::random(), &[addr(1)], 8, now);
        assert_eq!(due(&mut dialer, now, 0, 0), [Dial::Bootstrap(0)]);
        dialer.bootstrap_failed(0, now, false);
        let friend = PeerId::random();
        dialer.add(friend, [addr(2)], now);
        dialer.identified(&friend, now);
        dialer.disconnected(&friend, now);
        for _ in 0..2 * MAX_CANDIDATES {
            dialer.add(PeerId::random(), [addr(3)], now);
        }
        assert_eq!(dialer.candidates.len(), MAX_CANDIDATES);
        // All places are taken by attempts that come to nothing.
        let dials = due(&mut dialer, now, 0, 1);
        assert_eq!(dials.len(), 8);
        let later = now + PAUSE_MIN * 2;
        assert_eq!(due(&mut dialer, later, 0, 1), [Dial::Bootstrap(0)]);
        let Dial::Peer(nobody, _) = &dials[0] else {
            panic!("a candidate is wanted")
        };
        dialer.failed(nobody, later);
        // The one who was here before comes first, and somebody new finds a place.
        dialer.bootstrap_failed(0, later, false);
        assert_eq!(
            due(&mut dialer, later, 0, 1),
            [Dial::Peer(friend, vec![addr(2)])]
        );
        let newcomer = PeerId::random();
        dialer.add(newcomer, [addr(4)], later);
        assert!(dialer.candidates.contains_key(&newcomer));
        assert!(!dialer.candidates.contains_key(nobody));
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
