//! What travels between nodes and clients, as `proto/` defines it: names, messages, receipts.
//!
//! Shared by node and client. It knows formats; what to do with a message is decided elsewhere.

pub mod change_file;
pub mod export;
pub mod finality;
pub mod genesis;
pub mod gossip;
pub mod names;
pub mod receipt;
pub mod submit;
pub mod sync;
pub mod transaction_file;
