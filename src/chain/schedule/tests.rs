#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::chain::genesis::{Finaliser, OpenAdmission, PROTOCOL_VERSION};
use crate::crypto::Hash;
use crate::wire::{List, Text};

const BLOCK_TIME_MS: u64 = 2_000;
const MINER: PublicKey = PublicKey::from_bytes([3; 32]);

fn genesis(finalisers: Vec<Finaliser>) -> Genesis {
    Genesis {
        version: PROTOCOL_VERSION,
        name: Text::new("test").unwrap(),
        timestamp_ms: 0,
        block_time_ms: BLOCK_TIME_MS,
        target: Hash::from_bytes([0xff; 32]),
        close_grace_ms: 30_000,
        confirmations: 3,
        max_block_bytes: 1 << 20,
        max_block_transactions: 100,
        open_admission: OpenAdmission::Forbidden {},
        vote_stamp_bits: 0,
        elections_by: Genesis::ANYONE,
        organisers: List::new(vec![]).unwrap(),
        finalisers: List::new(finalisers).unwrap(),
    }
}

fn finaliser() -> Finaliser {
    Finaliser {
        key: PublicKey::from_bytes([9; 32]),
        power: 1,
        name: Text::new("one").unwrap(),
    }
}

fn situation(now_ms: u64) -> Situation {
    Situation {
        parent: BlockId::from_bytes([1; 32]),
        parent_timestamp_ms: 100_000,
        now_ms,
        waiting: false,
        next_boundary_ms: None,
        quiet_blocks: None,
    }
}

fn delay() -> u64 {
    mining_delay_ms(&BlockId::from_bytes([1; 32]), &MINER, BLOCK_TIME_MS)
}

fn wanted(situation: &Situation) -> Want {
    want(&genesis(vec![]), &MINER, situation)
}

#[test]
fn an_idle_network_rests() {
    assert_eq!(wanted(&situation(100_500)), Want::Nothing);
    let mut confirmed = situation(100_500);
    confirmed.quiet_blocks = Some(3);
    assert_eq!(wanted(&confirmed), Want::Nothing);
}

#[test]
fn what_waits_is_mined_when_the_next_timestamp_is_due() {
    let busy = Situation {
        waiting: true,
        ..situation(100_500)
    };
    let at = Want::At {
        timestamp_ms: 102_000,
        start_mining_at_ms: 102_000 + delay(),
    };
    assert_eq!(wanted(&busy), at);
}

#[test]
fn after_rest_the_first_block_comes_at_once() {
    let busy = Situation {
        waiting: true,
        ..situation(500_000)
    };
    let Want::At {
        timestamp_ms,
        start_mining_at_ms,
    } = wanted(&busy)
    else {
        panic!("no block wanted")
    };
    assert_eq!(timestamp_ms, 500_000);
    assert!(start_mining_at_ms <= 500_000);
}

#[test]
fn a_boundary_is_waited_for_and_overtaken_by_what_waits() {
    let mut quiet = situation(100_500);
    quiet.next_boundary_ms = Some(160_000);
    let at = Want::At {
        timestamp_ms: 160_000,
        start_mining_at_ms: 160_000 + delay(),
    };
    assert_eq!(wanted(&quiet), at);
    quiet.waiting = true;
    assert_ne!(wanted(&quiet), at);
    // A boundary within the block time waits for the next timestamp that is allowed.
    let mut near = situation(100_500);
    near.next_boundary_ms = Some(100_001);
    assert!(matches!(
        wanted(&near),
        Want::At {
            timestamp_ms: 102_000,
            ..
        }
    ));
}

#[test]
fn empty_blocks_confirm_where_nobody_finalises() {
    for quiet in 0..3 {
        let mut situation = situation(100_500);
        situation.quiet_blocks = Some(quiet);
        assert!(matches!(
            wanted(&situation),
            Want::At {
                timestamp_ms: 102_000,
                ..
            }
        ));
        // Where somebody does, checkpoints come without.
        let finalised = want(&genesis(vec![finaliser()]), &MINER, &situation);
        assert_eq!(finalised, Want::Nothing);
    }
}

#[test]
fn boundaries_are_those_of_the_terms_and_met_once() {
    let mut terms = crate::tally::tests::terms(crate::chain::election::Method::Plurality, 2, 1);
    terms.opens_at_ms = 1_000;
    terms.roll_closes_at_ms = 5_000;
    terms.closes_at_ms = 9_000;
    let all = boundaries(&genesis(vec![]), &terms);
    assert_eq!(all, [1_000, 5_000, 39_000]);
    assert_eq!(next_boundary(999, all), Some(1_000));
    assert_eq!(next_boundary(1_000, all), Some(5_000));
    assert_eq!(next_boundary(39_000, all), None);
    assert!(is_boundary_block(38_999, 39_000, all));
    assert!(is_boundary_block(0, 80_000, all));
    assert!(!is_boundary_block(1_000, 4_999, all));
    assert!(!is_boundary_block(39_000, 41_000, all));
}

