//! Chains to measure on: any number of transactions, half of them registrations (every second one invited) and half
//! votes of those who registered. The same number gives the same bytes, so a file that is there is used again.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use votenode::chain::block::{Block, Header, Nonce};
use votenode::chain::election::{Choices, ElectionId, Method, Privacy, Terms};
use votenode::chain::genesis::{Group, OPEN_GROUP, Organiser};
use votenode::chain::memory::MemoryState;
use votenode::chain::network::Network;
use votenode::chain::rules::{TemplateLimits, fill_template};
use votenode::chain::sign;
use votenode::chain::transaction::{MAX_INVITATION_KEYS, Payload, Transaction};
use votenode::chain::verify::{Verified, Verifier};
use votenode::crypto::{Context, Hash, SigningKey, VoterId, hash};
use votenode::export::{ChainFile, ChainReader};
use votenode::genesis::{Parameters, to_toml};
use votenode::wire::{List, Text};

/// When the networks here begin: a moment in the past, so that no block is from the future.
const START_MS: u64 = 1_700_000_000_000;
/// Long after any measurement.
const CLOSES_MS: u64 = 4_000_000_000_000;
/// Zero bits of the stamp of an open registration: cheap to make, and as dear to check as any.
const STAMP_BITS: u8 = 4;
/// Transactions of a block of a chain that is made for reading.
const BLOCK_TRANSACTIONS: usize = 1_000;
/// Voters whose transactions are made at once: bounds the memory of making a chain.
const PORTION: usize = 50_000;

/// A network with an election, and its voters by number.
pub struct Fixture {
    pub network: Arc<Network>,
    pub election: ElectionId,
    opening: Transaction,
}

fn seed(what: &str, number: usize) -> [u8; 32] {
    hash(Context::Ballot, format!("bench {what} {number}").as_bytes()).to_bytes()
}

fn organiser() -> SigningKey {
    SigningKey::from_seed(&seed("organiser", 0))
}

fn voter(number: usize) -> VoterId {
    VoterId::from_bytes(seed("voter", number))
}

fn invitation(number: usize) -> SigningKey {
    SigningKey::from_seed(&seed("invitation", number))
}

fn group() -> Group {
    Group::new("members").unwrap()
}

impl Fixture {
    /// A network with default parameters but for the block time.
    pub fn mined(block_time_ms: u64) -> Self {
        Self::with(Parameters {
            block_time_ms,
            ..Parameters::default()
        })
    }

    /// A network in which work is free, for chains that are read and not mined.
    pub fn read() -> Self {
        Self::with(Parameters {
            target: Some(Hash::from_bytes([0xff; 32])),
            ..Parameters::default()
        })
    }

    /// A network with these parameters and an organiser.
    pub fn with(parameters: Parameters) -> Self {
        let parameters = Parameters {
            name: "bench".to_owned(),
            open_stamp_bits: Some(STAMP_BITS),
            organisers: vec![Organiser {
                key: organiser().public_key(),
                permissions: Organiser::INVITE | Organiser::OPEN_ELECTIONS,
                name: Text::new("bench").unwrap(),
            }],
            ..parameters
        };
        let network = Arc::new(Network::new(parameters.build(START_MS).unwrap()).unwrap());
        let options = ["yes", "no", "perhaps"].map(|option| Text::new(option).unwrap());
        let terms = Terms {
            title: Text::new("Bench").unwrap(),
            question: Text::new("How fast?").unwrap(),
            options: List::new(options.to_vec()).unwrap(),
            method: Method::Plurality as u8,
            seats: 1,
            score_maximum: 0,
            opens_at_ms: START_MS + 1,
            closes_at_ms: CLOSES_MS,
            roll_closes_at_ms: CLOSES_MS,
            reveal_until_ms: 0,
            min_ring: 0,
            groups: List::new(vec![group(), Group::new(OPEN_GROUP).unwrap()]).unwrap(),
            privacy: Privacy::Pseudonymous as u8,
        };
        let opening = sign::open_election(&network, &organiser(), terms).unwrap();
        let Payload::Election { election } = &opening.payload else {
            unreachable!()
        };
        let election = election.id();
        Self {
            network,
            election,
            opening,
        }
    }

    /// Writes the genesis for a node to start with.
    pub fn write_genesis(&self, directory: &Path) -> PathBuf {
        let path = directory.join("genesis.toml");
        fs::write(&path, to_toml(self.network.genesis())).unwrap();
        path
    }

    /// What has to be in the chain before the first of `voters` registers: the election and the invitations.
    pub fn ground(&self, voters: usize) -> Vec<Transaction> {
        let invited: Vec<usize> = (0..voters).filter(|number| is_invited(*number)).collect();
        let mut transactions = vec![self.opening.clone()];
        transactions.par_extend(invited.par_chunks(MAX_INVITATION_KEYS).map(|numbers| {
            let keys = numbers
                .iter()
                .map(|number| invitation(*number).public_key());
            let keys = List::new(keys.collect()).unwrap();
            sign::issue_invitations(&self.network.id(), &organiser(), group(), keys)
        }));
        transactions
    }

