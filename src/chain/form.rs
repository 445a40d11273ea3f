//! What a transaction has to be in itself, whatever the state: its network, shape, keys named twice, permissions of the
//! genesis, stamps. Cheap: at most one hash, no arithmetic on curves (`verify` does that).

use crate::chain::checkpoint::check_change_shape;
use crate::chain::election::{Ballot, Election, Method, Privacy, Secrecy};
use crate::chain::genesis::{Genesis, OPEN_GROUP, OpenAdmission, Organiser};
use crate::chain::invalid::{ElectionRule, EvidenceRule, Feature, Invalid, Permission};
use crate::chain::network::Network;
use crate::chain::transaction::{
    Admission, Credential, Equivocation, FinaliserChange, InvitationBatch, InvitationRevoke,
    Payload, Registration, Transaction, Vote,
};
use crate::crypto::{Context, PublicKey, stamp};
use crate::wire::MAX_UINT;

/// The latest time that an election may name, so that the longest grace after it is still a number of the wire.
pub const LATEST_MS: u64 = MAX_UINT - MAX_GRACE_MS;
/// The longest grace that a genesis may set: a day.
const MAX_GRACE_MS: u64 = 86_400_000;
/// Largest ring of an anonymous election, and so the largest `min_ring`.
const MAX_RING: u64 = 4_096;

/// Checks everything about a transaction that needs neither the state nor a signature.
pub fn check_form(network: &Network, transaction: &Transaction) -> Result<(), Invalid> {
    if transaction.network != network.tag() {
        return Err(Invalid::WrongNetwork);
    }
    match &transaction.payload {
        Payload::Registration { registration } => check_registration(network, registration),
        Payload::InvitationBatch { batch } => check_batch(network, batch),
        Payload::InvitationRevoke { revoke } => check_revoke(network, revoke),
        Payload::Election { election } => check_election(network, election),
        Payload::Vote { vote } => check_vote(vote),
        Payload::Reveal { .. } => Err(Invalid::Unsupported(Feature::Reveal)),
        Payload::FinaliserChange { change } => check_change(network, change),
        Payload::Equivocation { equivocation } => check_evidence(network, equivocation),
    }
}

fn has_finalisers(network: &Network) -> Result<(), Invalid> {
    if network.finalisers.is_empty() {
        Err(Invalid::NoFinalisers)
    } else {
        Ok(())
    }
}

fn check_change(network: &Network, change: &FinaliserChange) -> Result<(), Invalid> {
    has_finalisers(network)?;
    check_change_shape(change).map_err(Invalid::MalformedChange)
}

fn check_evidence(network: &Network, equivocation: &Equivocation) -> Result<(), Invalid> {
    has_finalisers(network)?;
    check_equivocation(equivocation).map_err(Invalid::MalformedEvidence)
}

/// Checks that the messages of evidence exclude each other and stand in their order, but for the signatures.
fn check_equivocation(equivocation: &Equivocation) -> Result<(), EvidenceRule> {
    let (first, second) = (&equivocation.first, &equivocation.second);
    let rule = |holds: bool, broken| if holds { Ok(()) } else { Err(broken) };
    rule(
        first.is_well_formed() && second.is_well_formed(),
        EvidenceRule::Message,
    )?;
    rule(
        (first.kind, first.height, first.round) == (second.kind, second.height, second.round),
        EvidenceRule::Conflict,
    )?;
    rule(first.payload() < second.payload(), EvidenceRule::Order)
}

fn check_registration(network: &Network, registration: &Registration) -> Result<(), Invalid> {
    match (&registration.admission, &network.open_admission) {
        (Admission::Invited { .. }, _) => Ok(()),
        (Admission::Open { .. }, OpenAdmission::Forbidden {}) => {
            Err(Invalid::OpenAdmissionForbidden)
        }
        (Admission::Open { stamp: nonce }, OpenAdmission::Stamped { bits }) => {
            let stamped = registration.stamp_payload();
            if stamp::check_stamp(Context::RegistrationStamp, &stamped, *nonce, *bits) {
                Ok(())
            } else {
                Err(Invalid::BadStamp { bits: *bits })
            }
        }
    }
}

fn check_batch(network: &Network, batch: &InvitationBatch) -> Result<(), Invalid> {
    may_invite(network, &batch.organiser)?;
    if batch.group.as_str() == OPEN_GROUP {
        return Err(Invalid::ReservedGroup);
    }
    all_different(&batch.keys)
}

fn check_revoke(network: &Network, revoke: &InvitationRevoke) -> Result<(), Invalid> {
    may_invite(network, &revoke.organiser)?;
    all_different(&revoke.keys)
}

fn may_invite(network: &Network, key: &PublicKey) -> Result<(), Invalid> {
    match network.organiser(key, Organiser::INVITE) {
        Some(_) => Ok(()),
        None => Err(Invalid::NotPermitted(Permission::Invite)),
    }
}

