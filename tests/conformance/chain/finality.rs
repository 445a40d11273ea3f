//! `finality.votechain` with its expected audit: a chain that finalisers make final, who change on the way and one of
//! whom is convicted; and what of it can be wrong.

use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use votenode::chain::block::BlockId;
use votenode::chain::checkpoint::{CommitCertificate, SignedFinalityMessage};
use votenode::chain::election::{ElectionId, Terms};
use votenode::chain::genesis::{Finaliser, Genesis, NetworkId};
use votenode::chain::sign;
use votenode::chain::transaction::{
    Approval, FinaliserChange, FinalityMessage, Payload, Transaction,
};
use votenode::crypto::{Signature, SigningKey};
use votenode::protocol::export::{MAGIC, Record};

use super::broken::Broken;
use super::{Chain, certified_file, end, frame, replay};
use crate::samples::{self, START_MS, blob, key, list, organiser, text, voter};
use crate::vectors::{hex, settle, settle_bytes};

/// Finalisers by number, with their power: 1 to 4 are those of the genesis, 2, 3 and 5 those of set 1.
const GENESIS_SET: [(u8, u64); 4] = [(1, 20), (2, 15), (3, 15), (4, 10)];
const FIRST_SET: [(u8, u64); 3] = [(2, 15), (3, 15), (5, 20)];

fn signer(number: u8) -> SigningKey {
    key(0x60 + number)
}

pub fn member((number, power): (u8, u64)) -> Finaliser {
    Finaliser {
        key: signer(number).public_key(),
        power,
        name: text(&format!("Finaliser {number}")),
    }
}

/// The network of four finalisers.
pub fn genesis() -> Genesis {
    Genesis {
        name: text("vectors, four finalisers"),
        finalisers: list(GENESIS_SET.map(member)),
        ..samples::genesis()
    }
}

fn network() -> NetworkId {
    genesis().network_id()
}

/// A change of finalisers, approved by these.
pub fn change(set: u64, members: &[(u8, u64)], approvers: &[u8]) -> FinaliserChange {
    let members = list(members.iter().copied().map(member));
    let approve = |number: &u8| sign::approve_change(&network(), &signer(*number), set, &members);
    let approvals = list(approvers.iter().map(approve));
    let changed = sign::change_finalisers(&network(), set, members.clone(), approvals).unwrap();
    match changed.payload {
        Payload::FinaliserChange { change } => change,
        _ => unreachable!(),
    }
}

/// A transaction of the network.
pub fn transaction(payload: Payload) -> Transaction {
    Transaction {
        network: network().tag(),
        payload,
    }
}

fn changed(set: u64, members: &[(u8, u64)], approvers: &[u8]) -> Transaction {
    transaction(Payload::FinaliserChange {
        change: change(set, members, approvers),
    })
}

/// What a finaliser says about a checkpoint; 0 stands for nil.
pub fn message(signer_number: u8, kind: u8, checkpoint: u64, value: u8) -> SignedFinalityMessage {
    let message = FinalityMessage {
        kind,
        height: checkpoint,
        round: 1,
        lock_round: 0,
        value: match value {
            0 => blob(&[]),
            value => blob(&[value; 32]),
        },
    };
    SignedFinalityMessage::sign(&signer(signer_number), &network(), message)
}

/// Evidence against a finaliser who said two things.
pub fn evidence(signer_number: u8, kind: u8, checkpoint: u64, values: [u8; 2]) -> Transaction {
    let [one, other] = values.map(|value| message(signer_number, kind, checkpoint, value));
    sign::convict(&network(), one.contradicts(&other).unwrap())
}

fn certificate(set: u64, checkpoint: u64, block: BlockId, signers: &[u8]) -> CommitCertificate {
    let round = 0;
    let mut precommits: Vec<_> = signers
        .iter()
        .map(|number| {
            let message = FinalityMessage::precommit(checkpoint, round, &block);
            let signed = SignedFinalityMessage::sign(&signer(*number), &network(), message);
            Approval {
                key: signed.finaliser,
                signature: signed.signature,
            }
        })
        .collect();
    precommits.sort_by_key(|precommit| precommit.key);
    CommitCertificate {
        set,
        checkpoint,
        round,
        block,
        precommits: list(precommits),
    }
}

fn register(number: u8) -> Transaction {
    let never = AtomicBool::new(false);
    let bits = samples::STAMP_BITS;
    sign::register_open(&network(), &voter(number), &[0; 32], bits, &never).unwrap()
}

/// An election whose polls close at `closes_ms` after the genesis.
fn opened(chain: &Chain, title: &str, closes_ms: u64) -> (ElectionId, Transaction) {
    let terms = Terms {
        title: text(title),
        closes_at_ms: START_MS + closes_ms,
        roll_closes_at_ms: START_MS + closes_ms,
        ..samples::terms()
    };
    let transaction = sign::open_election(&chain.network, &organiser(), terms).unwrap();
    match &transaction.payload {
        Payload::Election { election } => (election.id(), transaction),
        _ => unreachable!(),
    }
}

