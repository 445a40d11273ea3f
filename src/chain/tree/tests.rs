#![allow(clippy::unwrap_used)]

mod model;

use std::collections::BTreeMap;

use super::*;
use crate::chain::block::Nonce;
use crate::chain::genesis::NetworkId;
use crate::crypto::{Hash, PublicKey};

/// A stored chain.
#[derive(Default)]
struct Chain {
    headers: Vec<Header>,
    heights: BTreeMap<BlockId, u64>,
}

impl Chain {
    fn new(headers: Vec<Header>) -> Self {
        let heights = headers.iter().map(|h| (h.id(), h.height)).collect();
        Self { headers, heights }
    }

    /// `length` blocks on top of a genesis block.
    fn grow(length: u64) -> Self {
        let mut headers = vec![header(None, 0)];
        for n in 1..=length {
            headers.push(header(headers.last(), n));
        }
        Self::new(headers)
    }
}

impl HeaderSource for Chain {
    fn id_at(&self, height: u64) -> Result<Option<BlockId>, ViewError> {
        Ok(self.headers.get(height as usize).map(Header::id))
    }

    fn header(&self, id: &BlockId) -> Result<Option<Header>, ViewError> {
        Ok(self
            .heights
            .get(id)
            .map(|h| self.headers[*h as usize].clone()))
    }
}

fn header(parent: Option<&Header>, nonce: u64) -> Header {
    Header {
        version: 1,
        network: NetworkId::ZERO,
        height: parent.map_or(0, |parent| parent.height + 1),
        parent: parent.map_or(BlockId::ZERO, Header::id),
        transaction_root: Hash::ZERO,
        roll_size: 0,
        roll_root: Hash::ZERO,
        timestamp_ms: parent.map_or(0, |parent| parent.timestamp_ms + 1),
        miner: PublicKey::ZERO,
        nonce: Nonce::from_bytes(nonce.to_be_bytes()),
    }
}

fn limits(window: u64, side_headers: usize, side_branches: usize) -> Limits {
    Limits {
        window,
        side_headers,
        side_branches,
    }
}

/// A tree over a chain of `length` blocks.
fn open(length: u64, limits: Limits) -> (HeaderTree, Chain) {
    let chain = Chain::grow(length);
    (HeaderTree::open(&chain, length, limits).unwrap(), chain)
}

/// Adds `length` blocks on `parent` and returns them; nonces from `salt` tell branches apart.
fn branch(
    tree: &mut HeaderTree,
    chain: &Chain,
    parent: &Header,
    length: u64,
    salt: u64,
) -> Vec<Header> {
    let mut headers = Vec::new();
    for n in 0..length {
        let next = header(headers.last().or(Some(parent)), salt + n);
        assert_eq!(tree.insert(next.clone(), chain).unwrap(), Inserted::New);
        headers.push(next);
    }
    headers
}

fn supply(tree: &mut HeaderTree, headers: &[Header]) {
    for header in headers {
        tree.set_present(&header.id());
    }
}

#[test]
fn headers_are_taken_once_and_in_order() {
    let (mut tree, chain) = open(3, Limits::default());
    let next = header(chain.headers.last(), 9);
    let after = header(Some(&next), 9);
    assert_eq!(
        tree.insert(after.clone(), &chain).unwrap(),
        Inserted::UnknownParent
    );
    assert_eq!(tree.insert(next.clone(), &chain).unwrap(), Inserted::New);
    assert_eq!(tree.insert(next.clone(), &chain).unwrap(), Inserted::Known);
    let mut skipping = header(Some(&next), 1);
    skipping.height += 1;
    assert_eq!(tree.insert(skipping, &chain).unwrap(), Inserted::Invalid);
    assert_eq!(tree.best(), chain.headers[3].id());
    assert_eq!(tree.best_header(), next.id());
    assert_eq!(tree.missing_bodies(8), [next.id()]);
    tree.set_present(&next.id());
    assert_eq!(tree.best(), next.id());
    assert_eq!(tree.tip(), chain.headers[3].id());
    assert!(tree.set_tip(&next.id()));
    assert_eq!(tree.body(&tree.tip()), Some(Body::Valid));
}

