//! Random small histories: every kind of state gives the same answers, templates are valid blocks, and what was used up
//! stays used up.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use crate::chain::conflict::{ConflictKey, conflict_keys};
use crate::chain::election::ElectionId;
use crate::chain::genesis::Group;
use crate::chain::memory::MemoryState;
use crate::chain::overlay::{IndexedDelta, Layered, Overlay};
use crate::chain::rules::{
    BlockTime, Template, TemplateLimits, apply_block, apply_transaction, fill_template,
};
use crate::chain::state::{View, VoterTag};
use crate::chain::testing::*;
use crate::chain::transaction::Transaction;
use crate::chain::verify::Verified;

struct Pool {
    chain: Chain,
    elections: Vec<ElectionId>,
    transactions: Vec<Verified<Transaction>>,
}

/// Everything that may happen: voters, invitations and elections that overlap in all ways.
static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let chain = Chain::new(finalising_network());
    let network = &chain.network;
    let mut other_terms = terms();
    other_terms.title = text("Other");
    other_terms.opens_at_ms = START_MS + 4_000;
    other_terms.roll_closes_at_ms = START_MS + 6_000;
    other_terms.groups = crate::wire::List::new(vec![text("club"), text("guests")]).unwrap();
    let (first, opened) = open(network, terms());
    let (second, opened_too) = open(network, other_terms);
    let mut transactions = vec![
        issue(network, "club", &[1, 2]),
        issue(network, "guests", &[3, 4]),
        issue(network, "guests", &[2, 5]),
        revoke(network, &[2]),
        revoke(network, &[1, 4]),
        opened,
        opened_too,
        register(network, 1),
        register_with(network, 1, 1),
        register_with(network, 2, 1),
        register_with(network, 2, 3),
        register_with(network, 3, 2),
        register(network, 4),
        register_with(network, 5, 4),
        change(network, 1, &[3, 4, 5], &[1, 2, 3]),
        change(network, 1, &[5], &[1, 2, 4]),
        change(network, 2, &[6], &[3, 4, 5]),
        change(network, 2, &[7], &[5]),
        evidence(network, 1, 1, 0),
        evidence(network, 1, 1, 1),
        evidence(network, 5, 1, 0),
        evidence(network, 6, 1, 0),
        evidence(network, 6, 2, 0),
    ];
    for number in 1..=5 {
        for election in [first, second] {
            for choice in 0..2 {
                transactions.push(vote(network, number, election, &[choice]));
            }
        }
    }
    Pool {
        transactions: chain.verified(transactions),
        elections: vec![first, second],
        chain,
    }
});

/// Per block: time since the one before in milliseconds, and what waits, by place in the pool.
fn histories() -> impl Strategy<Value = Vec<(u64, Vec<usize>)>> {
    let waiting = prop::collection::vec(0..43usize, 0..36);
    prop::collection::vec((1_000..4_000u64, waiting), 1..9)
}

fn fill<V: View>(
    view: &V,
    parent: &crate::chain::block::Header,
    step_ms: u64,
    waiting: &[usize],
) -> Template {
    let candidates = waiting
        .iter()
        .map(|place| POOL.transactions[*place].clone());
    fill_template(
        view,
        &POOL.chain.network,
        parent,
        parent.timestamp_ms + step_ms,
        stranger().public_key(),
        candidates,
        TemplateLimits::of(&POOL.chain.network),
    )
    .unwrap()
}

