//! Request-response: limits hold, broken framing is an error, nobody waits for ever, too much is told "busy".

use std::time::Duration;

use votenode_p2p::{Config, Event, ProtocolConfig, RequestError, RequestId};

use crate::common::*;
use crate::raw::{Raw, Script, framed};

const SHORT: Duration = Duration::from_secs(2);

fn with_protocol(change: impl FnOnce(&mut ProtocolConfig)) -> Config {
    let mut protocol = ProtocolConfig::new(ECHO, 1000, 1000);
    change(&mut protocol);
    Config {
        protocols: vec![protocol],
        ..config()
    }
}

async fn next_request(node: &mut Node) -> (RequestId, Vec<u8>) {
    node.until("request", |e| match e {
        Event::Request { id, data, .. } => Some((*id, data.clone())),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn both_forms_of_asking_bring_the_answer() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    let b_id = b.id();
    link(&mut a, &mut b).await;
    a.handle
        .request_tagged(42, b_id, ECHO, b"tagged".to_vec())
        .unwrap();
    let (id, data) = next_request(&mut b).await;
    b.handle.respond(id, data).unwrap();
    let (peer, result) = a
        .until("response", |e| match e {
            Event::Response {
                tag: 42,
                peer,
                result,
            } => Some((*peer, result.clone())),
            _ => None,
        })
        .await;
    assert_eq!((peer, result), (b_id, Ok(b"tagged".to_vec())));

    let largest = vec![7; 1000];
    let ask = a.handle.request(b_id, ECHO, largest.clone());
    let serve = async {
        let (id, data) = next_request(&mut b).await;
        b.handle.respond(id, data).unwrap();
    };
    assert_eq!(tokio::join!(ask, serve).0, Ok(largest));
}

#[tokio::test]
async fn what_cannot_be_sent_fails_at_once() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    let b_id = b.id();
    let early = a.handle.request(b_id, ECHO, vec![]).await;
    assert_eq!(early, Err(RequestError::NotConnected));
    link(&mut a, &mut b).await;
    let long = a.handle.request(b_id, ECHO, vec![0; 1001]).await;
    assert_eq!(
        long,
        Err(RequestError::TooLarge {
            len: 1001,
            max: 1000
        })
    );
    let unknown = a.handle.request(b_id, "/nothing", vec![]).await;
    assert_eq!(unknown, Err(RequestError::UnknownProtocol));
}

#[tokio::test]
async fn refusals_and_unknown_protocols_are_told_apart() {
    let mut a = start(config()).await;
    let mut b = start(config()).await;
    let mut deaf = start(with_protocol(|p| p.serve = false)).await;
    let (b_id, deaf_id) = (b.id(), deaf.id());
    link(&mut a, &mut b).await;
    link(&mut a, &mut deaf).await;
    let serve = async {
        let (id, _) = next_request(&mut b).await;
        b.handle.refuse(id).unwrap();
        // Longer than the protocol allows: refused as well, never cut off.
        let (id, _) = next_request(&mut b).await;
        b.handle.respond(id, vec![0; 1001]).unwrap();
    };
    let ask = async {
        assert_eq!(
            a.handle.request(b_id, ECHO, vec![1]).await,
            Err(RequestError::Refused)
        );
        assert_eq!(
            a.handle.request(b_id, ECHO, vec![2]).await,
            Err(RequestError::Refused)
        );
    };
    tokio::join!(ask, serve);
    let deaf = a.handle.request(deaf_id, ECHO, vec![]).await;
    assert_eq!(deaf, Err(RequestError::Unsupported));
}

#[tokio::test]
async fn silence_ends_with_the_timeout_and_a_lost_connection_at_once() {
    let mut a = start(with_protocol(|p| p.timeout = SHORT)).await;
    let mut b = start(config()).await;
    let (a_id, b_id) = (a.id(), b.id());
    link(&mut a, &mut b).await;
    // b never answers.
    assert_eq!(
        a.handle.request(b_id, ECHO, vec![]).await,
        Err(RequestError::Timeout(SHORT))
    );
    let mut patient = start(config()).await;
    link(&mut patient, &mut b).await;
    let patient_id = patient.id();
    let ask = patient.handle.request(b_id, ECHO, vec![9]);
    let drop = async {
        while next_request(&mut b).await.1 != [9] {}
        b.handle.disconnect(patient_id).unwrap();
    };
    assert_eq!(tokio::join!(ask, drop).0, Err(RequestError::Disconnected));
    assert!(
        b.handle
            .peers()
            .await
            .unwrap()
            .iter()
            .any(|p| p.peer == a_id),
        "others stay"
    );
}

#[tokio::test]
async fn broken_requests_never_reach_the_consumer() {
    let mut node = start(with_protocol(|p| p.timeout = SHORT)).await;
    let raw = Raw::start(&node.addr, node.id(), ECHO, Script::default()).await;
    let mut trailing = framed(b"good");
    trailing.push(0);
    for broken in [
        Script::bytes(framed(&[0; 1001])),
        Script::bytes(u32::MAX.to_be_bytes()),
        Script::bytes(*b"\0\0\0\x09only"),
        Script::bytes(*b"\0\0"),
        Script::bytes(trailing),
        // Kept alive byte by byte, far beyond the timeout of the whole exchange.
        Script::trickle(&1000u32.to_be_bytes(), Duration::from_millis(100)),
    ] {
        // The stream ends without an answer, cleanly or not.
        let answer = raw.ask(broken).await.unwrap();
        assert!(answer.as_ref().map_or(true, Vec::is_empty), "{answer:?}");
    }
    // Together they were enough to be let go for.
    let reason = node
        .until("misbehaviour", |e| match e {
            Event::Misbehaved { peer, reason, .. } if *peer == raw.id => reason.clone(),
            _ => None,
        })
        .await;
    assert_eq!(reason, "a request that did not come in time");
    let raw = Raw::start(&node.addr, node.id(), ECHO, Script::default()).await;
    let good = raw.ask(Script::bytes(framed(b"good")));
    let (id, data) = next_request(&mut node).await;
    assert_eq!(data, b"good", "the first request to arrive");
    node.handle.respond(id, b"fine".to_vec()).unwrap();
    assert_eq!(good.await.unwrap().unwrap(), framed(b"fine"));
}

#[tokio::test]
async fn broken_answers_are_errors_of_their_own() {
    let mut node = start(with_protocol(|p| p.timeout = SHORT)).await;
    for (script, expected) in [
        (Script::bytes(framed(&[0; 1001])), "announced 1001 bytes"),
        (Script::bytes(*b"\0\0\0\x09only"), "ended inside"),
        (Script::bytes(*b"\0\0\0\x01ab"), "more bytes"),
        (Script::default(), "refused"),
        (
            Script::trickle(&900u32.to_be_bytes(), Duration::from_millis(100)),
            "no complete answer",
        ),
    ] {
        let raw = Raw::start(&node.addr, node.id(), ECHO, script).await;
        node.connected(raw.id).await;
        let error = node
            .handle
            .request(raw.id, ECHO, vec![])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected),
            "{error:?} instead of {expected:?}"
        );
    }
}

