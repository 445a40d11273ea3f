//! A block tree in memory, and a small world of transactions to fill it with.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::chain::block::{BlockId, Header, Nonce};
use crate::chain::checkpoint::CommitCertificate;
use crate::chain::election::ElectionId;
use crate::chain::memory::MemoryState;
use crate::chain::network::Network;
use crate::chain::rules::{TemplateLimits, apply_block, fill_template};
use crate::chain::state::Delta;
use crate::chain::testing::{self, START_MS};
use crate::chain::transaction::{Transaction, TxId};
use crate::chain::verify::{Verified, Verifier};
use crate::store::{Appended, Commit, NewBlock, Store, StoreConfig, Switch, encode_body};

/// Finalisers of the genesis and of later sets against whom there is evidence.
pub(super) const ACCUSED: [u8; 8] = [1, 2, 3, 4, 5, 7, 8, 9];

/// Everybody, and everything that can happen.
pub(super) struct World {
    pub network: Arc<Network>,
    pub transactions: Vec<Verified<Transaction>>,
    pub voters: Vec<u8>,
    pub invitations: Vec<u8>,
    pub elections: Vec<ElectionId>,
}

pub(super) static WORLD: LazyLock<World> = LazyLock::new(|| {
    let network = testing::finalising_network();
    let invitations: Vec<u8> = (1..=9).collect();
    let mut transactions = vec![
        testing::issue(&network, "club", &invitations[..5]),
        testing::issue(&network, "guests", &invitations[5..]),
        testing::revoke(&network, &[5, 9]),
        testing::revoke(&network, &[4]),
    ];
    let open: Vec<u8> = (20..50).collect();
    let invited: Vec<u8> = (60..67).collect();
    transactions.extend(open.iter().map(|voter| testing::register(&network, *voter)));
    for (voter, invitation) in invited.iter().zip(&invitations) {
        transactions.push(testing::register_with(&network, *voter, *invitation));
    }
    let voters = [open, invited].concat();
    let mut elections = Vec::new();
    for (name, roll_closes_at_ms) in [("first", 12_000), ("second", 900_000)] {
        let mut terms = testing::terms();
        terms.title = testing::text(name);
        terms.opens_at_ms = START_MS + 3_000;
        terms.closes_at_ms = START_MS + 900_000;
        terms.roll_closes_at_ms = START_MS + roll_closes_at_ms;
        let (id, transaction) = testing::open(&network, terms);
        elections.push(id);
        transactions.push(transaction);
        for voter in &voters {
            transactions.push(testing::vote(&network, *voter, id, &[voter % 3]));
        }
    }
    transactions.extend([
        testing::change(&network, 1, &[3, 4, 5, 6], &[1, 2, 3]),
        testing::change(&network, 1, &[1, 5], &[2, 3, 4]),
        testing::change(&network, 2, &[7], &[3, 4, 5]),
        testing::change(&network, 2, &[8, 9], &[1, 5]),
    ]);
    for finaliser in ACCUSED {
        for round in 0..2 {
            transactions.push(testing::evidence(&network, finaliser, 1, round));
        }
    }
    let verifier = Verifier::new(network.clone(), [0; 32]);
    let transactions = verifier
        .verify(transactions)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    World {
        network,
        transactions,
        voters,
        invitations,
        elections,
    }
});

/// A block with the state after it.
pub(super) struct Block {
    pub id: BlockId,
    pub header: Header,
    pub transactions: Vec<Verified<Transaction>>,
    pub delta: Delta,
    pub state: MemoryState,
}

impl Block {
    pub fn new_block(&self) -> NewBlock {
        NewBlock {
            id: self.id,
            header: self.header.clone(),
            body: Some(encode_body(&self.transactions)),
        }
    }

    pub fn appended(&self) -> Appended {
        Appended {
            id: self.id,
            delta: self.delta.clone(),
        }
    }
}

/// What the store should hold.
#[derive(Clone)]
pub(super) struct Model {
    pub main: Vec<Arc<Block>>,
    pub pending: BTreeMap<TxId, Vec<u8>>,
    /// Heights and certificates of the checkpoints.
    pub checkpoints: Vec<(u64, CommitCertificate)>,
    pub log: Vec<Vec<u8>>,
    nonce: u64,
}

/// A small generator, so that a failing case is a short list of numbers.
pub(super) fn mix(seed: u64) -> u64 {
    let value = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((value ^ value >> 31).wrapping_mul(0x94d0_49bb_1331_11eb) ^ value >> 29) >> 1
}

impl Model {
    pub fn new() -> Self {
        let network = &WORLD.network;
        Self {
            main: vec![Arc::new(Block {
                id: network.genesis_block(),
                header: network.genesis_header().clone(),
                transactions: Vec::new(),
                delta: Delta::default(),
                state: MemoryState::new(),
            })],
            pending: BTreeMap::new(),
            checkpoints: Vec::new(),
            log: Vec::new(),
            nonce: 0,
        }
    }

    pub fn tip(&self) -> &Arc<Block> {
        self.main.last().unwrap()
    }

