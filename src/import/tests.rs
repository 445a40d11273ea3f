#![allow(clippy::unwrap_used)]

use super::*;
use crate::chain::block::Block;
use crate::chain::testing::{self, Chain};
use crate::export::ChainWriter;
use crate::store::StoreConfig;
use crate::wire::List;

/// A chain file with a block per list of transactions, a second apart.
fn file(network: &Arc<Network>, blocks: Vec<Vec<Transaction>>) -> Vec<u8> {
    let mut chain = Chain::new(Arc::clone(network));
    let mut writer =
        ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
    for (height, transactions) in (1u64..).zip(blocks) {
        let template = chain.template(height * 1_000, chain.verified(transactions));
        let delta = chain
            .check(&template.header, &template.transactions)
            .unwrap();
        chain.state.insert(delta);
        chain.tip = template.header.clone();
        let transactions = template
            .transactions
            .iter()
            .map(|t| (**t).clone())
            .collect();
        writer
            .block(Block {
                header: template.header,
                transactions: List::new(transactions).unwrap(),
            })
            .unwrap();
    }
    writer.finish().unwrap()
}

fn imported(store: &mut Store, file: &[u8]) -> Result<Imported, ImportError> {
    import(store, ChainReader::new(file)?, |_| {})
}

#[test]
fn a_longer_file_continues_and_another_chain_is_refused() {
    let network = testing::network();
    let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
    let register = |number| testing::register(&network, number);
    let short = file(&network, vec![vec![register(1)]]);
    let long = file(
        &network,
        vec![vec![register(1)], vec![register(2), register(3)]],
    );
    let other = file(&network, vec![vec![register(4)], vec![register(5)], vec![]]);
    let first = imported(&mut store, &short).unwrap();
    assert_eq!((first.known, first.blocks, first.transactions), (0, 1, 1));
    let second = imported(&mut store, &long).unwrap();
    assert_eq!(
        (second.known, second.blocks, second.transactions),
        (1, 1, 2)
    );
    assert_eq!(store.snapshot().counts().voters, 3);
    let error = imported(&mut store, &other).unwrap_err();
    assert!(matches!(error, ImportError::Departs { height: 1 }));
    assert_eq!(store.snapshot().tip().height, 2);
}

#[test]
fn what_comes_before_a_wrong_block_stays() {
    let network = testing::network();
    let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
    let good = testing::register(&network, 1);
    let bytes = file(
        &network,
        vec![vec![good], vec![testing::register(&network, 2)]],
    );
    // The same blocks, the second with another's transaction in place of its own.
    let reader = ChainReader::new(&bytes[..]).unwrap();
    let mut blocks: Vec<Block> = reader.map(|block| block.unwrap().block).collect();
    blocks[1].transactions = List::new(vec![testing::register(&network, 3)]).unwrap();
    let mut writer =
        ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
    for block in blocks {
        writer.block(block).unwrap();
    }
    let error = imported(&mut store, &writer.finish().unwrap()).unwrap_err();
    assert!(
        matches!(error, ImportError::Block { height: 2, .. }),
        "{error}"
    );
    assert_eq!(store.snapshot().tip().height, 1);
}

/// A file of four blocks: the second, which also changes the finalisers, and the last are checkpoints. `change`
/// alters the certificates.
fn finalised(
    network: &Arc<Network>,
    certified: usize,
    change: impl FnOnce(&mut Vec<(usize, CommitCertificate)>),
) -> Vec<u8> {
    let blocks = vec![
        vec![testing::register(network, 1)],
        vec![testing::change(network, 1, &[5, 6], &[1, 2, 3])],
        vec![testing::evidence(network, 5, 9, 0)],
        vec![],
    ];
    let plain = file(network, blocks);
    let reader = ChainReader::new(&plain[..]).unwrap();
    let blocks: Vec<Block> = reader.map(|block| block.unwrap().block).collect();
    let id = |index: usize| blocks[index].header.id();
    let mut certificates = vec![
        (1, testing::certificate(network, 0, 1, id(1), &[1, 2, 4])),
        (3, testing::certificate(network, 1, 2, id(3), &[5, 6])),
    ];
    certificates.truncate(certified);
    change(&mut certificates);
    let mut writer =
        ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
    for (index, block) in blocks.into_iter().enumerate() {
        writer.block(block).unwrap();
        for (_, certificate) in certificates.iter().filter(|(at, _)| *at == index) {
            writer.certificate(certificate.clone()).unwrap();
        }
    }
    writer.finish().unwrap()
}

#[test]
fn certificates_come_with_their_blocks_or_after_them() {
    let network = testing::finalising_network();
    let whole = finalised(&network, 2, |_| {});
    for before in [0, 1, 2] {
        let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
        let first = imported(&mut store, &finalised(&network, before, |_| {})).unwrap();
        assert_eq!((first.blocks, first.certificates), (4, before as u64));
        let second = imported(&mut store, &whole).unwrap();
        let added = (second.known, second.certificates);
        assert_eq!(added, (4, 2 - before as u64));
        let snapshot = store.snapshot();
        let checkpoints = snapshot.certificates(1, 9).unwrap();
        let heights: Vec<_> = checkpoints.iter().map(|one| one.height).collect();
        assert_eq!(heights, [2, 4]);
        // What is exported is what was imported.
        let mut writer =
            ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
        for block in crate::export::stored_blocks(snapshot) {
            let block = block.unwrap();
            writer.block(block.block).unwrap();
            if let Some(certificate) = block.certificate {
                writer.certificate(certificate).unwrap();
            }
        }
        assert_eq!(writer.finish().unwrap(), whole);
    }
}

#[test]
fn a_wrong_certificate_is_refused_and_its_block_stays() {
    let network = testing::finalising_network();
    let other_set = |certificates: &mut Vec<(usize, CommitCertificate)>| {
        let block = certificates[1].1.block;
        certificates[1].1 = testing::certificate(&network, 0, 2, block, &[1, 2, 3]);
    };
    let bytes = finalised(&network, 2, other_set);
    for known in [false, true] {
        let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
        if known {
            imported(&mut store, &finalised(&network, 0, |_| {})).unwrap();
        }
        let error = imported(&mut store, &bytes).unwrap_err();
        assert!(
            matches!(error, ImportError::Certificate { height: 4, .. }),
            "{error}"
        );
        assert_eq!(store.snapshot().tip().height, 4);
        // Of known blocks the good ones wait for the end of the run.
        let last = store.snapshot().last_certificate().unwrap();
        assert_eq!(last.map(|last| last.height), (!known).then_some(2));
    }
}

#[test]
fn a_file_of_another_network_is_refused() {
    let network = testing::network();
    let other = testing::network_with(|genesis| genesis.timestamp_ms += 1);
    let mut store = Store::in_memory(&network, StoreConfig::default()).unwrap();
    let error = imported(&mut store, &file(&other, vec![])).unwrap_err();
    assert!(matches!(error, ImportError::WrongNetwork { .. }));
}
