//! Bodies of blocks: finding single transactions within the encoding, and a cache of bodies with their Merkle trees.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::StoreError;
use crate::chain::block::BlockId;
use crate::chain::merkle::{InclusionProof, PerfectNodes, Tree};
use crate::chain::transaction::{Transaction, TxId};

/// The transactions of a block as they are stored, ready for proofs.
#[derive(Debug)]
pub struct BlockBody {
    bytes: Arc<[u8]>,
    items: Vec<Range<usize>>,
    ids: Vec<TxId>,
    tree: PerfectNodes,
}

impl BlockBody {
    pub(super) fn new(bytes: Arc<[u8]>) -> Result<Self, StoreError> {
        let items = items(&bytes)?;
        let ids: Vec<_> = items
            .iter()
            .map(|range| Transaction::id_of(&bytes[range.clone()]))
            .collect();
        let leaves = ids.iter().map(|id| Tree::Transactions.leaf(id.as_ref()));
        let tree = PerfectNodes::new(Tree::Transactions, leaves.collect());
        Ok(Self {
            bytes,
            items,
            ids,
            tree,
        })
    }

    /// The canonical encoding of all of them.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Their ids, in order.
    pub fn ids(&self) -> &[TxId] {
        &self.ids
    }

    /// The canonical encoding of the transaction at `index`.
    pub fn transaction(&self, index: u32) -> Option<&[u8]> {
        let range = self.items.get(index as usize)?;
        Some(&self.bytes[range.clone()])
    }

    /// The proof that the transaction at `index` is under the block's transaction root.
    pub fn inclusion(&self, index: u32) -> Option<InclusionProof> {
        self.tree.inclusion(Tree::Transactions, index.into())
    }
}

/// The encoded transactions in an encoded body, in order.
pub(super) fn split(body: &[u8]) -> Result<impl Iterator<Item = &[u8]>, StoreError> {
    Ok(items(body)?.into_iter().map(|range| &body[range]))
}

/// Where the elements of an encoded array are. The bytes were canonical when they were stored; anything else is
/// corruption, and costs no more than a pass over them.
fn items(bytes: &[u8]) -> Result<Vec<Range<usize>>, StoreError> {
    let corrupt = || StoreError::Corrupt("a block's transactions are damaged".to_owned());
    let (major, count, mut at) = head(bytes, 0).ok_or_else(corrupt)?;
    // Every element takes a byte at least.
    if major != 4 || count > bytes.len() as u64 {
        return Err(corrupt());
    }
    let mut items = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let start = at;
        let mut open = 1u64;
        while open > 0 {
            let (major, argument, next) = head(bytes, at).ok_or_else(corrupt)?;
            at = next;
            open -= 1;
            match major {
                0 => {}
                2 | 3 => {
                    let end = (at as u64).checked_add(argument).ok_or_else(corrupt)?;
                    if end > bytes.len() as u64 {
                        return Err(corrupt());
                    }
                    at = end as usize;
                }
                4 => open = open.checked_add(argument).ok_or_else(corrupt)?,
                _ => return Err(corrupt()),
            }
        }
        items.push(start..at);
    }
    if at == bytes.len() {
        Ok(items)
    } else {
        Err(corrupt())
    }
}

/// Major type, argument, and the offset behind the head of a CBOR item.
fn head(bytes: &[u8], at: usize) -> Option<(u8, u64, usize)> {
    let first = *bytes.get(at)?;
    let width = match first & 0x1f {
        info @ 0..=23 => return Some((first >> 5, info.into(), at + 1)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => return None,
    };
    let argument = bytes.get(at + 1..at + 1 + width)?;
    Some((
        first >> 5,
        super::record::big_endian(argument),
        at + 1 + width,
    ))
}

/// Bytes of bodies that the cache keeps. Voters ask for the inclusion of their votes soon after the block came: four
/// blocks of the largest size are enough.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Recently used bodies, shared by all snapshots. A block's id says what is in it, so that nothing here gets stale.
#[derive(Debug, Default)]
pub(super) struct BodyCache(Mutex<VecDeque<(BlockId, Arc<BlockBody>)>>);

impl BodyCache {
    pub fn get(&self, id: &BlockId) -> Option<Arc<BlockBody>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries.iter().position(|(have, _)| have == id)?;
        let entry = entries.remove(at)?;
        let body = entry.1.clone();
        entries.push_back(entry);
        Some(body)
    }

    pub fn insert(&self, id: BlockId, body: Arc<BlockBody>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(have, _)| *have != id);
        entries.push_back((id, body));
        let mut total: usize = entries.iter().map(|(_, body)| body.bytes.len()).sum();
        while total > CACHE_BYTES && entries.len() > 1 {
            if let Some((_, oldest)) = entries.pop_front() {
                total -= oldest.bytes.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::wire;

    #[test]
    fn elements_are_found_and_damage_is_an_error() {
        let encoded = wire::encode(&(1u8, ("ab", [300u16; 2]), [0u8; 30].as_slice()));
        let items = items(&encoded).unwrap();
        let parts: Vec<_> = items.iter().map(|range| &encoded[range.clone()]).collect();
        assert_eq!(parts[0], wire::encode(&1u8));
        assert_eq!(parts[1], wire::encode(&("ab", [300u16; 2])));
        assert_eq!(parts[2], wire::encode(&[0u8; 30].as_slice()));
        for end in 0..encoded.len() {
            assert!(super::items(&encoded[..end]).is_err());
        }
        for bytes in [
            &b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\x81\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x82\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x00",
            b"\x81\xa0",
            b"\x80\x00",
        ] {
            assert!(super::items(bytes).is_err(), "{bytes:02x?}");
        }
    }
}
