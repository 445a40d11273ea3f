#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::genesis::NetworkId;
use crate::chain::sign;
use crate::crypto::SigningKey;
use crate::wire::Text;

fn transaction(number: u16, kind: Kind) -> Transaction {
    let network = NetworkId::from_bytes([1; 32]);
    let organiser = SigningKey::from_seed(&[1; 32]);
    let mut seed = [2; 32];
    seed[..2].copy_from_slice(&number.to_be_bytes());
    let keys = List::new(vec![SigningKey::from_seed(&seed).public_key()]).unwrap();
    match kind {
        Kind::InvitationRevoke => sign::revoke_invitations(&network, &organiser, keys),
        _ => sign::issue_invitations(&network, &organiser, Text::new("g").unwrap(), keys),
    }
}

fn reason(code: u64) -> Reason {
    Reason {
        code,
        text: Text::new("because").unwrap(),
    }
}

fn peers(count: usize) -> (Vec<PeerId>, BTreeSet<PeerId>) {
    let peers: Vec<PeerId> = (0..count).map(|_| PeerId::random()).collect();
    (peers.clone(), peers.into_iter().collect())
}

fn one(goal: Goal) -> Submission {
    Submission::new(vec![transaction(0, Kind::InvitationBatch)], goal)
}

#[test]
fn a_transaction_given_twice_is_followed_once() {
    let same = transaction(0, Kind::InvitationBatch);
    let submission = Submission::new(vec![same.clone(), same], Goal::Held);
    assert_eq!(submission.len(), 1);
}

#[test]
fn three_holders_or_all_nodes_are_enough() {
    for (connected, wanted) in [(1, 1), (2, 2), (3, 3), (7, 3)] {
        let (peers, nodes) = peers(connected);
        let mut submission = one(Goal::Held);
        for (index, peer) in peers.iter().enumerate() {
            submission.conclude(&nodes, &peers);
            assert_eq!(submission.is_done(), index >= wanted, "{connected} {index}");
            submission.hear(0, *peer, Word::Holds);
        }
        submission.conclude(&nodes, &peers);
        assert!(submission.is_done());
    }
}

#[test]
fn holders_that_are_gone_do_not_count() {
    let (peers, mut nodes) = peers(2);
    let mut submission = one(Goal::Held);
    submission.hear(0, peers[0], Word::Holds);
    nodes.remove(&peers[0]);
    submission.conclude(&nodes, &peers[1..]);
    assert!(!submission.is_done());
    assert_eq!(submission.to_submit(&peers[1], &nodes, 1), [0]);
}

#[test]
fn a_refusal_counts_when_all_witnesses_refuse_and_nobody_holds() {
    let (peers, nodes) = peers(3);
    let mut submission = one(Goal::Included);
    submission.hear(0, peers[0], Word::Refuses(reason(101)));
    submission.conclude(&nodes, &peers);
    assert!(!submission.is_done());
    assert!(submission.to_submit(&peers[0], &nodes, 3).is_empty());
    assert_eq!(submission.to_submit(&peers[1], &nodes, 3), [0]);

    submission.hear(0, peers[1], Word::Holds);
    submission.hear(0, peers[2], Word::Refuses(reason(102)));
    submission.conclude(&nodes, &peers);
    assert!(!submission.is_done(), "one holds it");
    assert_eq!(
        submission.to_submit(&peers[0], &nodes, 3),
        [0],
        "offered again"
    );

    submission.hear(0, peers[1], Word::Refuses(reason(103)));
    submission.conclude(&nodes, &peers);
    let fate = submission.finish(&nodes).pop().unwrap().fate;
    assert_eq!(
        fate,
        Fate::Rejected {
            reason: reason(101)
        }
    );
}

#[test]
fn nothing_heard_is_unknown() {
    let (peers, nodes) = peers(1);
    let mut submission = one(Goal::Included);
    submission.hear(0, peers[0], Word::Holds);
    submission.conclude(&nodes, &peers);
    assert!(!submission.is_done());
    assert_eq!(submission.to_follow(&peers[0]), [0]);
    let fate = submission.finish(&nodes).pop().unwrap().fate;
    assert_eq!(fate, Fate::Unknown { nodes: 1 });
}

#[test]
fn batches_keep_to_kind_number_and_bytes() {
    let kinds = [Kind::InvitationBatch, Kind::InvitationRevoke];
    let transactions: Vec<Transaction> = (0..1_500)
        .map(|number| transaction(number, kinds[usize::from(number) % 2]))
        .collect();
    let submission = Submission::new(transactions, Goal::Held);
    let all: Vec<usize> = (0..submission.len()).collect();
    for by_kind in [true, false] {
        let mut seen = Vec::new();
        let batches = submission.batches(&all, by_kind);
        assert!(batches.len() > 2);
        for batch in batches {
            assert!(
                !by_kind
                    || batch
                        .transactions
                        .iter()
                        .all(|one| one.kind() == batch.kind),
                "one kind"
            );
            let transactions = batch.transactions.clone();
            let encoded = wire::encode(&TransactionBatch { transactions });
            assert!(encoded.len() <= TransactionBatch::MAX_BYTES);
            for (index, transaction) in batch.indices.iter().zip(batch.transactions.iter()) {
                assert_eq!(submission.id(*index), transaction.id());
            }
            seen.extend(batch.indices);
        }
        seen.sort_unstable();
        assert_eq!(seen, all);
    }
}
