//! The node thread: takes batches of inputs, lets the state machine handle them, carries out its effects and publishes
//! its picture.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{debug, warn};

use super::commands::Locals;
use super::link::Link;
use super::pump::Served;
use super::{Clock, InputQueue};
use crate::chain::genesis::NetworkId;
use crate::chain::network::Network;
use crate::chain::transaction::Transaction;
use crate::chain::verify::Verifier;
use crate::crypto::random_bytes;
use crate::node::finality::Conflict;
use crate::node::miner::Miner;
use crate::node::status::NodeStatus;
use crate::node::{Effect, Input, Node, Submitter};
use crate::protocol::names::{Topic, sync_protocol};
use crate::protocol::submit::Reply;
use crate::store::StoreError;
use crate::wire::{self, List};

/// Least time between two pictures: making one costs little, but not nothing.
const PICTURE_PAUSE: Duration = Duration::from_millis(50);

/// What the node thread works with.
pub(super) struct Parts {
    pub(super) node: Node,
    pub(super) network: Arc<Network>,
    pub(super) queue: Arc<InputQueue>,
    pub(super) link: Arc<Link>,
    pub(super) locals: Arc<Locals>,
    pub(super) clock: Clock,
    pub(super) status: watch::Sender<Arc<NodeStatus>>,
    pub(super) served: Arc<Served>,
}

/// Names that effects need, made once.
struct Names {
    topics: Vec<(Topic, String)>,
    sync: String,
}

impl Names {
    fn of(network: &NetworkId) -> Self {
        Self {
            topics: Topic::ALL
                .into_iter()
                .map(|topic| (topic, topic.full_name(network)))
                .collect(),
            sync: sync_protocol(network),
        }
    }

    fn topic(&self, topic: Topic) -> &str {
        self.topics
            .iter()
            .find(|(known, _)| *known == topic)
            .map_or("", |(_, name)| name)
    }
}

struct Driver {
    names: Names,
    queue: Arc<InputQueue>,
    link: Arc<Link>,
    locals: Arc<Locals>,
    verifier: Arc<Verifier>,
    miner: Miner,
}

/// How the thread ended.
pub(super) struct Ended {
    /// Why the node stopped itself, if it did.
    pub(super) conflict: Option<Box<Conflict>>,
    /// How the store was closed.
    pub(super) closed: Result<(), StoreError>,
}

/// Starts the thread.
pub(super) fn spawn(parts: Parts) -> Result<JoinHandle<Ended>, std::io::Error> {
    let queue = Arc::clone(&parts.queue);
    let found_queue = Arc::clone(&parts.queue);
    let miner = Miner::start(parts.network.target, move |found| {
        // Refused only when the node has ended.
        let _ = found_queue.push(Input::Mined {
            epoch: found.epoch,
            nonce: found.nonce,
            hash_rate: found.hash_rate,
        });
    })?;
    let seed = random_bytes::<32>().map_err(|error| std::io::Error::other(error.to_string()))?;
    let driver = Driver {
        names: Names::of(&parts.network.id()),
        queue,
        link: parts.link,
        locals: parts.locals,
        verifier: Arc::new(Verifier::new(Arc::clone(&parts.network), *seed)),
        miner,
    };
    std::thread::Builder::new()
        .name("node".into())
        .spawn(move || {
            run(
                parts.node,
                driver,
                parts.clock,
                &parts.status,
                &parts.served,
            )
        })
}

fn run(
    mut node: Node,
    driver: Driver,
    clock: Clock,
    status: &watch::Sender<Arc<NodeStatus>>,
    served: &Served,
) -> Ended {
    let mut last_picture = Instant::now();
    let mut outdated = true;
    let mut conflict = None;
    while conflict.is_none() {
        let mut deadline = clock.instant(node.next_wakeup_ms());
        if outdated {
            deadline = deadline.min(last_picture + PICTURE_PAUSE);
        }
        let Some(batch) = driver.queue.take(Some(deadline)) else {
            break;
        };
        for effect in node.handle(batch, clock.now()) {
            match effect {
                Effect::Halt(found) => conflict = Some(found),
                effect => driver.carry_out(effect),
            }
        }
        outdated = true;
        if last_picture.elapsed() >= PICTURE_PAUSE {
            publish(&node, status, served);
            last_picture = Instant::now();
            outdated = false;
        }
    }
    driver.miner.stop();
    Ended {
        conflict,
        closed: node.close(),
    }
}

/// Replaces the published picture, keeping what only the shell knows.
fn publish(node: &Node, status: &watch::Sender<Arc<NodeStatus>>, served: &Served) {
    let mut picture = node.status();
    (
        picture.counters.requests_served,
        picture.counters.requests_busy,
    ) = served.counts();
    status.send_modify(|current| {
        picture.trial = current.trial;
        picture.peer_id.clone_from(&current.peer_id);
        picture.started_at_ms = current.started_at_ms;
        // Kept current by the pump.
        picture.listening.clone_from(&current.listening);
        *current = Arc::new(picture);
    });
}

impl Driver {
    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Publish { topic, data } => {
                let name = self.names.topic(topic);
                if !self
                    .link
                    .insist(|handle| handle.publish_tagged(0, name, data.clone()))
                {
                    debug!(topic = name, "a message was not published");
                }
            }
            Effect::Report { id, from, verdict } => {
                self.link.insist(|handle| handle.report(id, from, verdict));
            }
            Effect::Request { tag, peer, data } => {
                let sent = self.link.insist(|handle| {
                    handle.request_tagged(tag, peer, &self.names.sync, data.clone())
                });
                if !sent {
                    let reply = None;
                    let _ = self.queue.push(Input::Response { tag, peer, reply });
                }
            }
            Effect::Verify { job, transactions } => self.verify(job, transactions),
            Effect::Answer {
                submitter,
                outcomes,
            } => match submitter {
                Submitter::Local(number) => self.locals.answer(number, outcomes),
                Submitter::Peer { request: id, .. } => {
                    let Ok(outcomes) = List::new(outcomes) else {
                        return;
                    };
                    let data = wire::encode(&Reply::Submit { outcomes });
                    self.link.insist(|handle| handle.respond(id, data.clone()));
                }
            },
            Effect::Mine { epoch, header } => self.miner.mine(epoch, header),
            Effect::StopMining => self.miner.stop(),
            Effect::Follow { transactions } => {
                for topic in Topic::TRANSACTIONS {
                    let name = self.names.topic(topic);
                    self.link.insist(|handle| {
                        if transactions {
                            handle.subscribe(name)
                        } else {
                            handle.unsubscribe(name)
                        }
                    });
                }
            }
            Effect::Penalize {
                peer,
                points,
                reason,
            } => {
                self.link
                    .insist(|handle| handle.penalize(peer, f64::from(points), &reason));
            }
            Effect::NewTip { id, height } => debug!(height, id = %id.short(), "new tip"),
            // The loop ends with it.
            Effect::Halt(_) => {}
        }
    }

    fn verify(&self, job: u64, transactions: Vec<Transaction>) {
        let verifier = Arc::clone(&self.verifier);
        let queue = Arc::clone(&self.queue);
        rayon::spawn(move || {
            let verdicts = verifier.verify_parallel(transactions);
            if queue.push(Input::Verified { job, verdicts }).is_err() {
                warn!("verdicts came after the node had ended");
            }
        });
    }
}
