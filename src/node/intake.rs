//! What is under way between arrival and mempool: arrays with the verdicts on their items, and transactions that are held
//! for what they refer to. Bookkeeping and bounds; what happens to an item is decided in [`super::ingest`].

use std::collections::{BTreeMap, VecDeque};

use votenode_p2p::{MessageId, PeerId};

use super::Submitter;
use crate::chain::invalid::Invalid;
use crate::chain::transaction::{Kind, Transaction};
use crate::chain::verify::Verified;
use crate::planted::{self, Fault};
use crate::protocol::submit::{Outcome, Reason};

/// Most transactions held at once, all peers together: five full gossip messages.
pub(super) const MAX_HELD: usize = 5 * 1024;
/// Most arrays of one peer under way at once, and most transactions of one peer held: no peer takes the room of all.
const MAX_TICKETS_PER_PEER: usize = 128;
const MAX_HELD_PER_PEER: usize = 1024;

/// Who waits for the verdicts on an array.
#[derive(Debug)]
pub(super) enum Bringer {
    /// A gossip message.
    Gossip { id: MessageId, from: PeerId },
    /// A submitter.
    Submit(Submitter),
    /// A comparison of pools; nobody waits.
    Pool { from: PeerId },
    /// This node itself.
    Own,
}

/// What became of one item.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Accepted,
    Known,
    Invalid(Invalid),
    Full,
}

/// An array under way.
pub(super) struct Ticket {
    pub(super) bringer: Bringer,
    pub(super) fates: Vec<Option<Fate>>,
    pub(super) kinds: Vec<Kind>,
    pub(super) open: usize,
    pub(super) held: usize,
}

/// A transaction that waits for what it refers to.
pub(super) struct Held {
    pub(super) ticket: u64,
    pub(super) index: usize,
    pub(super) transaction: Verified<Transaction>,
    pub(super) deadline_ms: u64,
}

/// Whether there is room for another array of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Left,
    /// No: this node has yet to look at what the peer brought.
    Busy,
    /// No: most of what the peer brought refers to nothing that is known here.
    Held,
}

/// Everything under way between arrival and mempool.
#[derive(Default)]
pub(super) struct Intake {
    pub(super) tickets: BTreeMap<u64, Ticket>,
    pub(super) next_ticket: u64,
    pub(super) held: VecDeque<Held>,
}

impl Intake {
    /// Transactions held for what they refer to.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How much of what one peer may have under way a peer has.
    pub(super) fn room_of(&self, peer: &PeerId) -> Room {
        let (mut under_way, mut held) = (0, 0);
        for ticket in self.tickets.values().filter(|ticket| ticket.is_from(peer)) {
            under_way += 1;
            held += usize::from(ticket.held > 0);
        }
        if under_way < MAX_TICKETS_PER_PEER {
            Room::Left
        } else if 2 * held > under_way {
            Room::Held
        } else {
            Room::Busy
        }
    }

    /// Whether another transaction of this array may be held.
    pub(super) fn may_hold(&self, number: u64) -> bool {
        let Some(ticket) = self.tickets.get(&number) else {
            return false;
        };
        let theirs: usize = match &ticket.bringer {
            Bringer::Gossip { from, .. } | Bringer::Pool { from } => self
                .tickets
                .values()
                .filter(|ticket| ticket.is_from(from))
                .map(|ticket| ticket.held)
                .sum(),
            // Submissions are bounded by the protocol: a few requests a peer.
            Bringer::Submit(_) | Bringer::Own => 0,
        };
        self.held.len() < MAX_HELD && theirs < MAX_HELD_PER_PEER
    }

    /// A commit failed: what was told to be here is not. Whoever still waits for the rest of an array is asked to try
    /// again, which does no harm where the transaction is here after all.
    pub(super) fn forget_acceptances(&mut self) {
        for ticket in self.tickets.values_mut() {
            for fate in ticket.fates.iter_mut().flatten() {
                if matches!(fate, Fate::Accepted | Fate::Known) {
                    *fate = Fate::Full;
                }
            }
        }
    }

    /// When the first of the held ones is given up.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.held.front().map(|held| held.deadline_ms)
    }
}

impl Ticket {
    pub(super) fn is_from(&self, peer: &PeerId) -> bool {
        match &self.bringer {
            Bringer::Gossip { from, .. } | Bringer::Pool { from } => from == peer,
            Bringer::Submit(_) | Bringer::Own => false,
        }
    }
}

impl Fate {
    pub(super) fn is_wrong_everywhere(&self) -> bool {
        let Self::Invalid(invalid) = self else {
            return false;
        };
        let unknown = matches!(invalid, Invalid::NotRegistered | Invalid::UnknownElection);
        invalid.in_every_state() || unknown && planted::is(Fault::UnknownIsLie)
    }

    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Self::Accepted => Outcome::Accepted {},
            Self::Known => Outcome::Duplicate {},
            Self::Full => Outcome::Busy {},
            Self::Invalid(invalid) => Outcome::Rejected {
                reason: Reason::from(&invalid),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(peer: PeerId, held: usize) -> Ticket {
        Ticket {
            bringer: Bringer::Pool { from: peer },
            fates: vec![None],
            kinds: vec![Kind::Vote],
            open: 1,
            held,
        }
    }

    #[test]
    fn a_peer_has_its_room_and_no_more() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let mut intake = Intake::default();
        for number in 0..MAX_TICKETS_PER_PEER as u64 {
            assert_eq!(intake.room_of(&peer), Room::Left);
            intake.tickets.insert(number, of(peer, 0));
        }
        assert_eq!(intake.room_of(&peer), Room::Busy);
        assert_eq!(intake.room_of(&other), Room::Left);
        // What waits for something unknown is told apart from what waits for this node.
        for ticket in intake.tickets.values_mut() {
            ticket.held = 1;
        }
        assert_eq!(intake.room_of(&peer), Room::Held);
        intake.tickets.pop_first();
        assert_eq!(intake.room_of(&peer), Room::Left);
    }
}
