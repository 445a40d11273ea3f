//! What peers and clients ask of a node: any bytes, and requests put together from what the chain holds.

use std::sync::{Mutex, OnceLock};

use arbitrary::{Result, Unstructured};
use votenode::chain::block::BlockId;
use votenode::chain::transaction::TxId;
use votenode::crypto::SigningKey;
use votenode::node::serve::Server;
use votenode::node::{Node, NodeConfig, Now};
use votenode::protocol::{submit, sync};
use votenode::store::MemoryDisk;
use votenode::wire::{self, List, Message};

use super::validation::uint;
use super::world::{START_MS, World, world};

struct Served {
    server: Server,
    own: sync::Status,
    /// The database ends with the node, and is read for as long as this process runs.
    _node: Mutex<Node>,
}

/// A node that has the first branch, with a few transactions waiting.
fn served() -> &'static Served {
    static SERVED: OnceLock<Served> = OnceLock::new();
    SERVED.get_or_init(|| {
        let world = world();
        let mut store = world.store(&MemoryDisk::default());
        let waiting = world.pool.iter().rev().take(5);
        store
            .commit(votenode::store::Commit {
                pending_insert: waiting.map(|one| (one.id(), wire::encode(one))).collect(),
                ..votenode::store::Commit::default()
            })
            .unwrap();
        let reader = store.reader();
        let config = NodeConfig {
            network: world.network.clone(),
            miner: SigningKey::from_seed(&[1; 32]),
            mine: false,
            mempool: Default::default(),
            tree: Default::default(),
            finaliser: None,
        };
        let now = Now {
            mono_ms: 0,
            wall_ms: START_MS + 10_000,
        };
        let node = Node::new(config, store, now).unwrap();
        let server = Server::new(world.network.clone(), reader, node.drop_log(), node.board());
        let own = node.own_status();
        Served {
            server,
            own,
            _node: Mutex::new(node),
        }
    })
}

pub fn run(data: &[u8]) {
    if let Ok(request) = wire::decode::<sync::Request>(data) {
        ask_sync(&request);
    }
    if let Ok(request) = wire::decode::<submit::Request>(data) {
        ask_submit(&request, START_MS);
    }
    let _ = made(&mut Unstructured::new(data));
}

fn ask_sync(request: &sync::Request) {
    let served = served();
    fits(&served.server.sync(request, &served.own));
}

fn ask_submit(request: &submit::Request, now_ms: u64) {
    fits(&served().server.submit(request, now_ms));
}

/// A reply has to be one that the asker can read.
fn fits<T: Message + PartialEq + std::fmt::Debug>(reply: &T) {
    let bytes = wire::encode(reply);
    assert!(bytes.len() <= T::MAX_BYTES, "{} bytes", bytes.len());
    assert_eq!(wire::decode::<T>(&bytes).as_ref(), Ok(reply));
}

/// A block of either branch, or one that nobody has.
pub fn block_id(u: &mut Unstructured<'_>, world: &World) -> Result<BlockId> {
    if u.ratio(1, 4)? {
        return Ok(BlockId::from_bytes(u.arbitrary()?));
    }
    let branch = u.choose(&world.branches)?;
    Ok(u.choose(branch)?.header.id())
}

fn tx_id(u: &mut Unstructured<'_>, world: &World) -> Result<TxId> {
    match u.ratio(1, 4)? {
        true => Ok(TxId::from_bytes(u.arbitrary()?)),
        false => Ok(u.choose(&world.pool)?.id()),
    }
}

fn some<T, const MIN: usize, const MAX: usize>(
    u: &mut Unstructured<'_>,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<List<T, MIN, MAX>> {
    let most = MAX.min(40).max(MIN);
    let count = u.int_in_range(MIN..=most)?;
    let items: Result<Vec<T>> = (0..count).map(|_| one(u)).collect();
    Ok(List::new(items?).unwrap())
}

fn made(u: &mut Unstructured<'_>) -> Result<()> {
    let world = world();
    let request = match u.int_in_range(0..=5)? {
        0 => sync::Request::Headers {
            locator: some(u, |u| block_id(u, world))?,
            max: uint(u)?,
        },
        1 => sync::Request::Bodies {
            blocks: some(u, |u| block_id(u, world))?,
            max_bytes: uint(u)?,
        },
        2 => sync::Request::Certificates {
            from: uint(u)?,
            max: uint(u)?,
        },
        3 => sync::Request::Roll {
            block: block_id(u, world)?,
            start: u.int_in_range(0..=20)?,
            max: uint(u)?,
        },
        4 => sync::Request::PendingIds {
            after: tx_id(u, world)?,
        },
        _ => sync::Request::Transactions {
            ids: some(u, |u| tx_id(u, world))?,
            max_bytes: uint(u)?,
        },
    };
    ask_sync(&request);
    let election = *u.choose(&world.elections)?;
    let request = match u.int_in_range(0..=3)? {
        0 => submit::Request::Status {
            ids: some(u, |u| tx_id(u, world))?,
        },
        1 => submit::Request::Elections { skip: uint(u)? },
        2 => submit::Request::Election { election },
        _ => submit::Request::Result { election },
    };
    ask_submit(&request, uint(u)?);
    Ok(())
}
