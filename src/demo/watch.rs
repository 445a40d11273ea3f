//! What a node says of itself, read over its control socket again and again by a thread of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;

use crate::control::{Client, Request};

/// Pause between two looks: often enough to be a pleasure to watch, seldom enough to cost nothing.
const PAUSE: Duration = Duration::from_millis(80);

/// The part of a node's picture that the demo uses. Times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Picture {
    /// The peer id.
    pub peer_id: String,
    /// Addresses that it listens on.
    pub listening: Vec<String>,
    /// The best block.
    pub tip: Tip,
    /// Whether it is far behind.
    pub syncing: bool,
    /// Connected nodes of the network.
    pub peers: usize,
    /// What waits for a block.
    pub mempool: Mempool,
    /// What its miner does.
    pub mining: Mining,
    /// Checkpoints; none where nobody finalises.
    pub finality: Option<Finality>,
    /// Whether the disk refused the last write.
    pub disk_full: bool,
    /// Counts since the start.
    pub counters: Counters,
}

/// The best block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Tip {
    /// Id.
    pub id: String,
    /// Height.
    pub height: u64,
    /// Timestamp.
    pub timestamp_ms: u64,
    /// Registrations so far.
    pub roll_size: u64,
}

/// The last checkpoint, and what the next one waits for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Finality {
    /// Its number; 0 if there is none yet.
    pub checkpoint: u64,
    /// Height of its block.
    pub height: u64,
    /// How long that block took from the node's best chain to being final, in milliseconds.
    pub took_ms: Option<u64>,
    /// Why blocks above it do not become final.
    pub waiting: Option<String>,
}

/// What waits for a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mempool {
    /// By kind.
    pub transactions: BTreeMap<String, u64>,
}

/// What the miner does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mining {
    /// Whether it mines at all.
    pub enabled: bool,
    /// What it is at.
    pub phase: Option<String>,
    /// Height of its block.
    pub height: Option<u64>,
    /// Transactions in its template by kind.
    pub counts: BTreeMap<String, u64>,
}

/// Counts since the start.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Counters {
    /// Blocks that it mined.
    pub blocks_mined: u64,
}

impl Picture {
    /// Transactions that wait for a block.
    pub fn waiting(&self) -> u64 {
        self.mempool.transactions.values().sum()
    }

    /// Whether nothing of this kind waits.
    pub fn mempool_is_without(&self, kind: &str) -> bool {
        self.mempool.transactions.get(kind).copied().unwrap_or(0) == 0
    }

    /// Height up to which blocks are final; 0 where nobody finalises.
    pub fn final_height(&self) -> u64 {
        self.finality.as_ref().map_or(0, |finality| finality.height)
    }

    /// Whether the miner is at rest.
    pub fn rests(&self) -> bool {
        matches!(self.mining.phase.as_deref(), None | Some("stopped"))
    }
}

/// All nodes' pictures, in their order; none of a node that does not answer.
pub type Pictures = Vec<Option<Picture>>;

/// Watches one node until dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<AtomicBool>,
}

impl Watcher {
    /// Begins to watch the node with this index and control socket.
    pub fn start(index: usize, socket: PathBuf, pictures: watch::Sender<Pictures>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut client = None;
            while !ended.load(Ordering::Relaxed) {
                let picture = look(&mut client, &socket);
                if picture.is_none() {
                    client = None;
                }
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                pictures.send_if_modified(|all| {
                    let changed = all[index] != picture;
                    all[index] = picture;
                    changed
                });
                std::thread::sleep(PAUSE);
            }
        });
        Self { stop }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Asks the node, connecting first if need be. A node that starts or has ended does not answer.
fn look(client: &mut Option<Client>, socket: &std::path::Path) -> Option<Picture> {
    if client.is_none() {
        *client = Client::connect(socket).ok();
    }
    let answer = client.as_mut()?.ask(&Request::Status).ok()?;
    match serde_json::from_value(answer) {
        Ok(picture) => Some(picture),
        Err(error) => {
            tracing::debug!(%error, "a node's picture is not understood");
            None
        }
    }
}
