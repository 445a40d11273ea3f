//! Finality: the consensus by which an election's finalisers decide checkpoints (`proto/README.md` §18).
//!
//! An [`Engine`] drives the consensus of one finaliser with one key: Tendermint, by the crate
//! `arc-malachitebft-core-consensus`. It is a state machine in the state machine: messages, answers and the time go in,
//! [`Output`]s come out, in an order that matters. What has to be durable before something is said comes before it.
//! Between a call and its outputs nothing is waited for, and the same inputs give the same outputs.
//!
//! - [`Guard`] decides what the key may sign, whatever the engine or its log says.
//! - [`LogEntry`] is the write-ahead log's, for a node that dies and comes back.
//! - [`Engine::held_messages`] is what peers pull from each other, so that a message that was lost costs a moment.
//!
//! The module knows keys, checkpoints and block ids. It must not know the node, the store, peers, clocks, threads or
//! where randomness comes from: a block's validity is asked of the node, and the time is told.

mod context;
mod effects;
mod engine;
mod guard;
mod held;
mod log;
mod proposer;
mod timers;
mod turn;

#[cfg(test)]
mod tests;

pub use engine::{Engine, Output};
pub use guard::{Guard, GuardState, Refusal};
pub use held::MAX_HELD_MESSAGES;
pub use log::LogEntry;
pub use timers::Timeouts;