#[tokio::test]
async fn too_many_at_once_are_told_busy() {
    let mut node = start(with_protocol(|p| {
        p.inbound_per_peer = 2;
        p.inbound_total = 3;
        p.timeout = DEADLINE;
        p.busy_response = Some(b"busy".to_vec());
    }))
    .await;
    let first = Raw::start(&node.addr, node.id(), ECHO, Script::default()).await;
    let second = Raw::start(&node.addr, node.id(), ECHO, Script::default()).await;
    let ask = |raw: &Raw, data: &[u8]| raw.ask(Script::bytes(framed(data)));
    let (one, two) = (ask(&first, b"1"), ask(&first, b"2"));
    let (id_one, _) = next_request(&mut node).await;
    let (id_two, _) = next_request(&mut node).await;
    assert_eq!(
        ask(&first, b"3").await.unwrap().unwrap(),
        framed(b"busy"),
        "per peer"
    );
    let four = ask(&second, b"4");
    let (id_four, _) = next_request(&mut node).await;
    assert_eq!(
        ask(&second, b"5").await.unwrap().unwrap(),
        framed(b"busy"),
        "in all"
    );
    for id in [id_one, id_two, id_four] {
        node.handle.respond(id, b"done".to_vec()).unwrap();
    }
    for outcome in [one, two, four] {
        assert_eq!(outcome.await.unwrap().unwrap(), framed(b"done"));
    }
    // Places are given back.
    let six = ask(&first, b"6");
    let (id, data) = next_request(&mut node).await;
    assert_eq!(data, b"6");
    node.handle.respond(id, vec![]).unwrap();
    assert_eq!(six.await.unwrap().unwrap(), framed(b""));
}

#[tokio::test]
async fn nobody_is_refused_an_only_request_because_others_hold_all_places() {
    let mut node = start(with_protocol(|p| {
        p.inbound_per_peer = 2;
        p.inbound_total = 2;
        p.timeout = DEADLINE;
    }))
    .await;
    let greedy = Raw::start(&node.addr, node.id(), ECHO, Script::default()).await;
    let head = 1_000u32.to_be_bytes();
    let trickle = || greedy.ask(Script::trickle(&head, Duration::from_millis(100)));
    let _held = [trickle(), trickle()];
    // Answered only once both trickle: a third of the same peer finds no place.
    let third = greedy.ask(Script::bytes(framed(b"3"))).await.unwrap();
    assert!(third.as_ref().map_or(true, Vec::is_empty), "{third:?}");
    let modest = Raw::start(&node.addr, node.id(), ECHO, Script::default()).await;
    let answer = modest.ask(Script::bytes(framed(b"me")));
    let (id, data) = next_request(&mut node).await;
    assert_eq!(data, b"me");
    node.handle.respond(id, b"you".to_vec()).unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), framed(b"you"));
}

#[tokio::test]
async fn own_requests_are_bounded_per_peer() {
    let mut a = start(with_protocol(|p| p.outbound_per_peer = 2)).await;
    let mut b = start(config()).await;
    let b_id = b.id();
    link(&mut a, &mut b).await;
    for tag in 1..=3 {
        a.handle.request_tagged(tag, b_id, ECHO, vec![]).unwrap();
    }
    let (tag, result) = a
        .until("response", |e| match e {
            Event::Response { tag, result, .. } => Some((*tag, result.clone())),
            _ => None,
        })
        .await;
    assert_eq!((tag, result), (3, Err(RequestError::TooManyOutstanding)));
}
