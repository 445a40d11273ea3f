//! Audits of chains with checkpoints.

use super::*;
use crate::chain::testing::{certificate, change, evidence, finaliser, finalising_network};
use crate::protocol::submit::ElectionPhase;

#[test]
fn the_golden_chain_with_checkpoints_has_its_golden_result() {
    let bytes = vectors("finality.votechain");
    let want: Value = serde_json::from_slice(&vectors("finality.json")).unwrap();
    let report = audit_file(bytes.as_slice(), None, |_| ()).unwrap();
    let got = serde_json::to_value(&report).unwrap();
    assert_eq!(got["tip"]["id"], want["tip"]);
    let finality = (&got["finality"], &want["finality"]);
    assert_eq!(finality.0["checkpoints"], finality.1["checkpoints"]);
    let last = &finality.0["last_checkpoint"];
    assert_eq!(last["checkpoint"], finality.1["checkpoints"]);
    assert_eq!(last["block"]["height"], finality.1["last_height"]);
    for (got, want) in items(finality.0, finality.1, "sets") {
        assert_eq!(got["made_by"]["height"], want["height"]);
        for key in ["set", "first_checkpoint", "finalisers"] {
            assert_eq!(got[key], want[key], "{key}");
        }
    }
    for (got, want) in items(finality.0, finality.1, "convictions") {
        for (key, value) in want.as_object().unwrap() {
            assert_eq!(got[key], *value, "{key}");
        }
    }
    for (got, want) in items(&got, &want, "elections") {
        for key in ["phase", "final_by_checkpoint", "votes"] {
            assert_eq!(got[key], want[key], "{key}");
        }
    }
}

/// The items of two lists under a key, in pairs.
fn items<'a>(one: &'a Value, other: &'a Value, key: &str) -> Vec<(&'a Value, &'a Value)> {
    let [one, other] = [one, other].map(|value| value[key].as_array().unwrap());
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).collect()
}

/// Set 1 is made in block 2, which is checkpoint 1; polls close with block 4, and block 5 is checkpoint 2.
fn finalised(network: &Arc<Network>) -> Vec<ChainBlock> {
    let mut chain = TestChain::new(Arc::clone(network));
    let (id, opening) = open(network, terms());
    let mut blocks = vec![
        mine(&mut chain, 1_000, &[opening, register(network, 1)]),
        mine(
            &mut chain,
            2_000,
            &[change(network, 1, &[4, 5], &[1, 2, 3])],
        ),
        mine(
            &mut chain,
            10_000,
            &[
                vote(network, 1, id, &[1]),
                evidence(network, 1, 1, 3),
                evidence(network, 5, 2, 0),
            ],
        ),
        mine(&mut chain, 22_000, &[]),
        mine(&mut chain, 23_000, &[]),
    ];
    let id = |block: &ChainBlock| block.block.header.id();
    blocks[1].certificate = Some(certificate(network, 0, 1, id(&blocks[1]), &[2, 3, 4]));
    blocks[4].certificate = Some(certificate(network, 1, 2, id(&blocks[4]), &[4, 5]));
    blocks
}

#[test]
fn a_result_is_final_by_the_first_checkpoint_at_or_above_its_closing_block() {
    let network = finalising_network();
    let blocks = finalised(&network);
    let report = passes(&network, blocks.clone());
    let election = &report.elections[0];
    assert_eq!(
        (election.phase, election.final_by_checkpoint),
        (ElectionPhase::Final, Some(2))
    );
    let finality = report.finality.as_ref().unwrap();
    let last = finality.last_checkpoint.unwrap();
    assert_eq!(
        (finality.checkpoints, last.set, last.block.height),
        (2, 1, 5)
    );
    let sets: Vec<_> = finality
        .sets
        .iter()
        .map(|set| {
            let names: Vec<_> = set.finalisers.iter().map(|one| one.name.as_str()).collect();
            (
                set.set,
                set.made_by.height,
                set.first_checkpoint,
                names.len(),
            )
        })
        .collect();
    assert_eq!(sets, [(0, 0, Some(1), 4), (1, 2, Some(2), 2)]);
    let convictions: Vec<_> = finality
        .convictions
        .iter()
        .map(|one| (one.name.as_str(), one.message, one.checkpoint, one.round))
        .collect();
    assert_eq!(
        convictions,
        [
            ("finaliser 1", "prevote", 1, 3),
            ("finaliser 5", "prevote", 2, 0)
        ]
    );
    assert!(report.warnings.iter().any(|w| w.contains("may be one: 2.")));
    assert!(!report.warnings.iter().any(|w| w.contains("provisional")));
    let page = render(&report);
    for words in [
        "made final by checkpoint 2",
        "set 1, made by block 2",
        "decides from checkpoint 2 on",
        "finaliser 5",
        &finaliser(5).public_key().to_string(),
    ] {
        assert!(page.contains(words), "{words} is not in {page}");
    }

    let mut earlier = blocks;
    earlier[4].certificate = None;
    let report = passes(&network, earlier.clone());
    assert_eq!(report.elections[0].phase, ElectionPhase::Provisional);
    assert!(report.warnings.iter().any(|w| w.contains("is provisional")));
    earlier[1].certificate = None;
    let report = passes(&network, earlier);
    assert!(report.warnings.iter().any(|w| w.contains("No certificate")));
}

#[test]
fn a_wrong_certificate_fails_the_audit() {
    let network = finalising_network();
    let good = finalised(&network);
    let id = |index: usize| good[index].block.header.id();
    let refused = |index: usize, certificate| {
        let mut blocks = good.clone();
        blocks[index].certificate = Some(certificate);
        let error = fails(&network, blocks);
        assert_eq!(error.rule(), "certificate");
        match error {
            AuditError::Certificate { height, error } => (height, error),
            other => panic!("{other}"),
        }
    };
    let by =
        |set, number, index, signers: &[u8]| certificate(&network, set, number, id(index), signers);
    let (power, total) = (2, 4);
    assert_eq!(
        refused(1, by(0, 1, 1, &[1, 2])),
        (2, CertificateError::Power { power, total })
    );
    assert_eq!(
        refused(4, by(0, 2, 4, &[1, 2, 3])),
        (
            5,
            CertificateError::OtherSet {
                claimed: 0,
                expected: 1
            }
        )
    );
    assert_eq!(
        refused(4, by(1, 2, 4, &[1, 2, 3])),
        (5, CertificateError::Stranger)
    );
    assert_eq!(
        refused(4, by(1, 2, 3, &[4, 5])),
        (5, CertificateError::Block)
    );
    for claimed in [0, 1, 3] {
        let expected = 2;
        assert_eq!(
            refused(4, by(1, claimed, 4, &[4, 5])),
            (5, CertificateError::Number { claimed, expected })
        );
    }
    let mut other_round = by(1, 2, 4, &[4, 5]);
    other_round.round = 1;
    assert_eq!(refused(4, other_round), (5, CertificateError::Signature));
}
