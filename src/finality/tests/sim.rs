//! A network of engines in virtual time: messages take their time or are lost, nodes pull from each other, crash between
//! any two outputs, and lie. What every node says is checked as it is said.

use std::collections::BTreeMap;

use super::super::*;
use crate::chain::block::BlockId;
use crate::chain::checkpoint::{CommitCertificate, FinaliserSet, SignedFinalityMessage};
use crate::chain::genesis::{Finaliser, NetworkId};
use crate::chain::transaction::{Approval, Equivocation, FinaliserChange, FinalityMessage};
use crate::crypto::{Hash, PublicKey, Signature, SigningKey};
use crate::wire::{List, Text};

pub(super) const NETWORK: NetworkId = NetworkId::from_bytes([7; 32]);

pub(super) fn key(number: usize) -> SigningKey {
    SigningKey::from_seed(&[number as u8 + 1; 32])
}

/// A set of finalisers with these powers; member i has [`key`] i.
pub(super) fn set(powers: &[u64]) -> FinaliserSet {
    let members = powers.iter().enumerate().map(|(number, power)| Finaliser {
        key: key(number).public_key(),
        power: *power,
        name: Text::new("F").unwrap(),
    });
    FinaliserSet::of_change(&FinaliserChange {
        set: 3,
        finalisers: List::new(members.collect()).unwrap(),
        approvals: List::new(vec![Approval {
            key: PublicKey::ZERO,
            signature: Signature::ZERO,
        }])
        .unwrap(),
    })
}

/// A block that one finaliser would propose.
pub(super) fn block(checkpoint: u64, proposer: usize, round: u64) -> BlockId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&checkpoint.to_be_bytes());
    bytes[8..16].copy_from_slice(&round.to_be_bytes());
    bytes[16] = proposer as u8;
    BlockId::from_bytes(bytes)
}

/// A block that nobody has, and so nobody ever judges.
pub(super) fn unknown_block(number: u64) -> BlockId {
    let mut bytes = [0xfe; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BlockId::from_bytes(bytes)
}

/// A block that nobody honest finds valid.
pub(super) fn bad_block(number: u64) -> BlockId {
    let mut bytes = [0xff; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BlockId::from_bytes(bytes)
}

fn is_known(block: &BlockId) -> bool {
    block.as_bytes()[31] != 0xfe
}

fn is_valid(block: &BlockId) -> bool {
    block.as_bytes()[31] == 0
}

/// What survives a crash.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub log: Vec<LogEntry>,
    pub guard: Option<GuardState>,
    pub decided: Vec<CommitCertificate>,
}

pub(super) enum Event {
    Deliver(usize, SignedFinalityMessage),
    Pull(usize),
    Propose(usize, u64, u64),
    Judge(usize, u64, u64, BlockId),
    Restart(usize),
    /// A finaliser without an engine says whatever it likes, until the time given.
    Lie(usize, Lies, u64),
}

/// How a liar lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lies {
    /// Anything at all, to anybody.
    AtRandom,
    /// To half of the others what they want to hear, to the rest nil.
    TwoFaced,
}

/// What a crash takes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Loses {
    Nothing,
    /// The last entries of the log, any number of them.
    Tail,
    Log,
    Guard,
    LogAndGuard,
}

pub(super) struct Node {
    pub engine: Option<Engine>,
    pub disk: Disk,
    early: Vec<SignedFinalityMessage>,
    /// Whose messages reach it; everybody in the same group.
    pub group: u8,
}

pub(super) struct Net {
    pub random: u64,
    pub now_ms: u64,
    pub set: FinaliserSet,
    pub nodes: Vec<Node>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub loss_percent: u64,
    /// Of ten thousand outputs, how many find the node dead.
    pub crashes_per_10000: u64,
    pub loses: Loses,
    pub crashes: u64,
    /// No checkpoint above this is begun.
    pub target: u64,
    /// Digests of what each key said.
    said: BTreeMap<(PublicKey, u64, u64, u8), Hash>,
    pub contradictions: u64,
    pub decided: BTreeMap<u64, BlockId>,
    pub forks: u64,
    pub rounds: BTreeMap<u64, u64>,
    pub evidence: Vec<Equivocation>,
    pub refused: Vec<(usize, FinalityMessage, Refusal)>,
    pub delivered: u64,
    pub most_held: usize,
}

