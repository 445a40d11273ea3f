//! Commands of this machine, HTTP and the control socket, on their way to the node and the network.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tracing::info;
use votenode_p2p::PeerId;

use super::InputQueue;
use super::link::Link;
use crate::node::handle::{Command, NodeHandle};
use crate::node::{Input, Submitter};
use crate::protocol::submit::Outcome;

/// Submissions of this machine that wait for their outcomes. Bounded by the command queue and its deadlines: whoever
/// stops waiting is removed when the answer comes.
#[derive(Default)]
pub(super) struct Locals {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Vec<Outcome>>>>,
}

impl Locals {
    fn register(&self, reply: oneshot::Sender<Vec<Outcome>>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, reply);
        number
    }

    /// Gives a submission its outcomes.
    pub(super) fn answer(&self, number: u64, outcomes: Vec<Outcome>) {
        if let Some(reply) = self.lock().remove(&number) {
            let _ = reply.send(outcomes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Vec<Outcome>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What commands are carried out with.
pub(super) struct Parts {
    pub(super) queue: Arc<InputQueue>,
    pub(super) link: Arc<Link>,
    pub(super) locals: Arc<Locals>,
    pub(super) handle: NodeHandle,
}

/// Carries out commands until it is told to end the node.
pub(super) async fn run(mut commands: mpsc::Receiver<Command>, parts: Parts) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Submit {
                transactions,
                reply,
            } => parts.submit(transactions, reply),
            Command::Peers { reply } => {
                // Made while other commands are carried out: a snapshot takes as long as the network task needs.
                let link = parts.link.handle();
                tokio::spawn(async move {
                    if let Ok(peers) = link.peers().await {
                        let _ = reply.send(peers);
                    }
                });
            }
            Command::Ban { peer, reply } => {
                let _ = reply.send(parts.ban(peer).await);
            }
            Command::Unban { peer, reply } => {
                let _ = reply.send(parts.unban(peer).await);
            }
            Command::ReleasePin { reply } => {
                let pinned = parts.handle.status().competing.is_some();
                let queued = parts.queue.push(Input::ReleasePin).is_ok();
                let _ = reply.send(pinned && queued);
            }
            Command::Shutdown => {
                info!("ending");
                return;
            }
        }
    }
}

impl Parts {
    fn submit(
        &self,
        transactions: Vec<crate::chain::transaction::Transaction>,
        reply: oneshot::Sender<Vec<Outcome>>,
    ) {
        let count = transactions.len();
        let number = self.locals.register(reply);
        let submitter = Submitter::Local(number);
        let input = Input::Submit {
            submitter,
            transactions,
        };
        if self.queue.push(input).is_err() {
            let busy = (0..count).map(|_| Outcome::Busy {}).collect();
            self.locals.answer(number, busy);
        }
    }

    async fn is_banned(&self, peer: PeerId) -> bool {
        self.link
            .handle()
            .snapshot()
            .await
            .is_ok_and(|snapshot| snapshot.banned.contains(&peer))
    }

    async fn ban(&self, peer: PeerId) -> bool {
        let new = !self.is_banned(peer).await;
        let done = self.link.handle().ban(peer).is_ok();
        let remembered = self.queue.push(Input::Remember {
            peers: Vec::new(),
            bans: vec![(peer.to_bytes(), Some(Vec::new()))],
        });
        new && done && remembered.is_ok()
    }

    async fn unban(&self, peer: PeerId) -> bool {
        let was = self.is_banned(peer).await;
        let done = self.link.handle().unban(peer).is_ok();
        let remembered = self.queue.push(Input::Remember {
            peers: Vec::new(),
            bans: vec![(peer.to_bytes(), None)],
        });
        was && done && remembered.is_ok()
    }
}
