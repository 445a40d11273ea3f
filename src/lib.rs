#![forbid(unsafe_code)]
//! votenode: an election with no server.

pub mod audit;
pub mod chain;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod crypto;
pub mod datadir;
pub mod export;
pub mod genesis;
pub mod import;
pub mod invite;
pub mod join;
pub mod node;
pub mod protocol;
pub mod store;
pub mod tally;
pub mod wire;
