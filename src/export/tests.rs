#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::chain::block::Nonce;
use crate::chain::network::Network;
use crate::crypto::{Hash, PublicKey};
use crate::genesis::Parameters;
use crate::wire::List;

fn network() -> Network {
    Network::new(Parameters::demo().build(1).unwrap()).unwrap()
}

/// A network in which certificates have a place.
fn finalising() -> Network {
    let mut parameters = Parameters::demo();
    parameters
        .finalisers
        .push(crate::chain::genesis::Finaliser {
            key: crate::crypto::SigningKey::from_seed(&[1; 32]).public_key(),
            power: 1,
            name: crate::wire::Text::new("one").unwrap(),
        });
    Network::new(parameters.build(1).unwrap()).unwrap()
}

/// Blocks that hang together; nobody here asks for work.
fn blocks(network: &Network, count: u64) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for height in 1..=count {
        let parent = blocks
            .last()
            .map_or(network.genesis_block(), |block| block.header.id());
        let header = Header {
            height,
            parent,
            transaction_root: Hash::ZERO,
            miner: PublicKey::ZERO,
            nonce: Nonce::ZERO,
            ..network.genesis_header().clone()
        };
        let transactions = List::new(Vec::new()).unwrap();
        blocks.push(Block {
            header,
            transactions,
        });
    }
    blocks
}

fn written(network: &Network, blocks: &[Block]) -> Vec<u8> {
    let mut writer =
        ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
    for block in blocks {
        writer.block(block.clone()).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<ChainBlock>, ExportError> {
    ChainReader::new(bytes)?.collect()
}

fn record(record: &Record) -> Vec<u8> {
    let bytes = wire::encode(record);
    [(bytes.len() as u32).to_be_bytes().as_slice(), &bytes].concat()
}

/// A file of these records behind the magic line and the genesis.
fn file(network: &Network, records: &[Record]) -> Vec<u8> {
    let genesis = Record::Genesis {
        genesis: network.genesis().clone(),
    };
    let mut bytes = [MAGIC.as_slice(), &record(&genesis)].concat();
    records.iter().for_each(|r| bytes.extend(record(r)));
    bytes
}

fn end(tip: BlockId, height: u64) -> Record {
    Record::End { tip, height }
}

fn misplaced(bytes: &[u8]) -> &'static str {
    match read(bytes) {
        Err(ExportError::Misplaced { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read() {
    let network = network();
    for count in [0, 1, 5] {
        let blocks = blocks(&network, count);
        let bytes = written(&network, &blocks);
        let reader = ChainReader::new(bytes.as_slice()).unwrap();
        assert_eq!(reader.network(), &network);
        let got: Vec<Block> = reader.map(|block| block.unwrap().block).collect();
        assert_eq!(got, blocks);
    }
}

#[test]
fn a_writer_refuses_gaps() {
    let network = network();
    let blocks = blocks(&network, 2);
    let mut writer =
        ChainWriter::new(Vec::new(), network.genesis(), network.genesis_block()).unwrap();
    assert!(writer.block(blocks[1].clone()).is_err());
    writer.block(blocks[0].clone()).unwrap();
    assert!(writer.block(blocks[0].clone()).is_err());
    assert_eq!(writer.height(), 1);
}

#[test]
fn a_file_cut_off_anywhere_is_noticed() {
    let network = network();
    let bytes = written(&network, &blocks(&network, 2));
    for len in 0..bytes.len() {
        match read(&bytes[..len]).unwrap_err() {
            ExportError::NotAChain => assert!(len < MAGIC.len()),
            ExportError::CutOff { offset } => assert!(offset <= len as u64),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn records_in_the_wrong_place_are_refused() {
    let network = finalising();
    let blocks = blocks(&network, 2);
    let block = |index: usize| Record::Block {
        block: blocks[index].clone(),
    };
    let (start, last) = (network.genesis_block(), blocks[0].header.id());
    let certificate = |block| Record::Certificate {
        certificate: CommitCertificate {
            set: 0,
            checkpoint: 0,
            round: 0,
            block,
            precommits: List::new(vec![crate::chain::transaction::Approval {
                key: PublicKey::ZERO,
                signature: crate::crypto::Signature::ZERO,
            }])
            .unwrap(),
        },
    };
    let genesis = Record::Genesis {
        genesis: network.genesis().clone(),
    };
    let of = |records: &[Record]| misplaced(&file(&network, records));
    assert!(of(&[genesis]).contains("second genesis"));
    assert!(of(&[certificate(start)]).contains("without a block"));
    assert!(of(&[block(0), certificate(start)]).contains("another block"));
    assert!(of(&[block(0), certificate(last), certificate(last)]).contains("without a block"));
    assert!(of(&[block(1)]).contains("does not follow"));
    assert!(of(&[block(0), end(last, 2)]).contains("the end names"));
    assert!(of(&[block(0), end(start, 1)]).contains("the end names"));
    let mut trailing = file(&network, &[end(start, 0)]);
    assert_eq!(read(&trailing).unwrap(), []);
    trailing.push(0);
    assert!(misplaced(&trailing).contains("follows the end"));
    let headless = [MAGIC.as_slice(), &record(&end(start, 0))].concat();
    assert!(misplaced(&headless).contains("first record"));

    let good = file(&network, &[block(0), certificate(last), end(last, 1)]);
    assert!(read(&good).unwrap()[0].certificate.is_some());
}

#[test]
fn lengths_are_bounded_before_room_is_made() {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u32::MAX.to_be_bytes());
    assert!(matches!(
        read(&bytes),
        Err(ExportError::TooLong {
            offset: 17,
            len: u32::MAX
        })
    ));
    let mut bytes = MAGIC.to_vec();
    bytes.extend([0, 0, 0, 1, 0xa0]);
    assert!(matches!(
        read(&bytes),
        Err(ExportError::Decode { offset: 17, .. })
    ));
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let network = network();
    let blocks = blocks(&network, 3);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chain");
    let create = || ChainFile::create(&path, network.genesis(), network.genesis_block()).unwrap();
    let names = || std::fs::read_dir(directory.path()).unwrap().count();
    let mut unfinished = create();
    unfinished.block(blocks[0].clone()).unwrap();
    assert_eq!(names(), 1);
    drop(unfinished);
    assert_eq!(names(), 0);
    let mut file = create();
    for block in &blocks {
        file.block(block.clone()).unwrap();
    }
    assert!(!path.exists());
    assert_eq!(file.finish().unwrap(), 3);
    assert_eq!(names(), 1);
    assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap().len(), 3);
    assert_eq!(create().finish().unwrap(), 0);
    assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap().len(), 0);
}

proptest! {
    #[test]
    fn damage_never_panics_and_is_always_noticed(
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let network = network();
        let blocks = blocks(&network, 2);
        let mut bytes = written(&network, &blocks);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Ids bind blocks without transactions to each other and to the genesis, and the end to the last of them.
        prop_assert!(read(&bytes).is_err());
    }
}
