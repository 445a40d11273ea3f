//! The node: a state machine that is fed inputs and gives back effects, and the shell that drives it.

pub mod status;
