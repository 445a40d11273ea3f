//! The commands of `votenode`.
//!
//! [`args`] says what can be asked for, the other modules do it: each takes its arguments, prints results on stdout
//! and ends well or with a [`Failure`] that carries an exit code. The rules of elections are none of their business.

pub mod args;
mod exit;
mod output;

pub use exit::{Exit, Failure};
