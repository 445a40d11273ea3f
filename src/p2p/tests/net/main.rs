//! Nodes on real loopback sockets. Nothing here leaves the machine: mDNS is off, every address is 127.0.0.1.
#![allow(clippy::unwrap_used)]

mod common;
mod connect;
mod exchange;
mod flood;
mod gossip;
mod raw;
