//! Compares everything that a snapshot answers with the model.

use std::collections::BTreeMap;

use redb::ReadableTableMetadata as _;

use super::model::{ACCUSED, Model, WORLD};
use crate::chain::genesis::{Group, OPEN_GROUP};
use crate::chain::merkle::{Tree, verify_range};
use crate::chain::state::{InvitationUse, Position, View, VoterTag};
use crate::chain::testing::{self, START_MS};
use crate::chain::transaction::TxId;
use crate::store::roll::kept_levels;
use crate::store::{Checkpoint, Counts, Snapshot};
use crate::wire;

/// Everything.
pub(super) fn check(snapshot: &Snapshot, model: &Model) {
    check_chain(snapshot, model);
    check_transactions(snapshot, model);
    check_pool(snapshot, model);
    check_finality(snapshot, model);
    for (height, block) in (0u64..).zip(&model.main) {
        // Every height would take long; the tip and about every fourth other one are seen again and again.
        if height == model.height() || (height + model.height()).is_multiple_of(4) {
            check_state(&snapshot.at(height).unwrap(), &block.state);
        }
    }
    assert!(snapshot.at(model.height() + 1).is_none());
    check_lists(snapshot, model);
    check_roll(snapshot, model);
    check_tables(snapshot, model);
}

fn check_chain(snapshot: &Snapshot, model: &Model) {
    let tip = model.tip();
    assert_eq!(snapshot.tip().id, tip.id);
    assert_eq!(snapshot.tip().height, model.height());
    assert_eq!(snapshot.tip_header(), &tip.header);
    assert_eq!(snapshot.main_id(model.height() + 1).unwrap(), None);
    for (height, block) in (0u64..).zip(&model.main) {
        assert_eq!(snapshot.main_id(height).unwrap(), Some(block.id));
        assert!(snapshot.is_main(&block.id).unwrap());
        assert_eq!(
            snapshot.main_block(height).unwrap(),
            Some((block.id, block.header.clone()))
        );
        let transactions = snapshot.transactions(&block.id).unwrap().unwrap();
        assert!(
            transactions
                .iter()
                .eq(block.transactions.iter().map(|verified| &**verified))
        );
        let first = snapshot
            .first_block_from(block.header.timestamp_ms)
            .unwrap()
            .unwrap();
        assert_eq!((first.id, first.height), (block.id, height));
    }
    assert_eq!(
        snapshot
            .first_block_from(tip.header.timestamp_ms + 1)
            .unwrap(),
        None
    );
    let ids: Vec<_> = model.main.iter().map(|block| block.id).collect();
    let all: Vec<_> = snapshot
        .headers_after(&[], usize::MAX)
        .unwrap()
        .iter()
        .map(|header| header.id())
        .collect();
    assert_eq!(all, ids[1..]);
    let bodies = snapshot.bodies(&ids, 1_000).unwrap();
    let total: usize = bodies.iter().map(|body| body.len()).sum();
    assert!(bodies.len() == 1 || total <= 1_000);
    assert!(bodies.len() <= ids.len() && !bodies.is_empty());
}

fn check_transactions(snapshot: &Snapshot, model: &Model) {
    let mut positions = BTreeMap::new();
    for (height, block) in (0u64..).zip(&model.main) {
        for (index, transaction) in (0u32..).zip(&block.transactions) {
            positions.insert(transaction.id(), Position { height, index });
        }
    }
    for transaction in &WORLD.transactions {
        let id = transaction.id();
        let position = positions.get(&id).copied();
        assert_eq!(snapshot.position(&id).unwrap(), position);
        let inclusion = snapshot.inclusion(&id).unwrap();
        assert_eq!(inclusion.is_some(), position.is_some());
        let known = position.is_some() || model.pending.contains_key(&id);
        let encoded = known.then(|| wire::encode(&**transaction));
        assert_eq!(snapshot.transaction(&id).unwrap(), encoded);
        if let Some(inclusion) = inclusion {
            assert_eq!(Some(inclusion.transaction), encoded);
            let leaf = Tree::Transactions.leaf(id.as_ref());
            let root = &inclusion.header.transaction_root;
            assert!(inclusion.proof.verify(Tree::Transactions, leaf, root));
            assert_eq!(inclusion.header.id(), inclusion.block);
        }
    }
}

fn check_pool(snapshot: &Snapshot, model: &Model) {
    assert_eq!(
        snapshot.pending_count().unwrap(),
        model.pending.len() as u64
    );
    let mut found = BTreeMap::new();
    let mut arrivals = Vec::new();
    snapshot
        .for_each_pending(|arrival, id, bytes| {
            arrivals.push(arrival);
            found.insert(id, bytes.to_vec());
        })
        .unwrap();
    assert_eq!(found, model.pending);
    arrivals.sort_unstable();
    assert!(arrivals.windows(2).all(|pair| pair[0] < pair[1]));
    let mut paged = Vec::new();
    let mut after = TxId::ZERO;
    loop {
        let page = snapshot.pending_ids(&after, 3).unwrap();
        let Some(last) = page.last() else { break };
        after = *last;
        paged.extend(page);
    }
    assert!(paged.iter().eq(model.pending.keys()));
}

