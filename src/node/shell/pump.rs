//! From the network to the node: events become inputs, requests become answers from snapshots.
//!
//! This task never waits for the node thread. What does not fit into the queue is ignored (gossip) or answered with
//! `busy` (requests), as the protocols say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::interval;
use tracing::{debug, error, info, warn};
use votenode_p2p::{Config, Event, Events, Keypair, PeerId, RequestId, Verdict};

use super::config::book_entry;
use super::link::Link;
use super::listening::{list, relist, unlist};
use super::{Clock, InputQueue};
use crate::chain::network::Network;
use crate::node::quiet::Quiet;
use crate::node::serve::Server;
use crate::node::status::NodeStatus;
use crate::node::{Input, Submitter};
use crate::protocol::names::{GENESIS_PROTOCOL, Topic, submit_protocol, sync_protocol};
use crate::protocol::{submit, sync};
use crate::wire;

/// Requests answered at once: more threads than cores, since a cold read waits for the disk.
const SERVING: usize = 8;
/// How often the peer book is looked over.
const BOOK_PAUSE: Duration = Duration::from_secs(30);
/// Most peers in the book; whoever was seen longest ago goes first.
const BOOK_SIZE: usize = 256;
/// Pause before the network task is started anew after a failure.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Least time between two statuses of one peer that the node hears of, in milliseconds.
const STATUS_PAUSE_MS: u64 = 500;
/// Score points for a request that cannot be decoded.
const MALFORMED_POINTS: f64 = 20.0;

/// What the pump works with.
pub(super) struct Parts {
    pub(super) events: Events,
    pub(super) keypair: Keypair,
    pub(super) config: Config,
    pub(super) network: Arc<Network>,
    pub(super) queue: Arc<InputQueue>,
    pub(super) link: Arc<Link>,
    pub(super) server: Server,
    pub(super) status: watch::Sender<Arc<NodeStatus>>,
    pub(super) clock: Clock,
    pub(super) book: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) served: Arc<Served>,
}

/// Requests of peers since the start.
#[derive(Debug, Default)]
pub(super) struct Served {
    answered: AtomicU64,
    busy: AtomicU64,
}

impl Served {
    /// Answered, and answered with `busy`.
    pub(super) fn counts(&self) -> (u64, u64) {
        (
            self.answered.load(Ordering::Relaxed),
            self.busy.load(Ordering::Relaxed),
        )
    }
}

struct Pump {
    topics: HashMap<String, Topic>,
    sync_name: String,
    submit_name: String,
    genesis: Vec<u8>,
    ready: BTreeSet<PeerId>,
    book: BTreeMap<PeerId, (Vec<u8>, u64)>,
    /// When each peer's status was last passed on, in milliseconds of the monotonic clock.
    statuses: BTreeMap<PeerId, u64>,
    served: Arc<Served>,
    serving: Arc<Semaphore>,
    network: Arc<Network>,
    queue: Arc<InputQueue>,
    link: Arc<Link>,
    server: Server,
    status: watch::Sender<Arc<NodeStatus>>,
    clock: Clock,
    quiet: Quiet,
}

/// Pumps until the node ends, starting the network task anew should it fail.
pub(super) async fn run(parts: Parts) {
    let id = parts.network.id();
    let mut pump = Pump {
        topics: Topic::ALL
            .into_iter()
            .map(|topic| (topic.full_name(&id), topic))
            .collect(),
        sync_name: sync_protocol(&id),
        submit_name: submit_protocol(&id),
        genesis: wire::encode(parts.network.genesis()),
        ready: BTreeSet::new(),
        // Whoever was known before and is not seen again is the first to go.
        book: parts
            .book
            .into_iter()
            .filter_map(|(peer, entry)| Some((PeerId::from_bytes(&peer).ok()?, (entry, 0))))
            .collect(),
        statuses: BTreeMap::new(),
        served: parts.served,
        serving: Arc::new(Semaphore::new(SERVING)),
        network: parts.network,
        queue: parts.queue,
        link: parts.link,
        server: parts.server,
        status: parts.status,
        clock: parts.clock,
        quiet: Quiet::default(),
    };
    let mut events = parts.events;
    let mut book_time = interval(BOOK_PAUSE);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = book_time.tick() => {
                pump.keep_book().await;
                continue;
            }
        };
        match event {
            Some(Event::Stopped { error: None }) => return,
            Some(Event::Stopped { error: Some(why) }) => {
                error!(%why, "the network task failed; it is started anew");
                pump.all_gone();
                relist(&pump.status, Vec::clear);
                let Some(again) = pump.restart(&parts.keypair, &parts.config).await else {
                    return;
                };
                events = again;
            }
            Some(event) => pump.take(event),
            None => return,
        }
    }
}

