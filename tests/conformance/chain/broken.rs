//! `chains.json`: exported chains that break one rule each.

use serde_json::json;
use votenode::chain::block::{Block, Header, Nonce};
use votenode::chain::election::{ElectionId, Secrecy, Terms};
use votenode::chain::transaction::{Payload, Transaction};
use votenode::crypto::Hash;
use votenode::protocol::export::{MAGIC, Record};

use super::{
    Chain, batch, cast, cast_in, end, file, frame, members_only, open, opening, register,
    register_with, replay, revoke,
};
use crate::samples::{self, START_MS, list, organiser, text, voter};
use crate::vectors::{hex, settle};

fn on(chain: &Chain, block: Block) -> Vec<u8> {
    let mut blocks = chain.blocks.clone();
    blocks.push(block);
    file(samples::genesis(), &blocks)
}

/// Name, the rule that is broken, and of a transaction its index and rule.
pub type Broken = (
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

#[test]
fn exported_chains_that_break_one_rule() {
    let entry = |(name, rule, transaction, bytes): Broken| {
        assert_eq!(replay(&bytes), Err((rule, transaction)), "{name}");
        let (index, reason) = transaction.unzip();
        json!({ "name": name, "rule": rule, "index": index, "reason": reason, "hex": hex(bytes) })
    };
    let mut broken = broken_blocks();
    broken.extend(broken_files());
    broken.extend(super::finality::broken_certificates());
    broken.extend(super::finality::broken_transactions());
    settle(
        "chains.json",
        &json!({
            "about": "Exported chains that an audit must refuse. rule: what a block breaks (README §9), \"certificate\" \
                      where it is its certificate (§18), or \"file\" where the file itself is damaged (§15); where that is \"transaction\", index says which and reason \
                      which rule of §8 it breaks.",
            "vectors": broken.into_iter().map(entry).collect::<Vec<_>>(),
        }),
    );
}