fn check_finality(snapshot: &Snapshot, model: &Model) {
    let expected: Vec<_> = model
        .checkpoints
        .iter()
        .map(|(height, certificate)| Checkpoint {
            height: *height,
            certificate: certificate.clone(),
        })
        .collect();
    assert_eq!(
        snapshot.last_certificate().unwrap().as_ref(),
        expected.last()
    );
    assert_eq!(snapshot.certificates(0, usize::MAX).unwrap(), expected);
    assert_eq!(snapshot.certificate(0).unwrap(), None);
    let after = expected.len() as u64 + 1;
    assert_eq!(snapshot.certificate(after).unwrap(), None);
    for (number, checkpoint) in (1..).zip(&expected) {
        assert_eq!(
            snapshot.certificate(number).unwrap().as_ref(),
            Some(checkpoint)
        );
        assert_eq!(
            snapshot.certificates(number, 1).unwrap(),
            std::slice::from_ref(checkpoint)
        );
        let block = snapshot.main_id(checkpoint.height).unwrap();
        assert_eq!(block, Some(checkpoint.certificate.block));
    }
    for height in 0..=model.height() + 1 {
        let first = expected
            .iter()
            .find(|checkpoint| checkpoint.height >= height);
        assert_eq!(
            snapshot
                .first_certificate_at_or_above(height)
                .unwrap()
                .as_ref(),
            first
        );
    }
    assert_eq!(snapshot.finality_log().unwrap(), model.log);

    let sets = model.tip().state.set_changes().unwrap();
    for set in 0..sets + 2 {
        let made = snapshot.finaliser_changes(set).unwrap();
        let numbers: Vec<_> = made.iter().map(|change| change.set).collect();
        assert_eq!(numbers, (1..=set.min(sets)).collect::<Vec<_>>());
    }
}

/// That two states give the same answers.
fn check_state(state: &impl View, expected: &impl View) {
    for voter in &WORLD.voters {
        let key = testing::voter_key(*voter);
        assert_eq!(state.voter(&key).unwrap(), expected.voter(&key).unwrap());
        for election in &WORLD.elections {
            let tag = VoterTag::Key(key);
            assert_eq!(
                state.vote(election, &tag).unwrap(),
                expected.vote(election, &tag).unwrap()
            );
        }
    }
    for invitation in &WORLD.invitations {
        let key = testing::invitation(*invitation).public_key();
        assert_eq!(
            state.invitation(&key).unwrap(),
            expected.invitation(&key).unwrap()
        );
    }
    for election in &WORLD.elections {
        assert_eq!(
            state.election(election).unwrap(),
            expected.election(election).unwrap()
        );
        assert_eq!(votes(state, election), votes(expected, election));
    }
    assert_eq!(state.roll().unwrap(), expected.roll().unwrap());
    let groups: Vec<Group> = [OPEN_GROUP, "club", "guests", "nobody"]
        .map(testing::text)
        .to_vec();
    for before_ms in [0, 1, 2_500, 5_000, 12_000, 20_000, 1 << 40].map(|after| START_MS + after) {
        for groups in [&groups[..], &groups[..1], &groups[1..], &groups[3..], &[]] {
            assert_eq!(
                state.count_voters(groups, before_ms).unwrap(),
                expected.count_voters(groups, before_ms).unwrap()
            );
        }
    }
    let elections = |view: &dyn View| {
        let mut found = Vec::new();
        view.for_each_election(&mut |record| found.push(record.clone()))
            .unwrap();
        found
    };
    assert_eq!(elections(state), elections(expected));

    let sets = |view: &dyn View| {
        let set = view.latest_finaliser_set(&WORLD.network).unwrap();
        let changes: Vec<_> = (0..4).map(|set| view.set_change(set).unwrap()).collect();
        (set, view.set_changes().unwrap(), changes)
    };
    assert_eq!(sets(state), sets(expected));
    for number in ACCUSED {
        let key = testing::finaliser(number).public_key();
        assert_eq!(
            state.conviction(&key).unwrap(),
            expected.conviction(&key).unwrap()
        );
    }
    let count = expected.conviction_count().unwrap();
    assert_eq!(state.conviction_count().unwrap(), count);
    for skip in 0..count + 2 {
        for max in [0, 1, 3, usize::MAX] {
            assert_eq!(
                state.convictions(skip, max).unwrap(),
                expected.convictions(skip, max).unwrap()
            );
        }
    }
}

fn votes(
    view: &impl View,
    election: &crate::chain::election::ElectionId,
) -> BTreeMap<VoterTag, Position> {
    let mut found = BTreeMap::new();
    view.for_each_vote(election, &mut |voter, vote| {
        assert_eq!(found.insert(*voter, vote.position), None, "visited twice");
    })
    .unwrap();
    found
}