#[test]
fn what_forks_below_the_root_is_told_apart() {
    let (mut tree, chain) = open(20, limits(5, 100, 8));
    assert_eq!(tree.root_height(), 15);
    assert_eq!(tree.len(), 6);
    let settled = chain.headers[9].clone();
    assert_eq!(tree.insert(settled, &chain).unwrap(), Inserted::Known);
    let deep = header(Some(&chain.headers[9]), 99);
    assert_eq!(
        tree.insert(deep.clone(), &chain).unwrap(),
        Inserted::BelowRoot
    );
    let deeper = header(Some(&deep), 99);
    assert_eq!(
        tree.insert(deeper, &chain).unwrap(),
        Inserted::UnknownParent
    );
    let at_root = header(Some(&chain.headers[15]), 99);
    assert_eq!(tree.insert(at_root, &chain).unwrap(), Inserted::New);
    let other_genesis = header(None, 77);
    assert_eq!(
        tree.insert(other_genesis, &chain).unwrap(),
        Inserted::BelowRoot
    );
}

#[test]
fn a_longer_branch_wins_once_its_bodies_are_here() {
    let (mut tree, chain) = open(5, Limits::default());
    let side = branch(&mut tree, &chain, &chain.headers[2], 4, 100);
    supply(&mut tree, &side[1..]);
    assert_eq!(tree.best(), tree.tip());
    assert_eq!(tree.missing_bodies(8), [side[0].id()]);
    supply(&mut tree, &side[..1]);
    assert_eq!(tree.best(), side[3].id());
    let path = tree.path(&tree.tip(), &tree.best()).unwrap();
    let ids = |headers: &[Header]| headers.iter().map(Header::id).collect::<Vec<_>>();
    let mut left = ids(&chain.headers[3..]);
    left.reverse();
    assert_eq!((path.leave, path.join), (left, ids(&side)));
    assert_eq!((path.fork, path.fork_height), (chain.headers[2].id(), 2));
}

#[test]
fn an_invalid_block_taints_what_builds_on_it() {
    let (mut tree, chain) = open(5, Limits::default());
    let side = branch(&mut tree, &chain, &chain.headers[4], 4, 100);
    supply(&mut tree, &side);
    assert_eq!(tree.best(), side[3].id());
    tree.set_invalid(&side[1].id());
    assert!(tree.invalid.contains_key(&side[1].id()));
    assert_eq!(tree.take_forgotten().len(), 3);
    let lower = side[0].id().min(tree.tip());
    assert_eq!(tree.best(), lower);
    assert_eq!(
        tree.insert(side[1].clone(), &chain).unwrap(),
        Inserted::Invalid
    );
    assert_eq!(
        tree.insert(side[2].clone(), &chain).unwrap(),
        Inserted::Invalid
    );
    assert_eq!(
        tree.insert(side[3].clone(), &chain).unwrap(),
        Inserted::Invalid
    );
    let tip = tree.tip();
    tree.set_invalid(&tip);
    assert!(!tree.invalid.contains_key(&tip));
}

#[test]
fn no_reorganisation_crosses_a_checkpoint() {
    let (mut tree, chain) = open(5, Limits::default());
    let side = branch(&mut tree, &chain, &chain.headers[2], 6, 100);
    supply(&mut tree, &side);
    assert_eq!(tree.best(), side[5].id());
    tree.set_checkpoint(chain.headers[4].id(), 4, &chain)
        .unwrap()
        .unwrap();
    assert_eq!(tree.best(), tree.tip());
    assert!(tree.get(&side[0].id()).is_none());
    assert_eq!(tree.root_height(), 4);
    assert_eq!(
        tree.insert(side[0].clone(), &chain).unwrap(),
        Inserted::BelowRoot
    );
    let conflict = tree
        .set_checkpoint(side[0].id(), 3, &chain)
        .unwrap()
        .unwrap_err();
    assert_eq!(conflict.old, chain.headers[3].id());
    tree.set_checkpoint(chain.headers[1].id(), 1, &chain)
        .unwrap()
        .unwrap();
}

#[test]
fn a_checkpoint_on_another_branch_is_followed_to() {
    let (mut tree, chain) = open(5, Limits::default());
    let side = branch(&mut tree, &chain, &chain.headers[2], 2, 100);
    supply(&mut tree, &side);
    tree.set_checkpoint(side[1].id(), 4, &chain)
        .unwrap()
        .unwrap();
    assert_eq!(tree.best(), side[1].id());
    let more = header(chain.headers.last(), 7);
    assert_eq!(tree.insert(more, &chain).unwrap(), Inserted::OffCheckpoint);
    assert!(tree.set_tip(&side[1].id()));
    assert_eq!(tree.root_height(), 4);
    assert_eq!(tree.len(), 1);
}

