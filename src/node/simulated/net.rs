//! Virtual time and everything that is on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use votenode_p2p::PeerId;

use super::host::{Host, Setup};
use super::puppet::Puppet;
use crate::chain::invalid::Invalid;
use crate::chain::network::Network;
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::verify::{Verified, Verifier};
use crate::node::{Effect, Input, Now};
use crate::planted::{self, Fault};
use crate::protocol::names::Topic;
use crate::protocol::sync;

/// Wall clock when the virtual time is zero: some time after the genesis, so that blocks by hand have room.
pub const EPOCH_MS: u64 = 6_000_000;
/// Batches at one and the same moment after which a node counts as spinning.
const MAX_ROUNDS: usize = 200;
/// When a request that nobody answers ends, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 20_000;

/// How much longer a delayed message may take, in milliseconds.
pub const DELAY_MS: u64 = 3_000;

/// Something on its way to a host.
pub(super) enum Delivery {
    /// For the node.
    Input(Input),
    /// Gossip that the gossip layer has seen before and forgot.
    Again(Input),
    /// A commit took its time: now its effects are released.
    Committed(Vec<Effect>),
    /// A request of another host.
    Request {
        from: PeerId,
        tag: u64,
        data: Vec<u8>,
    },
}

/// A message that a node published, not one that it forwarded.
#[derive(Clone, Debug)]
pub struct Published {
    /// The host.
    pub by: usize,
    /// The topic.
    pub topic: Topic,
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// Operations in the journal of the publisher's disk by then.
    pub operations: usize,
    /// The payload.
    pub data: Vec<u8>,
}

/// A peer that was scored down.
#[derive(Clone, Debug)]
pub struct Penalty {
    /// Who.
    pub peer: PeerId,
    /// By how much.
    pub points: u32,
    /// Why.
    pub reason: String,
}

/// What the network does to messages, and the machines to nodes. Nothing of it happens unless it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Requests or their replies lost on the way, in percent.
    pub request_loss_percent: u64,
    /// Gossip messages that come a second time after the gossip layer forgot them, in percent.
    pub repeat_percent: u64,
    /// Messages of any kind that take up to [`DELAY_MS`] longer than usual and are overtaken, in percent.
    pub delay_percent: u64,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Happened {
    /// Gossip messages lost.
    pub lost: u64,
    /// Requests or replies lost.
    pub requests_lost: u64,
    /// Gossip messages that came again.
    pub repeated: u64,
    /// Messages that were overtaken by later ones, or may have been.
    pub delayed: u64,
    /// Commits that took time.
    pub slow_commits: u64,
    /// Inputs that waited for a commit to end.
    pub deferred: u64,
    /// Nodes killed between a commit and some of its effects.
    pub crashes: u64,
    /// Gossip messages that a node rejected.
    pub rejected: u64,
}

/// The network.
pub struct Net {
    /// What all nodes share.
    pub network: Arc<Network>,
    /// The machines, by index.
    pub hosts: Vec<Host>,
    /// Peers that are no nodes.
    pub puppets: BTreeMap<PeerId, Puppet>,
    /// Virtual time.
    pub now_ms: u64,
    /// What hosts published, in order.
    pub published: Vec<Published>,
    /// Peers that were scored down, in order.
    pub penalties: Vec<Penalty>,
    /// What else the network and the machines do.
    pub weather: Weather,
    /// What it did so far.
    pub happened: Happened,
    /// Arrivals are put off to multiples of this, in milliseconds, so that nodes get batches as they do from a queue that
    /// fills while they work.
    pub grain_ms: u64,
    /// A fault to plant, in every node or in that of one host.
    pub planted: Option<(Fault, Option<usize>)>,
    /// Requests that hosts made, of any kind.
    pub requests: Vec<(usize, sync::Request)>,
    /// Gossip messages lost on the way, in percent.
    pub loss_percent: u64,
    /// How often a node is killed after a batch's commit, with some of its effects released and the rest not.
    pub crash_per_mille: u64,
    pub(super) verifier: Verifier,
    /// Verdicts so far: the same for every node.
    pub(super) verdicts: BTreeMap<TxId, Result<Verified<Transaction>, Invalid>>,
    pub(super) links: BTreeSet<(usize, usize)>,
    queue: BTreeMap<(u64, u64), (usize, u64, Delivery)>,
    sequence: u64,
    /// State of the random numbers; set it before anything happens for another run.
    pub random: u64,
    pub(super) submissions: u64,
    trace: blake3::Hasher,
}

