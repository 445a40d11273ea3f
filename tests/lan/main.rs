//! A LAN: nodes and voters on hosts of their own that find each other, are cut off, die and come late.
//!
//! The hosts are network namespaces that each test makes for itself; nothing reaches a real interface.
#![allow(clippy::unwrap_used)]

#[path = "../harness/mod.rs"]
mod harness;

mod chaos;
mod election;
mod finality;
mod outage;
mod strangers;
