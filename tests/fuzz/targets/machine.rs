//! The state machine of a node, a finaliser's or a plain one, among finalisers or where nobody finalises, fed with whatever
//! comes in whatever order: gossip, blocks of two chains, answers that are right, wrong or missing, submissions, verdicts,
//! nonces, clocks that jump, losses of power.
//!
//! It must not panic, must not break its word about what it accepted, must not sign two things at one place, and must not
//! leave a closing block that it keeps to.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use votenode::chain::block::{CompactBlock, Nonce};
use votenode::chain::transaction::{FinalityMessage, Transaction, TxId};
use votenode::chain::verify::Verifier;
use votenode::crypto::SigningKey;
use votenode::node::finality::{Finaliser, MemoryPromise};
use votenode::node::mempool::MempoolLimits;
use votenode::node::{Effect, Input, Node, NodeConfig, Now, Submitter};
use votenode::protocol::finality::FinalityGossip;
use votenode::protocol::gossip::TransactionBatch;
use votenode::protocol::names::Topic;
use votenode::protocol::submit::Outcome;
use votenode::protocol::sync::{Reply, Request, Status};
use votenode::store::MemoryDisk;
use votenode::wire::{self, List};
use votenode_p2p::{PeerId, message_id};

use super::requests::block_id;
use super::validation::{disturbed, transaction, uint};
use super::world::{Made, START_MS, World, empty_store, finaliser, message, plain_world, world};

/// Most things that happen in one run.
const MAX_STEPS: usize = 80;
/// Peers that there are.
const PEERS: u8 = 4;
/// Most transactions that may wait.
const POOL: usize = 12;

pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let first = data.first().copied().unwrap_or_default();
    // A finaliser's node, a plain one beside finalisers, or one where nobody finalises.
    let mut run = match first % 4 {
        0 | 2 => Run::new(plain_world(), false),
        1 => Run::new(world(), true),
        _ => Run::new(world(), false),
    };
    for _ in 0..MAX_STEPS {
        if run.step(&mut u).is_err() {
            break;
        }
    }
    run.settle();
}

