//! Finding each other, letting go, and saying clearly what does not work.

use std::time::Duration;

use votenode_p2p::{Config, Error, Event, KadMode, Keypair, RequestError, Verdict, spawn};

use crate::common::*;

#[tokio::test]
async fn bootstrap_works_without_a_peer_id_over_both_transports() {
    for listen in [TCP, QUIC] {
        let mut server = start(Config {
            listen: vec![listen.parse().unwrap()],
            ..config()
        })
        .await;
        let mut client = start(Config {
            listen: vec![],
            bootstrap: vec![server.addr.clone()],
            kad: KadMode::Client,
            ..config()
        })
        .await;
        let (server_id, client_id) = (server.id(), client.id());
        client.connected(server_id).await;
        server.connected(client_id).await;
        let echo = client.handle.request(server_id, ECHO, b"hello".to_vec());
        let serve = async {
            let id = server
                .until("request", |e| match e {
                    Event::Request { id, .. } => Some(*id),
                    _ => None,
                })
                .await;
            server.handle.respond(id, b"hi".to_vec()).unwrap();
        };
        assert_eq!(tokio::join!(echo, serve).0.unwrap(), b"hi");
    }
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_the_address() {
    for listen in [TCP, QUIC] {
        let first = start(Config {
            listen: vec![listen.parse().unwrap()],
            ..config()
        })
        .await;
        let taken = first
            .addr
            .iter()
            .take(if listen == QUIC { 3 } else { 2 })
            .collect();
        let second = Config {
            listen: vec![taken],
            ..config()
        };
        let addr = second.listen[0].clone();
        match spawn(Keypair::generate(), second).await {
            Err(Error::Listen {
                addr: named,
                source,
            }) => {
                assert_eq!(named, addr);
                assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_bootstrap_node_that_comes_late_is_found() {
    let first = start(config()).await;
    let addr = first.addr.clone();
    first.handle.shutdown().await;
    drop(first);
    let mut client = start(Config {
        bootstrap: vec![addr.clone()],
        ..config()
    })
    .await;
    client
        .until("failed bootstrap", |e| match e {
            Event::BootstrapFailed {
                addr: a, retry_in, ..
            } if *a == addr => Some(*retry_in),
            _ => None,
        })
        .await;
    let server = start(Config {
        listen: vec![addr],
        ..config()
    })
    .await;
    let id = server.id();
    client.connected(id).await;
}

#[tokio::test]
async fn a_foreign_peer_is_let_go_and_left_alone() {
    let mut node = start(Config {
        required_protocols: vec![ECHO.into()],
        ..config()
    })
    .await;
    let mut foreign = start(Config {
        protocols: vec![],
        agent: "stranger/1".into(),
        bootstrap: vec![node.addr.clone()],
        ..config()
    })
    .await;
    let (node_id, foreign_id) = (node.id(), foreign.id());
    let (agent, missing) = node
        .until("foreign peer", |e| match e {
            Event::Foreign {
                peer,
                agent,
                missing,
            } if *peer == foreign_id => Some((agent.clone(), missing.clone())),
            _ => None,
        })
        .await;
    assert_eq!((agent.as_str(), missing.as_str()), ("stranger/1", ECHO));
    foreign.disconnected(node_id).await;
    // It dials again and again, and does not get in for long enough to be mentioned.
    foreign.handle.dial(node.addr.clone()).unwrap();
    foreign.disconnected(node_id).await;
    assert!(node.handle.peers().await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_hangs_up_before_it_is_known_is_named() {
    let mut full = config();
    full.limits.max_inbound = 0;
    let node = start(full).await;
    let mut turned_away = start(Config {
        known_peers: vec![(node.id(), vec![node.addr.clone()])],
        ..config()
    })
    .await;
    // Twice: it goes on trying.
    for _ in 0..2 {
        turned_away
            .until("a peer that hangs up", |e| {
                (*e == Event::TurnedAway { peer: node.id() }).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn a_banned_peer_stays_out_until_pardoned() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    let (a_id, b_id) = (a.id(), b.id());
    link(&mut a, &mut b).await;
    a.handle.ban(b_id).unwrap();
    b.disconnected(a_id).await;
    assert_eq!(a.handle.snapshot().await.unwrap().banned, [b_id]);
    // From the banning side a dial fails at once.
    let addr = b.addr.clone().with_p2p(b_id).unwrap();
    a.handle.dial(addr.clone()).unwrap();
    a.until("failed dial", |e| {
        matches!(e, Event::DialFailed { error, .. } if error.contains("banned")).then_some(())
    })
    .await;
    a.handle.unban(b_id).unwrap();
    a.handle.dial(addr).unwrap();
    a.connected(b_id).await;
}

#[tokio::test]
async fn a_peer_with_a_bad_score_is_let_go() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    let (a_id, b_id) = (a.id(), b.id());
    link(&mut a, &mut b).await;
    a.handle.penalize(b_id, 40.0, "nonsense").unwrap();
    assert_eq!(
        a.handle.peers().await.unwrap().len(),
        1,
        "one slip is forgiven"
    );
    a.handle.penalize(b_id, 90.0, "more nonsense").unwrap();
    let reason = a
        .until("misbehaviour", |e| match e {
            Event::Misbehaved { peer, reason, .. } if *peer == b_id => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(reason.as_deref(), Some("more nonsense"));
    b.disconnected(a_id).await;
}

#[tokio::test]
async fn peers_find_each_other_through_a_third() {
    let hub = start(config()).await;
    let spoke = || Config {
        bootstrap: vec![hub.addr.clone()],
        ..config()
    };
    let (mut a, mut b) = (start(spoke()).await, start(spoke()).await);
    let (a_id, b_id) = (a.id(), b.id());
    tokio::join!(a.connected(b_id), b.connected(a_id));
}

#[tokio::test]
async fn known_peers_are_dialled_at_start() {
    let server = start(config()).await;
    let id = server.id();
    let book = vec![(id, vec![server.addr.clone()])];
    let mut client = start(Config {
        known_peers: book,
        ..config()
    })
    .await;
    client.connected(id).await;
    client
        .until("identity", |e| {
            matches!(e, Event::Identified { peer, .. } if *peer == id).then_some(())
        })
        .await;
    let peers = client.handle.peers().await.unwrap();
    assert!(
        peers[0].outbound && peers[0].addrs.contains(&server.addr),
        "{peers:?}"
    );
    assert_eq!(
        peers[0].agent.as_deref(),
        Some(Config::default().agent.as_str())
    );
}

#[tokio::test]
async fn shutdown_says_goodbye_and_ends_the_events() {
    let (mut a, mut b) = (start(config()).await, start(config()).await);
    let a_id = a.id();
    link(&mut a, &mut b).await;
    a.handle.shutdown().await;
    let last = a
        .until("stop", |e| match e {
            Event::Stopped { error } => Some(error.clone()),
            _ => None,
        })
        .await;
    assert_eq!(last, None);
    assert_eq!(a.events.next().await, None);
    b.disconnected(a_id).await;
    let gone = tokio::time::timeout(Duration::from_secs(60), a.handle.peers())
        .await
        .unwrap();
    assert!(gone.is_err(), "a stopped node answers with an error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_can_start_again_on_its_port() {
    for listen in [TCP, QUIC] {
        let keypair = Keypair::generate();
        let listening = |addr| Config {
            listen: vec![addr],
            ..config()
        };
        let mut first = start_as(keypair.clone(), listening(listen.parse().unwrap())).await;
        let addr = first.addr.clone();
        let mut other = start(listening(listen.parse().unwrap())).await;
        link(&mut other, &mut first).await;
        first.handle.shutdown().await;
        let again = start_as(keypair, listening(addr.clone())).await;
        assert_eq!(again.addr, addr);
        // Whoever knew it comes back by itself.
        let id = again.id();
        other.connected(id).await;
    }
}

#[tokio::test]
async fn connection_limits_hold() {
    let mut full = config();
    full.limits.max_inbound = 1;
    let mut node = start(full).await;
    let (mut first, mut second) = (start(config()).await, start(config()).await);
    let (node_id, second_id) = (node.id(), second.id());
    link(&mut first, &mut node).await;
    second.handle.dial(node.addr.clone()).unwrap();
    second.disconnected(node_id).await;
    assert!(
        node.handle
            .peers()
            .await
            .unwrap()
            .iter()
            .all(|p| p.peer != second_id)
    );
    // A place that becomes free is given away again.
    first.handle.shutdown().await;
    node.disconnected(first.id()).await;
    second.handle.dial(node.addr.clone()).unwrap();
    node.connected(second_id).await;
}

#[tokio::test]
async fn the_idle_make_room_for_newcomers() {
    let mut small = config();
    small.limits.max_inbound = 8;
    let mut node = start(small).await;
    let node_id = node.id();
    let mut peers = Vec::new();
    for _ in 0..7 {
        let mut peer = start(config()).await;
        link(&mut peer, &mut node).await;
        peers.push(peer);
    }
    // The first is not the idlest any more.
    let gossip = peers[0].handle.publish(TOPIC, b"busy".to_vec());
    let heard = node.gossip(Verdict::Accept);
    let (sent, heard) = tokio::join!(gossip, heard);
    sent.unwrap();
    assert_eq!(heard, b"busy");
    node.handle.snapshot().await.unwrap();
    let mut newcomer = start(config()).await;
    link(&mut newcomer, &mut node).await;
    peers[1].disconnected(node_id).await;
    let connected = node.handle.peers().await.unwrap();
    assert!(connected.iter().any(|p| p.peer == peers[0].id()));
}

#[tokio::test]
async fn an_identity_is_told_once() {
    let mut silent = config();
    silent.protocols[0].serve = false;
    let (mut a, mut b) = (start(silent).await, start(config()).await);
    let (a_id, b_id) = (a.id(), b.id());
    // Both dial: two connections, and each brings an identity.
    a.handle.dial(b.addr.clone()).unwrap();
    b.handle.dial(a.addr.clone()).unwrap();
    let mut identities = 0;
    let count = a.until("end", |e| {
        identities += usize::from(matches!(e, Event::Identified { .. }));
        (*e == Event::Disconnected { peer: b_id }).then_some(())
    });
    let live = async {
        // Two pings: both connections stand. After as many round trips as this both identities have come.
        for _ in 0..2 {
            b.until("ping", |e| matches!(e, Event::Rtt { .. }).then_some(()))
                .await;
        }
        for _ in 0..50 {
            let refused = b.handle.request(a_id, ECHO, vec![]).await;
            assert_eq!(refused, Err(RequestError::Unsupported));
        }
        b.handle.shutdown().await;
    };
    tokio::join!(count, live);
    assert_eq!(identities, 1);
}
