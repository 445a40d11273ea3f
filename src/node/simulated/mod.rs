//! Whole networks of nodes in one thread, without sockets, disks or clocks: the state machine as it runs in the shell,
//! with everything around it played by a [`Net`].
//!
//! - [`net`]: virtual time, loss; the one queue of everything that is on its way
//! - [`links`]: links, partitions, who has power
//! - [`hands`]: what tests bring in by hand and look at
//! - [`host`]: a machine: its disk, the node that runs on it or does not, what its gossip layer has seen
//! - [`effects`]: what the shell would do with a node's effects
//! - [`look`]: what outsiders see of a node: how full its maps are, which block it keeps to
//! - [`forge`]: chains made by hand, valid or not
//! - [`puppet`]: peers that speak the protocols from a forged chain, honestly or not
//!
//! The crate's own tests use it, and so do those of `tests/sim`, through the feature `simulation`. It is no part of a node
//! that runs.
//!
//! Everything is decided by the seed: the same seed gives the same run, message by message. Nothing here knows what a
//! test is after, so that longer simulations can be built of the same parts.

#![allow(clippy::unwrap_used)]

mod effects;
pub mod forge;
mod hands;
pub mod host;
mod links;
mod look;
pub mod net;
pub mod puppet;
