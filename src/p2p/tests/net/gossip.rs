//! Verdicts decide what travels on; what finds nobody waits.

use votenode_p2p::{Config, Event, HandleError, PublishError, Verdict, message_id};

use crate::common::*;

/// Three nodes in a row: `a`, `b` and `c`, where `a` and `c` know each other only through `b`.
async fn row() -> (Node, Node, Node) {
    let lone = || Config {
        // Neither looks for more peers, so the row stays a row.
        target_outbound: 0,
        kad: votenode_p2p::KadMode::Off,
        ..config()
    };
    let (mut a, mut b, mut c) = (
        start(lone()).await,
        start(lone()).await,
        start(lone()).await,
    );
    link(&mut a, &mut b).await;
    link(&mut b, &mut c).await;
    (a, b, c)
}

#[tokio::test]
async fn accepted_messages_travel_on_rejected_and_ignored_ones_do_not() {
    let (a, mut b, mut c) = row().await;
    for (data, verdict) in [
        (b"rejected", Verdict::Reject),
        (b"ignored.", Verdict::Ignore),
        (b"accepted", Verdict::Accept),
    ] {
        let id = a.handle.publish(TOPIC, data.to_vec()).await.unwrap();
        assert_eq!(id, message_id(TOPIC, data));
        assert_eq!(b.gossip(verdict).await, data);
    }
    // Had one of the earlier ones been forwarded, it would have come first.
    assert_eq!(c.gossip(Verdict::Accept).await, b"accepted");
    let scores = b.handle.peers().await.unwrap();
    let score = scores.iter().find(|p| p.peer == a.id()).unwrap().score;
    assert!(score < 0.0, "the rejected message cost {} points", -score);
}

#[tokio::test]
async fn a_sender_of_rubbish_is_let_go() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    let (a_id, b_id) = (a.id(), b.id());
    link(&mut a, &mut b).await;
    for i in 0..100u8 {
        // Published until the receiver has had enough and the connection is gone.
        if a.handle.publish(TOPIC, vec![i]).await.is_err() {
            break;
        }
        let rejected = b
            .until("gossip or the end", |e| match e {
                Event::Gossip { id, from, .. } => Some(Some((*id, *from))),
                Event::Disconnected { .. } | Event::Misbehaved { .. } => Some(None),
                _ => None,
            })
            .await;
        let Some((id, from)) = rejected else { break };
        b.handle.report(id, from, Verdict::Reject).unwrap();
    }
    a.disconnected(b_id).await;
    assert!(
        b.handle
            .peers()
            .await
            .unwrap()
            .iter()
            .all(|p| p.peer != a_id)
    );
}

#[tokio::test]
async fn a_message_published_before_any_peer_is_delivered_later() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    let kept = Err(PublishError::NoPeers { kept: true });
    assert_eq!(a.handle.publish(TOPIC, b"early".to_vec()).await, kept);
    link(&mut a, &mut b).await;
    assert_eq!(b.gossip(Verdict::Accept).await, b"early");
}

#[tokio::test]
async fn publishing_says_what_happened() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    link(&mut a, &mut b).await;
    let id = a.handle.publish(TOPIC, b"once".to_vec()).await.unwrap();
    let again = a.handle.publish(TOPIC, b"once".to_vec()).await;
    assert_eq!(again, Err(PublishError::Duplicate));
    let long = a.handle.publish(TOPIC, vec![0; 64 * 1024 + 1]).await;
    assert_eq!(
        long,
        Err(PublishError::TooLarge {
            len: 65537,
            max: 65536
        })
    );
    let unknown = a.handle.publish("nowhere", vec![]).await;
    assert_eq!(unknown, Err(PublishError::UnknownTopic));
    assert_eq!(
        a.handle.subscribe("nowhere"),
        Err(HandleError::UnknownTopic)
    );
    a.handle
        .publish_tagged(7, TOPIC, b"tagged".to_vec())
        .unwrap();
    let tagged = a
        .until("result", |e| match e {
            Event::Published { tag: 7, result } => Some(*result),
            _ => None,
        })
        .await;
    assert_eq!(tagged, Ok(message_id(TOPIC, b"tagged")));
    assert_ne!(tagged, Ok(id));
    assert_eq!(b.gossip(Verdict::Accept).await, b"once");
    // The largest message allowed does arrive.
    a.handle.publish(TOPIC, vec![9; 64 * 1024]).await.unwrap();
    assert_eq!(b.gossip(Verdict::Accept).await, b"tagged");
    assert_eq!(b.gossip(Verdict::Accept).await, vec![9; 64 * 1024]);
}

#[tokio::test]
async fn a_full_queue_ignores_and_goes_on() {
    let mut narrow = config();
    narrow.gossip.queue_len = 2;
    let (mut a, mut b) = (start(config()).await, start(narrow).await);
    link(&mut a, &mut b).await;
    for i in 0..100u8 {
        a.handle.publish(TOPIC, vec![i]).await.unwrap();
    }
    // Nobody read meanwhile: two wait, or a few more if the first were read while the last arrived.
    assert_eq!(b.gossip(Verdict::Accept).await, [0]);
    a.handle.publish(OTHER, vec![]).await.unwrap_err();
    b.handle.subscribe(OTHER).unwrap();
    let b_id = b.id();
    a.subscribed(b_id, OTHER).await;
    // What was kept for the other topic comes through the same queue once there is room.
    let data = b
        .until("late message", |e| match e {
            Event::Gossip { topic, data, .. } if topic == OTHER => Some(data.clone()),
            _ => None,
        })
        .await;
    assert!(data.is_empty());
}
