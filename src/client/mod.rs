//! What `ballot` does: a light client that joins the network, hands in signed transactions, waits for the proof that
//! they are in the chain, and leaves.
//!
//! [`Session`] is the library: one peer of the network for any number of voters. Below it, [`submission`] is the
//! bookkeeping of what nodes say about transactions and [`proof`] checks what they claim; both are pure. [`command`] is
//! the program over it: the voter's files, what is typed and what is shown. The module knows `protocol` and the
//! peer-to-peer package; it must not know a node's insides or its store.

pub mod answers;
pub mod closing;
pub mod command;
pub mod driver;
pub mod election_file;
pub mod error;
pub mod exchange;
pub mod exit;
#[cfg(test)]
mod fake;
pub mod finality;
pub mod headers;
pub mod home;
pub mod link;
pub mod make;
pub mod proof;
pub mod queries;
pub mod receipt;
pub mod select;
pub mod session;
pub mod submission;
pub mod time;

pub use error::{MakeError, SessionError};
pub use exit::Exit;
pub use link::LinkOptions;
pub use session::{Session, SessionOptions};
pub use submission::{Fate, Goal, Progress, Submitted};
