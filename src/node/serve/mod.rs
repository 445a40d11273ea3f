//! Answers to peers' requests, made from a snapshot on other threads: the node thread is never waited for, and nothing
//! here changes anything. Submissions are the exception; they go to the node thread.

mod submit;
mod sync;

use std::sync::Arc;

use crate::chain::network::Network;
use crate::node::DropLog;
use crate::node::finality::Board;
use crate::node::results::Tallies;
use crate::store::Reader;

/// What answers are made from. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    network: Arc<Network>,
    reader: Reader,
    dropped: Arc<DropLog>,
    board: Arc<Board>,
    tallies: Arc<Tallies>,
}

impl Server {
    /// A server over the node's store.
    pub fn new(
        network: Arc<Network>,
        reader: Reader,
        dropped: Arc<DropLog>,
        board: Arc<Board>,
    ) -> Self {
        Self {
            network,
            reader,
            dropped,
            board,
            tallies: Arc::default(),
        }
    }
}