#[test]
fn a_checkpoint_may_come_before_its_header() {
    let (mut tree, chain) = open(5, Limits::default());
    let side = branch(&mut tree, &chain, &chain.headers[2], 1, 100);
    let checkpoint = header(side.last(), 101);
    tree.set_checkpoint(checkpoint.id(), 4, &chain)
        .unwrap()
        .unwrap();
    // The active chain is ruled out from height 4 on.
    assert_eq!(tree.best(), chain.headers[3].id());
    let rival = header(side.last(), 102);
    assert_eq!(tree.insert(rival, &chain).unwrap(), Inserted::OffCheckpoint);
    assert_eq!(
        tree.insert(checkpoint.clone(), &chain).unwrap(),
        Inserted::New
    );
    assert_eq!(tree.best_header(), checkpoint.id());
    assert_eq!(tree.best(), chain.headers[2].id());
    supply(&mut tree, &[side[0].clone(), checkpoint.clone()]);
    assert_eq!(tree.best(), checkpoint.id());
    assert!(
        tree.set_checkpoint(chain.headers[5].id(), 5, &chain)
            .unwrap()
            .is_err()
    );
}

#[test]
fn a_pinned_block_is_kept_and_the_rival_reported() {
    let (mut tree, chain) = open(5, Limits::default());
    assert!(!tree.set_pin(BlockId::ZERO, 4));
    assert!(tree.set_pin(chain.headers[4].id(), 4));
    assert_eq!(tree.competing(), None);
    let side = branch(&mut tree, &chain, &chain.headers[2], 5, 100);
    let mut rival = Competing {
        tip: side[4].id(),
        height: 7,
        complete: false,
        fork: chain.headers[2].id(),
        fork_height: 2,
    };
    assert_eq!(tree.competing(), Some(rival));
    assert!(tree.missing_bodies(8).is_empty());
    supply(&mut tree, &side);
    rival.complete = true;
    assert_eq!(tree.competing(), Some(rival));
    assert_eq!(tree.best(), tree.tip());
    // Work on top of the pinned block counts as ever.
    let own = branch(&mut tree, &chain, &chain.headers[4], 2, 200);
    supply(&mut tree, &own);
    assert_eq!(tree.best(), own[1].id());
    tree.unpin();
    assert_eq!(tree.best(), side[4].id());
    assert_eq!(tree.competing(), None);
}

#[test]
fn branches_are_limited_and_the_worst_goes() {
    let (mut tree, chain) = open(5, limits(100, 100, 3));
    let long = branch(&mut tree, &chain, &chain.headers[1], 3, 100);
    let middle = branch(&mut tree, &chain, &chain.headers[1], 2, 200);
    let short = branch(&mut tree, &chain, &chain.headers[1], 1, 300);
    let shorter = header(Some(&chain.headers[0]), 400);
    assert_eq!(tree.insert(shorter, &chain).unwrap(), Inserted::Full);
    let better = branch(&mut tree, &chain, &chain.headers[3], 1, 500);
    assert!(tree.get(&short[0].id()).is_none());
    assert!(
        [&long[2], &middle[1], &better[0]]
            .iter()
            .all(|h| tree.get(&h.id()).is_some())
    );
}

#[test]
fn nobody_crowds_out_the_next_block() {
    let (mut tree, chain) = open(5, limits(100, 30, 3));
    for salt in [100, 200, 300] {
        branch(&mut tree, &chain, &chain.headers[1], 10, salt);
    }
    let next = branch(&mut tree, &chain, &chain.headers[5], 1, 900);
    supply(&mut tree, &next);
    assert!(tree.get(&next[0].id()).is_some());
    assert!(tree.set_tip(&next[0].id()));
    assert_eq!(tree.len(), 7 + 20);
}

#[test]
fn headers_run_ahead_of_bodies_only_so_far() {
    let (mut tree, chain) = open(0, limits(3, 10, 3));
    let mut ahead = branch(&mut tree, &chain, &chain.headers[0], 10, 0);
    let beyond = header(ahead.last(), 99);
    assert_eq!(tree.insert(beyond.clone(), &chain).unwrap(), Inserted::Full);
    supply(&mut tree, &ahead[..5]);
    let best = tree.best();
    assert_eq!(best, ahead[4].id());
    assert!(tree.set_tip(&best));
    assert_eq!(
        (tree.tip_height(), tree.root_height(), tree.len()),
        (5, 2, 9)
    );
    assert_eq!(tree.insert(beyond.clone(), &chain).unwrap(), Inserted::New);
    ahead.push(beyond);
    let missing: Vec<_> = ahead[5..8].iter().map(Header::id).collect();
    assert_eq!(tree.missing_bodies(3), missing);
    tree.forget(&ahead[7].id());
    assert_eq!(tree.best_header(), ahead[6].id());
    assert!(!tree.invalid.contains_key(&ahead[7].id()));
}