impl Pump {
    fn take(&mut self, event: Event) {
        match event {
            Event::Identified {
                peer,
                protocols,
                agent,
                ..
            } => {
                // Clients are members of the network too, but have no chain to compare with.
                if protocols.contains(&self.sync_name) && self.ready.insert(peer) {
                    if self.may_say("connected") {
                        info!(%peer, %agent, "connected");
                    }
                    let _ = self.queue.push(Input::PeerReady { peer });
                }
            }
            Event::Disconnected { peer } => {
                self.statuses.remove(&peer);
                if self.ready.remove(&peer) {
                    if self.may_say("disconnected") {
                        info!(%peer, "disconnected");
                    }
                    let _ = self.queue.push(Input::PeerGone { peer });
                }
            }
            Event::Gossip {
                topic,
                id,
                from,
                data,
            } => self.gossip(&topic, id, from, data),
            Event::Request {
                peer,
                protocol,
                id,
                data,
            } => self.request(peer, &protocol, id, &data),
            Event::Response { tag, peer, result } => {
                if let Err(error) = &result {
                    debug!(%peer, %error, "a request got no answer");
                }
                let reply = result.ok();
                let _ = self.queue.push(Input::Response { tag, peer, reply });
            }
            Event::Foreign {
                peer,
                agent,
                missing,
            } => {
                debug!(%peer, %missing, "a protocol is missing");
                if !self.may_say("a foreign peer was let go") {
                    return;
                }
                if agent.starts_with("votenode") || agent.starts_with("ballot") {
                    warn!(
                        %peer, %agent,
                        "a peer of another network than {} was let go; if it is a bootstrap node, compare the networks' ids",
                        self.network.id().short()
                    );
                } else {
                    info!(%peer, %agent, "a foreign program was let go: it is no node of this network");
                }
            }
            Event::TurnedAway { peer } => {
                debug!(%peer, "a peer hung up before it said who it is");
            }
            Event::Misbehaved {
                peer,
                score,
                reason,
            } => {
                if self.may_say("a peer that misbehaved was let go") {
                    let reason = reason.unwrap_or_else(|| "invalid messages".to_owned());
                    warn!(%peer, score, reason, "a peer that misbehaved was let go");
                }
            }
            Event::ShownOut { peer, reason } => {
                if self.may_say("a peer was shown out") {
                    info!(%peer, reason, "a peer was shown out");
                }
            }
            Event::BootstrapFailed {
                addr,
                error,
                retry_in,
            } => {
                warn!(%addr, %error, retry_in_s = retry_in.as_secs(), "cannot reach a bootstrap node")
            }
            Event::Warning { text } => warn!("{text}"),
            Event::Listening { addr } => {
                info!("listening on {addr}");
                relist(&self.status, |listening| list(listening, &addr));
            }
            Event::ListenStopped { addr } => {
                warn!(%addr, "no longer listening");
                relist(&self.status, |listening| unlist(listening, &addr));
            }
            Event::ExternalAddr { addr, confirmed } => {
                debug!(%addr, confirmed, "address as seen from outside");
            }
            Event::DialFailed { .. }
            | Event::Connected { .. }
            | Event::Subscription { .. }
            | Event::Published { .. }
            | Event::Rtt { .. }
            | Event::Stopped { .. } => {}
        }
    }

    /// Whether another line of this kind may be logged.
    fn may_say(&mut self, kind: &'static str) -> bool {
        self.quiet.may_say(kind, self.clock.now().mono_ms)
    }

    fn gossip(&self, topic: &str, id: votenode_p2p::MessageId, from: PeerId, data: Vec<u8>) {
        let Some(topic) = self.topics.get(topic).copied() else {
            let _ = self.link.handle().report(id, from, Verdict::Ignore);
            return;
        };
        let input = Input::Gossip {
            topic,
            id,
            from,
            data,
        };
        if self.queue.push(input).is_err() {
            let _ = self.link.handle().report(id, from, Verdict::Ignore);
        }
    }

    fn request(&mut self, peer: PeerId, protocol: &str, id: RequestId, data: &[u8]) {
        self.served.answered.fetch_add(1, Ordering::Relaxed);
        let handle = self.link.handle();
        if protocol == GENESIS_PROTOCOL {
            let _ = handle.respond(id, self.genesis.clone());
        } else if protocol == self.sync_name {
            match wire::decode::<sync::Request>(data) {
                Ok(request) => self.serve_sync(peer, id, request),
                Err(error) => self.malformed(peer, id, &error.to_string()),
            }
        } else if protocol == self.submit_name {
            match wire::decode::<submit::Request>(data) {
                Ok(request) => self.serve_submit(peer, id, request),
                Err(error) => self.malformed(peer, id, &error.to_string()),
            }
        } else {
            let _ = handle.refuse(id);
        }
    }

