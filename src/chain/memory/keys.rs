//! A compact index of 32-byte keys: each key once, numbered in the order of insertion, about 40 bytes a key.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// No key stands in this slot of the table.
const EMPTY: u32 = u32::MAX;

/// Keys by number and numbers by key. The keys are chosen by strangers, so the table's hash is seeded; nothing walks the
/// table.
#[derive(Clone, Debug)]
pub(super) struct KeyIndex {
    keys: Vec<[u8; 32]>,
    /// Open addressing with linear probing, a power of two in length and at most three quarters full.
    table: Vec<u32>,
    hasher: RandomState,
}

impl KeyIndex {
    pub(super) fn new() -> Self {
        Self {
            keys: Vec::new(),
            table: vec![EMPTY; 16],
            hasher: RandomState::new(),
        }
    }

    /// The key with this number.
    pub(super) fn key(&self, number: u32) -> &[u8; 32] {
        &self.keys[number as usize]
    }

    /// The number of this key.
    pub(super) fn get(&self, key: &[u8; 32]) -> Option<u32> {
        let number = self.table[self.slot(key)];
        (number != EMPTY).then_some(number)
    }

    /// The number of this key, which is added if it is new.
    pub(super) fn insert(&mut self, key: &[u8; 32]) -> u32 {
        let slot = self.slot(key);
        if self.table[slot] != EMPTY {
            return self.table[slot];
        }
        let number = u32::try_from(self.keys.len()).expect("memory ends before 2^32 keys");
        self.keys.push(*key);
        self.table[slot] = number;
        if self.keys.len() * 4 > self.table.len() * 3 {
            self.grow();
        }
        number
    }

    /// The slot that holds the key, or the empty one where it would go.
    fn slot(&self, key: &[u8; 32]) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = self.hasher.hash_one(key) as usize & mask;
        while self.table[slot] != EMPTY && self.keys[self.table[slot] as usize] != *key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    /// Memory that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.keys.capacity() * 32 + self.table.capacity() * 4
    }

    fn grow(&mut self) {
        self.table = vec![EMPTY; self.table.len() * 2];
        for number in 0..self.keys.len() {
            let slot = self.slot(&self.keys[number]);
            self.table[slot] = number as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_once_and_found_again() {
        let key = |i: u32| {
            crate::crypto::hash(crate::crypto::Context::Ballot, &i.to_be_bytes()).to_bytes()
        };
        let mut index = KeyIndex::new();
        for i in 0..5_000 {
            assert_eq!(index.get(&key(i)), None);
            assert_eq!(index.insert(&key(i)), i);
            assert_eq!(index.insert(&key(i / 2)), i / 2);
        }
        assert_eq!(index.keys.len(), 5_000);
        for i in 0..5_000 {
            assert_eq!(index.get(&key(i)), Some(i));
            assert_eq!(*index.key(i), key(i));
        }
        assert!(index.table.len() <= 8_192 && index.table.capacity() <= 8_192);
    }
}