/// The chain, its elections (the first final, the second not), and the certificates by the heights of their blocks.
struct Finalised {
    chain: Chain,
    elections: [ElectionId; 2],
    certificates: Vec<(usize, CommitCertificate)>,
}

fn whole() -> Finalised {
    let mut chain = Chain::of(genesis());
    let (first, open_first) = opened(&chain, "Colour of the boathouse", 9_000);
    let (second, open_second) = opened(&chain, "Colour of the oars", 10_500);
    chain.push(1_000, &[register(1), register(2), open_first, open_second]);
    let vote = |election, number, choice: u8| {
        sign::cast_vote(&network(), &voter(number), election, blob(&[choice]))
    };
    // Approved by 50 of 60.
    chain.push(
        5_000,
        &[
            vote(first, 1, 2),
            vote(first, 2, 2),
            vote(second, 1, 0),
            changed(1, &FIRST_SET, &[1, 2, 3]),
        ],
    );
    // A finaliser of the genesis set, and one of the set that decides nothing yet.
    chain.push(
        6_000,
        &[
            evidence(1, FinalityMessage::PRECOMMIT, 1, [0, 7]),
            evidence(5, FinalityMessage::PROPOSAL, 9, [8, 9]),
        ],
    );
    chain.push(11_000, &[]);
    chain.push(12_000, &[]);
    chain.push(13_000, &[]);
    let block = |height: usize| chain.headers[height].id();
    let certificates = vec![
        (1, certificate(0, 1, block(1), &[1, 2, 4])),
        // The change is in an ancestor, but no checkpoint has made it final before.
        (3, certificate(0, 2, block(3), &[1, 3, 4])),
        (5, certificate(1, 3, block(5), &[3, 5])),
    ];
    Finalised {
        chain,
        elections: [first, second],
        certificates,
    }
}

/// What an audit finds, worked out by hand.
fn expected(finalised: &Finalised) -> Value {
    let chain = &finalised.chain;
    let key = |number: u8| hex(signer(number).public_key());
    let members = |set: &[(u8, u64)]| -> Vec<Value> {
        set.iter()
            .map(|(number, power)| {
                json!({ "name": format!("Finaliser {number}"), "key": key(*number), "power": power })
            })
            .collect()
    };
    let [first, second] = finalised.elections.map(hex);
    json!({
        "network": hex(network()),
        "height": 6,
        "tip": hex(chain.tip().id()),
        "registrations": 2,
        "groups": { "open": 2 },
        "invitations": [],
        "elections": [
            {
                "election": first,
                "title": "Colour of the boathouse",
                "phase": "final",
                "closing_height": 4,
                "final_by_checkpoint": 3,
                "eligible": 2,
                "votes": 2,
                "blank": 0,
                "totals": [0, 0, 2],
                "winners": [2],
            },
            {
                "election": second,
                "title": "Colour of the oars",
                "phase": "provisional",
                "closing_height": 6,
                "final_by_checkpoint": null,
                "eligible": 2,
                "votes": 1,
                "blank": 0,
                "totals": [1, 0, 0],
                "winners": [0],
            },
        ],
        "finality": {
            "sets": [
                { "set": 0, "height": 0, "first_checkpoint": 1, "finalisers": members(&GENESIS_SET) },
                { "set": 1, "height": 2, "first_checkpoint": 3, "finalisers": members(&FIRST_SET) },
            ],
            "checkpoints": 3,
            "last_height": 5,
            "convictions": [
                { "finaliser": key(1), "message": "precommit", "checkpoint": 1, "round": 1, "height": 3, "index": 0 },
                { "finaliser": key(5), "message": "proposal", "checkpoint": 9, "round": 1, "height": 3, "index": 1 },
            ],
        },
    })
}

#[test]
fn the_chain_with_checkpoints_and_its_audit() {
    let finalised = whole();
    let bytes = certified_file(genesis(), &finalised.chain.blocks, &finalised.certificates);
    assert_eq!(replay(&bytes), Ok(finalised.chain.tip().id()));
    settle_bytes("finality.votechain", &bytes);
    settle("finality.json", &expected(&finalised));
}

