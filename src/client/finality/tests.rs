#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::chain::transaction::Transaction;
use crate::client::closing::FinalBy;
use crate::client::election_file::{ElectionFile, Timing};
use crate::client::fake::{FakeChain, FakeNode, Manners, join, network_of};
use crate::client::make::Admission;
use crate::client::proof::ProofError;
use crate::client::receipt::{self, ReceiptError};
use crate::client::session::Session;
use crate::client::submission::{Fate, Goal, Included, Submitted};
use crate::client::time::now_ms;
use crate::crypto::{Signature, VoterId};
use crate::protocol::receipt::Receipt;
use crate::protocol::submit::{BlockAt, ElectionPhase, ElectionResult, TxStatus};
use crate::tally::Counter;
use crate::wire::{self, List, Message as _};

const LONG: Duration = Duration::from_secs(120);
const BRIEF: Duration = Duration::from_secs(3);

async fn registration(session: &Session) -> Transaction {
    let voter = VoterId::generate().unwrap();
    let made = session.make_registrations(vec![(voter, Admission::Open)]);
    made.await.unwrap().pop().unwrap()
}

async fn follow(session: &Session, transaction: &Transaction, time: Duration) -> Submitted {
    let deadline = Instant::now() + time;
    let mut outcomes = session
        .submit(
            vec![transaction.clone()],
            Goal::Final,
            deadline,
            &mut |_| {},
        )
        .await;
    outcomes.pop().unwrap()
}

fn included(submitted: &Submitted) -> &Included {
    match &submitted.fate {
        Fate::Included(included) => included,
        other => panic!("{other:?}"),
    }
}

/// A chain with a transaction in its first block and a checkpoint by set `set` two blocks above.
async fn decided(
    set: usize,
) -> (
    Arc<std::sync::Mutex<FakeChain>>,
    FakeNode,
    Session,
    Transaction,
) {
    let network = network_of(&[1, 2, 3, 4]);
    let chain = FakeChain::new(&network);
    let node = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&node]).await;
    let transaction = registration(&session).await;
    let mut lock = chain.lock().unwrap();
    lock.held.insert(transaction.id(), transaction.clone());
    (0..3).for_each(|_| lock.mine());
    for finalisers in &[[2, 3, 4, 5], [5, 6, 7, 8]][..set] {
        lock.change_finalisers(finalisers);
    }
    lock.finalise();
    drop(lock);
    (chain, node, session, transaction)
}

#[tokio::test]
async fn a_checkpoint_of_the_genesis_set_makes_final_and_anchors_the_receipt() {
    let (_chain, _node, session, transaction) = decided(0).await;
    let submitted = follow(&session, &transaction, LONG).await;
    assert!(submitted.is_reached(), "{submitted:?}");
    let certificate = included(&submitted).certificate.as_ref().unwrap();
    assert_eq!((certificate.checkpoint, certificate.set), (1, 0));
    let made = receipt::make(&session, transaction, included(&submitted)).await;
    let proved = receipt::verify(session.network(), &made).unwrap();
    assert_eq!(
        (proved.checkpoint, proved.set, proved.depth),
        (Some(1), Some(0), 2)
    );
}

