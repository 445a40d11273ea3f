//! Signatures of a chain's transactions, looked at one by one: not by the node's verifier and its batches.

use votenode::chain::genesis::NetworkId;
use votenode::chain::transaction::{Admission, Credential, Payload};
use votenode::crypto::{Context, PublicKey, Signature, signing_digest};

/// Whose signature is lacking, if one is.
pub fn unsigned(network: &NetworkId, payload: &Payload) -> Option<&'static str> {
    let holds = |context, key: &PublicKey, payload: &[u8], signature: &Signature| {
        key.verify(
            &signing_digest(context, network.as_bytes(), payload),
            signature,
        )
    };
    let (whose, is_signed) = match payload {
        Payload::Registration { registration } => {
            if let Admission::Invited {
                invitation,
                signature,
            } = &registration.admission
                && !holds(
                    Context::SignInvitationUse,
                    invitation,
                    &registration.invitation_payload(),
                    signature,
                )
            {
                return Some("a registration whose invitation did not sign it");
            }
            let signed = registration.payload();
            let (key, signature) = (&registration.voter, &registration.signature);
            (
                "a registration that its voter did not sign",
                holds(Context::SignRegistration, key, &signed, signature),
            )
        }
        Payload::Vote { vote } => match &vote.credential {
            Credential::Pseudonymous { voter, signature } => (
                "a vote that its voter did not sign",
                holds(Context::SignVote, voter, &vote.payload(), signature),
            ),
            // Which there are none of in these elections; the recount says so.
            Credential::Anonymous { .. } => return None,
        },
        Payload::InvitationBatch { batch } => (
            "invitations that no organiser signed",
            holds(
                Context::SignInvitationBatch,
                &batch.organiser,
                &batch.payload(),
                &batch.signature,
            ),
        ),
        Payload::InvitationRevoke { revoke } => (
            "a revocation that no organiser signed",
            holds(
                Context::SignInvitationRevoke,
                &revoke.organiser,
                &revoke.payload(),
                &revoke.signature,
            ),
        ),
        Payload::Election { election } => (
            "an election that its organiser did not sign",
            holds(
                Context::SignElection,
                &election.organiser,
                &election.payload(),
                &election.signature,
            ),
        ),
        Payload::FinaliserChange { change } => {
            let signed = change.payload();
            let mut approvals = change.approvals.iter();
            (
                "a change that a finaliser did not approve",
                approvals.all(|one| {
                    holds(
                        Context::SignFinaliserChange,
                        &one.key,
                        &signed,
                        &one.signature,
                    )
                }),
            )
        }
        // Nobody lies in these networks, and nobody reveals anything.
        Payload::Equivocation { .. } | Payload::Reveal { .. } => ("evidence or a reveal", false),
    };
    (!is_signed).then_some(whose)
}
