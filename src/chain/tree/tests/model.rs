//! The tree against its rules written out, and its limits, on random trees that arrive in random orders.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// All blocks, the rules written out: the best is looked for among those whose ancestors are all here and valid.
#[derive(Default)]
struct Model {
    headers: BTreeMap<BlockId, Header>,
    bodies: BTreeSet<BlockId>,
    invalid: BTreeSet<BlockId>,
    pin: Option<BlockId>,
}

impl Model {
    fn line(&self, id: &BlockId) -> Vec<BlockId> {
        let mut line = vec![*id];
        while let Some(parent) = self.headers.get(&self.headers[line.last().unwrap()].parent) {
            line.push(parent.id());
        }
        line
    }

    fn best(&self) -> BlockId {
        let allowed = |id: &BlockId| {
            let line = self.line(id);
            let pin_above = |pin: BlockId| self.line(&pin).contains(id);
            line.iter()
                .all(|id| self.bodies.contains(id) && !self.invalid.contains(id))
                && self
                    .pin
                    .is_none_or(|pin| line.contains(&pin) || pin_above(pin))
        };
        let candidates = self.headers.iter().filter(|(id, _)| allowed(id));
        let best = candidates.min_by_key(|(id, header)| (Reverse(header.height), **id));
        *best.unwrap().0
    }
}

/// What may happen to a node.
#[derive(Clone, Debug)]
enum Step {
    Header(Index),
    Body(Index),
    Follow,
    Invalid(Index),
    Pin(Index),
    Unpin,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any::<Index>().prop_map(Step::Header),
        8 => any::<Index>().prop_map(Step::Body),
        2 => Just(Step::Follow),
        1 => any::<Index>().prop_map(Step::Invalid),
        1 => any::<Index>().prop_map(Step::Pin),
        1 => Just(Step::Unpin),
    ]
}

/// A random tree: each block's parent is one of the last few before it.
fn blocks(parents: &[Index]) -> Vec<Header> {
    let mut blocks = vec![header(None, 0)];
    for (n, parent) in parents.iter().enumerate() {
        let recent = blocks.len().saturating_sub(6);
        let parent = recent + parent.index(blocks.len() - recent);
        blocks.push(header(Some(&blocks[parent]), n as u64));
    }
    blocks
}

proptest! {
    #[test]
    fn the_choice_is_that_of_the_model_whatever_happens(
        parents in prop::collection::vec(any::<Index>(), 1..40),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let blocks = blocks(&parents);
        let chain = Chain::new(vec![blocks[0].clone()]);
        let mut tree = HeaderTree::open(&chain, 0, Limits::default()).unwrap();
        let mut model = Model::default();
        model.headers.insert(blocks[0].id(), blocks[0].clone());
        model.bodies.insert(blocks[0].id());
        for step in steps {
            match step {
                Step::Header(index) => {
                    let header = index.get(&blocks).clone();
                    let known = model.headers.contains_key(&header.id());
                    let parent_known = model.headers.contains_key(&header.parent);
                    let tainted = |id: &BlockId| model.line(id).iter().any(|id| model.invalid.contains(id));
                    let expected = match (known, parent_known) {
                        (true, _) if tainted(&header.id()) => None,
                        (true, _) => Some(Inserted::Known),
                        (false, true) if tainted(&header.parent) => None,
                        (false, true) => Some(Inserted::New),
                        (false, false) if header.height == 0 => Some(Inserted::Known),
                        (false, false) => Some(Inserted::UnknownParent),
                    };
                    let got = tree.insert(header.clone(), &chain).unwrap();
                    match expected {
                        Some(expected) => prop_assert_eq!(got, expected),
                        None => prop_assert!(matches!(got, Inserted::Invalid | Inserted::UnknownParent)),
                    }
                    if parent_known {
                        model.headers.insert(header.id(), header);
                    }
                }
                Step::Body(index) => {
                    let id = index.get(&blocks).id();
                    if tree.get(&id).is_some() {
                        model.bodies.insert(id);
                    }
                    tree.set_present(&id);
                }
                Step::Follow => {
                    let best = tree.best();
                    prop_assert!(tree.set_tip(&best));
                }
                Step::Invalid(index) => {
                    let id = index.get(&blocks).id();
                    if tree.get(&id).is_some() && !tree.is_active(&id) {
                        model.invalid.insert(id);
                    }
                    tree.set_invalid(&id);
                }
                Step::Pin(index) => {
                    let block = index.get(&blocks);
                    let (id, height) = (block.id(), block.height);
                    let higher = tree.pin().is_none_or(|(_, pinned)| pinned < height);
                    if tree.set_pin(id, height) && height > 0 && higher {
                        model.pin = Some(id);
                    }
                }
                Step::Unpin => {
                    tree.unpin();
                    model.pin = None;
                }
            }
            prop_assert_eq!(tree.best(), model.best());
            let rival = tree.competing();
            prop_assert!(rival.is_none() || model.pin.is_some());
        }
    }

    #[test]
    fn all_arrival_orders_end_in_one_tip(
        parents in prop::collection::vec(any::<Index>(), 1..40),
        orders in prop::collection::vec(prop::collection::vec(any::<u32>(), 40), 2..4),
    ) {
        let blocks = blocks(&parents);
        let chain = Chain::new(vec![blocks[0].clone()]);
        let mut tips = BTreeSet::new();
        for order in orders {
            let mut tree = HeaderTree::open(&chain, 0, Limits::default()).unwrap();
            let mut waiting: Vec<_> = blocks[1..].to_vec();
            waiting.sort_by_key(|block| order[(block.id().as_bytes()[0] % 40) as usize]);
            while !waiting.is_empty() {
                waiting.retain(|block| match tree.insert(block.clone(), &chain).unwrap() {
                    Inserted::UnknownParent => true,
                    _ => {
                        tree.set_present(&block.id());
                        false
                    }
                });
                let best = tree.best();
                assert!(tree.set_tip(&best));
            }
            tips.insert(tree.tip());
        }
        prop_assert_eq!(tips.len(), 1);
        let best = blocks.iter().min_by_key(|block| (Reverse(block.height), block.id())).unwrap();
        prop_assert!(tips.contains(&best.id()));
    }

    #[test]
    fn limits_hold_whatever_is_offered(
        parents in prop::collection::vec(any::<Index>(), 1..120),
        follow in any::<u8>(),
    ) {
        let blocks = blocks(&parents);
        let chain = Chain::new(vec![blocks[0].clone()]);
        let mut tree = HeaderTree::open(&chain, 0, limits(8, 12, 4)).unwrap();
        for (n, block) in blocks.iter().enumerate() {
            tree.insert(block.clone(), &chain).unwrap();
            if follow >> (n % 8) & 1 == 1 {
                tree.set_present(&block.id());
                let best = tree.best();
                prop_assert!(tree.set_tip(&best));
            }
            prop_assert!(tree.len() <= 9 + 12);
            prop_assert!(tree.tip_height() - tree.root_height() <= 8);
            prop_assert!(tree.leaves.iter().filter(|leaf| leaf.1.0 != tree.tip()).count() <= 4);
            prop_assert!(tree.leaves.iter().all(|leaf| tree.entries[&leaf.1.0].children.is_empty()));
            prop_assert!(tree.ready.iter().all(|ready| tree.entries[&ready.1.0].ready));
        }
    }
}
