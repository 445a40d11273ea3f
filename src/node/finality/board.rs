//! What this node holds of the checkpoint under way, where the threads that answer peers read it.

use std::sync::{PoisonError, RwLock};

use crate::chain::checkpoint::SignedFinalityMessage;

/// Messages about the checkpoint under way. Written by the node thread, and only with what is on its disk where it is
/// this node's own.
#[derive(Debug, Default)]
pub struct Board(RwLock<(u64, Vec<SignedFinalityMessage>)>);

impl Board {
    /// The messages, if this is the checkpoint that they are about.
    pub fn messages(&self, checkpoint: u64) -> Vec<SignedFinalityMessage> {
        let board = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if board.0 == checkpoint {
            board.1.clone()
        } else {
            Vec::new()
        }
    }

    /// Replaces what is served.
    pub(super) fn set(&self, checkpoint: u64, messages: Vec<SignedFinalityMessage>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (checkpoint, messages);
    }
}
