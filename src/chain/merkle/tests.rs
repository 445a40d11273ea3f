#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count)
        .map(|i| Tree::Roll.leaf(&i.to_be_bytes()))
        .collect()
}

/// RFC 6962 §2.1, word for word.
fn naive(tree: Tree, leaves: &[Hash]) -> Hash {
    match leaves {
        [] => tree.empty(),
        [leaf] => *leaf,
        _ => {
            let mut k = 1;
            while 2 * k < leaves.len() {
                k *= 2;
            }
            tree.node(&naive(tree, &leaves[..k]), &naive(tree, &leaves[k..]))
        }
    }
}

fn naive_path(tree: Tree, index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let mut k = 1;
    while 2 * k < leaves.len() {
        k *= 2;
    }
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (naive_path(tree, index, left), naive(tree, right))
    } else {
        (naive_path(tree, index - k, right), naive(tree, left))
    };
    path.push(sibling);
    path
}

#[test]
fn hashes_are_those_of_the_profile() {
    for (tree, name) in [
        (Tree::Transactions, Context::TransactionTree.name()),
        (Tree::Roll, Context::RollTree.name()),
    ] {
        assert_eq!(tree.empty().to_bytes(), blake3::derive_key(name, b""));
        let leaf = tree.leaf(b"data");
        assert_eq!(leaf.to_bytes(), blake3::derive_key(name, b"\0data"));
        let children = [&[1][..], leaf.as_ref(), leaf.as_ref()].concat();
        assert_eq!(
            tree.node(&leaf, &leaf).to_bytes(),
            blake3::derive_key(name, &children)
        );
    }
    assert_ne!(Tree::Roll.leaf(b"x"), Tree::Transactions.leaf(b"x"));
}

#[test]
fn roots_and_paths_are_those_of_the_definition() {
    for count in 0..70 {
        let leaves = leaves(count);
        let root = naive(Tree::Roll, &leaves);
        assert_eq!(Tree::Roll.root(leaves.clone()), root);
        let nodes = PerfectNodes::new(Tree::Roll, leaves.clone());
        for index in 0..count {
            let proof = nodes.inclusion(Tree::Roll, index).unwrap();
            assert_eq!(proof.path, naive_path(Tree::Roll, index as usize, &leaves));
            assert!(proof.verify(Tree::Roll, leaves[index as usize], &root));
        }
        assert_eq!(nodes.inclusion(Tree::Roll, count), None);
    }
}

#[test]
fn a_log_reports_each_perfect_subtree_once() {
    let leaves = leaves(37);
    let nodes = PerfectNodes::new(Tree::Roll, leaves.clone());
    let mut frontier = Frontier::new(Tree::Roll);
    let mut seen = std::collections::BTreeMap::new();
    for leaf in leaves {
        frontier.push_with(leaf, |level, index, hash| {
            assert_eq!(nodes.node(level, index), Some(*hash));
            assert_eq!(seen.insert((level, index), *hash), None);
        });
    }
    assert_eq!(seen.len(), nodes.levels.iter().map(Vec::len).sum::<usize>());
}

#[test]
fn a_log_is_restored_only_with_the_right_number_of_roots() {
    let mut frontier = Frontier::new(Tree::Roll);
    leaves(11).into_iter().for_each(|leaf| frontier.push(leaf));
    let roots = frontier.roots().to_vec();
    assert_eq!(
        Frontier::from_parts(Tree::Roll, 11, roots.clone()),
        Some(frontier)
    );
    assert_eq!(Frontier::from_parts(Tree::Roll, 12, roots), None);
}

#[test]
fn absurd_sizes_are_refused_at_once() {
    let hashes = leaves(80);
    for count in [1u64 << 53, u64::MAX - 1, u64::MAX] {
        for from in [0, 1, count / 2, count - 80, count - 1, count, u64::MAX] {
            assert!(!verify_range(
                Tree::Roll,
                &hashes,
                from,
                count,
                &hashes,
                &hashes[0]
            ));
            assert!(!verify_inclusion(
                Tree::Roll,
                hashes[0],
                from,
                count,
                &hashes,
                &hashes[0]
            ));
        }
    }
}

proptest! {
    #[test]
    fn wrong_inclusions_are_refused(count in 1u64..200, at in any::<prop::sample::Index>(), wrong in 0u64..260, place in any::<prop::sample::Index>()) {
        let leaves = leaves(count);
        let index = at.index(count as usize) as u64;
        let root = Tree::Roll.root(leaves.clone());
        let leaf = leaves[index as usize];
        let proof = PerfectNodes::new(Tree::Roll, leaves.clone()).inclusion(Tree::Roll, index).unwrap();
        let holds = |index, count, path: &[Hash]| verify_inclusion(Tree::Roll, leaf, index, count, path, &root);
        prop_assert!(holds(index, count, &proof.path));
        prop_assert!(!verify_inclusion(Tree::Transactions, leaf, index, count, &proof.path, &root) || count == 1);
        if wrong != index {
            prop_assert!(!holds(wrong, count, &proof.path));
            if let Some(other) = leaves.get(wrong as usize) {
                prop_assert!(!verify_inclusion(Tree::Roll, *other, index, count, &proof.path, &root));
            }
        }
        let mut longer = proof.path.clone();
        longer.push(leaf);
        prop_assert!(!holds(index, count, &longer));
        if !proof.path.is_empty() {
            prop_assert!(!holds(index, count, &proof.path[1..]));
            let mut changed = proof.path.clone();
            let place = place.index(changed.len());
            changed[place] = Tree::Roll.leaf(b"other");
            prop_assert!(!holds(index, count, &changed));
        }
    }

    #[test]
    fn ranges_hold_and_nothing_else_does(count in 0u64..130, a in 0u64..131, b in 0u64..131, wrong in 0u64..140, place in any::<prop::sample::Index>()) {
        let all = leaves(count);
        let root = naive(Tree::Roll, &all);
        let nodes = PerfectNodes::new(Tree::Roll, all.clone());
        let (from, to) = (a.min(b).min(count), a.max(b).min(count));
        let source = |level, index| nodes.node(level, index).ok_or(());
        let proof = range_proof(Tree::Roll, from, to, count, source).unwrap().unwrap();
        let run = &all[from as usize..to as usize];
        let holds = |leaves: &[Hash], from, count, proof: &[Hash]| verify_range(Tree::Roll, leaves, from, count, proof, &root);
        prop_assert!(holds(run, from, count, &proof));
        prop_assert_eq!(range_proof(Tree::Roll, from, count + 1, count, source).unwrap(), None);
        if !run.is_empty() {
            prop_assert!(wrong == from || !holds(run, wrong, count, &proof));
            prop_assert!(!holds(&run[1..], from, count, &proof));
            let mut changed = run.to_vec();
            let place = place.index(changed.len());
            changed[place] = Tree::Roll.leaf(b"other");
            prop_assert!(!holds(&changed, from, count, &proof));
        }
        let mut longer = proof.clone();
        longer.push(root);
        prop_assert!(!holds(run, from, count, &longer));
        if !proof.is_empty() {
            prop_assert!(!holds(run, from, count, &proof[1..]));
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(
        index in any::<u64>(), count in any::<u64>(), path in 0usize..140, run in 0usize..40,
    ) {
        let hashes = leaves(140);
        let root = Tree::Roll.leaf(b"root");
        prop_assert!(!verify_inclusion(Tree::Roll, hashes[0], index, count, &hashes[..path], &root));
        prop_assert!(!verify_range(Tree::Roll, &hashes[..run], index, count, &hashes[..path], &root));
    }
}