#[tokio::test]
async fn a_later_set_is_followed_by_its_changes_and_so_is_its_receipt_offline() {
    let (_chain, _node, session, transaction) = decided(2).await;
    let submitted = follow(&session, &transaction, LONG).await;
    assert!(submitted.is_reached(), "{submitted:?}");
    let made = receipt::make(&session, transaction, included(&submitted)).await;
    let network = Arc::clone(session.network());
    session.close().await;

    let bytes = wire::encode(&made);
    assert!(bytes.len() < Receipt::MAX_BYTES);
    let read: Receipt = wire::decode(&bytes).unwrap();
    assert_eq!(read.changes.len(), 2);
    let proved = receipt::verify(&network, &read).unwrap();
    assert_eq!((proved.checkpoint, proved.set), (Some(1), Some(2)));

    let broken = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = read.clone();
        change(&mut receipt);
        match receipt::verify(&network, &receipt) {
            Err(ReceiptError::Proof(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let without = |count: usize| {
        let changes = read.changes[..count].to_vec();
        broken(&|receipt| receipt.changes = List::new(changes.clone()).unwrap())
    };
    assert_eq!(
        without(1),
        ProofError::Changes {
            claimed: 2,
            known: 1
        }
    );
    assert_eq!(
        without(0),
        ProofError::Changes {
            claimed: 2,
            known: 0
        }
    );
    let swapped = broken(&|receipt| {
        let mut changes = read.changes.to_vec();
        changes.reverse();
        receipt.changes = List::new(changes).unwrap();
    });
    assert!(matches!(swapped, ProofError::Change { number: 1, .. }));
    let unapproved = broken(&|receipt| {
        let mut changes = read.changes.to_vec();
        let mut approvals = changes[1].approvals.to_vec();
        approvals.truncate(2);
        changes[1].approvals = List::new(approvals).unwrap();
        receipt.changes = List::new(changes).unwrap();
    });
    assert!(matches!(unapproved, ProofError::Change { number: 2, .. }));
    let forged = broken(&|receipt| {
        let mut changes = read.changes.to_vec();
        let mut approvals = changes[0].approvals.to_vec();
        approvals[0].signature = Signature::ZERO;
        changes[0].approvals = List::new(approvals).unwrap();
        receipt.changes = List::new(changes).unwrap();
    });
    assert!(matches!(forged, ProofError::Change { number: 1, .. }));
    let certificate = broken(&|receipt| {
        let mut certificate = read.certificate[0].clone();
        certificate.checkpoint += 1;
        receipt.certificate = List::new(vec![certificate]).unwrap();
    });
    assert!(matches!(certificate, ProofError::Certificate(_)));
    let earlier_set = broken(&|receipt| {
        let mut certificate = read.certificate[0].clone();
        certificate.set = 1;
        receipt.certificate = List::new(vec![certificate]).unwrap();
    });
    assert_eq!(
        earlier_set,
        ProofError::Changes {
            claimed: 1,
            known: 2
        }
    );
    let shorter = broken(&|receipt| {
        receipt.headers = List::new(read.headers[..1].to_vec()).unwrap();
    });
    assert_eq!(shorter, ProofError::OtherCheckpoint);
    let gap = broken(&|receipt| {
        receipt.headers = List::new(read.headers[1..].to_vec()).unwrap();
    });
    assert!(matches!(gap, ProofError::Parent(_)));
    let header = broken(&|receipt| {
        let mut headers = read.headers.to_vec();
        headers[1].timestamp_ms += 1;
        receipt.headers = List::new(headers).unwrap();
    });
    assert_eq!(header, ProofError::OtherCheckpoint);
}

#[tokio::test]
async fn a_forged_certificate_convinces_nobody_and_another_node_is_asked() {
    let (chain, _node, session, transaction) = decided(0).await;
    session.close().await;
    let forges = Manners {
        forges_certificates: true,
        ..Manners::default()
    };
    let liar = FakeNode::start(&chain, forges).await;
    let network = network_of(&[1, 2, 3, 4]);
    let session = join(&network, &[&liar]).await;
    let submitted = follow(&session, &transaction, BRIEF).await;
    assert!(!submitted.is_reached());
    let why = submitted.refuted.as_ref().unwrap();
    assert!(why.contains("wrong signature"), "{why}");
    assert!(session.status(transaction.id()).await.is_err());
    session.close().await;

    let honest = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&liar, &honest]).await;
    assert!(follow(&session, &transaction, LONG).await.is_reached());
    let status = session.status(transaction.id()).await.unwrap().value;
    assert!(matches!(status, TxStatus::Final { .. }), "{status:?}");
}

#[tokio::test]
async fn a_node_that_keeps_back_changes_or_makes_them_up_is_not_believed() {
    let (chain, _node, session, transaction) = decided(1).await;
    session.close().await;
    let hides = Manners {
        hides_changes: true,
        ..Manners::default()
    };
    let hiding = FakeNode::start(&chain, hides).await;
    let network = network_of(&[1, 2, 3, 4]);
    let session = join(&network, &[&hiding]).await;
    let submitted = follow(&session, &transaction, BRIEF).await;
    let why = submitted.refuted.as_ref().unwrap();
    assert!(why.contains("lead from the genesis to set 0"), "{why}");
    session.close().await;

    let mut approvals = chain.lock().unwrap().changes[0].approvals.to_vec();
    approvals.truncate(2);
    chain.lock().unwrap().changes[0].approvals = List::new(approvals).unwrap();
    let inventing = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&inventing]).await;
    let submitted = follow(&session, &transaction, BRIEF).await;
    let why = submitted.refuted.as_ref().unwrap();
    assert!(why.contains("not more than two thirds"), "{why}");
}

