//! The attack kit: hostile peers on real sockets against a running node.
//!
//! Every test here starts a node (the *victim*), a neighbour and an honest client, and then attacks the victim. While
//! the attack goes on the client registers voters and asks what became of them, newcomers connect and ask the same;
//! afterwards everything that was accepted is in the chain and the neighbour has it too. The victim's memory and open
//! files stay under a cap, it logs few lines, and one of them says why the attacker went ([`arena`]).
//!
//! [`hostile`] is a peer built on `votenode_p2p` that says whatever it is told to, [`raw`] one that writes bytes which
//! no public API would. [`forge`] makes chains with whatever is in them.
//!
//! Attacks are bounded by counts. `VOTENODE_ATTACK_SCALE=10` (or `just attacks 10`) makes those that depend on numbers
//! ten times as long. `docs/attacks.md` lists attack, defence and test; [`table`] keeps the list true.
#![allow(clippy::unwrap_used)]

#[path = "../harness/mod.rs"]
mod harness;

mod arena;
mod forge;
mod honest;
mod hostile;
mod invalid;
mod raw;
mod rpc;

mod bad_blocks;
mod blocks;
mod crowds;
mod discovery;
mod finality;
mod floods;
mod mining;
mod replays;
mod requests;
mod sync;
mod table;
mod transactions;