    fn malformed(&self, peer: PeerId, id: RequestId, why: &str) {
        let handle = self.link.handle();
        let _ = handle.refuse(id);
        let _ = handle.penalize(
            peer,
            MALFORMED_POINTS,
            &format!("a malformed request: {why}"),
        );
    }

    fn serve_sync(&mut self, peer: PeerId, id: RequestId, request: sync::Request) {
        let status = self.status.borrow().clone();
        let (checkpoint, checkpoint_height) = match &status.finality {
            Some(finality) => (finality.block, finality.height),
            None => (self.network.genesis_block(), 0),
        };
        let own = sync::Status {
            tip: status.tip.id,
            height: status.tip.height,
            checkpoint,
            checkpoint_height,
            pending: status.mempool.transactions.total(),
            clock_ms: self.clock.now().wall_ms,
        };
        let now_ms = self.clock.now().mono_ms;
        let heard_ms = self.statuses.get(&peer).copied();
        if let sync::Request::Status { status } = &request
            && self.ready.contains(&peer)
            && heard_ms.is_none_or(|heard_ms| now_ms >= heard_ms + STATUS_PAUSE_MS)
        {
            self.statuses.insert(peer, now_ms);
            // If the queue is full the node is busy with better things than another's height.
            let status = status.clone();
            let _ = self.queue.push(Input::PeerStatus { peer, status });
        }
        let server = self.server.clone();
        self.serve(id, move || wire::encode(&server.sync(&request, &own)));
    }

    fn serve_submit(&self, peer: PeerId, id: RequestId, request: submit::Request) {
        if let submit::Request::Submit { transactions } = request {
            let input = Input::Submit {
                submitter: Submitter::Peer { peer, request: id },
                transactions: transactions.into_vec(),
            };
            if self.queue.push(input).is_err() {
                self.served.busy.fetch_add(1, Ordering::Relaxed);
                let busy = wire::encode(&submit::Reply::Busy {});
                let _ = self.link.handle().respond(id, busy);
            }
            return;
        }
        let server = self.server.clone();
        let now_ms = self.clock.now().wall_ms;
        self.serve(id, move || wire::encode(&server.submit(&request, now_ms)));
    }

    /// Makes an answer on a thread that may wait for the disk. How many wait is bounded by the protocols' limits.
    fn serve(&self, id: RequestId, answer: impl FnOnce() -> Vec<u8> + Send + 'static) {
        let serving = Arc::clone(&self.serving);
        let link = Arc::clone(&self.link);
        tokio::spawn(async move {
            let Ok(_permit) = serving.acquire().await else {
                return;
            };
            match tokio::task::spawn_blocking(answer).await {
                Ok(data) => {
                    let _ = link.handle().respond(id, data);
                }
                Err(error) => {
                    error!(%error, "making an answer failed");
                    let _ = link.handle().refuse(id);
                }
            }
        });
    }

    fn all_gone(&mut self) {
        for peer in std::mem::take(&mut self.ready) {
            let _ = self.queue.push(Input::PeerGone { peer });
        }
    }

    async fn restart(&self, keypair: &Keypair, config: &Config) -> Option<Events> {
        loop {
            tokio::time::sleep(RESTART_PAUSE).await;
            match votenode_p2p::spawn(keypair.clone(), config.clone()).await {
                Ok((handle, events)) => {
                    // The state machine joined the transaction topics once; a new task has to be told again.
                    let near = !self.status.borrow().syncing;
                    for topic in Topic::TRANSACTIONS.into_iter().filter(|_| near) {
                        let _ = handle.subscribe(&topic.full_name(&self.network.id()));
                    }
                    self.link.replace(handle);
                    return Some(events);
                }
                Err(error) => error!(%error, "the network task cannot be started"),
            }
        }
    }

    /// Writes down where peers can be dialled, if that changed.
    async fn keep_book(&mut self) {
        let Ok(peers) = self.link.handle().peers().await else {
            return;
        };
        let now_ms = self.clock.now().wall_ms;
        let mut changes = Vec::new();
        for info in peers {
            if !self.ready.contains(&info.peer) || info.addrs.is_empty() {
                continue;
            }
            let entry = book_entry(&info.addrs);
            let known = self.book.insert(info.peer, (entry.clone(), now_ms));
            if known.is_none_or(|(before, _)| before != entry) {
                changes.push((info.peer.to_bytes(), Some(entry)));
            }
        }
        while self.book.len() > BOOK_SIZE {
            let oldest = self
                .book
                .iter()
                .min_by_key(|(_, (_, seen_ms))| *seen_ms)
                .map(|(peer, _)| *peer);
            let Some(oldest) = oldest else { break };
            self.book.remove(&oldest);
            changes.push((oldest.to_bytes(), None));
        }
        if !changes.is_empty() {
            let _ = self.queue.push(Input::Remember {
                peers: changes,
                bans: Vec::new(),
            });
        }
    }
}