fn peer(number: u8) -> PeerId {
    // An identity multihash of an Ed25519 public key in libp2p's protobuf.
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend([number; 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

/// A node, what it wants done, and what it said.
struct Run {
    world: &'static World,
    node: Option<Node>,
    disk: MemoryDisk,
    promise: MemoryPromise,
    finalises: bool,
    now: Now,
    verifier: Verifier,
    jobs: Vec<(u64, Vec<Transaction>)>,
    requests: Vec<(u64, PeerId, Request)>,
    epoch: u64,
    submissions: BTreeMap<u64, Vec<TxId>>,
    next_submission: u64,
    accepted: BTreeSet<TxId>,
    said: BTreeMap<(u64, u64, u8), FinalityMessage>,
}

impl Run {
    fn new(world: &'static World, finalises: bool) -> Self {
        let disk = MemoryDisk::default();
        drop(match finalises {
            true => world.store(&disk),
            false => empty_store(world, &disk),
        });
        let mut run = Self {
            world,
            node: None,
            disk,
            promise: MemoryPromise::default(),
            finalises,
            now: Now {
                mono_ms: 0,
                wall_ms: START_MS + 8_000,
            },
            verifier: Verifier::new(world.network.clone(), [5; 32]),
            jobs: Vec::new(),
            requests: Vec::new(),
            epoch: 0,
            submissions: BTreeMap::new(),
            next_submission: 0,
            accepted: BTreeSet::new(),
            said: BTreeMap::new(),
        };
        run.start();
        run
    }

    fn start(&mut self) {
        let config = NodeConfig {
            network: self.world.network.clone(),
            miner: SigningKey::from_seed(&[1; 32]),
            mine: true,
            mempool: MempoolLimits {
                max_transactions: POOL,
                ..MempoolLimits::default()
            },
            tree: Default::default(),
            finaliser: self.finalises.then(|| Finaliser {
                key: finaliser(1),
                promise: Box::new(self.promise.clone()),
            }),
        };
        let node = Node::new(config, empty_store(self.world, &self.disk), self.now).unwrap();
        self.node = Some(node);
        self.handle(vec![Input::Tick]);
    }

    /// The node is gone in the middle of everything; of its disk there stays what was synced.
    fn kill(&mut self) {
        self.keeps_its_word();
        // Before the node goes: a database that is dropped writes a few last words.
        self.disk = self.disk.after_power_loss();
        self.node = None;
        self.jobs.clear();
        self.requests.clear();
        self.submissions.clear();
    }

    fn handle(&mut self, inputs: Vec<Input>) {
        let node = self.node.as_mut().unwrap();
        for effect in node.handle(inputs, self.now) {
            match effect {
                Effect::Verify { job, transactions } => self.jobs.push((job, transactions)),
                Effect::Request { tag, peer, data } => {
                    self.requests
                        .push((tag, peer, wire::decode(&data).unwrap()));
                }
                Effect::Mine { epoch, .. } => self.epoch = epoch,
                Effect::Answer {
                    submitter: Submitter::Local(number),
                    outcomes,
                } => {
                    let ids = self.submissions.remove(&number).unwrap_or_default();
                    assert_eq!(ids.len(), outcomes.len());
                    let taken = ids.into_iter().zip(outcomes);
                    let taken = taken.filter(|(_, outcome)| *outcome == Outcome::Accepted {});
                    self.accepted.extend(taken.map(|(id, _)| id));
                }
                Effect::Publish {
                    topic: Topic::Finality,
                    data,
                } => self.heard(&data),
                Effect::Publish { topic, data } if Topic::TRANSACTIONS.contains(&topic) => {
                    wire::decode::<TransactionBatch>(&data).unwrap();
                }
                _ => {}
            }
        }
        let node = self.node.as_ref().unwrap();
        assert!(node.next_wakeup_ms() >= self.now.mono_ms);
        if let Some((closing, height)) = node.pinned() {
            let snapshot = node.store().snapshot();
            assert_eq!(snapshot.main_id(height).unwrap(), Some(closing));
        }
        let status = node.status();
        let waiting: u64 = serde_json::to_value(&status).unwrap()["mempool"]["transactions"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(serde_json::Value::as_u64)
            .sum();
        assert!(waiting <= POOL as u64, "{waiting} wait");
    }

    /// Notes what the node's own key said.
    fn heard(&mut self, data: &[u8]) {
        let Ok(FinalityGossip::Messages { messages }) = wire::decode(data) else {
            return;
        };
        let own = finaliser(1).public_key();
        for said in messages.iter().filter(|said| said.finaliser == own) {
            let message = said.message.clone();
            let place = (message.height, message.round, message.kind);
            let first = self.said.entry(place).or_insert_with(|| message.clone());
            assert_eq!(*first, message, "signed two things");
        }
    }

    /// Everything that was accepted waits on the disk, is in the chain, or was dropped with a reason.
    fn keeps_its_word(&mut self) {
        let node = self.node.as_ref().unwrap();
        let (snapshot, dropped) = (node.store().snapshot(), node.drop_log());
        self.accepted.retain(|id| {
            let waits = snapshot.pending(id).unwrap().is_some();
            let included = snapshot.inclusion(id).unwrap().is_some();
            let reason = dropped.reason(id);
            assert!(waits || included || reason.is_some(), "{id} is gone");
            // A reason is told for as long as the node runs.
            waits || included
        });
    }

    fn gossip(&self, topic: Topic, data: Vec<u8>, from: u8) -> Input {
        let name = topic.full_name(&self.world.network.id());
        Input::Gossip {
            topic,
            id: message_id(&name, &data),
            from: peer(from),
            data,
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let from = u.int_in_range(0..=PEERS - 1)?;
        let input = match u.int_in_range(0..=15)? {
            0 => Input::PeerReady { peer: peer(from) },
            1 => Input::PeerGone { peer: peer(from) },
            2 => self.status(u, from)?,
            3 | 4 => self.transactions(u, from)?,
            5 => {
                let topic = *u.choose(&Topic::ALL)?;
                let length = u.int_in_range(0..=200)?;
                let data = u.bytes(length.min(u.len()))?.to_vec();
                self.gossip(topic, data, from)
            }
            6 | 7 => self.block(u, from)?,
            8 => self.submission(u)?,
            9 => match self.verdicts(u)? {
                Some(verdicts) => verdicts,
                None => return Ok(()),
            },
            10 | 11 => match self.reply(u)? {
                Some(reply) => reply,
                None => return Ok(()),
            },
            12 => Input::Mined {
                epoch: match u.ratio(1, 8)? {
                    true => u.arbitrary()?,
                    false => self.epoch,
                },
                nonce: Nonce::from_bytes(u.arbitrary()?),
                hash_rate: uint(u)?,
            },
            13 => {
                self.pass(u)?;
                Input::Tick
            }
            14 => self.vote(u, from)?,
            _ => match u.int_in_range(0..=3)? {
                0 => {
                    self.kill();
                    self.start();
                    return Ok(());
                }
                1 => Input::ReleasePin,
                2 => Input::Remember {
                    peers: vec![(vec![from], Some(vec![1]))],
                    bans: vec![(vec![from], None)],
                },
                _ => Input::Tick,
            },
        };
        self.handle(vec![input]);
        Ok(())
    }

    /// Time goes on; the wall clock may jump.
    fn pass(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let by_ms = u.int_in_range(0..=30_000)?;
        self.now.mono_ms += by_ms;
        self.now.wall_ms = match u.ratio(1, 10)? {
            true => START_MS + u.int_in_range(0..=2_000_000)?,
            false => self.now.wall_ms + by_ms,
        };
        Ok(())
    }

    fn status(&self, u: &mut Unstructured<'_>, from: u8) -> Result<Input> {
        let world = self.world;
        let status = Status {
            tip: block_id(u, world)?,
            height: uint(u)?,
            checkpoint: block_id(u, world)?,
            checkpoint_height: u.int_in_range(0..=10)?,
            pending: u.int_in_range(0..=5)?,
            clock_ms: u.int_in_range(0..=2 * START_MS)?,
        };
        Ok(Input::PeerStatus {
            peer: peer(from),
            status,
        })
    }

    fn transactions(&self, u: &mut Unstructured<'_>, from: u8) -> Result<Input> {
        let mut batch: Vec<Transaction> = Vec::new();
        for _ in 0..u.int_in_range(1..=4)? {
            batch.extend(transaction(u, self.world)?);
        }
        let Some(first) = batch.first() else {
            return Ok(Input::Tick);
        };
        let topic = match u.ratio(1, 8)? {
            true => *u.choose(&Topic::ALL)?,
            false => Topic::of(first.kind()),
        };
        if !u.ratio(1, 8)? {
            batch.retain(|one| Topic::of(one.kind()) == topic);
        }
        let data = match (List::new(batch.clone()), List::new(batch)) {
            (_, Ok(transactions)) if topic == Topic::Finality => {
                wire::encode(&FinalityGossip::Transactions { transactions })
            }
            (Ok(transactions), _) => wire::encode(&TransactionBatch { transactions }),
            _ => return Ok(Input::Tick),
        };
        Ok(self.gossip(topic, data, from))
    }

    fn block(&self, u: &mut Unstructured<'_>, from: u8) -> Result<Input> {
        let branch = u.choose(&self.world.branches)?;
        let made = u.choose(branch)?;
        let mut ids: Vec<TxId> = made.transactions.iter().map(|one| one.id()).collect();
        if u.ratio(1, 8)? {
            ids.reverse();
        }
        let compact = CompactBlock {
            header: made.header.clone(),
            transactions: List::new(ids).unwrap(),
        };
        let mut data = wire::encode(&compact);
        if u.ratio(1, 6)? {
            data = disturbed(u, data)?;
        }
        Ok(self.gossip(Topic::Block, data, from))
    }

    fn submission(&mut self, u: &mut Unstructured<'_>) -> Result<Input> {
        let mut transactions = Vec::new();
        for _ in 0..u.int_in_range(1..=3)? {
            transactions.extend(transaction(u, self.world)?);
        }
        self.next_submission += 1;
        let number = self.next_submission;
        let ids = transactions.iter().map(Transaction::id).collect();
        self.submissions.insert(number, ids);
        Ok(Input::Submit {
            submitter: Submitter::Local(number),
            transactions,
        })
    }

    fn verdicts(&mut self, u: &mut Unstructured<'_>) -> Result<Option<Input>> {
        if self.jobs.is_empty() {
            return Ok(None);
        }
        let (job, transactions) = self.jobs.swap_remove(u.choose_index(self.jobs.len())?);
        let verdicts = self.verifier.verify(transactions);
        Ok(Some(Input::Verified { job, verdicts }))
    }

    /// The answer to a request: nothing, an honest one, one with bytes changed, or one to another question.
    fn reply(&mut self, u: &mut Unstructured<'_>) -> Result<Option<Input>> {
        if self.requests.is_empty() {
            return Ok(None);
        }
        let place = u.choose_index(self.requests.len())?;
        let (tag, peer, request) = self.requests.swap_remove(place);
        let branch = u.choose(&self.world.branches)?;
        let honest = wire::encode(&answer(self.world, branch, &request, self.now));
        let reply = match u.int_in_range(0..=9)? {
            0 => None,
            1 => Some(u.bytes(20.min(u.len()))?.to_vec()),
            2 => Some(disturbed(u, honest)?),
            3 => Some(wire::encode(&Reply::Unknown {})),
            _ => Some(honest),
        };
        Ok(Some(Input::Response { tag, peer, reply }))
    }

    /// What another finaliser says, or one that says everything.
    fn vote(&self, u: &mut Unstructured<'_>, from: u8) -> Result<Input> {
        let world = self.world;
        let value = match u.ratio(1, 4)? {
            true => Vec::new(),
            false => block_id(u, world)?.as_bytes().to_vec(),
        };
        let kind = *u.choose(&[
            FinalityMessage::PROPOSAL,
            FinalityMessage::PREVOTE,
            FinalityMessage::PRECOMMIT,
        ])?;
        let said = message(
            &world.network,
            u.int_in_range(2..=5)?,
            kind,
            u.int_in_range(0..=4)?,
            u.int_in_range(0..=2)?,
            &value,
        );
        let messages = List::new(vec![said]).unwrap();
        let mut data = wire::encode(&FinalityGossip::Messages { messages });
        if u.ratio(1, 8)? {
            data = disturbed(u, data)?;
        }
        Ok(self.gossip(Topic::Finality, data, from))
    }

    /// Answers what is open, lets a while pass, and asks for the last time.
    fn settle(&mut self) {
        for _ in 0..6 {
            let mut inputs = vec![Input::Tick];
            for (job, transactions) in std::mem::take(&mut self.jobs) {
                let verdicts = self.verifier.verify(transactions);
                inputs.push(Input::Verified { job, verdicts });
            }
            for (tag, peer, request) in std::mem::take(&mut self.requests) {
                let reply = wire::encode(&answer(
                    self.world,
                    &self.world.branches[0],
                    &request,
                    self.now,
                ));
                let reply = Some(reply);
                inputs.push(Input::Response { tag, peer, reply });
            }
            self.now.mono_ms += 1_000;
            self.now.wall_ms += 1_000;
            self.handle(inputs);
        }
        self.kill();
        self.start();
        self.keeps_its_word();
        self.node.take().unwrap().close().unwrap();
        let store = empty_store(self.world, &self.disk);
        assert!(store.was_closed());
    }
}

/// What an honest peer on this branch says.
fn answer(world: &World, branch: &[Made], request: &Request, now: Now) -> Reply {
    match request {
        Request::Status { .. } => {
            let tip = &branch.last().unwrap().header;
            Reply::Status {
                status: Status {
                    tip: tip.id(),
                    height: tip.height,
                    checkpoint: world.network.genesis_block(),
                    checkpoint_height: 0,
                    pending: 3,
                    clock_ms: now.wall_ms,
                },
            }
        }
        Request::Headers { locator, max } => {
            let place = |id| branch.iter().position(|made| made.header.id() == id);
            let from = locator
                .iter()
                .find_map(|id| place(*id))
                .map_or(0, |at| at + 1);
            let headers = branch[from..].iter().map(|made| made.header.clone());
            let max = usize::try_from(*max).unwrap_or(usize::MAX);
            Reply::Headers {
                headers: headers.take(max).collect::<Vec<_>>().into_list(),
            }
        }
        Request::Bodies { blocks, .. } => {
            let all = || world.branches.iter().flatten();
            let body = |id| {
                let made = all().find(|made| made.header.id() == id)?;
                let body: Vec<Transaction> = made
                    .transactions
                    .iter()
                    .map(|one| (**one).clone())
                    .collect();
                List::new(body).ok()
            };
            Reply::Bodies {
                bodies: blocks
                    .iter()
                    .map_while(|id| body(*id))
                    .collect::<Vec<_>>()
                    .into_list(),
            }
        }
        Request::Certificates { from, .. } => Reply::Certificates {
            certificates: world
                .certificates
                .iter()
                .filter(|certificate| certificate.checkpoint >= *from)
                .cloned()
                .collect::<Vec<_>>()
                .into_list(),
            changes: Vec::new().into_list(),
        },
        Request::PendingIds { after } => {
            let mut ids: Vec<TxId> = world.pool.iter().map(Transaction::id).collect();
            ids.sort();
            ids.retain(|id| id > after);
            Reply::PendingIds {
                ids: ids.into_list(),
            }
        }
        Request::Transactions { ids, .. } => {
            let known = world.pool.iter().filter(|one| ids.contains(&one.id()));
            Reply::Transactions {
                transactions: known.cloned().collect::<Vec<_>>().into_list(),
            }
        }
        _ => Reply::Unknown {},
    }
}

trait IntoList<T> {
    fn into_list<const MIN: usize, const MAX: usize>(self) -> List<T, MIN, MAX>;
}

impl<T> IntoList<T> for Vec<T> {
    fn into_list<const MIN: usize, const MAX: usize>(self) -> List<T, MIN, MAX> {
        List::new(self).unwrap()
    }
}