proptest! {
    #[test]
    fn delays_stay_below_a_quarter_and_nothing_is_wanted_in_the_past(
        parent in any::<[u8; 32]>(),
        miner in any::<[u8; 32]>(),
        block_time_ms in 100u64..=3_600_000,
        mut situation in (any::<u32>(), any::<u32>(), any::<bool>(), any::<Option<u32>>(), any::<Option<u8>>()).prop_map(
            |(parent_ms, now_ms, waiting, boundary, quiet)| Situation {
                parent_timestamp_ms: parent_ms.into(),
                waiting,
                next_boundary_ms: boundary.map(|ms| u64::from(parent_ms) + 1 + u64::from(ms)),
                quiet_blocks: quiet.map(u64::from),
                ..situation(now_ms.into())
            }),
    ) {
        situation.parent = BlockId::from_bytes(parent);
        let miner = PublicKey::from_bytes(miner);
        let mut genesis = genesis(vec![]);
        genesis.block_time_ms = block_time_ms;
        let delay_ms = mining_delay_ms(&situation.parent, &miner, block_time_ms);
        prop_assert!(delay_ms < block_time_ms / 4);
        if let Want::At { timestamp_ms, start_mining_at_ms } = want(&genesis, &miner, &situation) {
            prop_assert!(timestamp_ms >= situation.parent_timestamp_ms + block_time_ms);
            prop_assert!(timestamp_ms >= situation.now_ms);
            prop_assert!(start_mining_at_ms >= situation.parent_timestamp_ms + block_time_ms);
        } else {
            prop_assert!(!situation.waiting && situation.next_boundary_ms.is_none());
        }
    }
}

const TIP: BlockId = BlockId::from_bytes([1; 32]);

fn policy() -> LeasePolicy {
    let mut policy = LeasePolicy::new(BLOCK_TIME_MS);
    policy.block(1, MINER);
    policy
}

fn lease(height: u64) -> Lease {
    Lease {
        miner: MINER,
        parent: TIP,
        height,
        lease_ms: 600,
    }
}

#[test]
fn a_lease_of_a_known_miner_is_honoured_for_its_time() {
    let mut policy = policy();
    assert_eq!(policy.offer(&lease(2), (TIP, 1), 10, None), Some(610));
    assert_eq!(policy.standing_by(609), Some(610));
    assert_eq!(policy.standing_by(610), None);
}

#[test]
fn a_lease_is_cut_at_half_the_block_time_whatever_the_clock_does() {
    let mut policy = policy();
    let long = Lease {
        lease_ms: u64::MAX,
        ..lease(2)
    };
    assert_eq!(policy.offer(&long, (TIP, 1), 10_000, None), Some(11_000));
    assert_eq!(policy.standing_by(5_000), None);
}

#[test]
fn one_lease_is_honoured_per_height() {
    let mut policy = policy();
    assert!(policy.offer(&lease(2), (TIP, 1), 0, None).is_some());
    assert!(policy.offer(&lease(2), (TIP, 1), 1, None).is_none());
    policy.block(2, MINER);
    assert_eq!(policy.standing_by(2), None);
    assert!(policy.offer(&lease(3), (TIP, 2), 3, None).is_some());
}

#[test]
fn strangers_and_other_parents_are_not_waited_for() {
    let mut policy = policy();
    let stranger = Lease {
        miner: PublicKey::from_bytes([4; 32]),
        ..lease(2)
    };
    assert!(policy.offer(&stranger, (TIP, 1), 0, None).is_none());
    let elsewhere = Lease {
        parent: BlockId::ZERO,
        ..lease(2)
    };
    assert!(policy.offer(&elsewhere, (TIP, 1), 0, None).is_none());
    assert!(policy.offer(&lease(3), (TIP, 1), 0, None).is_none());
    // After a hundred blocks by others, the miner is a stranger too.
    for height in 2..=101 {
        policy.block(height, PublicKey::from_bytes([5; 32]));
    }
    assert!(policy.offer(&lease(102), (TIP, 101), 0, None).is_none());
}

#[test]
fn a_wasted_lease_costs_a_hundred_heights() {
    let mut policy = policy();
    let other = PublicKey::from_bytes([5; 32]);
    assert!(policy.offer(&lease(2), (TIP, 1), 0, None).is_some());
    assert_eq!(policy.standing_by(700), None);
    for height in 2..=101u64 {
        policy.block(height, if height % 10 == 0 { MINER } else { other });
        let next = policy.offer(&lease(height + 1), (TIP, height), height * 10_000, None);
        assert_eq!(next.is_some(), height + 1 >= 102, "at {height}");
    }
}

#[test]
fn a_race_that_was_lost_wastes_nothing() {
    let mut policy = policy();
    assert!(policy.offer(&lease(2), (TIP, 1), 0, None).is_some());
    policy.block(2, PublicKey::from_bytes([5; 32]));
    assert!(policy.offer(&lease(3), (TIP, 2), 10_000, None).is_some());
}

#[test]
fn nobody_stands_by_close_to_a_boundary() {
    let offer = |boundary_ms| policy().offer(&lease(2), (TIP, 1), 10_000, Some(boundary_ms));
    assert!(offer(9_000).is_none());
    assert!(offer(10_600).is_none());
    assert!(offer(12_600).is_none());
    assert!(offer(12_601).is_some());
}

#[test]
fn a_reorganisation_forgets_the_miners_of_the_branch_that_was_left() {
    let mut policy = LeasePolicy::new(BLOCK_TIME_MS);
    let other = PublicKey::from_bytes([5; 32]);
    policy.block(1, other);
    policy.block(2, MINER);
    policy.block(2, other);
    assert!(policy.offer(&lease(3), (TIP, 2), 0, None).is_none());
}
