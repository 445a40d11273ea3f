//! `chain.votechain` with its expected audit, and `chains.json`: exported chains that break one rule each.

use std::sync::Arc;

use serde_json::{Value, json};
use votenode::chain::block::{Block, BlockId, Header, Nonce};
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
        let network = Network::new(samples::genesis()).unwrap();
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
    let network = Network::new(genesis.clone()).unwrap();
    let tip = blocks
        .last()
        .map_or(network.genesis_header(), |block| &block.header);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(frame(&Record::Genesis { genesis }));
    for block in blocks {
        bytes.extend(frame(&Record::Block {
            block: block.clone(),
        }));
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
    let in_block = |broken: BlockInvalid| match &broken {
        BlockInvalid::Transaction { index, reason } => {
            (broken.name(), Some((u64::from(*index), reason.name())))
        }
        _ => (broken.name(), None),
    };
    for item in &mut reader {
        let ChainBlock { block, .. } = item.map_err(file)?;
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
    }
    Ok(parent.id())
}

fn on(chain: &Chain, block: Block) -> Vec<u8> {
    let mut blocks = chain.blocks.clone();
    blocks.push(block);
    file(samples::genesis(), &blocks)
}

/// Name, the rule that is broken, and of a transaction its index and rule.
type Broken = (
    &'static str,
    &'static str,
    Option<(u64, &'static str)>,
    Vec<u8>,
);

/// Chains with one broken block behind the opening blocks.
fn broken_blocks() -> Vec<Broken> {
    let chain = opening();
    let nothing = |_: &mut Header| {};
    let header = |name, rule, change: &dyn Fn(&mut Header)| {
        (
            name,
            rule,
            None,
            on(&chain, chain.forge(5_000, &[], change)),
        )
    };
    let mut broken = vec![
        header("protocol version 2", "version", &|h| h.version = 2),
        header("of another network", "wrong_network", &|h| {
            h.network = votenode::chain::genesis::NetworkId::from_bytes([7; 32])
        }),
        header("a height left out", "file", &|h| h.height += 1),
        header("on its grandparent", "file", &|h| {
            h.parent = chain.headers[1].id()
        }),
        header("too soon after its parent", "timestamp", &|h| {
            h.timestamp_ms = START_MS + 2_999
        }),
        header("another transaction root", "transaction_root", &|h| {
            h.transaction_root = Hash::ZERO
        }),
        header("another roll root", "roll", &|h| h.roll_root = Hash::ZERO),
        header("another roll size", "roll", &|h| h.roll_size += 1),
        header("a shrinking roll", "roll", &|h| h.roll_size -= 1),
        ("without work", "work", None, {
            let mut block = chain.forge(5_000, &[], nothing);
            for nonce in 0u64.. {
                block.header.nonce = Nonce::from_bytes(nonce.to_be_bytes());
                if !block.header.id().meets(&samples::genesis()) {
                    break;
                }
            }
            on(&chain, block)
        }),
        (
            "a transaction left out of the body",
            "transaction_root",
            None,
            {
                let mut block = chain.forge(
                    5_000,
                    &[register(9), cast(&samples::plurality(), 1, &[0])],
                    nothing,
                );
                block.transactions = list([block.transactions[0].clone()]);
                on(&chain, block)
            },
        ),
        ("two transactions swapped", "transaction_root", None, {
            let mut block = chain.forge(
                5_000,
                &[
                    cast(&samples::plurality(), 1, &[0]),
                    cast(&samples::plurality(), 2, &[0]),
                ],
                nothing,
            );
            block.transactions =
                list([block.transactions[1].clone(), block.transactions[0].clone()]);
            on(&chain, block)
        }),
    ];
    let plurality = samples::plurality();
    let mut bad = |name, at_ms, index: usize, rule, transactions: &[Transaction]| {
        let block = chain.forge(at_ms, transactions, nothing);
        broken.push((
            name,
            "transaction",
            Some((index as u64, rule)),
            on(&chain, block),
        ));
    };
    bad(
        "vote by a stranger",
        5_000,
        0,
        "not_registered",
        &[cast(&plurality, 9, &[0])],
    );
    bad(
        "vote before the voter's registration in the block",
        5_000,
        0,
        "not_registered",
        &[cast(&plurality, 9, &[0]), register(9)],
    );
    bad(
        "vote by a voter of another group",
        11_000,
        0,
        "not_eligible",
        &[cast(&members_only(), 1, &[0])],
    );
    bad(
        "vote by a member who came after the roll had closed",
        11_000,
        1,
        "registered_too_late",
        &[register_with(9, 3), cast(&members_only(), 9, &[0])],
    );
    bad(
        "second vote with another choice",
        5_000,
        1,
        "already_voted",
        &[cast(&plurality, 1, &[0]), cast(&plurality, 1, &[1])],
    );
    bad(
        "vote before polls open",
        4_999,
        0,
        "too_early",
        &[cast(&plurality, 1, &[0])],
    );
    bad(
        "vote in the closing block",
        11_000,
        0,
        "too_late",
        &[cast(&plurality, 1, &[0])],
    );
    bad(
        "vote in an election that does not exist",
        5_000,
        0,
        "unknown_election",
        &[cast_in(ElectionId::from_bytes([7; 32]), 1, &[0])],
    );
    bad(
        "vote for option 3 of 3",
        5_000,
        0,
        "wrong_ballot",
        &[cast(&plurality, 1, &[3])],
    );
    bad(
        "vote for two options under plurality",
        5_000,
        0,
        "wrong_ballot",
        &[cast(&plurality, 1, &[0, 1])],
    );
    bad(
        "approvals out of order",
        5_000,
        0,
        "wrong_ballot",
        &[cast(&samples::approval(), 1, &[1, 0])],
    );
    bad(
        "approval of one option twice",
        5_000,
        0,
        "wrong_ballot",
        &[cast(&samples::approval(), 1, &[1, 1])],
    );
    bad(
        "vote of another network",
        5_000,
        0,
        "wrong_network",
        &[{
            let mut stray = cast(&plurality, 1, &[0]);
            stray.network = votenode::chain::genesis::NetworkTag::from_bytes(*b"oops");
            stray
        }],
    );
    bad(
        "vote signed by another voter",
        5_000,
        0,
        "bad_signature",
        &[{
            let mut vote = samples::vote(plurality.id(), &[0], &voter(1));
            samples::seal_vote(&mut vote, &voter(2).signing_key());
            samples::transaction(Payload::Vote { vote })
        }],
    );
    bad(
        "the same registration again",
        5_000,
        0,
        "already_registered",
        &[register(1)],
    );
    bad(
        "a registered voter again, with an invitation",
        5_000,
        0,
        "already_registered",
        &[register_with(1, 3)],
    );
    bad(
        "invitation nobody issued",
        5_000,
        0,
        "invitation_unknown",
        &[register_with(9, 7)],
    );
    bad(
        "invitation used before",
        5_000,
        0,
        "invitation_spent",
        &[register_with(9, 1)],
    );
    bad(
        "invitation revoked before",
        5_000,
        0,
        "invitation_revoked",
        &[register_with(9, 4)],
    );
    bad(
        "invitation used and revoked in one block",
        5_000,
        1,
        "invitation_spent",
        &[register_with(9, 3), revoke(3)],
    );
    bad(
        "invitation revoked twice",
        5_000,
        0,
        "invitation_revoked",
        &[revoke(4)],
    );
    bad(
        "revocation of an invitation nobody issued",
        5_000,
        0,
        "invitation_unknown",
        &[revoke(7)],
    );
    bad(
        "invitation issued again",
        5_000,
        0,
        "invitation_exists",
        &[batch(&[5, 1])],
    );
    bad(
        "election opened again",
        5_000,
        0,
        "election_exists",
        &[open(plurality.clone())],
    );
    bad(
        "election opened when its polls close",
        9_000,
        0,
        "election_over",
        &[open({
            let terms = Terms {
                title: text("Late"),
                ..samples::terms()
            };
            samples::election(terms, Secrecy::Open {}, &organiser())
        })],
    );
    bad(
        "a kind that is not accepted yet",
        5_000,
        0,
        "unsupported",
        &[samples::transaction(Payload::Reveal {
            reveal: samples::reveal(),
        })],
    );
    broken
}

/// Files that are damaged as files. The rule is "file".
fn broken_files() -> Vec<Broken> {
    let chain = opening();
    let good = file(samples::genesis(), &chain.blocks);
    let end_frame = frame(&end(chain.tip()));
    let body = &good[MAGIC.len()..good.len() - end_frame.len()];
    let genesis_frame = frame(&Record::Genesis {
        genesis: samples::genesis(),
    });
    let with_end = |end: &[u8]| [MAGIC.as_slice(), body, end].concat();
    let reordered = [
        MAGIC.as_slice(),
        &body[genesis_frame.len()..],
        &genesis_frame,
        &end_frame,
    ]
    .concat();
    vec![
        (
            "another first line",
            [b"votenode chain 2\n", &good[MAGIC.len()..]].concat(),
        ),
        ("no end", with_end(&[])),
        ("cut off in the end", good[..good.len() - 1].to_vec()),
        ("bytes after the end", [good.as_slice(), &[0]].concat()),
        (
            "an end of another height",
            with_end(&frame(&Record::End {
                tip: chain.tip().id(),
                height: 3,
            })),
        ),
        (
            "an end of another tip",
            with_end(&frame(&end(&chain.headers[1]))),
        ),
        (
            "two geneses",
            with_end(&[genesis_frame.as_slice(), &end_frame].concat()),
        ),
        ("genesis behind the blocks", reordered),
        (
            "a record that is not canonical",
            with_end(&[0, 0, 0, 3, 0x82, 0x18, 0x03]),
        ),
        (
            "a record longer than the file",
            with_end(&[0, 0x40, 0, 0, 0]),
        ),
        (
            "a record longer than allowed",
            with_end(&[0xff, 0xff, 0xff, 0xff, 0]),
        ),
        ("a certificate where nobody finalises", {
            let certificate = crate::messages::certificate();
            with_end(&[frame(&Record::Certificate { certificate }), end_frame].concat())
        }),
    ]
    .into_iter()
    .map(|(name, bytes)| (name, "file", None, bytes))
    .collect()
}

/// What an audit of the whole chain finds, worked out by hand.
fn expected(chain: &Chain) -> Value {
    json!({
        "network": hex(chain.network.id()),
        "height": 8,
        "tip": hex(chain.tip().id()),
        "registrations": 8,
        "groups": { "members": 2, "open": 6 },
        "invitations": [{ "group": "members", "height": 1, "index": 0, "issued": 4, "used": 2, "revoked": 1 }],
        "elections": [
            {
                "election": hex(samples::plurality().id()),
                "title": "Colour of the boathouse",
                "phase": "provisional",
                "closing_height": 6,
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

#[test]
fn exported_chains_that_break_one_rule() {
    let entry = |(name, rule, transaction, bytes): Broken| {
        assert_eq!(replay(&bytes), Err((rule, transaction)), "{name}");
        let (index, reason) = transaction.unzip();
        json!({ "name": name, "rule": rule, "index": index, "reason": reason, "hex": hex(bytes) })
    };
    let mut broken = broken_blocks();
    broken.extend(broken_files());
    settle(
        "chains.json",
        &json!({
            "about": "Exported chains that an audit must refuse. rule: what the last block breaks (README §9), or \"file\" \
                      where the file itself is damaged (§15); where that is \"transaction\", index says which and reason \
                      which rule of §8 it breaks.",
            "vectors": broken.into_iter().map(entry).collect::<Vec<_>>(),
        }),
    );
}
