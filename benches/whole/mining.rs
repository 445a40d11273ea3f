//! The miner against bare BLAKE3.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use votenode::chain::block::{BlockId, Header, Nonce};
use votenode::chain::genesis::NetworkId;
use votenode::crypto::{Context, Hash, PublicKey};
use votenode::node::miner::Miner;
use votenode::wire;

use super::{Bound, Options, Report, median};

/// Hashes of a turn.
const HASHES: u64 = 1 << 20;
/// A job is given up after this: luck is no excuse.
const PATIENCE: Duration = Duration::from_secs(600);

/// `hashrate_vs_limit`: in turn, medians.
pub fn against_limit(options: &Options, report: &mut Report) {
    let header = Header {
        version: 1,
        network: NetworkId::ZERO,
        height: 1_000_000,
        parent: BlockId::ZERO,
        transaction_root: Hash::ZERO,
        roll_size: 500_000,
        roll_root: Hash::ZERO,
        timestamp_ms: 1_700_000_000_000,
        miner: PublicKey::ZERO,
        nonce: Nonce::ZERO,
    };
    // One in 2^18 hashes: most jobs take longer than it takes to begin them.
    let mut target = [0xff; 32];
    target[..3].copy_from_slice(&[0, 0, 0x3f]);
    let (sender, found) = channel();
    let miner = Miner::start(Hash::from_bytes(target), move |nonce| {
        sender.send(nonce).unwrap()
    })
    .unwrap();
    let (turns, hashes) = if options.full {
        (40, HASHES)
    } else {
        (2, 1 << 12)
    };
    let (mut mined, mut bare, mut prefixed) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=turns {
        let header = Header {
            timestamp_ms: header.timestamp_ms + turn,
            ..header.clone()
        };
        let start = Instant::now();
        miner.mine(turn, header.clone());
        let found = found.recv_timeout(PATIENCE).unwrap();
        let tried = u64::from_be_bytes(found.nonce.to_bytes()) + 1;
        mined.push(tried as f64 / start.elapsed().as_secs_f64());
        bare.push(whole_header(&header, hashes));
        prefixed.push(after_prefix(&header, hashes));
    }
    let (mined, bare, prefixed) = (median(&mut mined), median(&mut bare), median(&mut prefixed));
    eprintln!(
        "  mined {mined:.0}/s, bare {bare:.0}/s over whole headers, {prefixed:.0}/s from their beginning"
    );
    report.figure(
        "hashrate_vs_limit",
        mined / bare.max(prefixed),
        "ratio",
        Bound::AtLeast(0.9),
    );
}

/// BLAKE3 over the whole header, with the context's key made once.
fn whole_header(header: &Header, hashes: u64) -> f64 {
    let mut bytes = wire::encode(header);
    let at = bytes.len() - Nonce::LEN;
    let hasher = blake3::Hasher::new_derive_key(Context::BlockId.name());
    let start = Instant::now();
    for nonce in 0..hashes {
        bytes[at..].copy_from_slice(&nonce.to_be_bytes());
        let mut hasher = hasher.clone();
        std::hint::black_box(hasher.update(&bytes).finalize());
    }
    hashes as f64 / start.elapsed().as_secs_f64()
}

/// The same, with all but the nonce taken in once.
fn after_prefix(header: &Header, hashes: u64) -> f64 {
    let bytes = wire::encode(header);
    let mut hasher = blake3::Hasher::new_derive_key(Context::BlockId.name());
    hasher.update(&bytes[..bytes.len() - Nonce::LEN]);
    let start = Instant::now();
    for nonce in 0..hashes {
        let mut hasher = hasher.clone();
        std::hint::black_box(hasher.update(&nonce.to_be_bytes()).finalize());
    }
    hashes as f64 / start.elapsed().as_secs_f64()
}
