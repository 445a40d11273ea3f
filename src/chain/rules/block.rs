//! Which blocks may follow a block.

use crate::chain::block::{BlockId, Header};
use crate::chain::invalid::{BlockInvalid, Failure};
use crate::chain::merkle::Tree;
use crate::chain::network::Network;
use crate::chain::overlay::Overlay;
use crate::chain::rules::transaction::{BlockTime, apply_transaction};
use crate::chain::state::{Delta, View};
use crate::chain::transaction::Transaction;
use crate::chain::verify::Verified;
use crate::wire;

/// Checks a header as the child of `parent`, as far as headers alone allow, and gives its id. That its time has come is
/// for whoever has a clock to check.
pub fn check_header(
    network: &Network,
    parent: &Header,
    header: &Header,
) -> Result<BlockId, BlockInvalid> {
    if header.version != network.version {
        return Err(BlockInvalid::Version {
            got: header.version,
            want: network.version,
        });
    }
    if header.network != network.id() {
        return Err(BlockInvalid::WrongNetwork);
    }
    let want = parent.height.saturating_add(1);
    if header.height != want {
        return Err(BlockInvalid::Height {
            got: header.height,
            want,
        });
    }
    if header.parent != parent.id() {
        return Err(BlockInvalid::Parent);
    }
    let earliest = parent.timestamp_ms.saturating_add(network.block_time_ms);
    if header.timestamp_ms < earliest {
        return Err(BlockInvalid::Timestamp {
            got: header.timestamp_ms,
            earliest,
        });
    }
    // A roll never shrinks, and a block adds no more voters than transactions.
    let most = parent
        .roll_size
        .saturating_add(network.max_block_transactions);
    if !(parent.roll_size..=most).contains(&header.roll_size) {
        return Err(BlockInvalid::Roll);
    }
    let id = header.id();
    if !id.meets(network) {
        return Err(BlockInvalid::Work);
    }
    Ok(id)
}

/// What a block inserts into the state `view` after its parent, or the rule that it breaks.
pub fn apply_block<V: View + ?Sized>(
    view: &V,
    network: &Network,
    parent: &Header,
    header: &Header,
    transactions: &[Verified<Transaction>],
) -> Result<Delta, Failure<BlockInvalid>> {
    check_header(network, parent, header)?;
    check_body(network, header, transactions)?;

    let mut overlay = Overlay::new(view);
    for (index, transaction) in (0u32..).zip(transactions) {
        let at = BlockTime {
            height: header.height,
            index,
            timestamp_ms: header.timestamp_ms,
        };
        let delta =
            apply_transaction(&overlay, network, at, transaction).map_err(
                |failure| match failure {
                    Failure::Invalid(reason) => {
                        Failure::Invalid(BlockInvalid::Transaction { index, reason })
                    }
                    Failure::State(error) => Failure::State(error),
                },
            )?;
        overlay.push(delta);
    }
    let roll = overlay.roll()?;
    if header.roll_size != roll.size() || header.roll_root != roll.root() {
        return Err(BlockInvalid::Roll.into());
    }
    Ok(overlay.into_indexed().into_delta())
}

/// Bounds of the genesis, and that the header commits to these transactions.
fn check_body(
    network: &Network,
    header: &Header,
    transactions: &[Verified<Transaction>],
) -> Result<(), BlockInvalid> {
    if transactions.len() as u64 > network.max_block_transactions {
        return Err(BlockInvalid::TooManyTransactions {
            got: transactions.len(),
            max: network.max_block_transactions,
        });
    }
    let got = block_bytes(header, transactions);
    if got > network.max_block_bytes {
        return Err(BlockInvalid::TooLarge {
            got,
            max: network.max_block_bytes,
        });
    }
    if transaction_root(transactions) != header.transaction_root {
        return Err(BlockInvalid::TransactionRoot);
    }
    Ok(())
}

/// Length of a block's canonical encoding in bytes, which is what `max_block_bytes` of the genesis bounds.
pub fn block_bytes(header: &Header, transactions: &[Verified<Transaction>]) -> u64 {
    let list_head = wire::encode(&(transactions.len() as u64)).len();
    let bodies: u64 = transactions.iter().map(|t| t.encoded_len() as u64).sum();
    (1 + wire::encode(header).len() + list_head) as u64 + bodies
}

/// The root that a header commits to its transactions with.
pub(super) fn transaction_root(transactions: &[Verified<Transaction>]) -> crate::crypto::Hash {
    Tree::Transactions.root(
        transactions
            .iter()
            .map(|transaction| Tree::Transactions.leaf(transaction.id().as_bytes())),
    )
}
