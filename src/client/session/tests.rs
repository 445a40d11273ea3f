#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::chain::election::Choices;
use crate::chain::sign;
use crate::client::election_file::{ElectionFile, Timing};
use crate::client::fake::{FakeChain, FakeNode, Manners, join, network};
use crate::client::receipt;
use crate::client::time::now_ms;

const LONG: Duration = Duration::from_secs(120);

fn soon() -> Instant {
    Instant::now() + LONG
}

async fn registration(session: &Session) -> Transaction {
    let voter = VoterId::generate().unwrap();
    let made = session.make_registrations(vec![(voter, Admission::Open)]);
    made.await.unwrap().pop().unwrap()
}

async fn follow(session: &Session, transaction: Transaction, goal: Goal) -> Submitted {
    let mut outcomes = session
        .submit(vec![transaction], goal, soon(), &mut |_| {})
        .await;
    outcomes.pop().unwrap()
}

#[tokio::test]
async fn gossip_alone_carries_a_transaction_into_the_chain() {
    let network = network();
    let chain = FakeChain::new(&network);
    let node = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&node]).await;
    let transaction = registration(&session).await;
    let submitted = follow(&session, transaction.clone(), Goal::Included).await;
    let Fate::Included(included) = &submitted.fate else {
        panic!("{submitted:?}");
    };
    assert_eq!(*node.submits.lock().unwrap(), 0, "nothing was handed in");
    assert_eq!(
        (submitted.agreement.asked, submitted.agreement.agree),
        (1, 1)
    );

    // The receipt holds by itself, and for nothing else.
    chain.lock().unwrap().mine();
    let made = receipt::make(&session, transaction, included).await;
    let proved = receipt::verify(&network, &made).unwrap();
    assert_eq!(
        (proved.height, proved.depth, proved.checkpoint),
        (1, 1, None)
    );
    let mut other = made.clone();
    other.transaction = registration(&session).await;
    assert!(receipt::verify(&network, &other).is_err());
    session.close().await;
}

#[tokio::test]
async fn what_gossip_does_not_bring_is_handed_in() {
    let network = network();
    let chain = FakeChain::new(&network);
    let deaf = Manners {
        deaf: true,
        ..Manners::default()
    };
    let node = FakeNode::start(&chain, deaf).await;
    let session = join(&network, &[&node]).await;
    let transaction = registration(&session).await;
    let submitted = follow(&session, transaction, Goal::Included).await;
    assert!(submitted.is_included(), "{submitted:?}");
    assert_eq!(*node.submits.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_refusal_ends_with_the_nodes_reason() {
    let network = network();
    let chain = FakeChain::new(&network);
    let refuses = Manners {
        refuses: Some(107),
        ..Manners::default()
    };
    let node = FakeNode::start(&chain, refuses).await;
    let session = join(&network, &[&node]).await;
    let transaction = registration(&session).await;
    let submitted = follow(&session, transaction, Goal::Included).await;
    match submitted.fate {
        Fate::Rejected { reason } => assert_eq!(reason.code, 107),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_nodes_refusal_does_not_count_where_another_takes_it() {
    let network = network();
    let chain = FakeChain::new(&network);
    let refuses = Manners {
        refuses: Some(107),
        ..Manners::default()
    };
    let bad = FakeNode::start(&FakeChain::new(&network), refuses).await;
    let good = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&bad, &good]).await;
    let submitted = follow(&session, registration(&session).await, Goal::Included).await;
    assert!(submitted.is_included(), "{submitted:?}");
    assert!(!submitted.agreement.is_unanimous());
}

#[tokio::test]
async fn a_forged_proof_is_not_believed() {
    let network = network();
    let chain = FakeChain::new(&network);
    let forges = Manners {
        forges: true,
        ..Manners::default()
    };
    let liar = FakeNode::start(&chain, forges).await;
    let session = join(&network, &[&liar]).await;
    let transaction = registration(&session).await;
    let id = transaction.id();
    let brief = Instant::now() + Duration::from_secs(3);
    let outcomes = session
        .submit(
            vec![transaction.clone()],
            Goal::Included,
            brief,
            &mut |_| {},
        )
        .await;
    assert!(chain.lock().unwrap().inclusion(&id).is_some());
    assert!(
        matches!(outcomes[0].fate, Fate::Unknown { .. }),
        "{outcomes:?}"
    );
    session.close().await;

    let honest = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&liar, &honest]).await;
    let submitted = follow(&session, transaction, Goal::Included).await;
    assert!(submitted.is_included(), "{submitted:?}");
}

#[tokio::test]
async fn a_node_that_dies_is_replaced() {
    let network = network();
    let (first, second) = (FakeChain::new(&network), FakeChain::new(&network));
    let idle = Manners {
        idle: true,
        ..Manners::default()
    };
    let dying = FakeNode::start(&first, idle).await;
    let session = join(&network, &[&dying]).await;
    let transaction = registration(&session).await;
    let id = transaction.id();
    let running = {
        let session = session.clone();
        tokio::spawn(async move { follow(&session, transaction, Goal::Included).await })
    };
    // It says that it holds the transaction, and then it is gone with it.
    while !first.lock().unwrap().held.contains_key(&id) {
        tokio::task::yield_now().await;
    }
    let successor = FakeNode::start(&second, Manners::default()).await;
    let dial = LinkOptions {
        bootstrap: vec![successor.addr.clone()],
        listen: vec![],
        mdns: false,
    };
    session.link().dial(&dial.bootstrap[0]).unwrap();
    session.wait_for_nodes(2, soon()).await.unwrap();
    dying.stop().await;
    let submitted = running.await.unwrap();
    assert!(submitted.is_included(), "{submitted:?}");
    assert!(second.lock().unwrap().held.contains_key(&id));
}