impl Net {
    /// Hosts that all know each other, their nodes started.
    pub fn new(network: Arc<Network>, count: usize) -> Self {
        Self::with(network, (0..count).map(|_| Setup::default()).collect())
    }

    /// A host for each of these, that all know each other, their nodes started.
    pub fn with(network: Arc<Network>, setups: Vec<Setup>) -> Self {
        let mut net = Self {
            verifier: Verifier::new(Arc::clone(&network), [7; 32]),
            network,
            hosts: Vec::new(),
            puppets: BTreeMap::new(),
            now_ms: 0,
            published: Vec::new(),
            penalties: Vec::new(),
            requests: Vec::new(),
            loss_percent: 0,
            crash_per_mille: 0,
            weather: Weather::default(),
            happened: Happened::default(),
            grain_ms: 1,
            planted: None,
            verdicts: BTreeMap::new(),
            trace: blake3::Hasher::new(),
            links: BTreeSet::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            random: 1,
            submissions: 0,
        };
        for setup in setups {
            net.add(setup);
        }
        net
    }

    /// Adds a host that is linked to all others, and starts its node.
    pub fn add(&mut self, setup: Setup) -> usize {
        let index = self.hosts.len();
        self.hosts.push(Host::new(index as u8 + 1, setup));
        self.start(index);
        for other in 0..index {
            self.link(other, index);
        }
        index
    }

    /// The next number of the seeded sequence (splitmix64).
    pub fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    // Time.

    /// The clocks of a host.
    pub fn now(&self, host: usize) -> Now {
        let wall_ms = EPOCH_MS + self.now_ms;
        Now {
            mono_ms: self.now_ms,
            wall_ms: wall_ms.saturating_add_signed(self.hosts[host].clock_offset_ms),
        }
    }

    /// Everybody's wall clock.
    pub fn wall_ms(&self) -> u64 {
        EPOCH_MS + self.now_ms
    }

    /// Lets so much time pass.
    pub fn run(&mut self, duration_ms: u64) {
        let end_ms = self.now_ms + duration_ms;
        while self.step(end_ms) {}
        self.now_ms = end_ms;
    }

    /// Lets time pass until `condition` holds; panics if it does not within `limit_ms`.
    pub fn until(&mut self, what: &str, limit_ms: u64, condition: impl FnMut(&Self) -> bool) {
        assert!(
            self.within(limit_ms, condition),
            "{what}: not within {limit_ms} ms; tips {:?}",
            self.tips()
        );
    }

    /// Lets time pass until `condition` holds, and says whether it does within `limit_ms`.
    pub fn within(&mut self, limit_ms: u64, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end_ms = self.now_ms + limit_ms;
        while !condition(self) {
            if !self.step(end_ms) {
                return false;
            }
        }
        true
    }

    /// Goes to the next moment at which something happens, if that is not after `end_ms`, and lets it happen.
    fn step(&mut self, end_ms: u64) -> bool {
        let arrival = self.queue.keys().next().map(|(due_ms, _)| *due_ms);
        let wakeup = self
            .hosts
            .iter()
            .filter_map(|host| {
                let wakeup_ms = host.running.as_ref()?.wakeup_ms();
                Some(wakeup_ms.max(host.busy_until_ms))
            })
            .min();
        let Some(next) = arrival.into_iter().chain(wakeup).min() else {
            return false;
        };
        if next > end_ms {
            return false;
        }
        self.now_ms = self.now_ms.max(next);
        let mut rounds = 0;
        while self.round() {
            rounds += 1;
            assert!(rounds < MAX_ROUNDS, "a node spins at {} ms", self.now_ms);
        }
        true
    }

