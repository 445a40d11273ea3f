#![allow(clippy::unwrap_used)]

mod finality;

use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::chain::block::Block;
use crate::chain::testing::{
    Chain as TestChain, issue, network, network_with, open, register, register_with, revoke, terms,
    vote,
};
use crate::chain::transaction::Transaction;
use crate::export::{ChainWriter, stored_blocks};
use crate::store::{Appended, Commit, NewBlock, Store, StoreConfig, Switch, encode_body};
use crate::wire::List;

fn vectors(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "proto", "vectors", name]
        .iter()
        .collect();
    std::fs::read(path).unwrap()
}

/// Mines these transactions and hands the block out.
fn mine(chain: &mut TestChain, after_ms: u64, transactions: &[Transaction]) -> ChainBlock {
    let template = chain.template(after_ms, chain.verified(transactions.to_vec()));
    chain.mine(after_ms, transactions.to_vec());
    let transactions = List::new(transactions.to_vec()).unwrap();
    ChainBlock {
        block: Block {
            header: template.header,
            transactions,
        },
        certificate: None,
    }
}

fn passes(network: &Arc<Network>, blocks: Vec<ChainBlock>) -> Report {
    let blocks = blocks.into_iter().map(Ok::<_, AuditError>);
    audit(Arc::clone(network), blocks, |_| ()).unwrap()
}

fn fails(network: &Arc<Network>, blocks: Vec<ChainBlock>) -> AuditError {
    let blocks = blocks.into_iter().map(Ok::<_, AuditError>);
    audit(Arc::clone(network), blocks, |_| ()).unwrap_err()
}

#[test]
fn the_golden_chain_has_its_golden_result() {
    let bytes = vectors("chain.votechain");
    let want: Value = serde_json::from_slice(&vectors("chain.json")).unwrap();
    let mut last = Progress::default();
    let report = audit_file(bytes.as_slice(), None, |progress| last = progress).unwrap();
    let got = serde_json::to_value(&report).unwrap();
    assert_eq!(got["network_id"], want["network"]);
    assert_eq!(got["tip"]["id"], want["tip"]);
    assert_eq!(got["tip"]["height"], want["height"]);
    assert_eq!(got["voters"], want["registrations"]);
    assert_eq!(last.blocks, want["height"].as_u64().unwrap());
    assert_eq!(last.transactions, report.transactions);
    for (group, voters) in want["groups"].as_object().unwrap() {
        let of_group = report.registrations.iter().filter(|r| r.group == *group);
        assert_eq!(
            of_group.map(|r| r.voters).sum::<u64>(),
            voters.as_u64().unwrap()
        );
    }
    let batches = want["invitations"].as_array().unwrap();
    assert_eq!(report.invitations.len(), batches.len());
    for (number, batch) in batches.iter().enumerate() {
        for (key, value) in batch.as_object().unwrap() {
            assert_eq!(got["invitations"][number][key], *value, "{key}");
        }
    }
    let elections = want["elections"].as_array().unwrap();
    assert_eq!(report.elections.len(), elections.len());
    for want in elections {
        let election = got["elections"]
            .as_array()
            .unwrap()
            .iter()
            .find(|election| election["election"] == want["election"])
            .unwrap();
        for key in ["title", "phase", "eligible", "votes", "blank"] {
            assert_eq!(election[key], want[key], "{key}");
        }
        let height = election["closing_block"]
            .get("height")
            .cloned()
            .unwrap_or(Value::Null);
        assert_eq!(height, want["closing_height"]);
        let options = election["options"].as_array().unwrap();
        let totals: Vec<Value> = options.iter().map(|o| o["total"].clone()).collect();
        assert_eq!(Value::Array(totals), want["totals"]);
        let winners: Vec<Value> = want["winners"]
            .as_array()
            .unwrap()
            .iter()
            .map(|winner| options[winner.as_u64().unwrap() as usize]["name"].clone())
            .collect();
        assert_eq!(election["winners"], Value::Array(winners));
    }
    // Two colours have two votes each; the committee's two seats go to the two with most.
    let lots: Vec<bool> = report.elections.iter().map(|e| e.by_lot).collect();
    assert_eq!(lots, [true, false, false]);
    assert!(render(&report).contains("the tie was decided by lot"));
}

