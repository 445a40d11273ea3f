//! What a transaction does to the state at its position, and why it may not.

use std::sync::Arc;

use crate::chain::ballot::check_choices;
use crate::chain::checkpoint::ChangeError;
use crate::chain::election::{Ballot, Election, Privacy, Terms};
use crate::chain::genesis::{Group, OPEN_GROUP};
use crate::chain::invalid::{Failure, Feature, Invalid};
use crate::chain::network::Network;
use crate::chain::state::{
    Conviction, Delta, ElectionRecord, Invitation, InvitationUse, Position, RollEntry, SetChange,
    View, VoteRecord, Voter, VoterTag,
};
use crate::chain::transaction::{
    Admission, Credential, Equivocation, FinaliserChange, InvitationBatch, InvitationRevoke,
    Payload, Registration, Transaction, Vote,
};
use crate::chain::verify::Verified;
use crate::crypto::PublicKey;
use crate::planted::{self, Fault};

/// Where and when a transaction is, or would be, in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockTime {
    /// Height of the block.
    pub height: u64,
    /// Index within the block.
    pub index: u32,
    /// Timestamp of the block, Unix milliseconds.
    pub timestamp_ms: u64,
}

impl BlockTime {
    fn position(&self) -> Position {
        Position {
            height: self.height,
            index: self.index,
        }
    }
}

type Outcome = Result<Delta, Failure<Invalid>>;

/// What the transaction inserts into the state `view` at this position, or the rule that keeps it out.
pub fn apply_transaction<V: View + ?Sized>(
    view: &V,
    network: &Network,
    at: BlockTime,
    transaction: &Verified<Transaction>,
) -> Outcome {
    match &transaction.payload {
        Payload::Registration { registration } => apply_registration(view, at, registration),
        Payload::InvitationBatch { batch } => apply_batch(view, at, batch),
        Payload::InvitationRevoke { revoke } => apply_revoke(view, at, revoke),
        Payload::Election { election } => apply_election(view, at, transaction, election),
        Payload::Vote { vote } => apply_vote(view, network, at, vote),
        Payload::Reveal { .. } => unsupported(Feature::Reveal),
        Payload::FinaliserChange { change } => apply_change(view, network, at, change),
        Payload::Equivocation { equivocation } => apply_evidence(view, network, at, equivocation),
    }
}

fn unsupported(feature: Feature) -> Outcome {
    Err(Invalid::Unsupported(feature).into())
}

fn apply_registration<V: View + ?Sized>(
    view: &V,
    at: BlockTime,
    registration: &Registration,
) -> Outcome {
    if view.voter(&registration.voter)?.is_some() {
        return Err(Invalid::AlreadyRegistered.into());
    }
    let mut delta = Delta::default();
    let group = match &registration.admission {
        Admission::Open { .. } => Group::new(OPEN_GROUP).expect("a valid name"),
        Admission::Invited { invitation, .. } => {
            let group = unused(view, invitation)?.group;
            let used = InvitationUse::Spent(at.position());
            delta.invitation_uses.push((*invitation, used));
            group
        }
    };
    let entry = RollEntry {
        voter: registration.voter,
        ring_key: registration.ring_key,
        group: group.clone(),
    };
    let mut roll = view.roll()?;
    let voter = Voter {
        roll_index: roll.size(),
        group,
        registered_at_ms: at.timestamp_ms,
        position: at.position(),
    };
    roll.push(entry.leaf());
    delta.voters.push((entry, voter));
    delta.roll = Some(roll);
    Ok(delta)
}

/// The invitation, if it was issued and nothing became of it.
fn unused<V: View + ?Sized>(view: &V, key: &PublicKey) -> Result<Invitation, Failure<Invalid>> {
    let invitation = view
        .invitation(key)?
        .ok_or(Invalid::InvitationUnknown(*key))?;
    match invitation.used {
        None => Ok(invitation),
        Some(InvitationUse::Spent(_)) => Err(Invalid::InvitationSpent(*key).into()),
        Some(InvitationUse::Revoked(_)) => Err(Invalid::InvitationRevoked(*key).into()),
    }
}

fn apply_batch<V: View + ?Sized>(view: &V, at: BlockTime, batch: &InvitationBatch) -> Outcome {
    let mut delta = Delta::default();
    for key in batch.keys.iter() {
        if view.invitation(key)?.is_some() {
            return Err(Invalid::InvitationExists(*key).into());
        }
        let invitation = Invitation {
            group: batch.group.clone(),
            batch: at.position(),
            used: None,
        };
        delta.invitations.push((*key, invitation));
    }
    Ok(delta)
}

