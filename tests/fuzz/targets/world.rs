//! A small network with everything that can happen in it: what targets mutate and put together.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use votenode::chain::block::Header;
use votenode::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use votenode::chain::election::{Choices, ElectionId, Method, Privacy, Terms};
use votenode::chain::genesis::{
    Finaliser, Genesis, Group, OpenAdmission, Organiser, PROTOCOL_VERSION,
};
use votenode::chain::memory::MemoryState;
use votenode::chain::merkle::{PerfectNodes, Tree};
use votenode::chain::network::Network;
use votenode::chain::rules::{TemplateLimits, fill_template};
use votenode::chain::sign;
use votenode::chain::transaction::{Approval, FinalityMessage, Payload, Transaction};
use votenode::chain::verify::{Verified, Verifier};
use votenode::client::receipt::verify;
use votenode::crypto::{Hash, SigningKey, VoterId};
use votenode::protocol::names::Topic;
use votenode::protocol::receipt::Receipt;
use votenode::protocol::submit::Inclusion;
use votenode::store::{
    Appended, Commit, Expect, MemoryDisk, NewBlock, Store, StoreConfig, Switch, encode_body,
};
use votenode::wire::{self, Blob, List, Text};

/// Timestamp of the genesis.
pub const START_MS: u64 = 1_000_000;
/// Bits of the stamps.
const BITS: u8 = 2;
/// Finalisers of the network, of power 1 each.
const FINALISERS: u8 = 4;
/// Blocks of each branch: the seventh closes an election, and the ninth makes that as good as final where nobody
/// finalises.
const BRANCH: u64 = 9;

/// A block, with the state after it.
pub struct Made {
    pub header: Header,
    pub transactions: Vec<Verified<Transaction>>,
    pub state: MemoryState,
    appended: Appended,
}

/// The network and what there is in it.
pub struct World {
    pub network: Arc<Network>,
    /// Transactions of every kind, many of them in conflict.
    pub pool: Vec<Transaction>,
    /// The same, verified.
    pub verified: Vec<Verified<Transaction>>,
    pub elections: Vec<ElectionId>,
    /// Two chains from the genesis on; the first holds nearly everything.
    pub branches: [Vec<Made>; 2],
    /// Certificates of the first branch.
    pub certificates: Vec<CommitCertificate>,
}

/// The world, made once.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::new(FINALISERS))
}

/// The same without finalisers: nodes keep to the closing blocks that they saw.
pub fn plain_world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::new(0))
}

fn text<const MIN: usize, const MAX: usize>(text: &str) -> Text<MIN, MAX> {
    Text::new(text).unwrap()
}