/// Everything that a view answers about the pool's keys.
fn answers<V: View>(view: &V) -> Vec<String> {
    let mut answers = vec![format!("{:?}", view.roll().unwrap())];
    let groups: Vec<Group> = ["club", "guests", "nobody", "open"].map(text).to_vec();
    for number in 1..=6 {
        let key = voter_key(number);
        answers.push(format!("{:?}", view.voter(&key).unwrap()));
        let invited = view.invitation(&invitation(number).public_key());
        answers.push(format!("{:?}", invited.unwrap()));
        for election in &POOL.elections {
            let vote = view.vote(election, &VoterTag::Key(key)).unwrap();
            answers.push(format!("{vote:?}"));
        }
    }
    for election in &POOL.elections {
        answers.push(format!("{:?}", view.election(election).unwrap()));
        let mut votes = BTreeSet::new();
        let mut visited = 0;
        view.for_each_vote(election, &mut |voter, vote| {
            visited += 1;
            votes.insert(format!("{voter:?} {vote:?}"));
            assert_eq!(
                view.vote(election, voter).unwrap().as_ref(),
                Some(vote),
                "a visited vote is one that is found"
            );
        })
        .unwrap();
        assert_eq!(visited, votes.len());
        answers.push(format!("{votes:?}"));
    }
    for before_ms in (START_MS..START_MS + 30_000).step_by(1_500) {
        for groups in [&groups[..], &groups[..1], &groups[2..]] {
            answers.push(view.count_voters(groups, before_ms).unwrap().to_string());
        }
    }
    view.for_each_election(&mut |record| answers.push(record.id.to_string()))
        .unwrap();
    let network = &POOL.chain.network;
    answers.push(format!("{:?}", view.latest_finaliser_set(network).unwrap()));
    for set in 0..4 {
        answers.push(format!("{:?}", view.set_change(set).unwrap()));
    }
    for number in 1..=7 {
        let key = finaliser(number).public_key();
        answers.push(view.was_finaliser(network, &key).unwrap().to_string());
    }
    let convictions = view.convictions(0, 99).unwrap();
    assert_eq!(convictions.len() as u64, view.conviction_count().unwrap());
    for (place, one) in convictions.iter().enumerate() {
        assert_eq!(
            view.conviction(&one.offence.finaliser).unwrap(),
            Some(one.position)
        );
        assert_eq!(view.convictions(place as u64, 1).unwrap(), [*one]);
    }
    answers.push(format!("{convictions:?}"));
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn all_kinds_of_state_agree(history in histories(), split in 0usize..9) {
        let network = &POOL.chain.network;
        let genesis_state = MemoryState::new();
        let mut whole = MemoryState::new();
        let mut split_base = MemoryState::new();
        let mut layers: Vec<Arc<IndexedDelta>> = Vec::new();
        let mut upper: Vec<Arc<IndexedDelta>> = Vec::new();
        let mut tip = network.genesis_header().clone();
        for (height, (step_ms, waiting)) in history.iter().enumerate() {
            let stacked = Layered::new(&genesis_state, &layers);
            let mixed = Layered::new(&split_base, &upper);
            let template = fill(&whole, &tip, *step_ms, waiting);
            for other in [fill(&stacked, &tip, *step_ms, waiting), fill(&mixed, &tip, *step_ms, waiting)] {
                prop_assert_eq!(&other.header, &template.header);
                prop_assert_eq!(&other.transactions, &template.transactions);
                prop_assert_eq!(&other.skipped, &template.skipped);
            }
            let delta = apply_block(&whole, network, &tip, &template.header, &template.transactions).unwrap();
            prop_assert_eq!(&delta, template.delta.delta());
            prop_assert_eq!(&apply_block(&mixed, network, &tip, &template.header, &template.transactions).unwrap(), &delta);

            let layer = Arc::new(IndexedDelta::new(delta.clone()));
            layers.push(Arc::clone(&layer));
            if height < split {
                split_base.insert(delta.clone());
            } else {
                upper.push(layer);
            }
            let mut overlay = Overlay::new(&whole);
            overlay.push(delta.clone());
            let above = answers(&overlay);
            whole.insert(delta);
            tip = template.header;
            let expected = answers(&whole);
            prop_assert_eq!(&above, &expected);
            prop_assert_eq!(&answers(&Layered::new(&genesis_state, &layers)), &expected);
            prop_assert_eq!(&answers(&Layered::new(&split_base, &upper)), &expected);
        }
        prop_assert_eq!(whole.roll().unwrap().size(), tip.roll_size);
    }

    #[test]
    fn what_was_used_up_cannot_be_used_again(history in histories()) {
        let network = &POOL.chain.network;
        let mut state = MemoryState::new();
        let mut tip = network.genesis_header().clone();
        let mut used: BTreeSet<ConflictKey> = BTreeSet::new();
        for (step_ms, waiting) in &history {
            let template = fill(&state, &tip, *step_ms, waiting);
            for transaction in &template.transactions {
                for key in conflict_keys(transaction) {
                    prop_assert!(used.insert(key), "{:?} was mined twice", key);
                }
            }
            state.insert(template.delta.into_delta());
            tip = template.header;
            let at = BlockTime { height: tip.height + 1, index: 0, timestamp_ms: tip.timestamp_ms + 1_000 };
            for transaction in &POOL.transactions {
                let verdict = apply_transaction(&state, network, at, transaction);
                if conflict_keys(transaction).iter().any(|key| used.contains(key)) {
                    prop_assert!(verdict.is_err());
                }
            }
        }
    }

    #[test]
    fn of_two_with_a_common_key_the_second_is_refused_and_of_others_not_for_that(a in 0usize..43, b in 0usize..43, rest in prop::collection::vec(0..43usize, 0..50)) {
        // A state in which much may happen at once: after a random history, while both polls are open.
        let network = &POOL.chain.network;
        let template = fill(&MemoryState::new(), network.genesis_header(), 1_000, &rest);
        let mut state = MemoryState::new();
        state.insert(template.delta.into_delta());
        let at = |index| BlockTime { height: 2, index, timestamp_ms: START_MS + 11_000 };
        let [first, second] = [a, b].map(|place| &POOL.transactions[place]);
        let Ok(delta) = apply_transaction(&state, network, at(0), first) else { return Ok(()) };
        let before = apply_transaction(&state, network, at(1), second);
        let mut overlay = Overlay::new(&state);
        overlay.push(delta);
        let after = apply_transaction(&overlay, network, at(1), second);
        let common = conflict_keys(first).iter().any(|key| conflict_keys(second).contains(key));
        if common {
            prop_assert!(after.is_err());
        } else if before.is_ok() {
            prop_assert!(after.is_ok(), "{:?}", after);
        }
    }
}

#[test]
fn histories_do_something() {
    // Guards the properties above against a pool in which everything is always refused.
    let everything: Vec<usize> = (0..POOL.transactions.len()).collect();
    let mut state = MemoryState::new();
    let mut tip = POOL.chain.network.genesis_header().clone();
    let mut mined = Vec::new();
    for step_ms in [1_000, 4_000, 6_000] {
        let template = fill(&state, &tip, step_ms, &everything);
        mined.push(template.transactions.len());
        state.insert(template.delta.into_delta());
        tip = template.header;
    }
    assert_eq!(everything.len(), 43);
    assert!(mined.iter().all(|count| *count >= 1), "{mined:?}");
    assert!(tip.roll_size >= 3);
    assert_eq!(state.set_changes().unwrap(), 2);
    assert!(state.conviction_count().unwrap() >= 3);
}
