//! `chain.votechain` with its expected audit, and the chains that `chains.json` breaks.

mod broken;
pub mod finality;

use std::sync::Arc;

use serde_json::{Value, json};
use votenode::chain::block::{Block, BlockId, Header, Nonce};
use votenode::chain::checkpoint::{Checkpoints, CommitCertificate};
use votenode::chain::election::{Election, ElectionId, Secrecy, Terms};
use votenode::chain::genesis::Genesis;
use votenode::chain::invalid::{BlockInvalid, Failure};
use votenode::chain::memory::MemoryState;
use votenode::chain::merkle::Tree;
use votenode::chain::network::Network;
use votenode::chain::rules::{TemplateLimits, apply_block, check_header, fill_template};
use votenode::chain::state::{RollEntry, View};
use votenode::chain::transaction::{Payload, Transaction};
use votenode::chain::verify::{Verified, Verifier};
use votenode::crypto::Hash;
use votenode::export::{ChainBlock, ChainReader, ChainWriter};
use votenode::protocol::export::{MAGIC, Record};
use votenode::wire;

use crate::samples::{self, START_MS, invitation, inviter, list, organiser, text, voter};
use crate::vectors::{hex, settle, settle_bytes};

/// Finds the nonce.
fn mine(mut header: Header) -> Header {
    let genesis = samples::genesis();
    for nonce in 0u64.. {
        header.nonce = Nonce::from_bytes(nonce.to_be_bytes());
        if header.id().meets(&genesis) {
            return header;
        }
    }
    unreachable!()
}

/// A chain that grows by valid blocks, and can make a block that is not.
struct Chain {
    network: Network,
    state: MemoryState,
    headers: Vec<Header>,
    blocks: Vec<Block>,
}

impl Chain {
    fn new() -> Self {
        Self::of(samples::genesis())
    }

    fn of(genesis: Genesis) -> Self {
        let network = Network::new(genesis).unwrap();
        Self {
            headers: vec![network.genesis_header().clone()],
            state: MemoryState::new(),
            blocks: Vec::new(),
            network,
        }
    }

    fn tip(&self) -> &Header {
        self.headers.last().unwrap()
    }

