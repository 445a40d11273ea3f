//! What a message of the consensus must look like, whoever sends it and whatever is known.

use crate::chain::transaction::FinalityMessage;

/// The last round of a checkpoint. Every round takes at least a timeout, and none begins while a third of the power is
/// away, so that honest finalisers come nowhere near it; it bounds what a checkpoint that cannot be decided costs, and
/// keeps numbers away from where the core's would overflow.
pub const MAX_ROUND: u64 = 10_000;

/// Whether a message can be part of the consensus: well-formed, its round in bounds. What fails this is wrong in every
/// state.
pub fn is_acceptable(message: &FinalityMessage) -> bool {
    message.is_well_formed() && message.round <= MAX_ROUND
}
