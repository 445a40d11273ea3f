//! Taking blocks out of the tables again, in a reorganisation deeper than the tail.
//!
//! State is insert-only, so that leaving a block means deleting exactly the keys that its transactions inserted, which
//! their bodies tell.

use redb::{ReadableTable as _, WriteTransaction};

use super::apply::write_point;
use super::error::StoreError;
use super::record::{Counts, StoredVoter, decode};
use super::roll::kept_levels;
use super::snapshot::{Snapshot, decode_transactions};
use super::tables::{self, group_key, meta, node_key, vote_key};
use super::tail::Base;
use crate::chain::election::ElectionId;
use crate::chain::state::VoterTag;
use crate::chain::transaction::{Admission, Credential, Payload, Transaction, Vote};
use crate::crypto::PublicKey;
use crate::wire;

/// Takes the flushed blocks above `height` out of the tables, and makes the block there the flushed one.
pub(super) fn undo(
    transaction: &WriteTransaction,
    snapshot: &Snapshot,
    height: u64,
) -> Result<Base, StoreError> {
    let flushed = snapshot.tail().base();
    let mut undo = Undo {
        transaction,
        snapshot,
        counts: flushed.counts.clone(),
    };
    for above in (height + 1..=flushed.header.height).rev() {
        undo.block(above)?;
    }
    let (id, header) = snapshot.expect_main(height)?;
    undo.nodes(flushed.header.roll_size, header.roll_size)?;
    let roll = snapshot
        .at(height)
        .ok_or(StoreError::Inconsistent("a rewind to above the tip"))?
        .read_roll()?;
    write_point(transaction, meta::FLUSHED, &id, height)?;
    transaction
        .open_table(tables::META)?
        .insert(meta::COUNTS, wire::encode(&undo.counts).as_slice())?;
    Ok(Base {
        id,
        header,
        roll,
        counts: undo.counts,
    })
}

struct Undo<'a> {
    transaction: &'a WriteTransaction,
    snapshot: &'a Snapshot,
    counts: Counts,
}

fn lacking() -> StoreError {
    StoreError::Corrupt("the state lacks what a block inserted".to_owned())
}

/// One less, where less than none would mean that the tables contradict themselves.
fn decrease(count: &mut u64) -> Result<(), StoreError> {
    *count = count.checked_sub(1).ok_or_else(lacking)?;
    Ok(())
}

