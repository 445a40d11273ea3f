#![forbid(unsafe_code)]
//! votenode: an election with no server.

pub mod wire;