fn apply_revoke<V: View + ?Sized>(view: &V, at: BlockTime, revoke: &InvitationRevoke) -> Outcome {
    let mut delta = Delta::default();
    for key in revoke.keys.iter() {
        unused(view, key)?;
        let used = InvitationUse::Revoked(at.position());
        delta.invitation_uses.push((*key, used));
    }
    Ok(delta)
}

fn apply_election<V: View + ?Sized>(
    view: &V,
    at: BlockTime,
    transaction: &Verified<Transaction>,
    election: &Election,
) -> Outcome {
    let id = election.id();
    if view.election(&id)?.is_some() {
        return Err(Invalid::ElectionExists.into());
    }
    if at.timestamp_ms >= election.terms.closes_at_ms {
        return Err(Invalid::ElectionOver.into());
    }
    Ok(Delta {
        elections: vec![Arc::new(ElectionRecord {
            id,
            transaction: transaction.id(),
            position: at.position(),
            included_at_ms: at.timestamp_ms,
            election: election.clone(),
        })],
        ..Delta::default()
    })
}

/// What the election alone decides comes first, then the time, then the voter: so the reason given is one that the voter
/// can do something about.
fn apply_vote<V: View + ?Sized>(
    view: &V,
    network: &Network,
    at: BlockTime,
    vote: &Vote,
) -> Outcome {
    let record = view
        .election(&vote.election)?
        .ok_or(Invalid::UnknownElection)?;
    let terms = &record.election.terms;
    let Credential::Pseudonymous { voter: key, .. } = &vote.credential else {
        return unsupported(Feature::AnonymousVotes);
    };
    if terms.privacy != Privacy::Pseudonymous as u8 {
        return Err(Invalid::WrongCredential.into());
    }
    let Ballot::Open { choices } = &vote.ballot else {
        return unsupported(Feature::SealedBallots);
    };
    check_choices(terms, choices)?;

    let now_ms = at.timestamp_ms;
    if now_ms < terms.opens_at_ms {
        let wait_ms = terms.opens_at_ms - now_ms;
        return Err(Invalid::TooEarly { wait_ms }.into());
    }
    if now_ms >= terms.closes_at_ms.saturating_add(network.close_grace_ms)
        && !planted::is(Fault::LateVoteCounts)
    {
        let late_ms = now_ms.saturating_sub(terms.closes_at_ms);
        return Err(Invalid::TooLate { late_ms }.into());
    }

    if !planted::is(Fault::NoRollCheck) {
        check_roll(view, terms, key)?;
    }
    let tag = VoterTag::Key(*key);
    if view.vote(&record.id, &tag)?.is_some() && !planted::is(Fault::SecondVoteCounts) {
        return Err(Invalid::AlreadyVoted.into());
    }
    let vote = VoteRecord {
        position: at.position(),
        choices: choices.clone(),
    };
    Ok(Delta {
        votes: vec![(record.id, tag, vote)],
        ..Delta::default()
    })
}

/// Whether the electoral roll lets this voter take part in an election.
fn check_roll<V: View + ?Sized>(
    view: &V,
    terms: &Terms,
    key: &PublicKey,
) -> Result<(), Failure<Invalid>> {
    let voter = view.voter(key)?.ok_or(Invalid::NotRegistered)?;
    if voter.registered_at_ms >= terms.roll_closes_at_ms {
        return Err(Invalid::RegisteredTooLate.into());
    }
    if !terms.groups.contains(&voter.group) {
        return Err(Invalid::NotEligible { group: voter.group }.into());
    }
    Ok(())
}

fn apply_change<V: View + ?Sized>(
    view: &V,
    network: &Network,
    at: BlockTime,
    change: &FinaliserChange,
) -> Outcome {
    let latest = view.latest_finaliser_set(network)?;
    if change.set <= latest.number() {
        return Err(Invalid::SetExists(change.set).into());
    }
    latest.entitles(change).map_err(|error| match error {
        ChangeError::Number { claimed, expected } => Invalid::SetTooEarly {
            got: claimed,
            next: expected,
        },
        error => Invalid::NotApproved(error),
    })?;
    Ok(Delta {
        set_changes: vec![Arc::new(SetChange {
            position: at.position(),
            change: change.clone(),
        })],
        ..Delta::default()
    })
}

fn apply_evidence<V: View + ?Sized>(
    view: &V,
    network: &Network,
    at: BlockTime,
    equivocation: &Equivocation,
) -> Outcome {
    if !view.was_finaliser(network, &equivocation.finaliser)? {
        return Err(Invalid::NotAFinaliser(equivocation.finaliser).into());
    }
    if view.conviction(&equivocation.finaliser)?.is_some() {
        return Err(Invalid::AlreadyConvicted.into());
    }
    Ok(Delta {
        convictions: vec![Conviction {
            offence: equivocation.offence(),
            position: at.position(),
        }],
        ..Delta::default()
    })
}