impl Undo<'_> {
    fn block(&mut self, height: u64) -> Result<(), StoreError> {
        let (id, _) = self.snapshot.expect_main(height)?;
        let body = self.snapshot.body(&id)?.ok_or_else(lacking)?;
        let transactions = decode_transactions(&body)?;
        // Backwards: votes go before the election that they are in.
        for undone in transactions.iter().rev() {
            self.undo_transaction(undone, height)?;
        }
        Ok(())
    }

    fn undo_transaction(&mut self, undone: &Transaction, height: u64) -> Result<(), StoreError> {
        self.transaction
            .open_table(tables::TRANSACTIONS)?
            .remove(undone.id().as_bytes())?
            .ok_or_else(lacking)?;
        decrease(&mut self.counts.transactions)?;
        match &undone.payload {
            Payload::Registration { registration } => {
                self.registration(&registration.voter, height)?;
                if let Admission::Invited { invitation, .. } = &registration.admission {
                    self.invitation_use(invitation)?;
                    decrease(&mut self.counts.invitations_spent)?;
                }
                Ok(())
            }
            Payload::InvitationBatch { batch } => {
                let mut table = self.transaction.open_table(tables::INVITATIONS)?;
                for key in batch.keys.iter() {
                    table.remove(key.as_bytes())?.ok_or_else(lacking)?;
                    decrease(&mut self.counts.invitations)?;
                }
                Ok(())
            }
            Payload::InvitationRevoke { revoke } => {
                for key in revoke.keys.iter() {
                    self.invitation_use(key)?;
                    decrease(&mut self.counts.invitations_revoked)?;
                }
                Ok(())
            }
            Payload::Election { election } => self.election(&election.id()),
            Payload::Vote { vote } => self.vote(vote),
            Payload::FinaliserChange { change } => {
                self.transaction
                    .open_table(tables::SET_CHANGES)?
                    .remove(change.set)?
                    .ok_or_else(lacking)?;
                Ok(())
            }
            Payload::Equivocation { equivocation } => self.conviction(&equivocation.finaliser),
            // It leaves nothing in the tables but its id.
            Payload::Reveal { .. } => Ok(()),
        }
    }

    fn registration(&mut self, voter: &PublicKey, height: u64) -> Result<(), StoreError> {
        let stored: StoredVoter = {
            let mut table = self.transaction.open_table(tables::VOTERS)?;
            let stored = table.remove(voter.as_bytes())?.ok_or_else(lacking)?;
            decode("voters", stored.value())?
        };
        self.transaction
            .open_table(tables::ROLL)?
            .remove(stored.roll_index)?
            .ok_or_else(lacking)?;
        // One entry stands for all registrations of the block in this group: the first takes it away.
        self.transaction
            .open_table(tables::GROUPS)?
            .remove(group_key(&stored.group, height).as_slice())?;
        decrease(&mut self.counts.voters)
    }

    fn invitation_use(&self, key: &PublicKey) -> Result<(), StoreError> {
        self.transaction
            .open_table(tables::INVITATION_USES)?
            .remove(key.as_bytes())?
            .ok_or_else(lacking)?;
        Ok(())
    }

    fn conviction(&self, finaliser: &PublicKey) -> Result<(), StoreError> {
        let number = self
            .transaction
            .open_table(tables::CONVICTED)?
            .remove(finaliser.as_bytes())?
            .ok_or_else(lacking)?
            .value();
        self.transaction
            .open_table(tables::CONVICTIONS)?
            .remove(number)?
            .ok_or_else(lacking)?;
        Ok(())
    }

    fn number(&self, id: &ElectionId) -> Result<u64, StoreError> {
        let table = self.transaction.open_table(tables::ELECTION_NUMBERS)?;
        let number = table.get(id.as_bytes())?.ok_or_else(lacking)?;
        Ok(number.value())
    }

    fn election(&mut self, id: &ElectionId) -> Result<(), StoreError> {
        let number = self.number(id)?;
        self.transaction
            .open_table(tables::ELECTION_NUMBERS)?
            .remove(id.as_bytes())?;
        self.transaction
            .open_table(tables::ELECTIONS)?
            .remove(number)?;
        self.transaction
            .open_table(tables::VOTE_COUNTS)?
            .remove(number)?;
        decrease(&mut self.counts.elections)
    }

    fn vote(&mut self, vote: &Vote) -> Result<(), StoreError> {
        let number = self.number(&vote.election)?;
        let tag = match &vote.credential {
            Credential::Pseudonymous { voter, .. } => VoterTag::Key(*voter),
            Credential::Anonymous { tag, .. } => VoterTag::Link(*tag),
        };
        self.transaction
            .open_table(tables::VOTES)?
            .remove(&vote_key(number, &tag))?
            .ok_or_else(lacking)?;
        let mut table = self.transaction.open_table(tables::VOTE_COUNTS)?;
        let mut count = table
            .get(number)?
            .map(|count| count.value())
            .ok_or_else(lacking)?;
        decrease(&mut count)?;
        table.insert(number, count)?;
        decrease(&mut self.counts.votes)
    }

    /// Takes away the roots that the roll of `old` leaves completed and that of `new` leaves did not.
    fn nodes(&self, old: u64, new: u64) -> Result<(), StoreError> {
        let mut table = self.transaction.open_table(tables::NODES)?;
        for level in kept_levels() {
            for index in new >> level..old >> level {
                table.remove(&node_key(level, index))?.ok_or_else(lacking)?;
            }
        }
        Ok(())
    }
}
