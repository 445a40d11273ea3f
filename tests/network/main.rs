//! A network of real processes on loopback: elections, crowds, crashes, and everything that a person can get wrong.
#![allow(clippy::unwrap_used)]

#[path = "../harness/mod.rs"]
mod harness;

mod crash;
mod crowd;
mod election;
mod finality;
mod mistakes;
mod refusals;
mod secrets;