fn check_lists(snapshot: &Snapshot, model: &Model) {
    let mut newest: Vec<_> = model
        .main
        .iter()
        .flat_map(|block| &block.delta.elections)
        .map(|record| record.id)
        .collect();
    newest.reverse();
    for skip in 0..=newest.len() {
        let page = snapshot.elections(skip as u64, 1).unwrap();
        assert!(
            page.iter()
                .map(|record| &record.id)
                .eq(newest[skip..].iter().take(1))
        );
    }
    for election in &WORLD.elections {
        let count = votes(&model.tip().state, election).len() as u64;
        assert_eq!(snapshot.vote_count(election).unwrap(), count);
    }
    assert_eq!(snapshot.counts(), counts(model, model.height()));
}

/// Counts up to a height.
fn counts(model: &Model, height: u64) -> Counts {
    let mut counts = Counts::default();
    for block in &model.main[..=height as usize] {
        counts.transactions += block.transactions.len() as u64;
        counts.voters += block.delta.voters.len() as u64;
        counts.invitations += block.delta.invitations.len() as u64;
        counts.elections += block.delta.elections.len() as u64;
        counts.votes += block.delta.votes.len() as u64;
        for (_, used) in &block.delta.invitation_uses {
            match used {
                InvitationUse::Spent(_) => counts.invitations_spent += 1,
                InvitationUse::Revoked(_) => counts.invitations_revoked += 1,
            }
        }
    }
    counts
}

fn check_roll(snapshot: &Snapshot, model: &Model) {
    let entries: Vec<_> = model
        .main
        .iter()
        .flat_map(|block| &block.delta.voters)
        .map(|(entry, _)| entry.clone())
        .collect();
    for block in model.main.iter().rev().take(6) {
        let size = block.header.roll_size;
        for start in [0, 1, size / 2, size.saturating_sub(1), size] {
            for max in [0, 1, 5, 1 << 40] {
                let Some(range) = snapshot.roll_range(&block.id, start, max).unwrap() else {
                    assert!(start > size);
                    continue;
                };
                let end = size.min(start.saturating_add(max));
                assert_eq!(range.entries, entries[start as usize..end as usize]);
                let leaves: Vec<_> = range.entries.iter().map(|entry| entry.leaf()).collect();
                assert!(verify_range(
                    Tree::Roll,
                    &leaves,
                    start,
                    size,
                    &range.proof,
                    &block.header.roll_root
                ));
            }
        }
        assert_eq!(snapshot.roll_range(&block.id, size + 1, 1).unwrap(), None);
    }
}

/// That the tables of the state hold what the flushed blocks inserted, and not a key more.
fn check_tables(snapshot: &Snapshot, model: &Model) {
    let flushed = snapshot.flushed_height();
    let counts = counts(model, flushed);
    assert_eq!(snapshot.tail().base().counts, counts);
    let size = model.main[flushed as usize].header.roll_size;
    assert_eq!(size, counts.voters);
    let nodes: u64 = kept_levels().map(|level| size >> level).sum();
    let groups: usize = model.main[..=flushed as usize]
        .iter()
        .map(|block| {
            let mut groups: Vec<_> = block
                .delta
                .voters
                .iter()
                .map(|(entry, _)| &entry.group)
                .collect();
            groups.sort();
            groups.dedup();
            groups.len()
        })
        .sum();
    let mut elections_with_votes: Vec<_> = model.main[..=flushed as usize]
        .iter()
        .flat_map(|block| &block.delta.votes)
        .map(|(election, _, _)| *election)
        .collect();
    elections_with_votes.sort_unstable();
    elections_with_votes.dedup();
    let tables = snapshot.tables();
    let flushed_state = &model.main[flushed as usize].state;
    let lengths = [
        (tables.transactions.len().unwrap(), counts.transactions),
        (tables.voters.len().unwrap(), counts.voters),
        (tables.roll.len().unwrap(), counts.voters),
        (tables.nodes.len().unwrap(), nodes),
        (tables.groups.len().unwrap(), groups as u64),
        (tables.invitations.len().unwrap(), counts.invitations),
        (
            tables.invitation_uses.len().unwrap(),
            counts.invitations_spent + counts.invitations_revoked,
        ),
        (tables.elections.len().unwrap(), counts.elections),
        (tables.election_numbers.len().unwrap(), counts.elections),
        (tables.votes.len().unwrap(), counts.votes),
        (
            tables
                .finalisers
                .set_changes
                .as_ref()
                .unwrap()
                .len()
                .unwrap(),
            flushed_state.set_changes().unwrap(),
        ),
        (
            tables
                .finalisers
                .convictions
                .as_ref()
                .unwrap()
                .len()
                .unwrap(),
            flushed_state.conviction_count().unwrap(),
        ),
        (
            tables.finalisers.convicted.as_ref().unwrap().len().unwrap(),
            flushed_state.conviction_count().unwrap(),
        ),
        (tables.main.len().unwrap(), model.height() + 1),
    ];
    for (place, (got, want)) in lengths.into_iter().enumerate() {
        assert_eq!(got, want, "table {place}");
    }
    // An election that lost its votes in an undo keeps a zero.
    assert!(tables.vote_counts.len().unwrap() >= elections_with_votes.len() as u64);
}
