//! What a power cut leaves of a disk: a journal of all that was written, and the disks that may come out of it.
//!
//! A run is recorded once. A [`Replay`] then walks through its operations, and at every one of them says what may lie on
//! the disk if the power goes there: what was synced is there, and of the rest anything. It knows bytes and nothing of
//! what they mean.

use super::MemoryDisk;

/// What was done to a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// It became so many bytes long.
    Length(usize),
    /// Bytes were written at an offset.
    Write(usize, Vec<u8>),
    /// All before was made durable.
    Sync,
}

impl Operation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(offset, data) => put(bytes, *offset, data),
            Self::Sync => {}
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    // A change of the length that was lost can leave a write without its place.
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

/// Everything that was done to a disk since the journal began.
#[derive(Clone, Debug)]
pub struct Journal {
    start: Vec<u8>,
    operations: Vec<Operation>,
}

impl Journal {
    pub(super) fn new(start: Vec<u8>) -> Self {
        Self {
            start,
            operations: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// How many operations it holds.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The journal of a disk that says that it synced and does nothing. Operations keep their numbers.
    pub fn without_syncs(mut self) -> Self {
        for operation in &mut self.operations {
            if *operation == Operation::Sync {
                *operation = Operation::Write(0, Vec::new());
            }
        }
        self
    }

    /// The same operations once more, from the first.
    pub fn replay(&self) -> Replay<'_> {
        Replay {
            journal: self,
            done: 0,
            synced: self.start.clone(),
            synced_at: 0,
        }
    }
}

/// What becomes of writes that were not synced when the power goes.
///
/// Of two writes to the same place the later one covers the earlier one wherever both are kept: a cache holds one
/// version of a page. Writes to different places may be kept and lost in any combination, which is what writing them in
/// any order comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// They are all there: the process ended, the machine did not.
    Nothing,
    /// They are all gone.
    Everything,
    /// Each is there, or gone, or torn: of a torn one some pieces are there and others gone.
    Some {
        /// Which of them.
        seed: u64,
        /// Length of a piece, in bytes: the unit that the disk writes as a whole.
        piece: usize,
    },
}

/// A walk through a journal.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    journal: &'a Journal,
    done: usize,
    synced: Vec<u8>,
    synced_at: usize,
}

impl Replay<'_> {
    /// Operations that were done so far.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Does the next operation. False if there is none.
    pub fn step(&mut self) -> bool {
        let Some(operation) = self.journal.operations.get(self.done) else {
            return false;
        };
        self.done += 1;
        if *operation == Operation::Sync {
            for unsynced in &self.journal.operations[self.synced_at..self.done] {
                unsynced.apply(&mut self.synced);
            }
            self.synced_at = self.done;
        }
        true
    }

    /// Whether something was done since the last sync.
    pub fn is_unsynced(&self) -> bool {
        self.synced_at < self.done
    }

    /// The disk that is there after the power went now.
    pub fn survivor(&self, loss: Loss) -> MemoryDisk {
        let mut bytes = self.synced.clone();
        let unsynced = &self.journal.operations[self.synced_at..self.done];
        match loss {
            Loss::Nothing => unsynced
                .iter()
                .for_each(|operation| operation.apply(&mut bytes)),
            Loss::Everything => {}
            Loss::Some { seed, piece } => {
                let mut random = Random(seed);
                for operation in unsynced {
                    lose(&mut bytes, operation, piece, &mut random);
                }
            }
        }
        MemoryDisk::from_bytes(bytes)
    }
}

/// Does an operation, leaves it, or does a part of it.
fn lose(bytes: &mut Vec<u8>, operation: &Operation, piece: usize, random: &mut Random) {
    match (random.below(3), operation) {
        (0, _) => {}
        (1, Operation::Write(offset, data)) => {
            // Pieces lie where the disk has them, not where the write begins.
            let mut from = 0;
            while from < data.len() {
                let to = (from + piece - (offset + from) % piece).min(data.len());
                if random.below(2) == 0 {
                    put(bytes, offset + from, &data[from..to]);
                }
                from = to;
            }
        }
        _ => operation.apply(bytes),
    }
}

/// A small generator (splitmix64), so that a failing case is a number.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use redb::StorageBackend as _;

    use super::*;

    fn recorded() -> MemoryDisk {
        let disk = MemoryDisk::from_bytes(vec![1; 8]);
        disk.start_journal();
        disk.write(0, &[2; 4]).unwrap();
        disk.sync_data().unwrap();
        disk.set_len(16).unwrap();
        disk.write(6, &[3; 10]).unwrap();
        disk
    }

    #[test]
    fn a_replay_ends_where_the_disk_is_and_loses_only_what_was_not_synced() {
        let disk = recorded();
        let journal = disk.journal();
        assert_eq!((journal.len(), disk.operations()), (4, 4));
        let mut replay = journal.replay();
        let mut images = Vec::new();
        while replay.step() {
            images.push(replay.survivor(Loss::Everything).to_bytes());
        }
        let synced = [2, 2, 2, 2, 1, 1, 1, 1];
        assert_eq!(images, [[1; 8], synced, synced, synced]);
        assert_eq!(replay.survivor(Loss::Nothing).to_bytes(), disk.to_bytes());

        let lying = journal.without_syncs();
        let mut replay = lying.replay();
        while replay.step() {}
        assert_eq!(replay.survivor(Loss::Everything).to_bytes(), [1; 8]);
    }

    #[test]
    fn some_loss_keeps_what_was_synced_and_tears_at_the_pieces_of_the_disk() {
        let journal = recorded().journal();
        let mut replay = journal.replay();
        while replay.step() {}
        let images: std::collections::BTreeSet<Vec<u8>> = (0..200)
            .map(|seed| Loss::Some { seed, piece: 4 })
            .map(|loss| replay.survivor(loss).to_bytes())
            .collect();
        for image in &images {
            assert_eq!(image[..6], [2, 2, 2, 2, 1, 1]);
            // Of the write from 6 to 16 the pieces are 6..8, 8..12 and 12..16.
            for piece in [6..8, 8..12, 12..16] {
                if let Some(piece) = image.get(piece) {
                    assert!(piece.iter().all(|byte| *byte == piece[0]), "{image:?}");
                }
            }
        }
        // Both lengths with each of the eight choices of pieces that fit.
        assert!(images.len() >= 9, "{}", images.len());
    }
}
