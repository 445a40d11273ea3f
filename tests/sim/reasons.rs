//! Whether a node tells the truth about what it dropped: its reason against the recount.

use votenode::chain::invalid::RULES;
use votenode::chain::transaction::{Admission, Credential, Payload, Transaction, TxId};
use votenode::protocol::submit::Reason;

use crate::recount::{Claim, Recount, claims};

/// Who took what this transaction wanted to use up, if somebody did.
pub fn taken(counted: &Recount, transaction: &Transaction) -> Option<Claim> {
    let id = transaction.id();
    let mut claims = claims(&transaction.payload).into_iter();
    claims.find(|claim| is_taken(counted, claim, &id))
}

fn is_taken(counted: &Recount, claim: &Claim, id: &TxId) -> bool {
    counted.claims.get(claim).is_some_and(|by| by != id)
}

/// The name of the rule that a reason speaks of.
fn rule_of(reason: &Reason) -> &'static str {
    let rule = RULES.iter().find(|(code, _)| *code == reason.code);
    rule.map_or("unknown", |(_, name)| *name)
}

/// Whether a reason says that something else was there first.
pub fn is_about_another(reason: &Reason) -> bool {
    let rules = [
        "already_registered",
        "already_voted",
        "invitation_spent",
        "invitation_revoked",
    ];
    rules.contains(&rule_of(reason))
}

/// Whether the reason for which a transaction came into no block is one by the recount.
pub fn holds(counted: &Recount, transaction: &Transaction, reason: &Reason) -> bool {
    let id = transaction.id();
    let rule = rule_of(reason);
    let other = |claim: Claim| is_taken(counted, &claim, &id);
    match &transaction.payload {
        Payload::Registration { registration } => match (rule, &registration.admission) {
            ("already_registered", _) => other(Claim::Voter(registration.voter)),
            ("invitation_spent", Admission::Invited { invitation, .. }) => {
                other(Claim::Invitation(*invitation)) && !counted.revoked.contains(invitation)
            }
            ("invitation_revoked", Admission::Invited { invitation, .. }) => {
                counted.revoked.contains(invitation)
            }
            _ => false,
        },
        Payload::InvitationRevoke { revoke } => {
            let spent = |key| other(Claim::Invitation(key)) && !counted.revoked.contains(&key);
            rule == "invitation_spent" && revoke.keys.iter().any(|key| spent(*key))
        }
        Payload::Vote { vote } => {
            let Credential::Pseudonymous { voter, .. } = &vote.credential else {
                return false;
            };
            let election = counted.elections.get(&vote.election);
            match rule {
                "already_voted" => other(Claim::Ballot(vote.election, *voter)),
                // Rolls close with the polls here. On a branch that was left the registration may have been later.
                "too_late" | "registered_too_late" => {
                    election.is_some_and(|counted| counted.closing_block.is_some())
                }
                // What it needs was on a branch that was left, and did not come again.
                "not_registered" => !counted.claims.contains_key(&Claim::Voter(*voter)),
                "unknown_election" => election.is_none(),
                _ => false,
            }
        }
        Payload::Election { election } => {
            rule == "election_over" && counted.last_ms >= election.terms.closes_at_ms
        }
        Payload::FinaliserChange { change } => {
            rule == "set_exists" && other(Claim::Set(change.set))
        }
        _ => false,
    }
}