fn list<T, const MIN: usize, const MAX: usize>(items: Vec<T>) -> List<T, MIN, MAX> {
    List::new(items).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn organiser() -> SigningKey {
    key(101)
}

/// The key of a finaliser, from 1.
pub fn finaliser(number: u8) -> SigningKey {
    key(200 + number)
}

fn member(number: u8) -> Finaliser {
    Finaliser {
        key: finaliser(number).public_key(),
        power: 1,
        name: text(&format!("finaliser {number}")),
    }
}

fn voter(number: u8) -> VoterId {
    VoterId::from_bytes([number; 32])
}

fn genesis(finalisers: u8) -> Genesis {
    Genesis {
        version: PROTOCOL_VERSION,
        name: text("fuzz"),
        timestamp_ms: START_MS,
        block_time_ms: 1_000,
        // Every nonce will do.
        target: Hash::from_bytes([0xff; 32]),
        close_grace_ms: 2_000,
        confirmations: 2,
        max_block_bytes: 64 * 1024,
        max_block_transactions: 100,
        open_admission: OpenAdmission::Stamped { bits: BITS },
        vote_stamp_bits: BITS,
        elections_by: Genesis::ANYONE,
        organisers: list(vec![Organiser {
            key: organiser().public_key(),
            permissions: 3,
            name: text("organiser"),
        }]),
        finalisers: list((1..=finalisers).map(member).collect()),
    }
}

fn terms(title: &str, method: Method, closes_at_ms: u64) -> Terms {
    Terms {
        title: text(title),
        question: text("Which colour?"),
        options: list(vec![text("red"), text("green"), text("blue")]),
        method: method as u8,
        seats: 1,
        score_maximum: 0,
        opens_at_ms: START_MS + 2_000,
        closes_at_ms,
        roll_closes_at_ms: closes_at_ms,
        reveal_until_ms: 0,
        min_ring: 0,
        groups: list(vec![text("club"), text("open")]),
        privacy: Privacy::Pseudonymous as u8,
    }
}

/// A message of the consensus from a finaliser; an empty value is nil.
pub fn message(
    network: &Network,
    number: u8,
    kind: u8,
    checkpoint: u64,
    round: u64,
    value: &[u8],
) -> SignedFinalityMessage {
    let message = FinalityMessage {
        kind,
        height: checkpoint,
        round,
        lock_round: 0,
        value: Blob::new(value.to_vec()).unwrap(),
    };
    SignedFinalityMessage::sign(&finaliser(number), &network.id(), message)
}

fn certificate(network: &Network, checkpoint: u64, header: &Header) -> CommitCertificate {
    let block = header.id();
    let mut precommits: Vec<Approval> = (1..FINALISERS)
        .map(|number| {
            let kind = FinalityMessage::PRECOMMIT;
            message(network, number, kind, checkpoint, 0, block.as_bytes())
        })
        .map(|said| Approval {
            key: said.finaliser,
            signature: said.signature,
        })
        .collect();
    precommits.sort_by_key(|precommit| precommit.key);
    CommitCertificate {
        set: 0,
        checkpoint,
        round: 0,
        block,
        precommits: list(precommits),
    }
}

impl World {
    fn new(finalisers: u8) -> Self {
        let network = Arc::new(Network::new(genesis(finalisers)).unwrap());
        let (pool, elections) = pool(&network);
        let verifier = Verifier::new(Arc::clone(&network), [0; 32]);
        let verdicts = verifier.verify(pool.clone());
        // Where nobody finalises, what finalisers say is wrong everywhere, and comes all the same.
        let of_finalisers = |one: &Transaction| Topic::of(one.kind()) == Topic::Finality;
        let verified: Vec<_> = verdicts
            .into_iter()
            .zip(&pool)
            .filter(|(_, one)| finalisers > 0 || !of_finalisers(one))
            .map(|(verdict, _)| verdict.unwrap())
            .collect();
        let mut backwards = verified.clone();
        backwards.reverse();
        let branches = [
            branch(&network, &verified, 0),
            branch(&network, &backwards, 300),
        ];
        let certificates = (1..)
            .zip([1, 3])
            .map(|(number, height): (u64, usize)| {
                certificate(&network, number, &branches[0][height].header)
            })
            .collect();
        Self {
            network,
            pool,
            verified,
            elections,
            branches,
            certificates,
        }
    }

    /// A receipt for a transaction of the first branch, up to the checkpoint above it.
    pub fn receipt(&self) -> Vec<u8> {
        let blocks = &self.branches[0];
        let block = &blocks[0];
        let leaves: Vec<Hash> = block
            .transactions
            .iter()
            .map(|transaction| Tree::Transactions.leaf(transaction.id().as_bytes()))
            .collect();
        let nodes = PerfectNodes::new(Tree::Transactions, leaves);
        let proof = nodes.inclusion(Tree::Transactions, 0).unwrap();
        let receipt = Receipt {
            version: 1,
            network: self.network.id(),
            transaction: (*block.transactions[0]).clone(),
            inclusion: Inclusion {
                header: block.header.clone(),
                index: proof.index,
                count: proof.count,
                path: list(proof.path),
            },
            headers: list(
                blocks[1..4]
                    .iter()
                    .map(|block| block.header.clone())
                    .collect(),
            ),
            certificate: list(vec![self.certificates[1].clone()]),
            changes: list(Vec::new()),
        };
        verify(&self.network, &receipt).unwrap();
        wire::encode(&receipt)
    }

    /// A store that holds the first branch and its certificates.
    pub fn store(&self, disk: &MemoryDisk) -> Store {
        let mut store = empty_store(self, disk);
        let blocks = &self.branches[0];
        store
            .commit(Commit {
                blocks: blocks
                    .iter()
                    .map(|block| NewBlock {
                        id: block.header.id(),
                        header: block.header.clone(),
                        body: Some(encode_body(&block.transactions)),
                    })
                    .collect(),
                chain: Some(Switch {
                    rewind_to: 0,
                    append: blocks.iter().map(|block| block.appended.clone()).collect(),
                }),
                certificates: self.certificates.clone(),
                ..Commit::default()
            })
            .unwrap();
        store
    }
}

/// A store with next to no memory, which writes its indexes soon.
pub fn empty_store(world: &World, disk: &MemoryDisk) -> Store {
    let config = StoreConfig {
        cache_bytes: 256 * 1024,
        flush_depth: 2,
        flush_transactions: 10,
        flush_blocks: 4,
        tail_transactions: 60,
        check_on_open: true,
    };
    Store::open_memory(disk, Expect::Genesis(&world.network), config).unwrap()
}

fn pool(network: &Network) -> (Vec<Transaction>, Vec<ElectionId>) {
    let id = network.id();
    let never = AtomicBool::new(false);
    let invitations = |numbers: &[u8]| list(numbers.iter().map(|n| key(*n).public_key()).collect());
    let mut pool = vec![
        sign::issue_invitations(
            &id,
            &organiser(),
            Group::new("club").unwrap(),
            invitations(&[1, 2, 3]),
        ),
        sign::revoke_invitations(&id, &organiser(), invitations(&[3])),
    ];
    for number in 20..26 {
        let made = sign::register_open(&id, &voter(number), &[0; 32], BITS, &never);
        pool.push(made.unwrap());
    }
    for (number, invitation) in [(30, 1), (31, 1), (32, 2), (33, 3)] {
        pool.push(sign::register_invited(
            &id,
            &voter(number),
            &[0; 32],
            &key(invitation),
        ));
    }
    let mut elections = Vec::new();
    for terms in [
        terms("first", Method::Plurality, START_MS + 4_500),
        terms("second", Method::Approval, START_MS + 900_000),
    ] {
        let opened = sign::open_election(network, &organiser(), terms).unwrap();
        if let Payload::Election { election } = &opened.payload {
            elections.push(election.id());
        }
        pool.push(opened);
    }
    for election in &elections {
        for (voter_number, choices) in [
            (20, &[0][..]),
            (20, &[1]),
            (21, &[]),
            (22, &[2]),
            (23, &[0, 1]),
            (24, &[2, 0]),
            (30, &[9]),
            (99, &[0]),
        ] {
            let choices = Choices::new(choices.to_vec()).unwrap();
            pool.push(sign::cast_vote(
                &id,
                &voter(voter_number),
                *election,
                choices,
            ));
        }
    }
    for (set, members) in [(1, [1, 2, 3, 5]), (1, [1, 2, 3, 6]), (2, [5, 6, 7, 8])] {
        let members = list(members.map(member).into());
        let approvals =
            (1..4).map(|number| sign::approve_change(&id, &finaliser(number), set, &members));
        let approvals = list(approvals.collect());
        pool.push(sign::change_finalisers(&id, set, members, approvals).unwrap());
    }
    let said = |value| message(network, 4, FinalityMessage::PREVOTE, 1, 0, &[value; 32]);
    pool.push(sign::convict(&id, said(1).contradicts(&said(2)).unwrap()));
    (pool, elections)
}

fn branch(network: &Arc<Network>, candidates: &[Verified<Transaction>], late_ms: u64) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for height in 1..=BRANCH {
        let (parent, state) = match made.last() {
            Some(last) => (last.header.clone(), last.state.clone()),
            None => (network.genesis_header().clone(), MemoryState::new()),
        };
        let limits = TemplateLimits {
            transactions: 12,
            ..TemplateLimits::of(network)
        };
        let template = fill_template(
            &state,
            network,
            &parent,
            START_MS + 1_000 * height + late_ms,
            key(102).public_key(),
            candidates.to_vec(),
            limits,
        )
        .unwrap();
        let delta = template.delta.into_delta();
        let mut state = state;
        state.insert(delta.clone());
        made.push(Made {
            appended: Appended {
                id: template.header.id(),
                delta,
            },
            header: template.header,
            transactions: template.transactions,
            state,
        });
    }
    made
}