    /// A batch for every host that has something to do at this moment.
    fn round(&mut self) -> bool {
        let mut batches: BTreeMap<usize, Vec<Input>> = BTreeMap::new();
        let later = self.queue.split_off(&(self.now_ms + 1, 0));
        for (_, (host, incarnation, delivery)) in std::mem::replace(&mut self.queue, later) {
            if self.hosts[host].running.is_none() || self.hosts[host].incarnation != incarnation {
                continue;
            }
            let busy_ms = self.hosts[host].busy_until_ms.saturating_sub(self.now_ms);
            match delivery {
                Delivery::Committed(effects) => {
                    for effect in effects {
                        self.carry_out(host, effect);
                    }
                }
                Delivery::Input(_) | Delivery::Again(_) if busy_ms > 0 => {
                    self.happened.deferred += 1;
                    self.send(host, busy_ms, delivery);
                }
                Delivery::Again(input) => batches.entry(host).or_default().push(input),
                Delivery::Input(Input::Gossip {
                    topic,
                    id,
                    from,
                    data,
                }) => {
                    if self.first_sight(host, topic, id, &data) {
                        batches.entry(host).or_default().push(Input::Gossip {
                            topic,
                            id,
                            from,
                            data,
                        });
                    }
                }
                Delivery::Input(input) => batches.entry(host).or_default().push(input),
                Delivery::Request { from, tag, data } => {
                    if let Some(input) = self.serve(host, from, tag, &data) {
                        if busy_ms > 0 {
                            self.send(host, busy_ms, Delivery::Input(input));
                        } else {
                            batches.entry(host).or_default().push(input);
                        }
                    }
                }
            }
        }
        for index in 0..self.hosts.len() {
            if let Some(running) = &self.hosts[index].running
                && running.wakeup_ms() <= self.now_ms
                && self.hosts[index].busy_until_ms <= self.now_ms
            {
                batches.entry(index).or_default();
            }
        }
        let worked = !batches.is_empty();
        for (host, batch) in batches {
            self.handle(host, batch);
        }
        worked
    }

    pub(super) fn handle(&mut self, host: usize, batch: Vec<Input>) {
        let now = self.now(host);
        self.plant(host);
        let Some(running) = &mut self.hosts[host].running else {
            return;
        };
        let _log = tracing::error_span!("host", host, at_ms = now.mono_ms).entered();
        let mut effects = running.node.handle(batch, now);
        running.wakeup_ms = Some(running.node.next_wakeup_ms());
        let killed = self.crash_per_mille > 0 && self.draw(1_000) < self.crash_per_mille;
        let commit_ms = match self.hosts[host].commit_ms {
            0 => 0,
            longest_ms => self.draw(longest_ms),
        };
        if killed {
            // A slow commit is done, and nothing of it released.
            let released = match commit_ms {
                0 => self.draw(effects.len() as u64 + 1) as usize,
                _ => 0,
            };
            effects.truncate(released);
        } else if commit_ms > 0 {
            self.happened.slow_commits += 1;
            self.hosts[host].busy_until_ms = self.now_ms + commit_ms;
            let effects = std::mem::take(&mut effects);
            self.send(host, commit_ms, Delivery::Committed(effects));
        }
        for effect in effects {
            self.carry_out(host, effect);
        }
        if killed {
            self.happened.crashes += 1;
            self.crash(host);
        }
    }

    /// Plants the fault for what this host's node does next.
    pub(super) fn plant(&self, host: usize) {
        let here = |(fault, only): (Fault, Option<usize>)| {
            only.is_none_or(|only| only == host).then_some(fault)
        };
        planted::set(self.planted.and_then(here));
    }

    /// Takes an event into the hash of this run.
    pub(super) fn trace(&mut self, host: usize, kind: u8, what: &[u8]) {
        self.trace.update(&self.now_ms.to_be_bytes());
        self.trace.update(&[host as u8, kind]);
        self.trace.update(&(what.len() as u64).to_be_bytes());
        self.trace.update(what);
    }

    /// Hash of everything that nodes did so far.
    pub fn trace_hash(&self) -> String {
        self.trace.finalize().to_hex().to_string()
    }

    pub(super) fn send(&mut self, to: usize, delay_ms: u64, delivery: Delivery) {
        self.sequence += 1;
        let incarnation = self.hosts[to].incarnation;
        let due_ms = (self.now_ms + delay_ms).next_multiple_of(self.grain_ms);
        self.queue
            .insert((due_ms, self.sequence), (to, incarnation, delivery));
    }

    pub(super) fn unanswered(&mut self, host: usize, tag: u64, peer: PeerId) {
        let reply = None;
        let input = Input::Response { tag, peer, reply };
        self.send(host, REQUEST_TIMEOUT_MS, Delivery::Input(input));
    }
}
