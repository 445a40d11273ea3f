//! Thousands of connections, of peers, of streams and of subscriptions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use votenode::protocol::names::{Topic, kademlia_protocol, submit_protocol, sync_protocol};

use crate::arena::{Arena, eventually, scale};
use crate::harness::scene::Scene;
use crate::raw::{Raw, Script};
use crate::rpc;

/// Where a node listens for TCP.
fn socket(arena: &Arena<'_>) -> String {
    let address = arena.address.to_string();
    let parts: Vec<&str> = address.split('/').collect();
    format!("{}:{}", parts[2], parts[4])
}

/// Connections from one address that begin a handshake or not even that, and never end it. Whoever is refused comes
/// again; they go when this is dropped.
struct Squatters {
    open: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Squatters {
    /// Before somebody who was refused comes again.
    const PAUSE: Duration = Duration::from_secs(1);

    fn gather(address: &str, count: usize) -> Self {
        let to: SocketAddr = address.parse().unwrap();
        let (open, refused): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (open, refused) = (Arc::clone(&open), Arc::clone(&refused));
            tasks.spawn(async move {
                loop {
                    // Not the address that honest people come from.
                    let socket = TcpSocket::new_v4().unwrap();
                    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
                    if let Ok(mut stream) = socket.connect(to).await {
                        open.fetch_add(1, Ordering::Relaxed);
                        if number.is_multiple_of(2) {
                            let _ = stream.write_all(b"\x13/multistream/1.0.0\n").await;
                        }
                        // Until the victim has enough of it.
                        while !matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_)) {}
                        open.fetch_sub(1, Ordering::Relaxed);
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Self::PAUSE).await;
                }
            });
        }
        Self {
            open,
            refused,
            tasks,
        }
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

#[test]
fn thousands_of_connections_that_say_nothing() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    let told = ["connections ended before their handshake did"];
    arena.withstands(&told, async |arena| {
        let mut crowd = Squatters::gather(&socket(arena), 2_000 * scale());
        eventually("a crowd that was refused", || crowd.refused() >= 2_000).await;
        // Their places are taken, again and again, and nobody else's: who comes from elsewhere gets in at once.
        for _ in 0..20 {
            let newcomer = Raw::join(arena, &[], Script::default()).await;
            assert_eq!(newcomer.refusals(), 0, "{} squat", crowd.open());
            let refused = crowd.refused();
            eventually("the crowd at work", || crowd.refused() > refused).await;
        }
        assert!(crowd.open() > 0);
        crowd.tasks.shutdown().await;
    });
}

#[test]
fn thousands_of_connections_that_are_nobody() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["it did not say who it is"], async |arena| {
        for _ in 0..scale() {
            let raws = (0..60).map(|_| Raw::nameless(arena));
            let raws = join_all(raws).await;
            // They would stay for good.
            for raw in &raws {
                raw.until_out().await;
            }
        }
    });
}

#[test]
fn more_peers_than_there_are_places() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["it makes room for others"], async |arena| {
        let mut crowd = Vec::new();
        for _ in 0..110 * scale() {
            crowd.push(Raw::join(arena, &[], Script::default()).await);
        }
        // Those who sit there and do nothing have to make room.
        eventually("room", || crowd.iter().any(Raw::is_out)).await;
    });
}

#[test]
fn thousands_of_streams() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    let told = [
        "a request that did not come in time",
        "gossip that breaks its frame again and again",
    ];
    arena.withstands(&told, async |arena| {
        let id = arena.network.id();
        let own = [
            sync_protocol(&id),
            submit_protocol(&id),
            "/meshsub/1.1.0".to_owned(),
        ];
        // Their streams are bounded by libp2p, which tells nobody. They take nothing but the attacker's own places.
        let common = [
            kademlia_protocol(&id),
            "/ipfs/id/1.0.0".to_owned(),
            "/ipfs/id/push/1.0.0".to_owned(),
            "/ipfs/ping/1.0.0".to_owned(),
        ];
        // Opened and never used, or as much written into them as the other side lets in.
        let full = Script::again(&vec![0; 64 * 1024], 8);
        let stalls = [Script::stall(&[]), Script::stall(&[0; 2])];
        for script in stalls.iter().chain([&full]) {
            for protocol in own.iter().chain(&common) {
                let raw = Raw::join(arena, std::slice::from_ref(protocol), Script::default()).await;
                let asked: Vec<_> = (0..600 * scale())
                    .map(|_| raw.ask(script.clone()))
                    .collect();
                if own.contains(protocol) {
                    raw.until_out().await;
                } else {
                    // Whatever is not open by now is refused or waits at the attacker's end.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                drop((raw, asked));
            }
        }
    });
}

#[test]
fn thousands_of_subscriptions() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["too many subscriptions"], async |arena| {
        let id = arena.network.id();
        let known: Vec<String> = Topic::ALL
            .iter()
            .map(|topic| topic.full_name(&id))
            .collect();
        let strange = |round: usize| (0..100).map(move |n| format!("/strange/{round}/{n}"));
        let floods =
            [
                // To topics that nobody knows; back and forth; and to one topic in messages longer than one may be.
                rpc::stream((0..500 * scale()).map(|n| rpc::subscriptions(strange(n), true))),
                rpc::stream(
                    (0..2_000 * scale())
                        .map(|n| rpc::subscriptions(known.iter().cloned(), n.is_multiple_of(2))),
                ),
                rpc::stream((0..20).map(|_| {
                    rpc::subscriptions(std::iter::repeat_n(known[0].clone(), 3_000), true)
                })),
            ];
        for flood in floods {
            let raw = Raw::join(arena, &["/meshsub/1.1.0".into()], Script::default()).await;
            // On more streams than the victim listens to, if it bears one of them to its end.
            let asked: Vec<_> = (0..6)
                .map(|_| raw.ask(Script::bytes(flood.clone())))
                .collect();
            raw.until_out().await;
            drop(asked);
        }
    });
}