#[test]
fn every_broken_chain_is_refused_by_its_rule() {
    let file: Value = serde_json::from_slice(&vectors("chains.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() > 40);
    for vector in vectors {
        let hex = vector["hex"].as_str().unwrap();
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let error = audit_file(bytes.as_slice(), None, |_| ()).unwrap_err();
        assert_eq!(error.rule(), vector["rule"], "{}: {error}", vector["name"]);
        if let AuditError::Transaction { index, reason, .. } = error {
            assert_eq!(vector["index"], index, "{}", vector["name"]);
            assert_eq!(vector["reason"], reason.name(), "{}", vector["name"]);
        }
    }
}

#[test]
fn another_network_than_the_pinned_is_refused() {
    let bytes = vectors("chain.votechain");
    let error = audit_file(bytes.as_slice(), Some(NetworkId::ZERO), |_| ()).unwrap_err();
    assert!(matches!(error, AuditError::WrongNetwork { .. }));
    let id = ChainReader::new(bytes.as_slice()).unwrap().network().id();
    assert!(audit_file(bytes.as_slice(), Some(id), |_| ()).is_ok());
}

#[test]
fn an_empty_chain_passes_and_says_so() {
    let network = network();
    let report = passes(&network, Vec::new());
    assert_eq!(report.tip.height, 0);
    assert_eq!(report.tip.id, network.genesis_block());
    assert!(report.warnings.is_empty());
    assert!(render(&report).contains("is sound"));
}

#[test]
fn a_whole_election_is_reported() {
    let network = network_with(|genesis| genesis.close_grace_ms = 0);
    let mut chain = TestChain::new(Arc::clone(&network));
    let mut blocks = Vec::new();
    let mut election_terms = terms();
    election_terms.groups = List::new(
        ["members", "open"]
            .map(|group| crate::wire::Text::new(group).unwrap())
            .to_vec(),
    )
    .unwrap();
    let (id, opening) = open(&network, election_terms.clone());
    let at = |ms: u64| ms - network.timestamp_ms;
    blocks.push(mine(
        &mut chain,
        1_000,
        &[issue(&network, "members", &[50, 51, 52, 53])],
    ));
    blocks.push(mine(
        &mut chain,
        2_000,
        &[
            register(&network, 1),
            register_with(&network, 2, 50),
            register_with(&network, 3, 51),
            revoke(&network, &[52]),
            opening,
        ],
    ));
    let choose = |voter, option: u8| vote(&network, voter, id, &[option]);
    let polls = at(election_terms.opens_at_ms).max(3_000);
    blocks.push(mine(
        &mut chain,
        polls,
        &[choose(1, 1), choose(2, 1), choose(3, 0)],
    ));
    let open_report = passes(&network, blocks.clone());
    assert_eq!(
        open_report.elections[0].phase,
        crate::protocol::submit::ElectionPhase::Open
    );
    blocks.push(mine(
        &mut chain,
        at(election_terms.closes_at_ms).max(polls + 1_000),
        &[],
    ));
    let report = passes(&network, blocks.clone());

    let election = &report.elections[0];
    assert_eq!(
        election.phase,
        crate::protocol::submit::ElectionPhase::Provisional
    );
    assert_eq!(
        (election.eligible, election.votes, election.depth),
        (3, 3, Some(0))
    );
    assert_eq!(election.closing_block.unwrap().height, 4);
    let option = election_terms.options[1].to_string();
    assert_eq!(election.winners, std::slice::from_ref(&option));
    assert!(!election.by_lot);
    assert_eq!(election.options[1].total, 2);
    assert_eq!(election.options[1].seat, Some(1));
    let batch = &report.invitations[0];
    assert_eq!((batch.issued, batch.used, batch.revoked), (4, 2, 1));
    assert_eq!(batch.last_used_at_ms, Some(network.timestamp_ms + 2_000));
    assert_eq!(batch.last_revoked_at_ms, batch.first_used_at_ms);
    let kinds: Vec<_> = report
        .registrations
        .iter()
        .map(|r| (r.group.as_str(), r.admission, r.voters))
        .collect();
    assert_eq!(
        kinds,
        [
            ("members", AdmissionKind::Invited, 2),
            ("open", AdmissionKind::Open, 1)
        ]
    );
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.contains("not one person, one vote"))
    );
    assert!(report.warnings.iter().any(|w| w.contains("provisional")));

    let page = render(&report);
    let line = page.lines().find(|line| line.contains("elected")).unwrap();
    assert!(line.contains(&option) && line.contains(" 2 "), "{line}");
    assert!(page.contains("3 of 3 eligible"));

    // The same blocks out of a store.
    let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
    let mut replay = TestChain::new(Arc::clone(&network));
    for ChainBlock { block, .. } in &blocks {
        let transactions = replay.verified(block.transactions.to_vec());
        let delta = replay.check(&block.header, &transactions).unwrap();
        replay.state.insert(delta.clone());
        replay.tip = block.header.clone();
        let id = block.header.id();
        let commit = Commit {
            blocks: vec![NewBlock {
                id,
                header: block.header.clone(),
                body: Some(encode_body(&transactions)),
            }],
            chain: Some(Switch {
                rewind_to: block.header.height - 1,
                append: vec![Appended { id, delta }],
            }),
            ..Commit::default()
        };
        store.commit(commit).unwrap();
    }
    let stored = stored_blocks(store.snapshot());
    assert_eq!(audit(Arc::clone(&network), stored, |_| ()).unwrap(), report);

    // And through a file.
    let mut writer =
        ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
    for block in blocks {
        writer.block(block.block).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert_eq!(
        audit_file(bytes.as_slice(), Some(network.id()), |_| ()).unwrap(),
        report
    );
}

#[test]
fn the_first_error_of_a_long_chain_is_the_one_reported() {
    let network = network();
    let mut chain = TestChain::new(Arc::clone(&network));
    let mut blocks: Vec<_> = (1..=2_500)
        .map(|n| mine(&mut chain, n * 1_000, &[]))
        .collect();
    assert_eq!(passes(&network, blocks.clone()).tip.height, 2_500);
    blocks[2_000].block.header.timestamp_ms -= 1;
    blocks[1_500].block.header.roll_size += 1;
    let refused = |blocks: Vec<ChainBlock>| match fails(&network, blocks) {
        AuditError::Block { height, reason } => (height, reason.name()),
        other => panic!("{other}"),
    };
    assert_eq!(refused(blocks.clone()), (1_501, "roll"));

    // An error of the source comes after what it gave before, and ends the audit wherever it stands.
    let cut = blocks[..1_200]
        .iter()
        .cloned()
        .map(Ok)
        .chain([Err(AuditError::State(ViewError("gone".to_owned())))])
        .chain(blocks[1_200..].iter().cloned().map(Ok));
    let mut passed = 0;
    let error = audit(network, cut, |progress| passed = progress.blocks).unwrap_err();
    assert!(matches!(error, AuditError::State(_)));
    assert_eq!(passed, 1_200);
}

#[test]
fn a_bad_signature_names_its_transaction() {
    let network = network();
    let mut chain = TestChain::new(Arc::clone(&network));
    let mut block = mine(
        &mut chain,
        1_000,
        &[register(&network, 1), register(&network, 2)],
    );
    let mut transactions = block.block.transactions.into_vec();
    if let crate::chain::transaction::Payload::Registration { registration } =
        &mut transactions[1].payload
    {
        registration.ring_proof = crate::crypto::RingProof::ZERO;
    }
    block.block.transactions = List::new(transactions).unwrap();
    match fails(&network, vec![block]) {
        AuditError::Transaction {
            height: 1,
            index: 1,
            ..
        } => {}
        other => panic!("{other}"),
    }
}
