#![forbid(unsafe_code)]
//! votenode: an election with no server.

pub mod crypto;
pub mod wire;
