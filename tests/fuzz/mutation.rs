//! Small changes to bytes, by a seeded sequence: what fails once fails again.

/// A seeded sequence of numbers (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// The sequence of this name.
    pub fn new(name: &str) -> Self {
        Self(
            name.bytes()
                .fold(7, |seed, byte| seed * 31 + u64::from(byte)),
        )
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// A seed with one to four changes: bits, bytes, interesting values, pieces that are doubled, left out, or come from
/// another seed, and an end that is missing.
pub fn mutated(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            bytes.push(dice.below(256) as u8);
        }
        let at = dice.below(bytes.len());
        let end = (at + 1 + dice.below(40)).min(bytes.len());
        match dice.below(8) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = dice.below(256) as u8,
            // Heads of CBOR items: long lengths, indefinite ones, tags, floats, maps.
            2 => {
                bytes[at] = [
                    0x1b, 0x3b, 0x5b, 0x5f, 0x7f, 0x9b, 0x9f, 0xbf, 0xc2, 0xf6, 0xfb, 0xff,
                ][dice.below(12)]
            }
            3 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => drop(bytes.drain(at..end)),
            5 => bytes.truncate(at),
            6 => {
                let other = &seeds[dice.below(seeds.len())];
                if !other.is_empty() {
                    let from = dice.below(other.len());
                    let to = (from + dice.below(80)).min(other.len());
                    bytes.splice(at..end, other[from..to].to_vec());
                }
            }
            _ => bytes.insert(at, dice.below(256) as u8),
        }
    }
    bytes
}
