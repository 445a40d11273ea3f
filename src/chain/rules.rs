//! The rules that depend on the state: what a transaction does to it at a position, which blocks follow which, and how
//! a block is filled.
//!
//! Everything here takes what was verified before ([`crate::chain::verify`]) and reads the state through a view; a
//! failure to read it is told apart from a verdict.

mod block;
mod template;
mod transaction;

pub use block::{apply_block, block_bytes, check_header};
pub use template::{Skip, Template, TemplateLimits, fill_template};
pub use transaction::{BlockTime, apply_transaction};

#[cfg(test)]
mod tests;
