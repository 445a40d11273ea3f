//! Mining states that are stale, lie, come without end, or are forged.

use std::collections::BTreeSet;
use std::time::Duration;

use votenode::chain::block::BlockId;
use votenode::crypto::{Context, Signature, SigningKey};
use votenode::protocol::gossip::{MiningState, Phase};
use votenode::protocol::names::Topic;
use votenode::wire::{self, List};

use crate::arena::{Arena, genesis_with, now_ms};
use crate::floods::flood;
use crate::forge::{Forge, miner};
use crate::harness::DEADLINE;
use crate::harness::scene::Scene;
use crate::hostile::Hostile;
use crate::transactions::follow;

/// A state for a height, signed by a key of this number.
fn state(arena: &Arena<'_>, number: usize, height: u64, forged: bool) -> Vec<u8> {
    let mut seed = [0x3d; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    let key = SigningKey::from_seed(&seed);
    let state = MiningState {
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
    match forged {
        true => wire::encode(&state),
        false => signed(arena, &key, state),
    }
}

/// The state as its miner would send it.
fn signed(arena: &Arena<'_>, key: &SigningKey, mut state: MiningState) -> Vec<u8> {
    let network = arena.network.id();
    state.signature = key.sign(
        Context::SignMiningState,
        network.as_bytes(),
        &state.payload(),
    );
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

/// What the miner of one of the last blocks says, truly signed.
fn of_a_miner(arena: &Arena<'_>, parent: BlockId, height: u64, sequence: u64) -> Vec<u8> {
    let key = miner();
    let state = MiningState {
        parent,
        height,
        phase: Phase::Mining as u8,
        counts: List::new(vec![1; 8]).unwrap(),
        lease_ms: wire::MAX_UINT,
        hash_rate: 1,
        sequence,
        miner: key.public_key(),
        signature: Signature::ZERO,
    };
    signed(arena, &key, state)
}

#[test]
fn mining_states_without_end_of_a_miner() {
    let scene = Scene::new();
    let arena = Arena::still(&scene, genesis_with(|_| {}));
    let mut chain = Forge::new(&arena.network);
    chain.extend_empty(10);
    arena.prepare(async |arena| follow(arena, &chain).await);
    arena.withstands(&["too many useless messages"], async |arena| {
        let (tip, start) = (chain.tip.clone(), now_ms());
        // It made the last blocks, and every word of it is new.
        let hostile = Hostile::join(arena).await;
        flood(&hostile, Topic::Mining, |number| {
            of_a_miner(arena, tip.id(), tip.height + 1, start + number as u64)
        })
        .await;
        // What it said of a block that has long been there, and what was true before it said more: both signed.
        for height in [1, tip.height + 1] {
            let hostile = Hostile::join(arena).await;
            flood(&hostile, Topic::Mining, |number| {
                of_a_miner(arena, tip.id(), height, 1 + number as u64)
            })
            .await;
        }
    });
}

/// Heights at which miners said that they stand by.
fn stood_by(hostile: &Hostile) -> BTreeSet<u64> {
    let heard = hostile.heard(Topic::Mining);
    let states = heard
        .iter()
        .map(|data| wire::decode::<MiningState>(data).unwrap());
    states
        .filter(|state| state.phase == Phase::StandingBy as u8)
        .map(|state| state.height)
        .collect()
}

#[test]
fn leases_on_every_tip() {
    const BLOCK_TIME_MS: u64 = 3_000;
    const MORE_BLOCKS: usize = 5;
    let scene = Scene::new();
    let genesis = genesis_with(|parameters| parameters.block_time_ms = BLOCK_TIME_MS);
    let arena = Arena::victim_mines(&scene, genesis);
    let mut chain = Forge::new(&arena.network);
    chain.extend_empty(1);
    arena.prepare(async |arena| follow(arena, &chain).await);
    arena.withstands(&[], async |arena| {
        let hostile = Hostile::join(arena).await;
        let mut offered = BTreeSet::new();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let status = arena.victim.status();
            let tip = &status["tip"];
            let height = tip["height"].as_u64().unwrap();
            let waited_for = stood_by(&hostile).first().copied();
            // Since the lease that was believed, others were offered on as many tips, and blocks came all the same.
            let more = |first: u64| {
                offered
                    .iter()
                    .filter(move |at| **at > first && **at <= height)
            };
            if waited_for.is_some_and(|first| more(first).count() >= MORE_BLOCKS) {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "at {height}, stood by at {waited_for:?}, offered {offered:?}"
            );
            // Late enough to be in force when the next block is due, whatever lot its miner drew.
            let due_ms = tip["timestamp_ms"].as_u64().unwrap() + BLOCK_TIME_MS * 7 / 8;
            if now_ms() < due_ms || offered.contains(&(height + 1)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let parent: BlockId = tip["id"].as_str().unwrap().parse().unwrap();
            hostile
                .gossip(
                    Topic::Mining,
                    of_a_miner(arena, parent, height + 1, now_ms()),
                )
                .await
                .unwrap();
            offered.insert(height + 1);
        }
        let stood_by = stood_by(&hostile);
        assert_eq!(
            stood_by.len(),
            1,
            "a wasted lease is the last: {stood_by:?}"
        );
        assert!(!hostile.is_out(), "bad luck is no crime");
        hostile.leave().await;
    });
}
