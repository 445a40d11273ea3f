//! The rules: what a transaction, a block and a chain are and when they are valid.
//!
//! Everything here is pure. State is read through [`state::View`] and changed by the [`state::Delta`] that validation
//! returns; there is no clock, no network, no disk and no async. Whatever two honest nodes must agree on is decided in
//! this module and nowhere else.

pub mod ballot;
pub mod block;
pub mod checkpoint;
pub mod conflict;
pub mod election;
pub mod form;
pub mod genesis;
pub mod invalid;
pub mod memory;
pub mod merkle;
pub mod network;
pub mod overlay;
pub mod rules;
pub mod schedule;
pub mod sign;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
pub mod transaction;
pub mod tree;
pub mod verify;