#[test]
fn peers_find_what_they_share() {
    for (length, shared) in [(0, 0), (1, 0), (9, 9), (40, 17), (3_000, 1), (3_000, 2_990)] {
        let ours = Chain::grow(length);
        let mut headers = ours.headers[..=shared].to_vec();
        for n in 0..500 {
            headers.push(header(headers.last(), 10_000 + n));
        }
        let theirs = Chain::new(headers);
        let other = HeaderTree::open(&theirs, shared as u64 + 500, limits(60, 100, 8)).unwrap();
        let locator = other.locator(&other.tip(), &theirs).unwrap();
        assert!(locator.len() <= MAX_LOCATOR);
        assert_eq!(locator[0], other.tip());
        let found = locator.iter().find_map(|id| ours.heights.get(id));
        let found = *found.unwrap_or(&0);
        // Steps double, so that at most as many blocks are sent again as lie between tip and fork.
        assert!(found <= shared as u64);
        assert!(found + 600 >= shared as u64);
    }
}

/// So many branches of two blocks on this parent.
fn crowd(tree: &mut HeaderTree, chain: &Chain, parent: &Header, count: u64) {
    for n in 0..count {
        let first = header(Some(parent), 1_000 + 10 * n);
        let second = header(Some(&first), 1_000 + 10 * n);
        for header in [first, second] {
            tree.insert(header, chain).unwrap();
        }
    }
}

#[test]
fn a_held_branch_makes_no_room_for_others() {
    for held in [false, true] {
        let (mut tree, chain) = open(20, limits(100, 1_000, 4));
        let weak = branch(&mut tree, &chain, &chain.headers[5], 3, 500);
        let middle = weak[1].id();
        if held {
            tree.hold([middle]);
        }
        crowd(&mut tree, &chain, &chain.headers[15], 10);
        assert_eq!(tree.get(&middle).is_some(), held);
        assert_eq!(tree.get(&weak[0].id()).is_some(), held);
        // What others build on it is like any other branch.
        assert_eq!(tree.get(&weak[2].id()), None);
        assert_eq!(tree.leads_to_kept(&weak[0].id()), held);
        assert!(tree.len() <= 21 + 2 * 4 + 2);
        tree.hold([]);
        crowd(&mut tree, &chain, &chain.headers[16], 10);
        assert_eq!(tree.get(&middle), None);
    }
}

#[test]
fn a_whole_branch_that_is_held_finds_room_whatever_work_it_has() {
    let (mut tree, chain) = open(20, limits(100, 1_000, 4));
    crowd(&mut tree, &chain, &chain.headers[15], 10);
    let mut way = chain.headers[1..=5].to_vec();
    for n in 0..6 {
        way.push(header(way.last(), 700 + n));
    }
    assert_eq!(tree.insert(way[5].clone(), &chain).unwrap(), Inserted::Full);
    let last = way.last().unwrap();
    tree.hold([last.id()]);
    assert_eq!(tree.insert_held(&way, &chain).unwrap(), Inserted::New);
    assert_eq!(tree.insert_held(&way, &chain).unwrap(), Inserted::Known);
    crowd(&mut tree, &chain, &chain.headers[16], 10);
    assert!(way.iter().all(|header| tree.get(&header.id()).is_some()));
    tree.set_checkpoint(last.id(), last.height, &chain)
        .unwrap()
        .unwrap();
    tree.hold([]);
    // The chain that was active stays until the driver leaves it; everything else beside the checkpoint goes.
    assert!(tree.awaits_checkpoint());
    assert_eq!(tree.len(), 21 + 6);
    supply(&mut tree, &way[5..]);
    assert_eq!(tree.best(), last.id());
    // An invalid block on it taints it as it does any other branch.
    tree.set_invalid(&way[7].id());
    assert_eq!(tree.insert_held(&way, &chain).unwrap(), Inserted::Invalid);
    assert!(tree.is_invalid(&last.id()));
}

#[test]
fn the_root_waits_for_a_held_branch_but_not_for_ever() {
    let window = 10;
    for (held, longer) in [
        (false, window + 1),
        (true, window + 1),
        (true, 4 * window + 1),
    ] {
        let (mut tree, mut chain) = open(20, limits(window, 1_000, 4));
        let side = branch(&mut tree, &chain, &chain.headers[18], 2, 500);
        if held {
            tree.hold([side[1].id()]);
        }
        for header in branch(&mut tree, &chain, &chain.headers[20].clone(), longer, 900) {
            tree.set_present(&header.id());
            assert!(tree.set_tip(&header.id()));
            chain.heights.insert(header.id(), header.height);
            chain.headers.push(header);
        }
        let stays = held && longer < 4 * window;
        assert_eq!(tree.get(&side[1].id()).is_some(), stays, "{longer}");
        assert_eq!(tree.root_height() == 18, stays);
    }
}
