//! The count again, naively, from the raw blocks: no state, no view, no tally of the node's. What is written here follows
//! from `proto/README.md` alone.

use std::collections::{BTreeMap, BTreeSet};

use votenode::chain::block::{BlockId, Header};
use votenode::chain::election::{Ballot, ElectionId, Method, Terms};
use votenode::chain::transaction::{Admission, Credential, Payload, Transaction, TxId};
use votenode::crypto::PublicKey;

/// A block as it was read.
pub struct RawBlock {
    pub id: BlockId,
    pub header: Header,
    pub transactions: Vec<Transaction>,
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
    /// What occurs twice although it may occur once, in words.
    pub twice: Vec<String>,
    /// Votes that a rule keeps out and that are there all the same, in words.
    pub wrong: Vec<String>,
    /// Voters who voted, of all elections.
    pub voters: u64,
}

/// Counts a chain, the first block being that of height 1.
pub fn recount(blocks: &[RawBlock], grace_ms: u64) -> Recount {
    let mut recount = Recount::default();
    let mut roll: BTreeMap<PublicKey, (String, u64)> = BTreeMap::new();
    let mut groups: BTreeMap<PublicKey, String> = BTreeMap::new();
    let mut spent: BTreeSet<PublicKey> = BTreeSet::new();
    let mut terms: BTreeMap<ElectionId, Terms> = BTreeMap::new();
    let mut ballots: BTreeMap<(ElectionId, PublicKey), Vec<u8>> = BTreeMap::new();
    for block in blocks {
        let at_ms = block.header.timestamp_ms;
        for transaction in &block.transactions {
            if !recount.transactions.insert(transaction.id()) {
                recount
                    .twice
                    .push(format!("transaction {}", transaction.id()));
            }
            match &transaction.payload {
                Payload::InvitationBatch { batch } => {
                    for key in batch.keys.iter() {
                        groups.insert(*key, batch.group.to_string());
                    }
                }
                Payload::InvitationRevoke { revoke } => {
                    for key in revoke.keys.iter() {
                        if !spent.insert(*key) {
                            recount.twice.push(format!("invitation {key:?}"));
                        }
                    }
                }
                Payload::Registration { registration } => {
                    let group = match &registration.admission {
                        Admission::Open { .. } => "open".to_owned(),
                        Admission::Invited { invitation, .. } => {
                            if !spent.insert(*invitation) {
                                recount.twice.push(format!("invitation {invitation:?}"));
                            }
                            groups.get(invitation).cloned().unwrap_or_default()
                        }
                    };
                    if roll.insert(registration.voter, (group, at_ms)).is_some() {
                        recount
                            .twice
                            .push(format!("voter {:?}", registration.voter));
                    }
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
                    if ballots.insert(place, choices.to_vec()).is_some() {
                        recount.twice.push(format!("a vote of {voter:?}"));
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