fn all_different(keys: &[PublicKey]) -> Result<(), Invalid> {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Invalid::DuplicateKey(pair[0])),
        None => Ok(()),
    }
}

fn check_vote(vote: &Vote) -> Result<(), Invalid> {
    if let Ballot::Sealed { .. } = vote.ballot {
        return Err(Invalid::Unsupported(Feature::SealedBallots));
    }
    if let Credential::Anonymous { .. } = vote.credential {
        return Err(Invalid::Unsupported(Feature::AnonymousVotes));
    }
    Ok(())
}

/// Checks the terms of an election, and that its organiser may open it. The signature and the keys are not checked.
pub fn check_election(network: &Network, election: &Election) -> Result<(), Invalid> {
    if network.elections_by == Genesis::ORGANISERS
        && network
            .organiser(&election.organiser, Organiser::OPEN_ELECTIONS)
            .is_none()
    {
        return Err(Invalid::NotPermitted(Permission::OpenElections));
    }
    let (method, privacy) = check_terms(election, network.close_grace_ms)
        .and_then(|found| check_secrecy(&election.secrecy).map(|()| found))
        .map_err(Invalid::MalformedElection)?;
    supported(method, privacy, &election.secrecy).map_err(Invalid::Unsupported)
}

fn check_terms(election: &Election, grace_ms: u64) -> Result<(Method, Privacy), ElectionRule> {
    let terms = &election.terms;
    let rule = |holds: bool, broken| if holds { Ok(()) } else { Err(broken) };

    let mut options: Vec<&str> = terms.options.iter().map(|option| option.as_str()).collect();
    options.sort_unstable();
    rule(
        options.windows(2).all(|pair| pair[0] != pair[1]),
        ElectionRule::OptionsDiffer,
    )?;
    let method = Method::from_number(terms.method).ok_or(ElectionRule::Method)?;
    let privacy = Privacy::from_number(terms.privacy).ok_or(ElectionRule::Privacy)?;
    rule(
        (1..options.len() as u64).contains(&terms.seats),
        ElectionRule::Seats,
    )?;
    rule(
        (terms.score_maximum > 0) == (method == Method::Score),
        ElectionRule::ScoreMaximum,
    )?;
    rule(
        terms.opens_at_ms < terms.closes_at_ms,
        ElectionRule::OpensBeforeClose,
    )?;
    rule(
        terms.closes_at_ms <= LATEST_MS && terms.reveal_until_ms <= MAX_UINT,
        ElectionRule::TimeRange,
    )?;
    let anonymous = privacy == Privacy::Anonymous;
    let roll_bound_ms = if anonymous {
        terms.opens_at_ms
    } else {
        terms.closes_at_ms
    };
    rule(
        terms.roll_closes_at_ms <= roll_bound_ms,
        ElectionRule::RollCloses,
    )?;
    rule(
        match election.secrecy {
            Secrecy::Open {} => terms.reveal_until_ms == 0,
            Secrecy::Sealed { .. } => {
                terms.reveal_until_ms > terms.closes_at_ms.saturating_add(grace_ms)
            }
        },
        ElectionRule::RevealUntil,
    )?;
    rule(
        if anonymous {
            (2..=MAX_RING).contains(&terms.min_ring)
        } else {
            terms.min_ring == 0
        },
        ElectionRule::MinRing,
    )?;
    rule(
        terms.groups.windows(2).all(|pair| pair[0] < pair[1]),
        ElectionRule::Groups,
    )?;
    Ok((method, privacy))
}

fn check_secrecy(secrecy: &Secrecy) -> Result<(), ElectionRule> {
    let Secrecy::Sealed {
        threshold,
        trustees,
    } = secrecy
    else {
        return Ok(());
    };
    let count = trustees.len() as u64;
    let fewest = if count == 1 { 1 } else { 2 };
    if !(fewest..=count).contains(threshold) {
        return Err(ElectionRule::Threshold);
    }
    let mut keys: Vec<_> = trustees.iter().map(|trustee| trustee.key).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ElectionRule::TrusteesDiffer);
    }
    Ok(())
}

/// What this release cannot hold, by name.
fn supported(method: Method, privacy: Privacy, secrecy: &Secrecy) -> Result<(), Feature> {
    if let Secrecy::Sealed { .. } = secrecy {
        return Err(Feature::SealedBallots);
    }
    if privacy == Privacy::Anonymous {
        return Err(Feature::AnonymousVotes);
    }
    match method {
        Method::Plurality | Method::Approval => Ok(()),
        Method::Score => Err(Feature::Score),
        Method::Irv => Err(Feature::Irv),
        Method::Schulze => Err(Feature::Schulze),
        Method::Stv => Err(Feature::Stv),
    }
}

#[cfg(test)]
mod tests;