    pub fn height(&self) -> u64 {
        self.main.len() as u64 - 1
    }

    /// A child of `parent` that holds a random choice of what may follow.
    pub fn child(&mut self, parent: &Block, seed: u64) -> Arc<Block> {
        self.nonce += 1;
        let mut candidates = WORLD.transactions.clone();
        candidates.sort_by_key(|transaction| {
            let mut start = [0; 8];
            start.copy_from_slice(&transaction.id().as_bytes()[..8]);
            mix(u64::from_le_bytes(start) ^ seed)
        });
        // Some blocks are empty, and most hold a few.
        candidates.truncate([0, 9, 18, 36][(mix(seed) % 4) as usize]);
        let mut template = fill_template(
            &parent.state,
            &WORLD.network,
            &parent.header,
            parent.header.timestamp_ms + WORLD.network.block_time_ms + mix(seed) % 700,
            testing::stranger().public_key(),
            candidates,
            TemplateLimits::of(&WORLD.network),
        )
        .unwrap();
        template.header.nonce = Nonce::from_bytes(self.nonce.to_be_bytes());
        let delta = apply_block(
            &parent.state,
            &WORLD.network,
            &parent.header,
            &template.header,
            &template.transactions,
        )
        .unwrap();
        let mut state = parent.state.clone();
        state.insert(delta.clone());
        Arc::new(Block {
            id: template.header.id(),
            header: template.header,
            transactions: template.transactions,
            delta,
            state,
        })
    }

    /// Height of the last checkpoint.
    pub fn final_height(&self) -> u64 {
        self.checkpoints.last().map_or(0, |(height, _)| *height)
    }

    /// Adds to the commit, and to the model after it, a checkpoint above the last one and something about the log.
    pub fn certified(mut self, mut commit: Commit, seed: u64) -> (Self, Commit) {
        let above = self.height() - self.final_height();
        if above > 0 {
            let height = self.final_height() + 1 + mix(seed) % above.div_ceil(2);
            let number = self.checkpoints.len() as u64 + 1;
            let block = self.main[height as usize].id;
            let certificate = testing::certificate(&WORLD.network, 0, number, block, &[1, 2, 3]);
            commit.certificates.push(certificate.clone());
            self.checkpoints.push((height, certificate));
        }
        commit.finality_log_clear = mix(seed + 1).is_multiple_of(3);
        if commit.finality_log_clear {
            self.log.clear();
        }
        for number in 0..mix(seed + 2) % 4 {
            let entry = vec![number as u8; (mix(seed + number) % 50) as usize];
            self.log.push(entry.clone());
            commit.finality_log.push(entry);
        }
        (self, commit)
    }

    /// The commit that takes `back` blocks off the main chain, but none that is final, and puts `count` new ones in their
    /// place, and the model after it.
    pub fn switched(&self, back: u64, count: u64, seed: u64) -> (Self, Commit) {
        let mut after = self.clone();
        let rewind_to = self.height().saturating_sub(back).max(self.final_height());
        after.main.truncate(rewind_to as usize + 1);
        for number in 0..count {
            let parent = after.tip().clone();
            let child = after.child(&parent, mix(seed + number));
            after.main.push(child);
        }
        let new = &after.main[rewind_to as usize + 1..];
        let commit = Commit {
            blocks: new.iter().map(|block| block.new_block()).collect(),
            chain: Some(Switch {
                rewind_to,
                append: new.iter().map(|block| block.appended()).collect(),
            }),
            ..Commit::default()
        };
        (after, commit)
    }

    /// A commit that puts transactions into the pool and takes others out, and the model after it.
    pub fn pooled(&self, seed: u64) -> (Self, Commit) {
        let mut after = self.clone();
        let mut commit = Commit::default();
        for (number, transaction) in WORLD.transactions.iter().enumerate() {
            match mix(seed + number as u64) % 8 {
                0 => {
                    let bytes = crate::wire::encode(&**transaction);
                    after.pending.insert(transaction.id(), bytes.clone());
                    commit.pending_insert.push((transaction.id(), bytes));
                }
                1 => {
                    after.pending.remove(&transaction.id());
                    commit.pending_remove.push(transaction.id());
                }
                _ => {}
            }
        }
        (after, commit)
    }
}

/// Constants so small that a handful of blocks is flushed.
pub(super) fn small() -> StoreConfig {
    StoreConfig {
        cache_bytes: 1024 * 1024,
        flush_depth: 2,
        flush_transactions: 12,
        flush_blocks: 4,
        tail_transactions: 60,
        check_on_open: false,
    }
}

/// A store and its model, `height` blocks high.
pub(super) fn grown(height: u64, config: StoreConfig) -> (Store, Model) {
    let mut store = Store::in_memory(&WORLD.network, config).unwrap();
    let mut model = Model::new();
    for seed in 0..height {
        let (after, commit) = model.switched(0, 1, seed);
        store.commit(commit).unwrap();
        model = after;
    }
    (store, model)
}