    fn verify(&self, transactions: &[Transaction]) -> Vec<Verified<Transaction>> {
        Verifier::new(Arc::new(self.network.clone()), [0; 32])
            .verify(transactions.to_vec())
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// Adds a block `at_ms` after the genesis.
    fn push(&mut self, at_ms: u64, transactions: &[Transaction]) {
        let template = fill_template(
            &self.state,
            &self.network,
            self.tip(),
            START_MS + at_ms,
            samples::key(0x41).public_key(),
            self.verify(transactions),
            TemplateLimits::of(&self.network),
        )
        .unwrap();
        assert_eq!(template.skipped, []);
        assert_eq!(template.header.timestamp_ms, START_MS + at_ms);
        let header = mine(template.header);
        let delta = apply_block(
            &self.state,
            &self.network,
            self.tip(),
            &header,
            &template.transactions,
        )
        .unwrap();
        self.state.insert(delta);
        self.headers.push(header.clone());
        self.blocks.push(Block {
            header,
            transactions: list(transactions.iter().cloned()),
        });
    }

    /// A block on the tip that commits to these transactions, whatever they are, and was changed before it was mined.
    fn forge(
        &self,
        at_ms: u64,
        transactions: &[Transaction],
        change: impl FnOnce(&mut Header),
    ) -> Block {
        let mut roll = self.state.roll().unwrap();
        for transaction in transactions {
            if let Payload::Registration { registration } = &transaction.payload {
                let entry = RollEntry {
                    voter: registration.voter,
                    ring_key: registration.ring_key,
                    group: text("open"),
                };
                roll.push(entry.leaf());
            }
        }
        let leaf = |transaction: &Transaction| Tree::Transactions.leaf(transaction.id().as_bytes());
        let mut header = Header {
            version: 1,
            network: self.network.id(),
            height: self.tip().height + 1,
            parent: self.tip().id(),
            transaction_root: Tree::Transactions.root(transactions.iter().map(leaf)),
            roll_size: roll.size(),
            roll_root: roll.root(),
            timestamp_ms: START_MS + at_ms,
            miner: samples::key(0x41).public_key(),
            nonce: Nonce::ZERO,
        };
        change(&mut header);
        Block {
            header: mine(header),
            transactions: list(transactions.iter().cloned()),
        }
    }
}

fn register(number: u8) -> Transaction {
    samples::transaction(Payload::Registration {
        registration: samples::open_registration(&voter(number)),
    })
}

fn register_with(number: u8, code: u8) -> Transaction {
    samples::transaction(Payload::Registration {
        registration: samples::invited_registration(&voter(number), &invitation(code)),
    })
}

fn cast(election: &Election, number: u8, choices: &[u8]) -> Transaction {
    cast_in(election.id(), number, choices)
}

fn cast_in(election: ElectionId, number: u8, choices: &[u8]) -> Transaction {
    samples::transaction(Payload::Vote {
        vote: samples::vote(election, choices, &voter(number)),
    })
}

fn open(election: Election) -> Transaction {
    samples::transaction(Payload::Election { election })
}

fn batch(codes: &[u8]) -> Transaction {
    let keys: Vec<_> = codes.iter().map(|code| invitation(*code)).collect();
    samples::transaction(Payload::InvitationBatch {
        batch: samples::batch("members", &keys, &organiser()),
    })
}

fn revoke(code: u8) -> Transaction {
    samples::transaction(Payload::InvitationRevoke {
        revoke: samples::revoke(&[invitation(code)], &inviter()),
    })
}

/// For members alone, with a roll that closes before polls open; polls are open when the file ends.
fn members_only() -> Election {
    let terms = Terms {
        title: text("Treasurer"),
        question: text("Who shall be treasurer?"),
        options: list(["Ed", "Flo"].map(text)),
        opens_at_ms: START_MS + 11_000,
        closes_at_ms: START_MS + 60_000,
        roll_closes_at_ms: START_MS + 3_000,
        groups: list([text("members")]),
        ..samples::terms()
    };
    samples::election(terms, Secrecy::Open {}, &organiser())
}

/// The first blocks: who registers, what is asked.
fn opening() -> Chain {
    let mut chain = Chain::new();
    chain.push(1_000, &[batch(&[1, 2, 3, 4]), register(1), register(2)]);
    chain.push(
        2_000,
        &[
            revoke(4),
            register_with(3, 1),
            register_with(4, 2),
            register(5),
            open(samples::plurality()),
            open(samples::approval()),
            open(members_only()),
        ],
    );
    chain
}

/// The whole chain: two elections counted, one under way.
fn whole() -> Chain {
    let (plurality, approval) = (samples::plurality(), samples::approval());
    let mut chain = opening();
    // A registration and the vote that depends on it share a block.
    chain.push(
        5_000,
        &[
            cast(&plurality, 1, &[0]),
            cast(&plurality, 2, &[2]),
            cast(&plurality, 3, &[]),
            register(6),
            cast(&plurality, 6, &[0]),
            cast(&approval, 1, &[0, 1, 2]),
        ],
    );
    chain.push(
        6_000,
        &[
            cast(&plurality, 5, &[2]),
            cast(&approval, 2, &[1]),
            cast(&approval, 3, &[]),
        ],
    );
    // Polls are closed, and the grace is not over.
    chain.push(10_000, &[cast(&approval, 4, &[0, 3]), register(7)]);
    // The closing block of both, and the first of the third's polls.
    chain.push(11_000, &[register(8), cast(&members_only(), 3, &[1])]);
    chain.push(12_000, &[]);
    chain.push(13_000, &[]);
    chain
}

fn frame(record: &Record) -> Vec<u8> {
    let bytes = wire::encode(record);
    [&(bytes.len() as u32).to_be_bytes(), bytes.as_slice()].concat()
}

fn end(header: &Header) -> Record {
    Record::End {
        tip: header.id(),
        height: header.height,
    }
}

/// A file of these blocks, however they hang together.
fn file(genesis: Genesis, blocks: &[Block]) -> Vec<u8> {
    certified_file(genesis, blocks, &[])
}

/// A file of these blocks with certificates behind those of the heights given.
fn certified_file(
    genesis: Genesis,
    blocks: &[Block],
    certificates: &[(usize, CommitCertificate)],
) -> Vec<u8> {
    let network = Network::new(genesis.clone()).unwrap();
    let tip = blocks
        .last()
        .map_or(network.genesis_header(), |block| &block.header);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(frame(&Record::Genesis { genesis }));
    for (height, block) in (1..).zip(blocks) {
        bytes.extend(frame(&Record::Block {
            block: block.clone(),
        }));
        for (_, certificate) in certificates.iter().filter(|(at, _)| *at == height) {
            bytes.extend(frame(&Record::Certificate {
                certificate: certificate.clone(),
            }));
        }
    }
    bytes.extend(frame(&end(tip)));
    bytes
}

/// The rule that is broken, and of a transaction its index and rule.
type Fault = (&'static str, Option<(u64, &'static str)>);