    /// The registration of a voter.
    pub fn registration(&self, number: usize) -> Transaction {
        let id = self.network.id();
        if is_invited(number) {
            sign::register_invited(&id, &voter(number), &[0; 32], &invitation(number))
        } else {
            let never = AtomicBool::new(false);
            sign::register_open(&id, &voter(number), &[0; 32], STAMP_BITS, &never).unwrap()
        }
    }

    /// The vote of a voter.
    pub fn vote(&self, number: usize) -> Transaction {
        let choice = Choices::new(vec![(number % 3) as u8]).unwrap();
        sign::cast_vote(&self.network.id(), &voter(number), self.election, choice)
    }

    /// Registrations of these voters.
    pub fn registrations(&self, numbers: std::ops::Range<usize>) -> Vec<Transaction> {
        numbers
            .into_par_iter()
            .map(|number| self.registration(number))
            .collect()
    }

    /// Votes of these voters.
    pub fn votes(&self, numbers: std::ops::Range<usize>) -> Vec<Transaction> {
        numbers
            .into_par_iter()
            .map(|number| self.vote(number))
            .collect()
    }

    /// A file with a chain of so many transactions, half registrations and half votes, after the ground of `voters`
    /// voters. It is made unless it is there.
    pub fn chain_file(&self, transactions: usize, voters: usize) -> PathBuf {
        self.file(transactions / 2, transactions / 2, voters)
    }

    /// A file with a chain in which so many voters are on the roll and nobody has voted.
    pub fn roll_file(&self, voters: usize) -> PathBuf {
        self.file(voters, 0, voters)
    }

    fn file(&self, registered: usize, voted: usize, voters: usize) -> PathBuf {
        let name = format!(
            "{}-{registered}-{voted}-{voters}.votechain",
            self.network.id().short()
        );
        let path = directory().join(name);
        if !path.exists() {
            eprintln!("  making a chain of {registered} registrations and {voted} votes");
            let mut chain = Growing::new(self, &path);
            chain.mine(self.ground(voters));
            let portions = |all: usize| {
                (0..all)
                    .step_by(PORTION)
                    .map(move |from| from..all.min(from + PORTION))
            };
            portions(registered).for_each(|part| chain.mine(self.registrations(part)));
            portions(voted).for_each(|part| chain.mine(self.votes(part)));
            chain.file.finish().unwrap();
        }
        path
    }
}

/// Every second voter has an invitation.
fn is_invited(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Where chains and scratch data are kept between runs.
pub fn directory() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_votenode"))
        .ancestors()
        .nth(2)
        .unwrap();
    let directory = target.join("bench");
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// Reads the transactions of a chain file.
pub fn transactions(path: &Path) -> Vec<Transaction> {
    let file = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let blocks = ChainReader::new(file).unwrap();
    blocks
        .flat_map(|block| block.unwrap().block.transactions.into_vec())
        .collect()
}

struct Growing {
    network: Arc<Network>,
    verifier: Verifier,
    state: MemoryState,
    tip: Header,
    file: ChainFile,
}

impl Growing {
    fn new(fixture: &Fixture, path: &Path) -> Self {
        let network = Arc::clone(&fixture.network);
        Self {
            verifier: Verifier::new(Arc::clone(&network), [0; 32]),
            state: MemoryState::new(),
            tip: network.genesis_header().clone(),
            file: ChainFile::create(path, network.genesis(), network.genesis_block()).unwrap(),
            network,
        }
    }

    /// Puts transactions, all of which have to be valid, into as many blocks as they need.
    fn mine(&mut self, transactions: Vec<Transaction>) {
        let verdicts = self.verifier.verify_parallel(transactions).into_iter();
        let mut waiting: Vec<Verified<Transaction>> = verdicts.map(Result::unwrap).collect();
        while !waiting.is_empty() {
            let count = waiting.len().min(BLOCK_TRANSACTIONS);
            let template = fill_template(
                &self.state,
                &self.network,
                &self.tip,
                0,
                organiser().public_key(),
                waiting[..count].iter().cloned(),
                TemplateLimits::of(&self.network),
            )
            .unwrap();
            assert!(!template.transactions.is_empty(), "{:?}", template.skipped);
            waiting.drain(..template.transactions.len());
            self.state.insert(template.delta.into_delta());
            let bodies = template
                .transactions
                .iter()
                .map(|transaction| (**transaction).clone());
            self.tip = self.work(template.header);
            let block = Block {
                header: self.tip.clone(),
                transactions: List::new(bodies.collect()).unwrap(),
            };
            self.file.block(block).unwrap();
        }
    }

    /// Finds the nonce.
    fn work(&self, header: Header) -> Header {
        let tries = (0u64..).map(|nonce| Header {
            nonce: Nonce::from_bytes(nonce.to_be_bytes()),
            ..header.clone()
        });
        tries
            .into_iter()
            .find(|header| header.id().meets(&self.network))
            .unwrap()
    }
}
