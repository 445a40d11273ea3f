//! Making transactions from secrets: what the client and the organisers' tools sign.
//!
//! Nothing here draws randomness or looks at a clock; what is made is checked by the same rules as everybody else's.

use std::sync::atomic::AtomicBool;

use crate::chain::checkpoint::{ChangeError, check_change};
use crate::chain::election::{Ballot, Choices, Election, ElectionId, Secrecy, Terms};
use crate::chain::form::check_election;
use crate::chain::genesis::{Group, NetworkId};
use crate::chain::invalid::Invalid;
use crate::chain::network::Network;
use crate::chain::transaction::{
    Admission, Approval, Credential, Equivocation, FinaliserChange, Finalisers, InvitationBatch,
    InvitationRevoke, MAX_INVITATION_KEYS, Payload, Registration, Transaction, Vote,
};
use crate::crypto::stamp::{StampError, find_stamp};
use crate::crypto::{Context, PublicKey, RingProof, Signature, SigningKey, VoterId};
use crate::wire::List;

/// Invitation keys of one batch or revocation.
pub type InvitationKeys = List<PublicKey, 1, MAX_INVITATION_KEYS>;

/// Registers a voter under open admission, with a stamp of `bits` bits: the search takes 2^bits hashes on average and
/// ends early when `cancel` is raised. `hedge` is fresh randomness for the ring key's proof, or zeros.
pub fn register_open(
    network: &NetworkId,
    voter: &VoterId,
    hedge: &[u8; 32],
    bits: u8,
    cancel: &AtomicBool,
) -> Result<Transaction, StampError> {
    let mut registration = registration(network, voter, hedge, |_| Admission::Open { stamp: 0 });
    let stamped = registration.stamp_payload();
    let stamp = find_stamp(Context::RegistrationStamp, &stamped, bits, cancel)?;
    registration.admission = Admission::Open { stamp };
    Ok(transaction(network, Payload::Registration { registration }))
}

/// Registers a voter with an invitation. `hedge` is fresh randomness for the ring key's proof, or zeros.
pub fn register_invited(
    network: &NetworkId,
    voter: &VoterId,
    hedge: &[u8; 32],
    invitation: &SigningKey,
) -> Transaction {
    let registration = registration(network, voter, hedge, |unsigned| Admission::Invited {
        invitation: invitation.public_key(),
        signature: invitation.sign(
            Context::SignInvitationUse,
            network.as_bytes(),
            &unsigned.invitation_payload(),
        ),
    });
    transaction(network, Payload::Registration { registration })
}

fn registration(
    network: &NetworkId,
    voter: &VoterId,
    hedge: &[u8; 32],
    admit: impl FnOnce(&Registration) -> Admission,
) -> Registration {
    let key = voter.signing_key();
    let ring = voter.ring_secret();
    let mut registration = Registration {
        voter: key.public_key(),
        ring_key: ring.ring_key(),
        ring_proof: RingProof::ZERO,
        admission: Admission::Open { stamp: 0 },
        signature: Signature::ZERO,
    };
    registration.ring_proof = ring.prove(network.as_bytes(), &registration.voter, hedge);
    registration.admission = admit(&registration);
    registration.signature = key.sign(
        Context::SignRegistration,
        network.as_bytes(),
        &registration.payload(),
    );
    registration
}

/// Makes invitations into a group valid.
pub fn issue_invitations(
    network: &NetworkId,
    organiser: &SigningKey,
    group: Group,
    keys: InvitationKeys,
) -> Transaction {
    let mut batch = InvitationBatch {
        group,
        keys,
        organiser: organiser.public_key(),
        signature: Signature::ZERO,
    };
    batch.signature = organiser.sign(
        Context::SignInvitationBatch,
        network.as_bytes(),
        &batch.payload(),
    );
    transaction(network, Payload::InvitationBatch { batch })
}

/// Takes unspent invitations back.
pub fn revoke_invitations(
    network: &NetworkId,
    organiser: &SigningKey,
    keys: InvitationKeys,
) -> Transaction {
    let mut revoke = InvitationRevoke {
        keys,
        organiser: organiser.public_key(),
        signature: Signature::ZERO,
    };
    revoke.signature = organiser.sign(
        Context::SignInvitationRevoke,
        network.as_bytes(),
        &revoke.payload(),
    );
    transaction(network, Payload::InvitationRevoke { revoke })
}

/// Opens an election with open ballots. Terms that the rules or the genesis refuse are refused here already.
pub fn open_election(
    network: &Network,
    organiser: &SigningKey,
    terms: Terms,
) -> Result<Transaction, Invalid> {
    let mut election = Election {
        terms,
        secrecy: Secrecy::Open {},
        organiser: organiser.public_key(),
        signature: Signature::ZERO,
    };
    check_election(network, &election)?;
    election.signature = organiser.sign(
        Context::SignElection,
        network.id().as_bytes(),
        &election.payload(),
    );
    Ok(transaction(&network.id(), Payload::Election { election }))
}

/// Casts an open, pseudonymous vote. Whether the choices fit the election is for
/// [`crate::chain::ballot::check_choices`] to say.
pub fn cast_vote(
    network: &NetworkId,
    voter: &VoterId,
    election: ElectionId,
    choices: Choices,
) -> Transaction {
    let key = voter.signing_key();
    let mut vote = Vote {
        election,
        ballot: Ballot::Open { choices },
        credential: Credential::Pseudonymous {
            voter: key.public_key(),
            signature: Signature::ZERO,
        },
    };
    let signature = key.sign(Context::SignVote, network.as_bytes(), &vote.payload());
    vote.credential = Credential::Pseudonymous {
        voter: key.public_key(),
        signature,
    };
    transaction(network, Payload::Vote { vote })
}

/// Approves, as a present finaliser, that `finalisers` become the set with this number.
pub fn approve_change(
    network: &NetworkId,
    finaliser: &SigningKey,
    set: u64,
    finalisers: &Finalisers,
) -> Approval {
    Approval {
        key: finaliser.public_key(),
        signature: finaliser.sign(
            Context::SignFinaliserChange,
            network.as_bytes(),
            &FinaliserChange::payload_of(set, finalisers),
        ),
    }
}

/// Changes the finalisers, with approvals from [`approve_change`] in any order, of one key only the first. Whether they
/// are signed and of enough power is for the chain to say.
pub fn change_finalisers(
    network: &NetworkId,
    set: u64,
    finalisers: Finalisers,
    approvals: List<Approval, 1, 64>,
) -> Result<Transaction, ChangeError> {
    let mut sorted = approvals.to_vec();
    sorted.sort_by_key(|approval| approval.key);
    sorted.dedup_by_key(|approval| approval.key);
    let change = FinaliserChange {
        set,
        finalisers,
        approvals: List::new(sorted).expect("no more than there were, and one at least"),
    };
    check_change(&change)?;
    Ok(transaction(network, Payload::FinaliserChange { change }))
}

/// Brings evidence against a finaliser into the chain.
pub fn convict(network: &NetworkId, equivocation: Equivocation) -> Transaction {
    transaction(network, Payload::Equivocation { equivocation })
}

fn transaction(network: &NetworkId, payload: Payload) -> Transaction {
    Transaction {
        network: network.tag(),
        payload,
    }
}