#[tokio::test]
async fn what_is_not_final_in_time_is_included_with_an_unanchored_receipt() {
    let network = network_of(&[1, 2, 3, 4]);
    let chain = FakeChain::new(&network);
    let node = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&node]).await;
    let transaction = registration(&session).await;
    let submitted = follow(&session, &transaction, BRIEF).await;
    assert!(!submitted.is_reached() && submitted.refuted.is_none());
    let made = receipt::make(&session, transaction.clone(), included(&submitted)).await;
    assert_eq!(receipt::verify(&network, &made).unwrap().checkpoint, None);

    chain.lock().unwrap().finalise();
    let submitted = follow(&session, &transaction, LONG).await;
    let made = receipt::make(&session, transaction, included(&submitted)).await;
    let proved = receipt::verify(&network, &made).unwrap();
    assert_eq!((proved.checkpoint, proved.depth), (Some(1), 0));
}

#[tokio::test]
async fn a_final_result_is_held_against_its_closing_block_and_checkpoint() {
    let network = network_of(&[1, 2, 3, 4]);
    let chain = FakeChain::new(&network);
    let node = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&node]).await;
    let file = ElectionFile::parse("title = \"T\"\nquestion = \"Q?\"\noptions = [\"A\", \"B\"]");
    let timing = Timing {
        opens_in: None,
        closes_in: Some(LONG),
    };
    let mut terms = file.unwrap().terms(&network, timing, now_ms()).unwrap();
    // By the fake chain's times: blocks come 500 ms apart from 1 s on, and the grace is 1 s.
    (
        terms.roll_closes_at_ms,
        terms.opens_at_ms,
        terms.closes_at_ms,
    ) = (0, 1_500, 2_600);
    let organiser = VoterId::generate().unwrap().signing_key();
    let election = crate::chain::election::Election {
        terms,
        secrecy: crate::chain::election::Secrecy::Open {},
        organiser: organiser.public_key(),
        signature: Signature::ZERO,
    };
    let opened = Transaction {
        network: network.tag(),
        payload: crate::chain::transaction::Payload::Election { election },
    };
    {
        let mut lock = chain.lock().unwrap();
        lock.held.insert(opened.id(), opened);
        for height in 1..=12 {
            lock.mine();
            if [2, 4, 5, 6, 8, 9, 12].contains(&height) {
                lock.finalise();
            }
        }
    }
    let view = session.elections().await.unwrap().value.pop().unwrap();
    let at = |height: usize| {
        let id = chain.lock().unwrap().blocks[height - 1].0.id();
        BlockAt {
            id,
            height: height as u64,
        }
    };
    let result = |closing: usize, checkpoint: usize| ElectionResult {
        election: view.id,
        phase: ElectionPhase::Final as u8,
        closing_block: List::new(vec![at(closing)]).unwrap(),
        checkpoint: List::new(vec![at(checkpoint)]).unwrap(),
        eligible: 0,
        tally: Counter::new(&view.id, &view.info.election.terms)
            .unwrap()
            .finish(),
    };
    // 2,600 + 1,000 ms is past the block of 3,500 ms, at height 5.
    let proved = session.prove_final(&view, &result(6, 8)).await.unwrap();
    assert_eq!(
        proved,
        Some(FinalBy {
            checkpoint: 5,
            set: 0
        })
    );
    let proved = session.prove_final(&view, &result(6, 6)).await.unwrap();
    assert_eq!(
        proved,
        Some(FinalBy {
            checkpoint: 4,
            set: 0
        })
    );
    let other = session.prove_final(&view, &result(7, 8)).await;
    assert_eq!(other, Err(ProofError::Closing));
    let undecided = session.prove_final(&view, &result(6, 7)).await;
    assert_eq!(undecided, Err(ProofError::Apart));
}