/// Replays an exported chain as an audit does, and gives the rule that is broken, as in the vectors.
fn replay(bytes: &[u8]) -> Result<BlockId, Fault> {
    let file = |_| ("file", None);
    let mut reader = ChainReader::new(bytes).map_err(file)?;
    let network = reader.network().clone();
    let verifier = Verifier::new(Arc::new(network.clone()), [0; 32]);
    let (mut state, mut parent) = (MemoryState::new(), network.genesis_header().clone());
    let mut checkpoints = Checkpoints::new(&network);
    let in_block = |broken: BlockInvalid| match &broken {
        BlockInvalid::Transaction { index, reason } => {
            (broken.name(), Some((u64::from(*index), reason.name())))
        }
        _ => (broken.name(), None),
    };
    for item in &mut reader {
        let ChainBlock { block, certificate } = item.map_err(file)?;
        check_header(&network, &parent, &block.header).map_err(in_block)?;
        let verdicts = verifier.verify(block.transactions.into_vec());
        let mut transactions = Vec::new();
        for (index, verdict) in (0u32..).zip(verdicts) {
            let wrong = |reason| in_block(BlockInvalid::Transaction { index, reason });
            transactions.push(verdict.map_err(wrong)?);
        }
        match apply_block(&state, &network, &parent, &block.header, &transactions) {
            Ok(delta) => state.insert(delta),
            Err(Failure::Invalid(broken)) => return Err(in_block(broken)),
            Err(Failure::State(error)) => panic!("{error}"),
        }
        parent = block.header;
        if let Some(certificate) = certificate {
            checkpoints
                .check(&network.id(), &certificate, &parent.id())
                .map_err(|_| ("certificate", None))?;
            checkpoints.advance(state.latest_finaliser_set(&network).unwrap());
        }
    }
    Ok(parent.id())
}

/// What an audit of the whole chain finds, worked out by hand.
fn expected(chain: &Chain) -> Value {
    json!({
        "network": hex(chain.network.id()),
        "height": 8,
        "tip": hex(chain.tip().id()),
        "finality": null,
        "registrations": 8,
        "groups": { "members": 2, "open": 6 },
        "invitations": [{ "group": "members", "height": 1, "index": 0, "issued": 4, "used": 2, "revoked": 1 }],
        "elections": [
            {
                "election": hex(samples::plurality().id()),
                "title": "Colour of the boathouse",
                "phase": "provisional",
                "closing_height": 6,
                "final_by_checkpoint": null,
                // Not voter 7, who registered in a block after the roll had closed.
                "eligible": 6,
                "votes": 5,
                "blank": 1,
                "totals": [2, 0, 2],
                "winners": [plurality_winner()],
            },
            {
                "election": hex(samples::approval().id()),
                "title": "Committee",
                "phase": "provisional",
                "closing_height": 6,
                "final_by_checkpoint": null,
                "eligible": 6,
                "votes": 4,
                "blank": 1,
                "totals": [2, 2, 1, 1],
                "winners": approval_winners(),
            },
            {
                "election": hex(members_only().id()),
                "title": "Treasurer",
                "phase": "open",
                "closing_height": null,
                "final_by_checkpoint": null,
                "eligible": 2,
                "votes": 1,
                "blank": 0,
                "totals": [0, 1],
                "winners": [1],
            },
        ],
    })
}

/// The hash that decides a tie.
fn lot(election: &Election, option: u8) -> Hash {
    let bytes = [election.id().as_bytes().as_slice(), &[option]].concat();
    votenode::crypto::hash(votenode::crypto::Context::TieBreak, &bytes)
}

/// Options 0 and 2 have two votes each.
fn plurality_winner() -> u8 {
    let election = samples::plurality();
    if lot(&election, 0) < lot(&election, 2) {
        0
    } else {
        2
    }
}

/// Options 0 and 1 have two approvals each and both have a seat; the lot says who is named first.
fn approval_winners() -> [u8; 2] {
    let election = samples::approval();
    if lot(&election, 0) < lot(&election, 1) {
        [0, 1]
    } else {
        [1, 0]
    }
}

#[test]
fn the_exported_chain_and_its_audit() {
    let chain = whole();
    let bytes = file(samples::genesis(), &chain.blocks);
    assert_eq!(replay(&bytes), Ok(chain.tip().id()));

    let genesis_block = chain.network.genesis_block();
    let mut writer = ChainWriter::new(Vec::new(), &samples::genesis(), genesis_block).unwrap();
    for block in &chain.blocks {
        writer.block(block.clone()).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), bytes);
    settle_bytes("chain.votechain", &bytes);
    settle("chain.json", &expected(&chain));
}
