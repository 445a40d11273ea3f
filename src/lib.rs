#![forbid(unsafe_code)]
//! votenode: an election with no server.
//!
//! Every machine that takes part runs a node. The nodes find each other, gossip registrations and votes, and write them
//! into a chain of blocks that anyone can replay and check. This library holds all of it; the programs `votenode` and
//! `ballot` are thin: arguments in, exit codes out.
//!
//! # Floors
//!
//! A module uses those of the floors below it, never one above.
//!
//! | floor | module | for |
//! |---|---|---|
//! | 1 | [`crypto`] | hashes, signatures, keys, the voter's secret, secret files |
//! | | [`wire`] | canonical CBOR: one encoding per value, bounded before it is read |
//! | | `files` | opening what somebody named, without waiting for it |
//! | | `planted` | rules that tests can switch off, to see whether they notice; nothing of it is in a node that runs |
//! | | `votenode_p2p` | a package of its own: transport, discovery, gossip, requests. Bytes and peers, nothing of voting |
//! | 2 | [`chain`] | the rules: transactions, blocks, elections, Merkle trees, fork choice. No clock, no network, no async |
//! | 3 | [`protocol`] | what travels between programs: topics, requests, replies, receipts |
//! | | [`tally`] | counting, in integers |
//! | | [`finality`] | the consensus that decides checkpoints; pure, for the node to drive |
//! | | [`genesis`], [`export`], [`datadir`] | files: how a network begins, a chain to hand on, a node's directory |
//! | | [`store`] | everything that a node keeps, crash-safe, in one database |
//! | 4 | [`node`] | the state machine, and the shell of threads and sockets around it |
//! | | [`audit`], [`import`] | a chain checked from its first byte to its last |
//! | | [`join`], [`invite`] | the genesis from a peer; invitations |
//! | 5 | [`client`] | what `ballot` does; knows [`protocol`] and the network, never a node's insides |
//! | | [`http`] | the API, metrics and a page, on loopback |
//! | | [`config`], [`control`] | settings; what only a node's operator may ask of it |
//! | | [`demo`] | a whole election, with processes of its own |
//! | 6 | [`cli`] | the commands of `votenode` |
//!
//! # Where a vote travels
//!
//! 1. `ballot cast` finds the election among those that nodes list, makes the
//!    [`Transaction`](chain::transaction::Transaction) and signs it ([`chain::sign`]) with the key that follows from the
//!    [`VoterId`](crypto::VoterId).
//! 2. A [`Session`](client::Session) publishes its canonical bytes by gossip, and hands them to nodes by request where
//!    too few have it.
//! 3. At a node, `votenode_p2p` passes on bytes with a topic. The [`shell`](node::shell) turns them into an
//!    [`Input`](node::Input) of the state machine, [`Node::handle`](node::Node::handle).
//! 4. The node checks what is cheap, asks for signatures to be verified on other cores, and checks the state again. What
//!    is valid enters the [`mempool`](node::mempool) and, in the same step, the disk. Only then is it acknowledged and
//!    forwarded.
//! 5. The node's miner, or another's, puts it into a block. Every node checks the block by the same
//!    [`rules`](chain::rules) before it joins the chain and the [`store`].
//! 6. Where the network has finalisers, their nodes decide a checkpoint at or above the block ([`finality`]); no node
//!    leaves it any more.
//! 7. `ballot` asks for the Merkle path from the vote to the block's header, checks work, linkage and the checkpoint's
//!    certificate, and keeps the [`Receipt`](protocol::receipt::Receipt).
//! 8. After polls closed, each node counts the votes of the chain ([`tally`]), as an [`audit`](mod@audit) of an exported
//!    chain does for whoever trusts no node.
//!
//! The bytes of all of this are specified in `proto/`, for implementations in other languages.

pub mod audit;
pub mod chain;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod crypto;
pub mod datadir;
pub mod demo;
pub mod export;
pub(crate) mod files;
pub mod finality;
#[cfg(any(test, feature = "simulation"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod genesis;
pub mod http;
pub mod import;
pub mod invite;
pub mod join;
pub mod node;
#[cfg(any(test, feature = "simulation"))]
pub mod planted;
#[cfg(not(any(test, feature = "simulation")))]
mod planted;
pub mod protocol;
pub mod store;
pub mod tally;
pub mod wire;
