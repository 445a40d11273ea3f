//! The signing guard: whatever the consensus engine wants, this key never contradicts itself.
//!
//! A [`Guard`] stands between the engine and the key and knows nothing of the engine. It keeps one short state: the
//! highest position (checkpoint, round, kind) signed, with the digest of what was signed, and the block that was last
//! precommitted at that checkpoint. From it follow the rules:
//!
//! - what was signed may be signed again, byte for byte; anything else at or below the highest position is refused;
//! - a precommit for a block needs a polka: prevotes of more than two thirds for it in that round;
//! - after a precommit for one block, a prevote for another needs a polka for that other block, in the round of the
//!   precommit or later. This is Tendermint's lock, held apart from the engine, so that a log that was lost cannot make
//!   a finaliser forget what it is locked on.
//!
//! The state is durable before anything signed leaves the node. It may be kept twice, in the store and beside the key:
//! [`Guard::merge`] takes what is stricter of both. A store restored from a backup may hold an old one; whoever learns
//! of that calls [`Guard::forbid_through`].

use crate::chain::block::BlockId;
use crate::chain::genesis::NetworkId;
use crate::chain::transaction::FinalityMessage;
use crate::crypto::Hash;
use crate::wire::{Blob, Message, array_struct};

array_struct! {
    /// All that a guard must remember, as canonical CBOR.
    pub struct GuardState {
        /// Checkpoint of the highest position signed; 0 if nothing was.
        pub checkpoint: u64,
        /// Its round.
        pub round: u64,
        /// Its kind, as in [`FinalityMessage`]: a proposal comes before a prevote, a prevote before a precommit.
        pub kind: u8,
        /// Digest of what was signed there.
        pub digest: Hash,
        /// One more than the round of the last precommit for a block at that checkpoint; 0 for none.
        pub lock_round: u64,
        /// That block; nothing for none.
        pub lock: Blob<0, 32>,
        /// Nothing is signed at this checkpoint or below.
        pub forbidden_through: u64,
    }
}

impl Message for GuardState {
    const MAX_BYTES: usize = 128;
}

impl GuardState {
    /// Of a key that has signed nothing.
    pub fn fresh() -> Self {
        Self {
            checkpoint: 0,
            round: 0,
            kind: 0,
            digest: Hash::ZERO,
            lock_round: 0,
            lock: Blob::of([]),
            forbidden_through: 0,
        }
    }

    fn position(&self) -> (u64, u64, u8) {
        (self.checkpoint, self.round, self.kind)
    }
}

/// Why the guard does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another message was signed at this very position.
    #[error("something else was signed for this checkpoint, round and kind")]
    Conflict,
    /// Something was signed at a later position.
    #[error("something was signed for a later checkpoint, round or kind")]
    Passed,
    /// The key is locked on another block.
    #[error("a precommit for another block was signed, and nothing proves that it may be given up")]
    Locked,
    /// A precommit without the prevotes that justify it.
    #[error("fewer than two thirds are known to have prevoted for the block")]
    NoPolka,
    /// The checkpoint is one at which this key may not sign.
    #[error(
        "the key must not sign at this checkpoint: its own signatures there are not all known here"
    )]
    Forbidden,
    /// The node received a signature of its own key that it did not make: a restored backup, or the key in use twice.
    #[error("the key signed this elsewhere, or before a backup that was restored")]
    Foreign,
    /// The log does not lead to what was signed before, so that nothing is signed until the next checkpoint.
    #[error("the log contradicts what was signed before")]
    Diverged,
}

/// Watches over one key in one network.
#[derive(Clone, Debug)]
pub struct Guard {
    state: GuardState,
}

/// What the guard says of a message of its own key that came from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// At or below what was signed here.
    Known,
    /// Above it, or in contradiction to it.
    Foreign,
}

impl Guard {
    /// A guard that goes on from its last state; none for a key that has never signed.
    pub fn resume(state: Option<GuardState>) -> Self {
        Self {
            state: state.unwrap_or_else(GuardState::fresh),
        }
    }

    /// What has to be remembered.
    pub fn state(&self) -> &GuardState {
        &self.state
    }