/// Chains with a certificate that is wrong.
pub fn broken_certificates() -> Vec<Broken> {
    let Finalised {
        chain,
        certificates: good,
        ..
    } = whole();
    let block = |height: usize| chain.headers[height].id();
    let instead = |place: usize, certificate: CommitCertificate| {
        let mut certificates = good.clone();
        certificates[place].1 = certificate;
        certified_file(genesis(), &chain.blocks, &certificates)
    };
    let damaged = |place: usize, change: &dyn Fn(&mut CommitCertificate)| {
        let mut certificate = good[place].1.clone();
        change(&mut certificate);
        instead(place, certificate)
    };
    let precommits = |certificate: &mut CommitCertificate, places: &[usize]| {
        let chosen = places
            .iter()
            .map(|place| certificate.precommits[*place].clone());
        certificate.precommits = list(chosen);
    };
    let wrong = [
        (
            "certificate of 35 of 60",
            instead(0, certificate(0, 1, block(1), &[1, 2])),
        ),
        (
            "certificate of two thirds and no more",
            instead(0, certificate(0, 1, block(1), &[2, 3, 4])),
        ),
        (
            "certificate with a signature by a stranger",
            instead(0, certificate(0, 1, block(1), &[1, 2, 4, 5])),
        ),
        (
            "certificate by a set whose change is not final yet",
            instead(1, certificate(1, 2, block(3), &[2, 3, 5])),
        ),
        (
            "certificate by the set before",
            instead(2, certificate(0, 3, block(5), &[1, 2, 3, 4])),
        ),
        (
            "certificate that names another set than its signers'",
            damaged(2, &|certificate| certificate.set = 0),
        ),
        (
            "certificate with the number of the one before",
            instead(1, certificate(0, 1, block(3), &[1, 2, 3, 4])),
        ),
        (
            "certificate with a number left out",
            instead(1, certificate(0, 3, block(3), &[1, 2, 3, 4])),
        ),
        (
            "certificate of checkpoint 0",
            instead(0, certificate(0, 0, block(1), &[1, 2, 3, 4])),
        ),
        (
            "certificate of another round than was signed",
            damaged(0, &|certificate| certificate.round = 1),
        ),
        (
            "certificate with a signature replaced",
            damaged(0, &|certificate| {
                let mut precommits = certificate.precommits.to_vec();
                precommits[2].signature = Signature::from_bytes([9; 64]);
                certificate.precommits = list(precommits);
            }),
        ),
        (
            "certificate with a signature twice",
            damaged(0, &|certificate| precommits(certificate, &[0, 0, 1, 2])),
        ),
        (
            "certificate that is not sorted",
            damaged(0, &|certificate| precommits(certificate, &[2, 1, 0])),
        ),
    ];
    let misplaced = [
        (
            "certificate behind another block than its own",
            certified_file(genesis(), &chain.blocks, &[(2, good[0].1.clone())]),
        ),
        (
            "two certificates of a block",
            certified_file(
                genesis(),
                &chain.blocks,
                &[good[0].clone(), good[0].clone()],
            ),
        ),
        ("certificate before all blocks", {
            let records = [
                Record::Genesis { genesis: genesis() },
                Record::Certificate {
                    certificate: good[0].1.clone(),
                },
                end(&chain.headers[0]),
            ];
            let frames: Vec<u8> = records.iter().flat_map(frame).collect();
            [MAGIC.as_slice(), &frames].concat()
        }),
    ];
    let entry = |rule| move |(name, bytes)| (name, rule, None, bytes);
    let wrong = wrong.into_iter().map(entry("certificate"));
    wrong
        .chain(misplaced.into_iter().map(entry("file")))
        .collect()
}

/// Chains with a change or a conviction that is wrong in its place.
pub fn broken_transactions() -> Vec<Broken> {
    let Finalised {
        chain,
        certificates,
        ..
    } = whole();
    let on = |transactions: &[Transaction]| {
        let mut blocks = chain.blocks.clone();
        blocks.push(chain.forge(14_000, transactions, |_| {}));
        certified_file(genesis(), &blocks, &certificates)
    };
    let next = changed(2, &GENESIS_SET, &[3, 5]);
    let prevote = FinalityMessage::PREVOTE;
    [
        (
            "set of finalisers made before",
            (0, "set_exists"),
            vec![changed(1, &GENESIS_SET, &[2, 3, 5])],
        ),
        (
            "two changes to the same set",
            (1, "set_exists"),
            vec![next.clone(), changed(2, &FIRST_SET, &[2, 3, 5])],
        ),
        (
            "set of finalisers beyond the next",
            (0, "set_too_early"),
            vec![changed(3, &GENESIS_SET, &[2, 3, 5])],
        ),
        (
            "change approved by 30 of 50",
            (0, "not_approved"),
            vec![changed(2, &GENESIS_SET, &[2, 3])],
        ),
        (
            "change approved by the set before",
            (0, "not_approved"),
            vec![changed(2, &GENESIS_SET, &[1, 2, 3, 4])],
        ),
        (
            "change approved by a set that the block before it made",
            (1, "not_approved"),
            vec![next, changed(3, &FIRST_SET, &[2, 3, 5])],
        ),
        (
            "evidence against a stranger",
            (0, "not_a_finaliser"),
            vec![evidence(6, prevote, 1, [1, 2])],
        ),
        (
            "evidence of the same offence by other messages",
            (0, "already_convicted"),
            vec![evidence(1, FinalityMessage::PRECOMMIT, 1, [1, 2])],
        ),
        (
            "evidence of another offence of somebody convicted",
            (0, "already_convicted"),
            vec![evidence(1, prevote, 2, [1, 2])],
        ),
        (
            "evidence against one finaliser twice in a block",
            (1, "already_convicted"),
            vec![
                evidence(4, prevote, 1, [1, 2]),
                evidence(4, prevote, 7, [2, 3]),
            ],
        ),
    ]
    .into_iter()
    .map(|(name, reason, transactions)| (name, "transaction", Some(reason), on(&transactions)))
    .collect()
}
