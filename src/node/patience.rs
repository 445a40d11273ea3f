//! How much a peer may gossip that is neither wrong nor of any use: stale, known, about nothing that is known here.
//!
//! No single such message is held against anybody, since states differ for a moment. But each costs a hash, an id that
//! is remembered for minutes, and sometimes a signature; a peer that brings nothing else is no peer.

use std::collections::BTreeMap;

use votenode_p2p::PeerId;

/// Useless messages taken from a peer at once.
const MOST: u64 = 500;
/// Milliseconds in which one is forgiven. A useful message makes up for a useless one, too: under load honest peers
/// bring many of both.
const FORGIVEN_MS: u64 = 50;
/// Peers that are remembered. Whoever is forgiven everything is forgotten.
const MAX_PEERS: usize = 1_024;

#[derive(Clone, Copy, Debug)]
struct Account {
    useless: u64,
    since_ms: u64,
}

impl Account {
    fn forgive(&mut self, now_ms: u64) {
        let forgiven = now_ms.saturating_sub(self.since_ms) / FORGIVEN_MS;
        self.useless = self.useless.saturating_sub(forgiven);
        self.since_ms += forgiven * FORGIVEN_MS;
    }
}

/// Useless messages by peer.
#[derive(Debug, Default)]
pub(super) struct Patience(BTreeMap<PeerId, Account>);

impl Patience {
    /// A peer brought something useless. Says whether that is too much by now.
    pub(super) fn is_over(&mut self, peer: PeerId, now_ms: u64) -> bool {
        if self.0.len() >= MAX_PEERS && !self.0.contains_key(&peer) {
            self.make_room(now_ms);
        }
        let account = self.0.entry(peer).or_insert(Account {
            useless: 0,
            since_ms: now_ms,
        });
        account.forgive(now_ms);
        account.useless += 1;
        account.useless > MOST
    }

    /// A peer brought something useful.
    pub(super) fn useful(&mut self, peer: &PeerId) {
        if let Some(account) = self.0.get_mut(peer) {
            account.useless = account.useless.saturating_sub(1);
        }
    }

    fn make_room(&mut self, now_ms: u64) {
        self.0.retain(|_, account| {
            account.forgive(now_ms);
            account.useless > 0
        });
        if self.0.len() >= MAX_PEERS {
            let best = self.0.iter().min_by_key(|(_, account)| account.useless);
            if let Some(best) = best.map(|(peer, _)| *peer) {
                self.0.remove(&best);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_and_comes_back() {
        let (mut patience, peer) = (Patience::default(), PeerId::random());
        assert!((0..MOST).all(|_| !patience.is_over(peer, 0)));
        assert!(patience.is_over(peer, 0));
        assert!(!patience.is_over(peer, 10 * FORGIVEN_MS));
        assert!(!patience.is_over(PeerId::random(), 0));
    }

    #[test]
    fn whoever_brings_as_much_of_use_is_welcome() {
        let (mut patience, peer) = (Patience::default(), PeerId::random());
        for _ in 0..10 * MOST {
            assert!(!patience.is_over(peer, 0));
            patience.useful(&peer);
        }
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_the_worst() {
        let (mut patience, worst) = (Patience::default(), PeerId::random());
        for _ in 0..=MOST {
            patience.is_over(worst, 0);
        }
        for _ in 0..2 * MAX_PEERS {
            patience.is_over(PeerId::random(), 0);
        }
        assert!(patience.0.len() <= MAX_PEERS);
        assert!(patience.is_over(worst, 0));
    }
}
