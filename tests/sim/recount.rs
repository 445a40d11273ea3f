//! The count again, naively, from the raw blocks: no state, no view, no tally of the node's. What is written here follows
//! from `proto/README.md` alone.

use std::collections::{BTreeMap, BTreeSet};

use votenode::chain::block::{BlockId, Header};
use votenode::chain::election::{Ballot, ElectionId, Method, Terms};
use votenode::chain::genesis::NetworkId;
use votenode::chain::transaction::{Admission, Credential, Payload, Transaction, TxId};
use votenode::crypto::PublicKey;

use crate::signed::unsigned;

/// A block as it was read.
pub struct RawBlock {
    pub id: BlockId,
    pub header: Header,
    pub transactions: Vec<Transaction>,
}

/// What a transaction uses up, of which there is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// A voter's place on the roll.
    Voter(PublicKey),
    /// An invitation.
    Invitation(PublicKey),
    /// A voter's vote in an election.
    Ballot(ElectionId, PublicKey),
    /// The number of a set of finalisers.
    Set(u64),
}

/// What a transaction uses up.
pub fn claims(payload: &Payload) -> Vec<Claim> {
    match payload {
        Payload::Registration { registration } => {
            let mut claims = vec![Claim::Voter(registration.voter)];
            if let Admission::Invited { invitation, .. } = &registration.admission {
                claims.push(Claim::Invitation(*invitation));
            }
            claims
        }
        Payload::InvitationRevoke { revoke } => {
            let keys = revoke.keys.iter().copied();
            keys.map(Claim::Invitation).collect()
        }
        Payload::Vote { vote } => match &vote.credential {
            Credential::Pseudonymous { voter, .. } => vec![Claim::Ballot(vote.election, *voter)],
            Credential::Anonymous { .. } => Vec::new(),
        },
        Payload::FinaliserChange { change } => vec![Claim::Set(change.set)],
        _ => Vec::new(),
    }
}

/// How an election came out by the recount.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    pub closing_block: Option<BlockId>,
    pub votes: u64,
    pub blank: u64,
    pub totals: Vec<u64>,
    pub eligible: u64,
}

/// Everything that the chain amounts to.
#[derive(Debug, Default)]
pub struct Recount {
    pub elections: BTreeMap<ElectionId, Counted>,
    pub transactions: BTreeSet<TxId>,
    /// What is used up, and by what.
    pub claims: BTreeMap<Claim, TxId>,
    /// Invitations that were taken back.
    pub revoked: BTreeSet<PublicKey>,
    /// Changes of the finalisers.
    pub set_changes: u64,
    /// Timestamp of the last block.
    pub last_ms: u64,
    /// What occurs twice although it may occur once, in words.
    pub twice: Vec<String>,
    /// What a rule keeps out and is there all the same, in words.
    pub wrong: Vec<String>,
    /// Voters who voted, of all elections.
    pub voters: u64,
}

/// Counts a chain, the first block being that of height 1.
pub fn recount(blocks: &[RawBlock], network: &NetworkId, grace_ms: u64) -> Recount {
    let mut recount = Recount::default();
    let mut roll: BTreeMap<PublicKey, (String, u64)> = BTreeMap::new();
    let mut groups: BTreeMap<PublicKey, String> = BTreeMap::new();
    let mut terms: BTreeMap<ElectionId, Terms> = BTreeMap::new();
    let mut ballots: BTreeMap<(ElectionId, PublicKey), Vec<u8>> = BTreeMap::new();
    for block in blocks {
        let at_ms = block.header.timestamp_ms;
        recount.last_ms = at_ms;
        for transaction in &block.transactions {
            if !recount.transactions.insert(transaction.id()) {
                recount
                    .twice
                    .push(format!("transaction {}", transaction.id()));
            }
            let unsigned = unsigned(network, &transaction.payload);
            recount.wrong.extend(unsigned.map(str::to_owned));
            for claim in claims(&transaction.payload) {
                let id = transaction.id();
                if recount.claims.insert(claim.clone(), id).is_some() {
                    recount.twice.push(format!("{claim:?}"));
                }
            }
            match &transaction.payload {
                Payload::InvitationBatch { batch } => {
                    for key in batch.keys.iter() {
                        groups.insert(*key, batch.group.to_string());
                    }
                }
                Payload::InvitationRevoke { revoke } => {
                    recount.revoked.extend(revoke.keys.iter().copied());
                    if revoke.keys.iter().any(|key| !groups.contains_key(key)) {
                        recount
                            .wrong
                            .push("a revocation of what nobody issued".into());
                    }
                }
                Payload::Registration { registration } => {
                    let group = match &registration.admission {
                        Admission::Open { .. } => "open".to_owned(),
                        Admission::Invited { invitation, .. } => {
                            if !groups.contains_key(invitation) {
                                recount.wrong.push("an invitation of nobody".into());
                            }
                            groups.get(invitation).cloned().unwrap_or_default()
                        }
                    };
                    roll.insert(registration.voter, (group, at_ms));
                }
                Payload::Election { election } => {
                    terms.insert(election.id(), election.terms.clone());
                }
                Payload::Vote { vote } => {
                    let (Credential::Pseudonymous { voter, .. }, Ballot::Open { choices }) =
                        (&vote.credential, &vote.ballot)
                    else {
                        recount.wrong.push("a vote of another kind".into());
                        continue;
                    };
                    let why = match (terms.get(&vote.election), roll.get(voter)) {
                        (None, _) => Some("without an election"),
                        (_, None) => Some("of nobody on the roll"),
                        (Some(terms), Some((group, registered_ms))) => {
                            let closes_ms = terms.closes_at_ms + grace_ms;
                            if !(terms.opens_at_ms..closes_ms).contains(&at_ms) {
                                Some("outside the polls' hours")
                            } else if *registered_ms >= terms.roll_closes_at_ms {
                                Some("of one who registered too late")
                            } else if !terms.groups.iter().any(|g| g.to_string() == *group) {
                                Some("of another group")
                            } else {
                                None
                            }
                        }
                    };
                    if let Some(why) = why {
                        recount.wrong.push(format!("a vote {why}"));
                    }
                    let place = (vote.election, *voter);
                    ballots.insert(place, choices.to_vec());
                }
                Payload::FinaliserChange { change } => {
                    recount.set_changes += 1;
                    if change.set != recount.set_changes {
                        recount.wrong.push(format!("set {} now", change.set));
                    }
                }
                _ => {}
            }
        }
    }
    recount.voters = ballots.len() as u64;
    for (id, terms) in terms {
        let mut counted = Counted {
            closing_block: blocks
                .iter()
                .find(|block| block.header.timestamp_ms >= terms.closes_at_ms + grace_ms)
                .map(|block| block.id),
            votes: 0,
            blank: 0,
            totals: vec![0; terms.options.len()],
            eligible: roll
                .values()
                .filter(|(group, registered_ms)| {
                    *registered_ms < terms.roll_closes_at_ms
                        && terms.groups.iter().any(|g| g.to_string() == *group)
                })
                .count() as u64,
        };
        for ((_, _), choices) in ballots.iter().filter(|((of, _), _)| *of == id) {
            counted.votes += 1;
            if choices.is_empty() {
                counted.blank += 1;
            }
            if terms.method == Method::Plurality as u8 && choices.len() > 1 {
                recount
                    .wrong
                    .push("two options where one may be named".into());
            }
            for option in choices {
                counted.totals[usize::from(*option)] += 1;
            }
        }
        recount.elections.insert(id, counted);
    }
    recount
}
