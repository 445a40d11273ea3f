#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::genesis::OpenAdmission;
use crate::crypto::Hash;
use crate::wire::{List, Text};

const LONG: Duration = Duration::from_secs(60);

fn genesis(name: &str) -> Genesis {
    Genesis {
        version: 1,
        name: Text::new(name).unwrap(),
        timestamp_ms: 1,
        block_time_ms: 500,
        target: Hash::from_bytes([0xff; 32]),
        close_grace_ms: 0,
        confirmations: 1,
        max_block_bytes: 1 << 20,
        max_block_transactions: 1_000,
        open_admission: OpenAdmission::Stamped { bits: 0 },
        vote_stamp_bits: 0,
        elections_by: 0,
        organisers: List::new(vec![]).unwrap(),
        finalisers: List::new(vec![]).unwrap(),
    }
}

/// A peer on loopback that answers every request with these bytes, for as long as the test's runtime lives.
async fn server(answer: Vec<u8>) -> Multiaddr {
    let config = Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        protocols: vec![ProtocolConfig::new(
            GENESIS_PROTOCOL,
            MAX_REQUEST_BYTES,
            MAX_REPLY_BYTES,
        )],
        ..Config::default()
    };
    let (handle, mut events) = votenode_p2p::spawn(Keypair::generate(), config)
        .await
        .unwrap();
    let addr = loop {
        if let Event::Listening { addr } = events.next().await.unwrap() {
            break addr;
        }
    };
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Request { id, .. } = event {
                handle.respond(id, answer.clone()).unwrap();
            }
        }
    });
    addr
}

fn query(bootstrap: Vec<Multiaddr>, pin: Option<NetworkId>, timeout: Duration) -> GenesisQuery {
    GenesisQuery {
        bootstrap,
        pin,
        mdns: false,
        timeout,
    }
}

#[tokio::test]
async fn the_genesis_comes_from_an_address_without_a_peer_id() {
    let wanted = genesis("club");
    let addr = server(wire::encode(&wanted)).await;
    let got = fetch_genesis(query(vec![addr], None, LONG)).await.unwrap();
    assert_eq!(got, wanted);
}

#[tokio::test]
async fn a_pin_decides_between_networks() {
    let (ours, theirs) = (genesis("ours"), genesis("theirs"));
    let stranger = server(wire::encode(&theirs)).await;
    let pin = Some(ours.network_id());
    let error = fetch_genesis(query(vec![stranger.clone()], pin, LONG))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, JoinError::OtherNetwork { networks, .. } if networks.wanted == ours.network_id() && networks.got == theirs.network_id())
    );
    assert!(error.to_string().contains(&theirs.network_id().to_string()));

    let friend = server(wire::encode(&ours)).await;
    let got = fetch_genesis(query(vec![stranger, friend], pin, LONG)).await;
    assert_eq!(got.unwrap(), ours);
}

#[tokio::test]
async fn garbage_and_unusable_parameters_are_named() {
    let addr = server(b"hello".to_vec()).await;
    let error = fetch_genesis(query(vec![addr], None, LONG)).await;
    assert!(matches!(error, Err(JoinError::Malformed { .. })));

    let mut unusable = genesis("slow");
    unusable.block_time_ms = 0;
    let addr = server(wire::encode(&unusable)).await;
    let error = fetch_genesis(query(vec![addr], None, LONG)).await;
    assert!(matches!(error, Err(JoinError::Unusable { .. })));
}

#[tokio::test]
async fn nobody_there_is_an_error_of_its_own() {
    let nobody = query(vec![], None, LONG);
    assert!(matches!(
        fetch_genesis(nobody).await,
        Err(JoinError::NobodyToAsk)
    ));
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let addr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let short = query(vec![addr], None, Duration::from_secs(1));
    assert!(matches!(
        fetch_genesis(short).await,
        Err(JoinError::Unreachable { .. })
    ));
}
