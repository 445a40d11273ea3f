//! What a message of the consensus must look like, whoever sends it and whatever is known.

use crate::chain::transaction::FinalityMessage;
use crate::wire::MAX_UINT;

/// The last round of a checkpoint. Every round takes at least a timeout, and none begins while a third of the power is
/// away, so that honest finalisers come nowhere near it; it bounds what a checkpoint that cannot be decided costs, and
/// keeps numbers away from where the core's would overflow.
pub const MAX_ROUND: u64 = 10_000;

/// Whether a message can be part of the consensus: known kind, checkpoint from 1, round in bounds, a block where a
/// proposal needs one, a proof-of-lock round below its own. What fails this is wrong in every state.
pub fn is_acceptable(message: &FinalityMessage) -> bool {
    let (bytes, lock_round) = (message.value.len(), message.lock_round);
    let fits = match message.kind {
        FinalityMessage::PROPOSAL => bytes == 32 && lock_round <= message.round,
        FinalityMessage::PREVOTE | FinalityMessage::PRECOMMIT => {
            (bytes == 0 || bytes == 32) && lock_round == 0
        }
        _ => false,
    };
    fits && (1..=MAX_UINT).contains(&message.height) && message.round <= MAX_ROUND
}