    /// Takes what is stricter of its own state and another. Two that contradict each other mean that the key signed
    /// twice, or was used in two places: then nothing more is signed at that checkpoint.
    pub fn merge(&mut self, other: &GuardState) {
        let mine = &self.state;
        let contradict = mine.position() == other.position() && mine.digest != other.digest
            || mine.checkpoint == other.checkpoint
                && mine.lock_round == other.lock_round
                && mine.lock != other.lock;
        let mut forbidden = mine.forbidden_through.max(other.forbidden_through);
        if contradict {
            forbidden = forbidden.max(mine.checkpoint);
        }
        let (mut higher, lower) = if mine.position() >= other.position() {
            (mine.clone(), other)
        } else {
            (other.clone(), mine)
        };
        if lower.checkpoint == higher.checkpoint && lower.lock_round > higher.lock_round {
            higher.lock_round = lower.lock_round;
            higher.lock = lower.lock.clone();
        }
        higher.forbidden_through = forbidden;
        self.state = higher;
    }

    /// Signs nothing at this checkpoint and below, ever again: for a node that learns that its key signed what it has
    /// no memory of.
    pub fn forbid_through(&mut self, checkpoint: u64) {
        let forbidden = &mut self.state.forbidden_through;
        *forbidden = checkpoint.max(*forbidden);
    }

    /// The highest checkpoint at which nothing is signed; 0 for none.
    pub fn forbidden_through(&self) -> u64 {
        self.state.forbidden_through
    }

    /// The block that was last precommitted at a checkpoint, and the round.
    pub fn lock(&self, checkpoint: u64) -> Option<(u64, BlockId)> {
        if self.state.checkpoint != checkpoint {
            return None;
        }
        let round = self.state.lock_round.checked_sub(1)?;
        let bytes: &[u8] = &self.state.lock;
        let block = bytes.try_into().ok().map(BlockId::from_bytes)?;
        Some((round, block))
    }

    /// Allows a message to be signed and remembers it, or refuses. `polka` is the highest round, up to the message's
    /// own, in which the caller holds prevotes of more than two thirds of the power for the message's block.
    ///
    /// Gives whether the state changed, and so has to be made durable before the signature leaves.
    pub fn allow(
        &mut self,
        network: &NetworkId,
        message: &FinalityMessage,
        polka: Option<u64>,
    ) -> Result<bool, Refusal> {
        if message.height <= self.state.forbidden_through {
            return Err(Refusal::Forbidden);
        }
        let digest = message.digest(network);
        let position = position(message);
        if position == self.state.position() {
            return if digest == self.state.digest {
                Ok(false)
            } else {
                Err(Refusal::Conflict)
            };
        }
        if position < self.state.position() {
            return Err(Refusal::Passed);
        }
        if let Some(block) = message.block() {
            match message.kind {
                FinalityMessage::PREVOTE => {
                    if let Some((locked, on)) = self.lock(message.height)
                        && on != block
                        && polka.is_none_or(|round| round < locked)
                    {
                        return Err(Refusal::Locked);
                    }
                }
                FinalityMessage::PRECOMMIT if polka != Some(message.round) => {
                    return Err(Refusal::NoPolka);
                }
                _ => {}
            }
        }
        self.advance(message, digest);
        Ok(true)
    }

    /// Remembers a message that this key is known to have signed, from the log or from a peer: whatever it is, nothing
    /// is signed below it any more. Gives whether the state changed.
    pub fn observe(&mut self, network: &NetworkId, message: &FinalityMessage) -> bool {
        let above = position(message) > self.state.position();
        if above {
            self.advance(message, message.digest(network));
        }
        above
    }

    /// Whether a message signed by this key can be one that was signed under this guard.
    pub(super) fn judge(&self, network: &NetworkId, message: &FinalityMessage) -> Seen {
        let (at, highest) = (position(message), self.state.position());
        let other = at == highest && message.digest(network) != self.state.digest;
        if at > highest || other {
            Seen::Foreign
        } else {
            Seen::Known
        }
    }

    /// Moves up to a message.
    fn advance(&mut self, message: &FinalityMessage, digest: Hash) {
        let state = &mut self.state;
        if message.height != state.checkpoint {
            state.lock_round = 0;
            state.lock = Blob::of([]);
        }
        (state.checkpoint, state.round, state.kind) = position(message);
        state.digest = digest;
        if message.kind == FinalityMessage::PRECOMMIT && message.block().is_some() {
            state.lock_round = message.round.saturating_add(1);
            state.lock = message.value.clone();
        }
    }
}

fn position(message: &FinalityMessage) -> (u64, u64, u8) {
    (message.height, message.round, message.kind)
}
