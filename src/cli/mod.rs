//! What `votenode` does on the command line.
mod exit;
pub use exit::*;