impl Net {
    pub(super) fn new(powers: &[u64], seed: u64, target: u64) -> Self {
        let mut net = Self {
            random: seed,
            now_ms: 0,
            set: set(powers),
            nodes: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            loss_percent: 0,
            crashes_per_10000: 0,
            loses: Loses::Nothing,
            crashes: 0,
            target,
            said: BTreeMap::new(),
            contradictions: 0,
            decided: BTreeMap::new(),
            forks: 0,
            rounds: BTreeMap::new(),
            evidence: Vec::new(),
            refused: Vec::new(),
            delivered: 0,
            most_held: 0,
        };
        for _ in powers {
            net.nodes.push(Node {
                engine: None,
                disk: Disk::default(),
                early: Vec::new(),
                group: 0,
            });
        }
        net
    }

    /// Starts these nodes.
    pub(super) fn boot(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.start(node);
            let pull_ms = self.draw(150);
            self.after(pull_ms, Event::Pull(node));
        }
    }

    /// splitmix64.
    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }

    pub(super) fn after(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        self.queue
            .insert((self.now_ms + delay_ms, self.sequence), event);
    }

    /// Brings a node up from what its disk holds.
    pub(super) fn start(&mut self, node: usize) {
        let guard = Guard::resume(self.nodes[node].disk.guard.clone());
        let engine = Engine::new(NETWORK, key(node), Timeouts::default(), guard);
        self.nodes[node].engine = Some(engine);
        self.begin(node);
    }

    pub(super) fn height(&self, node: usize) -> u64 {
        self.nodes[node].disk.decided.len() as u64
    }

    fn begin(&mut self, node: usize) {
        let checkpoint = self.height(node) + 1;
        let Node { engine, disk, .. } = &mut self.nodes[node];
        let Some(engine) = engine else { return };
        if checkpoint > self.target {
            engine.stop();
            return;
        }
        let outputs = engine.start(&self.set, checkpoint, &disk.log, self.now_ms);
        self.apply(node, outputs);
        for message in std::mem::take(&mut self.nodes[node].early) {
            self.deliver(node, message);
        }
    }

    pub(super) fn crash(&mut self, node: usize) {
        self.crashes += 1;
        self.nodes[node].engine = None;
        self.nodes[node].early.clear();
        let left = self.nodes[node].disk.log.len() as u64 + 1;
        let left = self.draw(left) as usize;
        let disk = &mut self.nodes[node].disk;
        match self.loses {
            Loses::Nothing => {}
            Loses::Tail => disk.log.truncate(left),
            Loses::Log => disk.log.clear(),
            Loses::Guard => disk.guard = None,
            Loses::LogAndGuard => {
                disk.log.clear();
                disk.guard = None;
            }
        }
    }

    fn apply(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            if self.crashes_per_10000 > 0 && self.draw(10_000) < self.crashes_per_10000 {
                self.crash(node);
                let down_ms = self.draw(800);
                self.after(down_ms, Event::Restart(node));
                return;
            }
            match output {
                Output::Log(entry) => {
                    let entry = LogEntry::from_bytes(entry.as_bytes()).unwrap();
                    self.nodes[node].disk.log.push(entry);
                }
                Output::Guard(state) => self.nodes[node].disk.guard = Some(state),
                Output::Say(message) => {
                    assert_eq!(message.finaliser, key(node).public_key());
                    self.said(&message);
                    self.broadcast(node, &message);
                }
                Output::Propose { checkpoint, round } => {
                    let delay_ms = self.draw(20);
                    self.after(delay_ms, Event::Propose(node, checkpoint, round));
                }
                Output::Judge {
                    checkpoint,
                    round,
                    block,
                } => {
                    let delay_ms = self.draw(20);
                    if is_known(&block) {
                        self.after(delay_ms, Event::Judge(node, checkpoint, round, block));
                    }
                }
                Output::Decided(certificate) => self.decided(node, certificate),
                Output::Evidence(equivocation) => self.evidence.push(equivocation),
                Output::Refused { message, why } => self.refused.push((node, message, why)),
            }
        }
    }

    /// Notes what a key said, and whether it contradicts itself.
    fn said(&mut self, message: &SignedFinalityMessage) {
        let said = &message.message;
        let digest = said.digest(&NETWORK);
        let position = (message.finaliser, said.height, said.round, said.kind);
        if *self.said.entry(position).or_insert(digest) != digest {
            self.contradictions += 1;
        }
    }

    pub(super) fn broadcast(&mut self, from: usize, message: &SignedFinalityMessage) {
        for to in 0..self.nodes.len() {
            self.send(from, to, message.clone());
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, message: SignedFinalityMessage) {
        let apart = self.nodes[from].group != self.nodes[to].group;
        if from != to && !apart && self.draw(100) >= self.loss_percent {
            let delay_ms = 10 + self.draw(40);
            self.after(delay_ms, Event::Deliver(to, message));
        }
    }

    fn decided(&mut self, node: usize, certificate: CommitCertificate) {
        let checkpoint = certificate.checkpoint;
        assert_eq!(self.set.check(&NETWORK, &certificate), Ok(()));
        assert_eq!(checkpoint, self.height(node) + 1);
        assert!(is_valid(&certificate.block));
        let block = self.decided.entry(checkpoint).or_insert(certificate.block);
        self.forks += u64::from(*block != certificate.block);
        *self.rounds.entry(certificate.round).or_default() += 1;
        let disk = &mut self.nodes[node].disk;
        disk.decided.push(certificate);
        disk.log.clear();
        self.begin(node);
    }

    pub(super) fn deliver(&mut self, node: usize, message: SignedFinalityMessage) {
        let next = self.height(node) + 1;
        let (now_ms, Node { engine, early, .. }) = (self.now_ms, &mut self.nodes[node]);
        let Some(engine) = engine else { return };
        self.delivered += 1;
        if message.message.height == next + 1 && early.len() < 64 {
            early.push(message);
        } else if message.message.height == next {
            let outputs = engine.message(&message, now_ms);
            self.most_held = self.most_held.max(engine.held_count());
            self.apply(node, outputs);
        }
    }

    /// One node asks another for what it lacks.
    fn pull(&mut self, node: usize) {
        self.after(150, Event::Pull(node));
        let other = self.draw(self.nodes.len() as u64) as usize;
        let lost = self.draw(100) < self.loss_percent;
        let height = self.height(node);
        let (asking, asked) = (&self.nodes[node], &self.nodes[other]);
        if other == node || asking.engine.is_none() || asking.group != asked.group || lost {
            return;
        }
        let Some(engine) = &asked.engine else { return };
        if let Some(certificate) = asked.disk.decided.get(height as usize) {
            let certificate = certificate.clone();
            self.decided(node, certificate);
            return;
        }
        let messages = engine.held_messages();
        assert!(messages.len() <= MAX_HELD_MESSAGES);
        for message in messages {
            if message.finaliser == key(other).public_key() {
                self.said(&message);
            }
            let delay_ms = 20 + self.draw(60);
            self.after(delay_ms, Event::Deliver(node, message));
        }
    }

    fn handle(&mut self, event: Event) {
        let now_ms = self.now_ms;
        match event {
            Event::Deliver(node, message) => self.deliver(node, message),
            Event::Pull(node) => self.pull(node),
            Event::Propose(node, checkpoint, round) => {
                if let Some(engine) = &mut self.nodes[node].engine
                    && engine.checkpoint() == Some(checkpoint)
                {
                    let candidate = block(checkpoint, node, round);
                    let outputs = engine.propose(round, candidate, now_ms);
                    self.apply(node, outputs);
                }
            }
            Event::Judge(node, checkpoint, round, block) => {
                if let Some(engine) = &mut self.nodes[node].engine
                    && engine.checkpoint() == Some(checkpoint)
                {
                    let outputs = engine.judged(round, block, is_valid(&block), now_ms);
                    self.apply(node, outputs);
                }
            }
            Event::Lie(node, lies, until_ms) => {
                if now_ms < until_ms {
                    let pause_ms = 3 + self.draw(10);
                    self.after(pause_ms, Event::Lie(node, lies, until_ms));
                    match lies {
                        Lies::AtRandom => self.lie_at_random(node),
                        Lies::TwoFaced => self.lie_to_half(node),
                    }
                }
            }
            Event::Restart(node) => {
                if self.nodes[node].engine.is_none() {
                    self.start(node);
                }
            }
        }
    }

    /// Does the next thing, if it comes before `until_ms`.
    fn step(&mut self, until_ms: u64) -> bool {
        let deadlines = self.nodes.iter().enumerate().filter_map(|(number, node)| {
            let at_ms = node.engine.as_ref()?.next_deadline_ms()?;
            Some((at_ms, number))
        });
        let deadline = deadlines.min();
        let queued = self.queue.keys().next().copied();
        let timer_first = match (deadline, queued) {
            (Some((timer_ms, _)), Some((event_ms, _))) => timer_ms < event_ms,
            (timer, _) => timer.is_some(),
        };
        let next_ms = match (deadline, queued) {
            (Some((at_ms, _)), _) if timer_first => at_ms,
            (_, Some((at_ms, _))) => at_ms,
            _ => return false,
        };
        if next_ms > until_ms {
            self.now_ms = until_ms;
            return false;
        }
        self.now_ms = self.now_ms.max(next_ms);
        if let Some((_, node)) = deadline.filter(|_| timer_first) {
            let now_ms = self.now_ms;
            let engine = self.nodes[node].engine.as_mut().unwrap();
            let outputs = engine.tick(now_ms);
            self.apply(node, outputs);
        } else if let Some((_, event)) = self.queue.pop_first() {
            self.handle(event);
        }
        true
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, for_ms: u64) {
        let until_ms = self.now_ms + for_ms;
        while self.step(until_ms) {}
    }

    /// Runs until all of these nodes have decided up to the target; gives whether they did in time.
    pub(super) fn finish(&mut self, nodes: &[usize], within_ms: u64) -> bool {
        let until_ms = self.now_ms + within_ms;
        loop {
            let behind = |node: &&usize| self.height(**node) < self.target;
            if !nodes.iter().any(|node| behind(&node)) {
                return true;
            }
            if !self.step(until_ms) {
                return false;
            }
        }
    }

    /// Where everybody stands, for a test that fails.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("at {} ms\n", self.now_ms);
        for (number, node) in self.nodes.iter().enumerate() {
            let engine = node.engine.as_ref();
            text += &format!(
                "node {number} {} decided {} round {:?} timer {:?} guard {:?}\n",
                key(number).public_key().short(),
                self.height(number),
                engine.and_then(Engine::round),
                engine.and_then(Engine::next_deadline_ms),
                node.disk.guard,
            );
            for held in engine.map(Engine::held_messages).into_iter().flatten() {
                text += &format!("  {} {:?}\n", held.finaliser.short(), held.message);
            }
        }
        for refused in self.refused.iter().rev().take(5) {
            text += &format!("{refused:?}\n");
        }
        text
    }

    /// What must hold whatever happened.
    pub(super) fn check(&self) {
        assert_eq!(self.contradictions, 0, "somebody contradicted itself");
        assert_eq!(self.forks, 0, "two blocks were decided for one checkpoint");
    }
}

/// How many seeds a test runs with: a few, or as many as `VOTENODE_TEST_SEEDS` says.
pub(super) fn seeds(few: u64) -> std::ops::Range<u64> {
    let more = std::env::var("VOTENODE_TEST_SEEDS").ok();
    0..more.and_then(|more| more.parse().ok()).unwrap_or(few)
}