#[tokio::test]
async fn final_waits_for_as_many_blocks_as_the_genesis_says() {
    let network = network();
    let chain = FakeChain::new(&network);
    let node = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&node]).await;
    let transaction = registration(&session).await;
    let heights = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heights);
    let blocks = Arc::clone(&chain);
    let outcomes = session
        .submit(
            vec![transaction],
            Goal::Final,
            soon(),
            &mut move |progress| {
                seen.lock().unwrap().push(progress.height);
                if progress.height.is_some() {
                    blocks.lock().unwrap().mine();
                }
            },
        )
        .await;
    let Fate::Included(included) = &outcomes[0].fate else {
        panic!("{outcomes:?}");
    };
    assert!(included.settled && included.depth >= 2);
    assert!(heights.lock().unwrap().contains(&Some(1)));
}

#[tokio::test]
async fn thousands_travel_together() {
    const VOTERS: usize = 5_000;
    let network = network();
    let chain = FakeChain::new(&network);
    let nodes = [
        FakeNode::start(&chain, Manners::default()).await,
        FakeNode::start(&chain, Manners::default()).await,
    ];
    let session = join(&network, &[&nodes[0], &nodes[1]]).await;
    let voters = (0..VOTERS)
        .map(|_| (VoterId::generate().unwrap(), Admission::Open))
        .collect();
    let registrations = session.make_registrations(voters).await.unwrap();
    let ids: Vec<TxId> = registrations.iter().map(Transaction::id).collect();
    let outcomes = session
        .submit(registrations.clone(), Goal::Held, soon(), &mut |_| {})
        .await;
    assert_eq!(outcomes.len(), VOTERS);
    assert!(
        outcomes
            .iter()
            .all(|one| matches!(one.fate, Fate::Held { .. }))
    );
    assert_eq!(outcomes.iter().map(|one| one.id).collect::<Vec<_>>(), ids);
    assert_eq!(session.wait_included(ids, soon()).await, vec![]);
    let outcomes = session
        .submit(registrations, Goal::Included, soon(), &mut |_| {})
        .await;
    assert!(outcomes.iter().all(Submitted::is_included));
}

#[tokio::test]
async fn elections_come_from_all_nodes_together() {
    let network = network();
    let chain = FakeChain::new(&network);
    let hides = Manners {
        hides: true,
        ..Manners::default()
    };
    let open = FakeNode::start(&chain, Manners::default()).await;
    let hiding = FakeNode::start(&chain, hides).await;
    let session = join(&network, &[&open, &hiding]).await;
    let file = ElectionFile::parse("title = \"T\"\nquestion = \"Q?\"\noptions = [\"A\", \"B\"]");
    let timing = Timing {
        opens_in: None,
        closes_in: Some(LONG),
    };
    let terms = file.unwrap().terms(&network, timing, now_ms()).unwrap();
    let voter = VoterId::generate().unwrap();
    let (id, transaction) = session.make_election(&voter.signing_key(), terms).unwrap();
    assert!(
        follow(&session, transaction, Goal::Included)
            .await
            .is_included()
    );
    let answer = session.elections().await.unwrap();
    assert_eq!(
        answer.value.iter().map(|view| view.id).collect::<Vec<_>>(),
        [id]
    );
    assert_eq!((answer.agreement.asked, answer.agreement.agree), (2, 1));
    assert_eq!(session.election(id).await.unwrap().value.unwrap().id, id);

    let vote = sign::cast_vote(&network.id(), &voter, id, Choices::new(vec![1]).unwrap());
    assert!(
        follow(&session, vote.clone(), Goal::Included)
            .await
            .is_included()
    );
    assert_eq!(session.transaction(vote.id()).await.unwrap(), Some(vote));
}

#[tokio::test]
async fn an_answer_about_another_election_is_refused() {
    let network = network();
    let chain = FakeChain::new(&network);
    let node = FakeNode::start(&chain, Manners::default()).await;
    let session = join(&network, &[&node]).await;
    let file = ElectionFile::parse("title = \"T\"\nquestion = \"Q?\"\noptions = [\"A\", \"B\"]");
    let timing = Timing {
        opens_in: None,
        closes_in: Some(LONG),
    };
    let terms = file.unwrap().terms(&network, timing, now_ms()).unwrap();
    let key = VoterId::generate().unwrap().signing_key();
    let (_, transaction) = session.make_election(&key, terms).unwrap();
    assert!(
        follow(&session, transaction, Goal::Included)
            .await
            .is_included()
    );
    // The node answers every question about an election with the one it has.
    let other = session.election(ElectionId::from_bytes([7; 32])).await;
    assert!(matches!(other, Err(SessionError::NoAnswer(_))), "{other:?}");
}

#[tokio::test]
async fn nobody_there_is_an_error_of_its_own() {
    let joined = Session::join(SessionOptions {
        network: network(),
        link: LinkOptions {
            bootstrap: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
            listen: vec![],
            mdns: false,
        },
        join_timeout: Duration::from_secs(1),
    });
    assert!(matches!(joined.await, Err(SessionError::NoNodes { .. })));
}
