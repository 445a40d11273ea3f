//! The rules: what a transaction, a block and a chain are and when they are valid.
//!
//! Everything here is pure. State is read through [`state::View`] and changed by the [`state::Delta`] that validation
//! returns; there is no clock, no network, no disk and no async. Whatever two honest nodes must agree on is decided in
//! this module and nowhere else.

pub mod block;
pub mod election;
pub mod genesis;
pub mod merkle;
pub mod schedule;
pub mod state;
pub mod transaction;
