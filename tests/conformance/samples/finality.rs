//! Samples of what finalisers sign.

use votenode::chain::block::BlockId;
use votenode::chain::transaction::{Approval, Equivocation, FinaliserChange, FinalityMessage};
use votenode::crypto::{Context, Signature, SigningKey};

use super::{blob, finaliser, header, key, list, sign};

/// A change of finalisers with two approvals.
pub fn finaliser_change() -> FinaliserChange {
    let mut change = FinaliserChange {
        set: 1,
        finalisers: list([finaliser(1), finaliser(3)]),
        approvals: list([Approval {
            key: key(0x61).public_key(),
            signature: Signature::ZERO,
        }]),
    };
    let payload = change.payload();
    let mut approvals: Vec<_> = [key(0x61), key(0x62)]
        .iter()
        .map(|key| Approval {
            key: key.public_key(),
            signature: sign(key, Context::SignFinaliserChange, &payload),
        })
        .collect();
    approvals.sort_by_key(|approval| approval.key);
    change.approvals = list(approvals);
    change
}

/// A precommit for a block or for nil.
pub fn precommit(value: Option<BlockId>) -> FinalityMessage {
    FinalityMessage {
        kind: FinalityMessage::PRECOMMIT,
        height: 1,
        round: 0,
        lock_round: 0,
        value: value.map_or(blob(&[]), |id| blob(id.as_bytes())),
    }
}

/// A proposal.
pub fn proposal() -> FinalityMessage {
    FinalityMessage {
        kind: FinalityMessage::PROPOSAL,
        height: 1,
        round: 2,
        lock_round: 1,
        value: blob(header().id().as_bytes()),
    }
}

/// A message of the consensus, signed.
pub fn sign_finality(key: &SigningKey, message: &FinalityMessage) -> Signature {
    sign(key, message.context(), &message.payload())
}

/// Evidence against a finaliser that precommitted to a block and to nil.
pub fn equivocation() -> Equivocation {
    let signer = key(0x61);
    let (first, second) = (precommit(None), precommit(Some(header().id())));
    Equivocation {
        finaliser: signer.public_key(),
        first_signature: sign_finality(&signer, &first),
        second_signature: sign_finality(&signer, &second),
        first,
        second,
    }
}
