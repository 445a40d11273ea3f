//! Mining states that are stale, lie, come without end, or are forged.

use votenode::chain::block::BlockId;
use votenode::crypto::{Context, Signature, SigningKey};
use votenode::protocol::gossip::{MiningState, Phase};
use votenode::protocol::names::Topic;
use votenode::wire::{self, List};

use crate::arena::{Arena, now_ms};
use crate::floods::flood;
use crate::harness::scene::Scene;
use crate::hostile::Hostile;

/// A state for a height, signed by a key of this number.
fn state(arena: &Arena<'_>, number: usize, height: u64, forged: bool) -> Vec<u8> {
    let mut seed = [0x3d; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    let key = SigningKey::from_seed(&seed);
    let mut state = MiningState {
        parent: BlockId::from_bytes([5; 32]),
        height,
        phase: Phase::Mining as u8,
        counts: List::new(vec![u32::MAX.into(); 8]).unwrap(),
        lease_ms: wire::MAX_UINT,
        hash_rate: wire::MAX_UINT,
        sequence: now_ms() + number as u64,
        miner: key.public_key(),
        signature: Signature::ZERO,
    };
    if !forged {
        let network = arena.network.id();
        state.signature = key.sign(
            Context::SignMiningState,
            network.as_bytes(),
            &state.payload(),
        );
    }
    wire::encode(&state)
}

#[test]
fn forged_mining_states() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["a mining state with a wrong signature"], async |arena| {
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Mining, |number| {
            state(arena, number, 2, true)
        })
        .await;
    });
}

#[test]
fn stale_and_lying_mining_states() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["too many useless messages"], async |arena| {
        // Of heights that nobody reaches; they need no signature to be ignored.
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Mining, |number| {
            state(arena, number, 1_000_000 + number as u64, true)
        })
        .await;
        // The same again with another lease is as old.
        let hostile = Hostile::join(arena).await;
        let _ = hostile
            .gossip(Topic::Mining, state(arena, 0, 2, false))
            .await;
        flood(&hostile, Topic::Mining, |number| {
            let encoded = state(arena, 0, 2, true);
            let mut old: MiningState = wire::decode(&encoded).unwrap();
            old.sequence = number as u64;
            wire::encode(&old)
        })
        .await;
    });
}

#[test]
fn mining_states_without_end() {
    let scene = Scene::new();
    let arena = Arena::open(&scene);
    arena.withstands(&["too many mining states"], async |arena| {
        // Each by a miner of its own, properly signed, for the next block; honest miners mine on (see the harness).
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Mining, |number| {
            state(arena, number, 20, false)
        })
        .await;
        let states = arena.victim.status()["mining_states"]
            .as_array()
            .unwrap()
            .len();
        assert!(states <= 64, "{states} miners are remembered");
    });
}
